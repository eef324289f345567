/** An interpolated byte n-gram (Witten and Bell 1991), which the model is compared with: the chance of a byte after up to five others. */

/** Bytes before the one that is predicted. */
const ORDER = 5
const EMPTY = -1

/** Counts by keys below 2^53, in open addressing: a Map of so many entries would take ten times the memory. */
class Counts {
  #keys: Float64Array
  #values: Uint32Array
  #used = 0

  constructor(capacity = 2 ** 16) {
    this.#keys = new Float64Array(capacity).fill(EMPTY)
    this.#values = new Uint32Array(capacity)
  }

  get(key: number): number {
    return this.#values[this.#place(key)]!
  }

  /** @returns the count before */
  add(key: number): number {
    if (this.#used * 2 > this.#keys.length) this.#grow()
    const place = this.#place(key)
    if (this.#keys[place] === EMPTY) {
      this.#keys[place] = key
      this.#used++
    }
    return this.#values[place]!++
  }

  #place(key: number): number {
    const mask = this.#keys.length - 1
    // Both halves of the number take part, since a product of the whole would lose its low bits.
    const low = key % 2 ** 32
    const high = (key - low) / 2 ** 32
    let place = (Math.imul(low ^ Math.imul(high, 0x9e3779b1), 0x85ebca6b) >>> 7) & mask
    while (this.#keys[place] !== EMPTY && this.#keys[place] !== key) place = (place + 1) & mask
    return place
  }

  #grow(): void {
    const [keys, values] = [this.#keys, this.#values]
    this.#keys = new Float64Array(keys.length * 2).fill(EMPTY)
    this.#values = new Uint32Array(keys.length * 2)
    for (let i = 0; i < keys.length; i++) {
      if (keys[i] === EMPTY) continue
      const place = this.#place(keys[i]!)
      this.#keys[place] = keys[i]!
      this.#values[place] = values[i]!
    }
  }
}

export class Ngram {
  /** By the length of the context: how often context and byte came, how often the context came, and how many bytes followed it. */
  readonly #pairs = Array.from({ length: ORDER + 1 }, () => new Counts())
  readonly #totals = Array.from({ length: ORDER + 1 }, () => new Counts())
  readonly #kinds = Array.from({ length: ORDER + 1 }, () => new Counts())

  /** Learns a text; contexts do not reach beyond its beginning. */
  learn(text: Buffer): void {
    for (let at = 0; at < text.length; at++) {
      let context = 0
      for (let length = 0; length <= ORDER && length <= at; length++) {
        if (length > 0) context += text[at - length]! * 256 ** (length - 1)
        this.#totals[length]!.add(context)
        if (this.#pairs[length]!.add(context * 256 + text[at]!) === 0) this.#kinds[length]!.add(context)
      }
    }
  }

  /** Chance of each byte behind those before `at`. */
  chances(text: Uint8Array, at: number): Float64Array {
    let chances = new Float64Array(256).fill(1 / 256)
    let context = 0
    for (let length = 0; length <= ORDER && length <= at; length++) {
      if (length > 0) context += text[at - length]! * 256 ** (length - 1)
      const total = this.#totals[length]!.get(context)
      // A context that never came has no longer one that did.
      if (total === 0) break
      const kinds = this.#kinds[length]!.get(context)
      const sharper = new Float64Array(256)
      for (let byte = 0; byte < 256; byte++)
        sharper[byte] = (this.#pairs[length]!.get(context * 256 + byte) + kinds * chances[byte]!) / (total + kinds)
      chances = sharper
    }
    return chances
  }

  /** Chance of one byte, for which the others need not be looked at. */
  chance(text: Uint8Array, at: number): number {
    let chance = 1 / 256
    let context = 0
    for (let length = 0; length <= ORDER && length <= at; length++) {
      if (length > 0) context += text[at - length]! * 256 ** (length - 1)
      const total = this.#totals[length]!.get(context)
      if (total === 0) break
      const kinds = this.#kinds[length]!.get(context)
      chance = (this.#pairs[length]!.get(context * 256 + text[at]!) + kinds * chance) / (total + kinds)
    }
    return chance
  }

  /** Bits that the text takes. */
  bits(text: Uint8Array): number {
    let bits = 0
    for (let at = 0; at < text.length; at++) bits -= Math.log2(this.chance(text, at))
    return bits
  }

  /** The likeliest bytes behind a text, up to the end of the line or `most`. */
  completeLine(before: Uint8Array, most: number): string {
    const bytes = [...before.subarray(-ORDER)]
    const start = bytes.length
    while (bytes.length < start + most) {
      const chances = this.chances(Uint8Array.from(bytes), bytes.length)
      let best = 0
      for (let byte = 1; byte < 256; byte++) if (chances[byte]! > chances[best]!) best = byte
      if (best === 0x0a) break
      bytes.push(best)
    }
    return Buffer.from(bytes.slice(start)).toString('utf8')
  }
}
