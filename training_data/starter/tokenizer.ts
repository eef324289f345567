/** Byte-level BPE (Sennrich et al. 2016; GPT-2's bytes): trains it, encodes with it, and names its special tokens. */

/** As llama.cpp cuts text before the merges for `tokenizer.ggml.pre` = qwen2; its `\s` is Unicode's white space. */
const PIECES =
  /'(?:[sS]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\p{White_Space}\p{L}\p{N}]+[\r\n]*|\p{White_Space}*[\r\n]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu

export const END = '<|endoftext|>'
export const CHAT_START = '<|im_start|>'
export const CHAT_END = '<|im_end|>'
export const FIM_PREFIX = '<|fim_prefix|>'
export const FIM_SUFFIX = '<|fim_suffix|>'
export const FIM_MIDDLE = '<|fim_middle|>'
export const FIM_PAD = '<|fim_pad|>'
/** In the order of their ids, which follow those of the merges. */
export const SPECIAL = [END, CHAT_START, CHAT_END, FIM_PREFIX, FIM_SUFFIX, FIM_MIDDLE, FIM_PAD] as const

export type Vocabulary = {
  /** As GGUF holds them, bytes as GPT-2's characters: 256 bytes, one token per merge, the special ones. */
  tokens: string[]
  merges: string[]
}

/** GPT-2's characters for the bytes 0 to 255: printable ones stand for themselves, the others for U+0100 onwards. */
export function byteAlphabet(): string[] {
  let next = 256
  const printable = (byte: number): boolean => (byte > 32 && byte < 127) || (byte > 160 && byte !== 173)
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(printable(byte) ? byte : next++))
}

export const splitPieces = (text: string): string[] => text.match(PIECES) ?? []

type Word = { ids: number[]; count: number }
type Candidate = { pair: number; count: number }

const PAIR = 2 ** 20
const pairOf = (left: number, right: number): number => left * PAIR + right

/**
 * Merges the most frequent pair again and again; among equals the one of the lower ids, so the same texts give the same merges.
 * @param texts with how often each counts
 * @param size of the whole vocabulary with the special tokens
 */
export function trainTokenizer(texts: Iterable<{ text: string; weight: number }>, size: number): Vocabulary {
  const words = countWords(texts)
  const counts = new Map<number, number>()
  const places = new Map<number, Set<number>>()
  const heap = new Heap()
  const change = (pair: number, by: number, word: number): void => {
    counts.set(pair, (counts.get(pair) ?? 0) + by)
    if (by <= 0) return
    const known = places.get(pair)
    if (known === undefined) places.set(pair, new Set([word]))
    else known.add(word)
  }
  for (const [index, { ids, count }] of words.entries())
    for (let i = 1; i < ids.length; i++) change(pairOf(ids[i - 1]!, ids[i]!), count, index)
  for (const [pair, count] of counts) heap.push({ pair, count })

  const tokens = byteAlphabet()
  const ids = new Map(tokens.map((token, id) => [token, id]))
  const merges: string[] = []
  while (tokens.length < size - SPECIAL.length) {
    const top = heap.pop()
    if (top === undefined) break
    const current = counts.get(top.pair) ?? 0
    // Counts fall without the heap being told: a stale candidate goes back with what it has now.
    if (current !== top.count) {
      if (current > 1) heap.push({ pair: top.pair, count: current })
      continue
    }
    if (current < 2) break
    const [left, right] = [Math.floor(top.pair / PAIR), top.pair % PAIR]
    const text = tokens[left]! + tokens[right]!
    // Two ways may lead to the same text; it has one token.
    const id = ids.get(text) ?? tokens.push(text) - 1
    ids.set(text, id)
    merges.push(`${tokens[left]} ${tokens[right]}`)
    const raised = new Set<number>()
    for (const index of places.get(top.pair) ?? []) {
      const { ids: parts, count } = words[index]!
      for (let i = 1; i < parts.length; i++) {
        if (parts[i - 1] !== left || parts[i] !== right) continue
        if (i >= 2) {
          change(pairOf(parts[i - 2]!, left), -count, index)
          change(pairOf(parts[i - 2]!, id), count, index)
          raised.add(pairOf(parts[i - 2]!, id))
        }
        if (i + 1 < parts.length) {
          change(pairOf(right, parts[i + 1]!), -count, index)
          change(pairOf(id, parts[i + 1]!), count, index)
          raised.add(pairOf(id, parts[i + 1]!))
        }
        parts.splice(i - 1, 2, id)
      }
    }
    counts.delete(top.pair)
    places.delete(top.pair)
    for (const pair of raised) heap.push({ pair, count: counts.get(pair) ?? 0 })
  }
  return { tokens: [...tokens, ...SPECIAL], merges }
}

