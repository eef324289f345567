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

/** Of an infill sequence what is to be written counts most: else it would be lost among so much more text around it. */
const WRITTEN_WEIGHT = 3
const AROUND_WEIGHT = 0.3
/** Most are short: what is to be learned is where to look, and that takes many examples, not long ones. */
const SHORT_SHARE = 0.75
const MEAN_TOKENS = 120

/**
 * Places in the code where an editor asks, as the hub puts them: whole lines before the cursor as prefix, what follows as suffix, and the
 * cursor's line, as far as it is written, behind the middle token; half of them under the file's name.
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
  for (const [index, { text, path }] of code.entries()) {
    const random = randomAt(options.seed, 500 + options.pass, index)
    for (; until < text.length; until += every) {
      const cursor = onBoundary(text, Math.min(text.length - 1, until + Math.floor(random() * every)))
      const split = cutLine(text, cursor, random() < SHORT_SHARE ? 200 : 1000, random)
      if (split === undefined) continue
      const name = random() < 0.5 ? tokenizer.encode(`\n\n--- ${path.replace(/^(@[^/]*\/)?[^/]*\//, '')} ---\n\n`) : []
      const around = [...name, ...fimTokens(tokenizer, { ...split, middle: split.begun }).slice(0, -1)]
      const written = [...tokenizer.encode(split.middle), tokenizer.special(END)]
      if (around.length + written.length > ROW) continue
      const weights = new Float32Array(around.length + written.length).fill(AROUND_WEIGHT)
      sequences.push({
        tokens: Int32Array.from([...around, ...written]),
        weights: weights.fill(WRITTEN_WEIGHT, around.length),
      })
    }
    until -= text.length
  }
  return sequences
}

/**
 * What is written at a cursor: mostly the rest of its line, sometimes some lines more, or all but the brackets that an editor has closed
 * by itself. Undefined on an empty line.
 * @param reach most characters around that are seen, beside a few
 */
export function cutLine(
  text: string,
  cursor: number,
  reach: number,
  random: () => number,
): (Split & { begun: string }) | undefined {
  const start = text.lastIndexOf('\n', cursor - 1) + 1
  const newline = text.indexOf('\n', cursor)
  const lineEnd = newline < 0 ? text.length : newline
  if (text.slice(start, lineEnd).trim() === '') return undefined
  let to = lineEnd
  const kind = random()
  if (kind < 0.2) {
    for (let more = 1 + Math.floor(random() * 4); more > 0 && to < text.length; more--) {
      const next = text.indexOf('\n', to + 1)
      to = next < 0 ? text.length : next
    }
  } else if (kind < 0.35) {
    to -= /[)\]}>'"`;,]*$/.exec(text.slice(cursor, lineEnd))![0].length
  }
  const from = Math.max(0, start - 60 - Math.floor(random() * reach))
  // What is cut off far away begins with a whole line, as the hub has it.
  const first = from === 0 ? 0 : Math.min(start, text.indexOf('\n', from) + 1)
  return {
    prefix: text.slice(first, start),
    begun: text.slice(start, cursor),
    middle: text.slice(cursor, to),
    suffix: text.slice(to, onBoundary(text, to + 20 + Math.floor(random() * reach * 0.5))),
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
