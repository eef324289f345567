/** Finds held-out samples inside of training samples, by the sequences of thirteen words that they share. */
import { type Fingerprint, fingerprint, HashSet, KeyTable } from './duplicates.ts'

const GRAM = 13
/** The part of the shorter text's sequences that must stand in the other one. */
const SHARE = 0.5
/** Sequences kept, at most: about 20 MB. */
const MOST_GRAMS = 1_600_000

export class HeldOut {
  readonly #whole = new HashSet(1 << 21)
  readonly #owner = new KeyTable()
  readonly #grams: number[] = []
  /** Samples of which nothing could be kept any more. */
  refused = 0

  add(texts: string[]): void {
    const print = fingerprint(texts)
    this.#whole.add(print.high, print.low)
    const count = print.words.length - GRAM + 1
    if (count < 1) return
    if (this.#owner.size + count > MOST_GRAMS) {
      this.refused++
      return
    }
    const id = this.#grams.push(count) - 1
    for (const gram of grams(print)) if (this.#owner.get(gram) === -1) this.#owner.swap(gram, id)
  }

  /** Why a training sample counts as held out, or undefined. */
  match(texts: string[]): string | undefined {
    const print = fingerprint(texts)
    if (this.#whole.has(print.high, print.low)) return 'the same text is held out'
    const count = print.words.length - GRAM + 1
    if (count < 1 || this.#grams.length === 0) return undefined
    const shared = new Map<number, number>()
    for (const gram of grams(print)) {
      const owner = this.#owner.get(gram)
      if (owner !== -1) shared.set(owner, (shared.get(owner) ?? 0) + 1)
    }
    for (const [owner, n] of shared) {
      const share = Math.min(1, n / Math.min(count, this.#grams[owner]!))
      if (share >= SHARE) return `${Math.round(share * 100)}% of its ${GRAM}-word sequences are in one held-out sample`
    }
    return undefined
  }
}

function* grams({ words }: Fingerprint): Generator<number> {
  // The hash of a window rolls on: the oldest word leaves, a new one comes.
  const factor = 0x01000193
  let power = 1
  for (let i = 1; i < GRAM; i++) power = Math.imul(power, factor)
  let hash = 0
  for (let i = 0; i < words.length; i++) {
    if (i >= GRAM) hash = (hash - Math.imul(words[i - GRAM]!, power)) | 0
    hash = (Math.imul(hash, factor) + words[i]!) | 0
    if (i >= GRAM - 1) yield hash >>> 0
  }
}
