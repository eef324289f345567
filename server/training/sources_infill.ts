/** Fill-in-the-middle samples of a code file: gaps of lines and gaps between brackets, the same ones every time. */
import { createHash } from 'node:crypto'
import type { CodeOptions } from '../wire/dataset.ts'
import type { Sample } from '../wire/sample.ts'

/** What an editor would send around a gap; a middle above the bound is nobody's completion. Characters. */
const MOST_PREFIX = 8000
const MOST_SUFFIX = 4000
const MOST_MIDDLE = 2000
/** One sample for so many lines with something on them. */
const LINES_PER_SAMPLE = 12

export type Gap = { start: number; end: number }

/**
 * Samples of one file, chosen by its content and the seed alone. Prefix, middle and suffix stand in the file one behind
 * the other. A whole-file sample has no more than one place in the list.
 */
export function codeSamples(text: string, input: { path: string; options: CodeOptions }): Sample[] {
  const { path, options } = input
  const code = text.replaceAll('\r\n', '\n')
  const lines = code.split('\n').filter(line => line.trim() !== '').length
  if (lines === 0) return []
  const random = randomOf(`${options.seed}\0${code}`)
  const count = Math.min(options.samples_per_file, Math.max(1, Math.round(lines / LINES_PER_SAMPLE)))
  const brackets = bracketGaps(code)
  const total = options.text_share + options.line_share + options.bracket_share
  const samples: Sample[] = []
  const seen = new Set<string>()
  let hasText = false
  for (let index = 0; index < count; index++) {
    let draw = random() * total
    const pickText = draw < options.text_share || total === 0
    draw -= options.text_share
    if (pickText && options.text_share > 0) {
      if (!hasText) samples.push({ kind: 'text', text: code })
      hasText = true
      continue
    }
    if (options.line_share + options.bracket_share === 0) continue
    const wantsBracket = draw >= options.line_share && brackets.length > 0
    const gap = wantsBracket ? brackets[Math.floor(random() * brackets.length)] : lineGap(code, random)
    const key = gap === undefined ? '' : `${gap.start} ${gap.end}`
    // A short file offers the same gap twice.
    if (gap === undefined || seen.has(key)) continue
    seen.add(key)
    samples.push(infillSample(code, gap, path))
  }
  return samples
}

/** The gap with as much around it as an editor would send. Pieces are never cut inside a character. */
export function infillSample(code: string, gap: Gap, path: string): Sample {
  return {
    kind: 'infill',
    prefix: wellFormedEnd(code, Math.max(0, gap.start - MOST_PREFIX), gap.start),
    middle: code.slice(gap.start, gap.end),
    suffix: wellFormedStart(code, gap.end, Math.min(code.length, gap.end + MOST_SUFFIX)),
    path,
  }
}

/** One to eight lines, half of the time from inside the first of them, as a cursor stands there. */
function lineGap(code: string, random: () => number): Gap | undefined {
  const starts = [0]
  for (let at = code.indexOf('\n'); at >= 0; at = code.indexOf('\n', at + 1)) starts.push(at + 1)
  for (let tries = 0; tries < 8; tries++) {
    const line = Math.floor(random() * starts.length)
    const more = 1 + Math.floor(random() ** 2 * 8)
    const isInside = random() < 0.5
    const share = random()
    const lineStart = starts[line]!
    const lineEnd = starts[line + 1] === undefined ? code.length : starts[line + 1]! - 1
    const first = code.slice(lineStart, lineEnd)
    if (first.trim() === '') continue
    const indent = first.length - first.trimStart().length
    const from = isInside ? indent + Math.floor(share * (first.trimEnd().length - indent)) : indent
    const start = safeCut(code, lineStart + from)
    const lastLine = Math.min(starts.length - 1, line + more - 1)
    const end = starts[lastLine + 1] === undefined ? code.length : starts[lastLine + 1]! - 1
    if (end > start && end - start <= MOST_MIDDLE && code.slice(start, end).trim() !== '') return { start, end }
  }
  return undefined
}

const PAIRS = new Map([
  ['(', ')'],
  ['[', ']'],
  ['{', '}'],
])

/** Everything between two brackets that belong together, by a scan that steps over strings and comments as most languages write them. */
export function bracketGaps(code: string): Gap[] {
  const gaps: Gap[] = []
  const open: { close: string; at: number }[] = []
  for (let at = 0; at < code.length; at++) {
    const letter = code[at]!
    if (letter === '"' || letter === '`' || letter === "'") at = stringEnd(code, at)
    else if (letter === '/' && code[at + 1] === '/') at = lineEnd(code, at)
    else if (letter === '/' && code[at + 1] === '*') {
      const end = code.indexOf('*/', at + 2)
      at = end < 0 ? code.length : end + 1
    } else if (letter === '#' && (at === 0 || /\s/.test(code[at - 1]!)) && code[at + 1] === ' ') at = lineEnd(code, at)
    else if (PAIRS.has(letter)) open.push({ close: PAIRS.get(letter)!, at })
    else if (letter === ')' || letter === ']' || letter === '}') {
      const index = open.findLastIndex(each => each.close === letter)
      if (index < 0) continue
      const start = open[index]!.at + 1
      open.length = index
      if (at - start <= MOST_MIDDLE && code.slice(start, at).trim() !== '') gaps.push({ start, end: at })
    }
  }
  return gaps
}

/** A quote that is not closed on its line is an apostrophe; only back quotes go over lines. */
function stringEnd(code: string, start: number): number {
  const quote = code[start]!
  for (let at = start + 1; at < code.length; at++) {
    if (code[at] === '\\') at++
    else if (code[at] === quote) return at
    else if (code[at] === '\n' && quote !== '`') return start
  }
  return start
}

function lineEnd(code: string, at: number): number {
  const end = code.indexOf('\n', at)
  return end < 0 ? code.length : end
}

const isLow = (code: string, at: number): boolean => code.charCodeAt(at) >= 0xdc00 && code.charCodeAt(at) < 0xe000
const safeCut = (code: string, at: number): number => (isLow(code, at) ? at + 1 : at)
const wellFormedEnd = (code: string, start: number, end: number): string => code.slice(safeCut(code, start), end)
const wellFormedStart = (code: string, start: number, end: number): string =>
  code.slice(start, isLow(code, end) ? end - 1 : end)

/** Numbers in [0, 1) from a text, by hashing it with a counter. */
function randomOf(seed: string): () => number {
  const key = createHash('sha256').update(seed).digest()
  let counter = 0
  return () => {
    const digest = createHash('sha256').update(key).update(String(counter++)).digest()
    return digest.readUIntBE(0, 6) / 2 ** 48
  }
}