function countWords(texts: Iterable<{ text: string; weight: number }>): Word[] {
  const counted = new Map<string, number>()
  for (const { text, weight } of texts)
    for (const piece of splitPieces(text)) counted.set(piece, (counted.get(piece) ?? 0) + weight)
  return Array.from(counted, ([piece, count]) => ({ ids: [...Buffer.from(piece)], count }))
}

/** A heap of the candidates, the most frequent on top. */
class Heap {
  readonly #all: Candidate[] = []

  push(candidate: Candidate): void {
    const all = this.#all
    let at = all.push(candidate) - 1
    while (at > 0) {
      const above = (at - 1) >> 1
      if (!before(all[at]!, all[above]!)) break
      ;[all[at], all[above]] = [all[above]!, all[at]!]
      at = above
    }
  }

  pop(): Candidate | undefined {
    const all = this.#all
    const top = all[0]
    const last = all.pop()
    if (top === undefined || last === undefined || all.length === 0) return top
    all[0] = last
    for (let at = 0; ; ) {
      const left = 2 * at + 1
      if (left >= all.length) break
      const right = left + 1
      const child = right < all.length && before(all[right]!, all[left]!) ? right : left
      if (!before(all[child]!, all[at]!)) break
      ;[all[at], all[child]] = [all[child]!, all[at]!]
      at = child
    }
    return top
  }
}

const before = (a: Candidate, b: Candidate): boolean => a.count > b.count || (a.count === b.count && a.pair < b.pair)

export class Tokenizer {
  readonly vocabulary: Vocabulary
  /** Of both parts' ids: which merge comes first, and what it makes of them. */
  readonly #merged = new Map<number, { rank: number; id: number }>()
  readonly #known = new Map<string, readonly number[]>()
  readonly #bytes: Buffer[]
  readonly #special: ReadonlyMap<string, number>

  constructor(vocabulary: Vocabulary) {
    this.vocabulary = vocabulary
    const ids = new Map(vocabulary.tokens.map((token, id) => [token, id]))
    for (const [rank, merge] of vocabulary.merges.entries()) {
      const [left, right] = merge.split(' ')
      this.#merged.set(pairOf(ids.get(left!)!, ids.get(right!)!), { rank, id: ids.get(left! + right!)! })
    }
    const bytes = new Map(byteAlphabet().map((character, byte) => [character, byte]))
    this.#special = new Map(SPECIAL.map(token => [token as string, ids.get(token)!]))
    this.#bytes = vocabulary.tokens.map(token =>
      this.#special.has(token) ? Buffer.alloc(0) : Buffer.from([...token].map(character => bytes.get(character)!)),
    )
  }

  get size(): number {
    return this.vocabulary.tokens.length
  }

  special(token: (typeof SPECIAL)[number]): number {
    return this.#special.get(token)!
  }

  /** Special tokens that stand in the text are text. */
  encode(text: string): number[] {
    const ids: number[] = []
    for (const piece of splitPieces(text)) {
      let known = this.#known.get(piece)
      if (known === undefined) {
        known = this.#merge([...Buffer.from(piece)])
        this.#known.set(piece, known)
      }
      for (const id of known) ids.push(id)
    }
    return ids
  }

  /** The bytes of the tokens; special ones have none. */
  decodeBytes(ids: Iterable<number>): Buffer {
    return Buffer.concat(Array.from(ids, id => this.#bytes[id]!))
  }

  decode(ids: Iterable<number>): string {
    return this.decodeBytes(ids).toString('utf8')
  }

  #merge(ids: number[]): number[] {
    for (;;) {
      let best: { rank: number; id: number } | undefined
      let at = -1
      for (let i = 1; i < ids.length; i++) {
        const merge = this.#merged.get(pairOf(ids[i - 1]!, ids[i]!))
        if (merge === undefined || (best !== undefined && merge.rank >= best.rank)) continue
        best = merge
        at = i
      }
      if (best === undefined) return ids
      ids.splice(at - 1, 2, best.id)
    }
  }
}
