/** The place of an inline completion: what stands around the cursor, and how far a suggestion may reach there. */

/** Offsets and lengths are UTF-16 units, as LSP and JavaScript count. */
export type Place = {
  uri: string
  /** As LSP names it: `typescript`, `python`, ... */
  language: string
  /** Of the file in its workspace, with forward slashes; shown to the model. */
  path: string
  offset: number
  /** Lines before the cursor's own, from an anchor that moves in steps, so that the model's KV of them stays good. */
  before: string
  /** The cursor's line up to the cursor. */
  linePrefix: string
  /** The rest of the cursor's line, without its end. */
  lineSuffix: string
  /** Lines behind the cursor's own, the line end that leads to them included. */
  after: string
  /** Columns of white space that the cursor's line begins with, a tab being one. */
  indent: number
  /** The file's own indentation: a tab, or so many spaces. */
  indentUnit: string
  eol: '\n' | '\r\n'
  /** `line`: up to the end of the line. `block`: on to the end of the block that it begins or stands in. */
  reach: 'line' | 'block'
}

const PREFIX_LINES = 256
const PREFIX_STEP = 64
const SUFFIX_LINES = 64
const PREFIX_CHARACTERS = 16_000
const SUFFIX_CHARACTERS = 4000
/** A longer line is data or minified; a suggestion there helps nobody. */
const LONGEST_LINE = 2000
const CLOSERS = /^[\s)\]}>"'`;,]*$/

/**
 * @param text the whole document
 * @returns undefined where no suggestion should be made: inside a word, before text on the line that is more than closing brackets
 * when nobody asked (`automatic`), on overlong lines, and in what is not text
 */
export function placeAt(
  text: string,
  offset: number,
  file: { uri: string; language: string; path: string },
  automatic: boolean,
): Place | undefined {
  if (offset < 0 || offset > text.length) return undefined
  // Half of a surrogate pair is no place to write, nor is the middle of a line end.
  if (/[\uDC00-\uDFFF]/.test(text[offset] ?? '') && /[\uD800-\uDBFF]/.test(text[offset - 1] ?? '')) return undefined
  if (text[offset] === '\n' && text[offset - 1] === '\r') return placeAt(text, offset - 1, file, automatic)
  // A negative position would be taken for the first one.
  const lineStart = offset === 0 ? 0 : text.lastIndexOf('\n', offset - 1) + 1
  let lineEnd = text.indexOf('\n', offset)
  if (lineEnd < 0) lineEnd = text.length
  if (lineEnd > offset && text[lineEnd - 1] === '\r') lineEnd--
  if (lineEnd - lineStart > LONGEST_LINE) return undefined
  const linePrefix = text.slice(lineStart, offset)
  const lineSuffix = text.slice(offset, lineEnd)
  if (linePrefix.includes('\0') || lineSuffix.includes('\0')) return undefined
  if (automatic) {
    const insideWord = /[\p{L}\p{N}_$]$/u.test(linePrefix) && /^[\p{L}\p{N}\p{M}_$]/u.test(lineSuffix)
    if (insideWord || !CLOSERS.test(lineSuffix)) return undefined
  }
  const before = text.slice(anchor(text, lineStart), lineStart)
  const after = text.slice(lineEnd, endOfLines(text, lineEnd, SUFFIX_LINES))
  if (before.includes('\0') || after.includes('\0')) return undefined
  const closersOnly = CLOSERS.test(lineSuffix)
  return {
    ...file,
    offset,
    before,
    linePrefix,
    lineSuffix,
    after,
    indent: indentOf(linePrefix),
    indentUnit: indentUnit(before + linePrefix + lineSuffix + after),
    eol: (before + after).includes('\r\n') ? '\r\n' : '\n',
    // With text behind the cursor a block would tear the line apart; inside brackets it goes on to their end.
    reach: lineSuffix.trim() === '' || (closersOnly && /[([{]\s*$/.test(linePrefix)) ? 'block' : 'line',
  }
}

/** Columns of white space at the beginning; a tab counts as one. */
export function indentOf(line: string): number {
  return /^[ \t]*/.exec(line)![0].length
}

/** Where the window before the cursor begins: at a line that stays the same while the cursor moves through the next lines. */
function anchor(text: string, lineStart: number): number {
  let lines = 0
  let at = lineStart
  const starts: number[] = []
  while (at > 0 && lines < PREFIX_LINES + PREFIX_STEP && lineStart - at < PREFIX_CHARACTERS) {
    at = at < 2 ? 0 : text.lastIndexOf('\n', at - 2) + 1
    if (lineStart - at > PREFIX_CHARACTERS) break
    starts.push(at)
    lines++
  }
  if (at === 0) return starts.length === 0 ? lineStart : 0
  const oldest = starts.at(-1)
  if (oldest === undefined) return Math.max(0, lineStart - PREFIX_CHARACTERS)
  // Anchors are chosen by a hash of the line, so that inserting lines above does not move them all.
  for (let index = starts.length - 1; index >= Math.max(0, starts.length - PREFIX_STEP); index--) {
    const start = starts[index]!
    const end = text.indexOf('\n', start)
    if (hash(text, start, end) % 32 === 0) return start
  }
  return oldest
}

function hash(text: string, start: number, end: number): number {
  let value = 2166136261
  for (let at = start; at < end; at++) value = Math.imul(value ^ text.charCodeAt(at), 16777619)
  return value >>> 0
}

function endOfLines(text: string, from: number, count: number): number {
  let at = from
  for (let line = 0; line <= count; line++) {
    const next = text.indexOf('\n', at)
    if (next < 0) return Math.min(text.length, from + SUFFIX_CHARACTERS)
    if (next - from > SUFFIX_CHARACTERS) return at > from ? at : from + SUFFIX_CHARACTERS
    at = next + 1
  }
  return at
}

/** The indentation that a text is written with: a tab, or so many spaces. */
export function indentUnit(text: string): string {
  const widths = new Map<number, number>()
  let last = 0
  for (const line of text.split('\n')) {
    if (line.trim() === '') continue
    const space = /^[ \t]*/.exec(line)![0]
    if (space.includes('\t')) return '\t'
    const step = Math.abs(space.length - last)
    last = space.length
    if (step >= 1 && step <= 8) widths.set(step, (widths.get(step) ?? 0) + 1)
  }
  const [width] = [...widths].sort((a, b) => b[1] - a[1])[0] ?? [2]
  return ' '.repeat(width)
}
