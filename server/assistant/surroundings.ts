/**
 * What the model is told of other places: chunks of files seen, edited or found lately, chosen by likeness, and behind them, nearest to
 * the cursor, declarations of what it works with. The list changes seldom and at its end first, because every change makes the model
 * read again what stands behind it.
 */

export type Chunk = { path: string; text: string }

type Held = Chunk & { words: Set<string>; line: number; uri: string }

const CHUNK_LINES = 48
const MOST_HELD = 32
const MOST_GIVEN = 6
const MOST_CHARACTERS = 6000
const SAME = 0.9
/** Lines of a file that are searched for its most alike part. */
const MOST_SEARCHED = 6000
/** Chunks that share less than this with the cursor's surroundings say nothing about them. */
const LEAST_LIKENESS = 0.04

export class Surroundings {
  readonly #held: Held[] = []
  #given: Held[] = []
  #declared: { uri: string; chunks: Chunk[] } = { uri: '', chunks: [] }

  /** A place of a document was looked at, edited, opened or saved. `line` counts from 0. */
  visited(uri: string, path: string, text: string, line: number): void {
    const start = lineOffset(text, Math.max(0, line - CHUNK_LINES / 2))
    const end = lineOffset(text, line + CHUNK_LINES / 2, start, Math.max(0, line - CHUNK_LINES / 2))
    const chunk = text.slice(start, Math.min(end, start + 4000))
    if (chunk.trim().length < 40 || chunk.includes('\0') || longestLine(chunk) > 400) return
    const again = this.#held.findIndex(held => held.uri === uri && held.text === chunk)
    if (again >= 0) {
      // The same one stays what it is, so that it keeps its place among those that are given.
      this.#held.push(...this.#held.splice(again, 1))
      return
    }
    const words = wordsOf(chunk)
    for (let index = this.#held.length - 1; index >= 0; index--) {
      const held = this.#held[index]!
      const near = held.uri === uri && Math.abs(held.line - line) < CHUNK_LINES / 2
      if (near || likeness(held.words, words) > SAME) this.#held.splice(index, 1)
    }
    this.#held.push({ uri, path, text: chunk, words, line })
    if (this.#held.length > MOST_HELD) this.#held.shift()
  }

  /** A file that nobody looked at has much in common with a text: the part of it that has most is taken as if it had been seen. */
  found(uri: string, path: string, text: string, around: string): void {
    const wanted = wordsOf(around)
    const lines = text.split('\n', MOST_SEARCHED)
    let best = { line: 0, score: 0 }
    for (let start = 0; start < lines.length; start += CHUNK_LINES / 2) {
      const score = likeness(wordsOf(lines.slice(start, start + CHUNK_LINES).join('\n')), wanted)
      if (score > best.score) best = { line: start + CHUNK_LINES / 2, score }
    }
    if (best.score >= LEAST_LIKENESS) this.visited(uri, path, text, best.line)
  }

  forget(uri: string): void {
    for (let index = this.#held.length - 1; index >= 0; index--) {
      if (this.#held[index]!.uri === uri) this.#held.splice(index, 1)
    }
  }

  /** What is given with each request until `choose` is called again; the most alike stands last, nearest to the cursor. */
  given(uri: string): Chunk[] {
    const others = this.#given.filter(chunk => chunk.uri !== uri).map(({ path, text }) => ({ path, text }))
    return [...others, ...(this.#declared.uri === uri ? this.#declared.chunks : [])]
  }

  /**
   * Chooses anew for a place; called while the user rests.
   * @param declared of the names near it, by file
   * @returns whether anything changed
   */
  choose(uri: string, around: string, declared: readonly Chunk[] = []): boolean {
    const declares = this.#declare(uri, declared)
    const words = wordsOf(around)
    const best = this.#held
      .filter(chunk => chunk.uri !== uri)
      .map(chunk => ({ chunk, score: likeness(chunk.words, words) }))
      .filter(({ score }) => score >= LEAST_LIKENESS)
      .sort((a, b) => b.score - a.score)
      .slice(0, MOST_GIVEN)
    const chosen: Held[] = []
    let room = this.#declared.chunks.reduce((left, { text }) => left - text.length, MOST_CHARACTERS)
    for (const { chunk } of best) {
      room -= chunk.text.length
      if (room >= 0) chosen.push(chunk)
    }
    // What was given before keeps its place, so that the model has to read only what is new.
    const kept = this.#given.filter(chunk => chosen.includes(chunk))
    const fresh = chosen.filter(chunk => !kept.includes(chunk)).reverse()
    const next = [...kept, ...fresh]
    const changed = next.length !== this.#given.length || next.some((chunk, index) => chunk !== this.#given[index])
    this.#given = next
    return changed || declares
  }

  /** What is told already stays as it is while it holds what is wanted: what is more does no harm, and a change costs a reading. */
  #declare(uri: string, wanted: readonly Chunk[]): boolean {
    const told = this.#declared.uri === uri ? this.#declared.chunks : []
    const holds = (chunk: Chunk, text: string): boolean => text.split('\n').every(line => chunk.text.includes(line))
    const missing = wanted.some(({ path, text }) => !told.some(chunk => chunk.path === path && holds(chunk, text)))
    if (!missing && this.#declared.uri === uri) return false
    const kept = told.flatMap(chunk => {
      const now = wanted.find(({ path }) => path === chunk.path)
      return now === undefined ? [] : [holds(chunk, now.text) ? chunk : now]
    })
    const fresh = wanted.filter(({ path }) => !kept.some(chunk => chunk.path === path))
    this.#declared = { uri, chunks: [...kept, ...fresh] }
    return this.#declared.chunks.length > 0 || told.length > 0
  }
}

/** Share of words that two texts have in common, 0 to 1 (Jaccard). */
function likeness(a: ReadonlySet<string>, b: ReadonlySet<string>): number {
  if (a.size === 0 || b.size === 0) return 0
  let common = 0
  for (const word of a) if (b.has(word)) common++
  return common / (a.size + b.size - common)
}

function wordsOf(text: string): Set<string> {
  return new Set(text.match(/[\p{L}_$][\p{L}\p{N}_$]{2,}/gu) ?? [])
}

function longestLine(text: string): number {
  return text.split('\n').reduce((most, line) => Math.max(most, line.length), 0)
}

/** Offset of the start of a line; the text's length where there are fewer. */
function lineOffset(text: string, line: number, from = 0, fromLine = 0): number {
  let at = from
  for (let count = fromLine; count < line; count++) {
    const next = text.indexOf('\n', at)
    if (next < 0) return text.length
    at = next + 1
  }
  return at
}
