/** Makes sequences of the documents: plain pieces, and pieces with a middle cut out for fill-in-the-middle. */
import type { Sequence } from '../../server/trainer/data.ts'
import { randomAt } from '../../server/trainer/random.ts'
import type { Document } from './corpus.ts'
import { END, FIM_MIDDLE, FIM_PREFIX, FIM_SUFFIX, type Tokenizer } from './tokenizer.ts'

export const ROW = 512
/** Pieces are so much shorter than a row, since a cut middle makes a few more tokens and brings its marks. */
const ROOM = 16
const FIM_SHARE = 0.5

export type Split = { prefix: string; middle: string; suffix: string }

/** Every token but the first is learned. */
export function sequenceOf(tokens: readonly number[]): Sequence {
  return { tokens: Int32Array.from(tokens), weights: new Float32Array(tokens.length).fill(1) }
}

/**
 * Every document once per pass, cut at other places and with other middles each time.
 * @param pass counts up; the same pass gives the same sequences
 * @param row most tokens of a sequence
 */
export function documentSequences(
  tokenizer: Tokenizer,
  documents: readonly Document[],
  options: { seed: number; pass: number; fimShare?: number; row?: number },
): Sequence[] {
  const row = options.row ?? ROW
  const most = row - ROOM
  const sequences: Sequence[] = []
  for (const [index, { text, kind }] of documents.entries()) {
    const random = randomAt(options.seed, options.pass, index)
    const fimShare = kind === 'code' ? (options.fimShare ?? FIM_SHARE) : 0
    const tokens = tokenizer.encode(text)
    // The first cut is somewhere in the first piece, so that passes see different beginnings.
    let end = options.pass === 0 ? most : 64 + Math.floor(random() * (most - 64))
    for (let start = 0; start < tokens.length; start = end, end += most) {
      const piece = tokens.slice(start, end)
      const last = end >= tokens.length
      const split = random() < fimShare ? cutMiddle(tokenizer.decode(piece), random) : undefined
      const fim = split && fimTokens(tokenizer, split)
      if (fim !== undefined && fim.length <= row) sequences.push(sequenceOf(fim))
      else if (piece.length >= 8) sequences.push(sequenceOf(last ? [...piece, tokenizer.special(END)] : piece))
    }
  }
  return sequences
}

/** Of an infill sequence the middle counts most: else it would be lost among so much more text around it. */
const MIDDLE_WEIGHT = 3
const AROUND_WEIGHT = 0.3
/** Most are short: what is to be learned is where to look, and that takes many examples, not long ones. */
const SHORT_SHARE = 0.75
const MEAN_TOKENS = 110

/**
 * Short pieces around places in the code, each to be filled: what an editor asks for, again and again.
 * @param tokens about so many in all, taken evenly from the documents
 */
export function infillSequences(
  tokenizer: Tokenizer,
  documents: readonly Document[],
  options: { seed: number; pass: number; tokens: number },
): Sequence[] {
  const code = documents.filter(({ kind }) => kind === 'code')
  const characters = code.reduce((sum, { text }) => sum + text.length, 0)
  const every = Math.ceil((characters * MEAN_TOKENS) / options.tokens)
  const sequences: Sequence[] = []
  let until = 0
  for (const [index, { text }] of code.entries()) {
    const random = randomAt(options.seed, 500 + options.pass, index)
    for (; until < text.length; until += every) {
      const cursor = onBoundary(text, Math.min(text.length - 1, until + Math.floor(random() * every)))
      const most = random() < SHORT_SHARE ? 200 : 1000
      const from = onBoundary(text, Math.max(0, cursor - 60 - Math.floor(random() * most)))
      const split = cutLine(text, from, cursor, Math.floor(random() * most * 0.5), random)
      if (split === undefined) continue
      const ids = fimTokens(tokenizer, split)
      if (ids.length > ROW) continue
      const middle = ids.indexOf(tokenizer.special(FIM_MIDDLE))
      const weights = Float32Array.from(ids, (_, at) => (at > middle ? MIDDLE_WEIGHT : AROUND_WEIGHT))
      sequences.push({ tokens: Int32Array.from(ids), weights })
    }
    until -= text.length
  }
  return sequences
}

/** Mostly from the cursor to the end of its line, else to the end of a word or bracket; undefined on an empty line. */
function cutLine(text: string, from: number, cursor: number, after: number, random: () => number): Split | undefined {
  const newline = text.indexOf('\n', cursor)
  const lineEnd = newline < 0 ? text.length : newline
  const start = text.lastIndexOf('\n', cursor - 1) + 1
  if (text.slice(start, lineEnd).trim() === '') return undefined
  const rest = /^\W*\w+\W?/.exec(text.slice(cursor, lineEnd))?.[0].length ?? 0
  const to = random() < 0.2 ? cursor + rest : lineEnd
  return {
    prefix: text.slice(from, cursor),
    middle: text.slice(cursor, to),
    suffix: text.slice(to, onBoundary(text, to + after)),
  }
}

/** Prefix, suffix, middle: the order in which the hub asks, and the end token behind the middle. */
export function fimTokens(tokenizer: Tokenizer, { prefix, middle, suffix }: Split): number[] {
  const plain = (text: string): number[] => (text === '' ? [] : tokenizer.encode(text))
  return [
    tokenizer.special(FIM_PREFIX),
    ...plain(prefix),
    tokenizer.special(FIM_SUFFIX),
    ...plain(suffix),
    tokenizer.special(FIM_MIDDLE),
    ...plain(middle),
    tokenizer.special(END),
  ]
}

/**
 * Cuts a middle out of a text the way an editor asks: mostly from a place within a line to its end, sometimes whole lines, a
 * part of a line, or any span. Undefined where the text is too short.
 */
export function cutMiddle(text: string, random: () => number): Split | undefined {
  if (text.length < 60) return undefined
  const pick = (below: number): number => Math.floor(random() * below)
  const at = (from: number, to: number): Split => ({
    prefix: text.slice(0, from),
    middle: text.slice(from, to),
    suffix: text.slice(to),
  })
  const kind = random()
  const cursor = onBoundary(text, pick(text.length))
  const lineStart = text.lastIndexOf('\n', cursor - 1) + 1
  const newline = text.indexOf('\n', cursor)
  const lineEnd = newline < 0 ? text.length : newline
  if (kind < 0.5) {
    const line = text.slice(lineStart, lineEnd)
    const indent = line.length - line.trimStart().length
    if (line.trim() === '') return at(cursor, lineEnd)
    const from = onBoundary(text, lineStart + indent + pick(line.length - indent))
    return at(from, lineEnd)
  }
  if (kind < 0.65) {
    let to = lineEnd
    for (let more = 1 + pick(3); more > 0 && to < text.length; more--) {
      const next = text.indexOf('\n', to + 1)
      to = next < 0 ? text.length : next
    }
    return at(cursor, to)
  }
  if (kind < 0.8) return at(cursor, onBoundary(text, Math.min(lineEnd, cursor + 1 + pick(40))))
  if (kind < 0.9) return at(cursor, onBoundary(text, Math.min(text.length, cursor + 1 + pick(200))))
  // The end of a file that is being written: nothing behind the cursor.
  return { prefix: text.slice(0, cursor), middle: text.slice(cursor, lineEnd), suffix: '' }
}

/** The place itself, or the one before it where it lies within a pair of surrogates. */
function onBoundary(text: string, at: number): number {
  const code = text.charCodeAt(at)
  return code >= 0xdc00 && code <= 0xdfff ? at - 1 : at
}
