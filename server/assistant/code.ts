/** A part of a document that a task is about: how it is shown to a model, and how what the model wrote for it fits in its place. */
import { type Part, unusable } from './ask.ts'
import { indentUnit } from './place.ts'

/** A document as it is, with the part from `start` to `end`, in UTF-16 units. */
export type Code = {
  /** In its workspace, with forward slashes; shown to the model. */
  path: string
  /** As LSP names it. */
  language: string
  text: string
  start: number
  end: number
}

/** Text that stands in for what is from `start` to `end`. */
export type Edit = { start: number; end: number; text: string }

const BEFORE = 4000
const AFTER = 1500
/** Lines that a block may have to be taken whole. */
const MOST_LINES = 60
/** Decorators of one function that are looked for. */
const MOST_ATTRIBUTES = 8

/** Start of the line that a place is in. */
export function lineStart(text: string, offset: number): number {
  // A negative position would be taken for the first one.
  return offset <= 0 ? 0 : text.lastIndexOf('\n', offset - 1) + 1
}

/** End of the line that a place is in, before its line end. */
export function lineEnd(text: string, offset: number): number {
  const end = text.indexOf('\n', offset)
  if (end < 0) return text.length
  return end > offset && text[end - 1] === '\r' ? end - 1 : end
}

/** The part widened to whole lines; a selection that ends at the start of a line leaves that line out. */
export function wholeLines(code: Code): Code {
  const start = lineStart(code.text, code.start)
  let last = code.end
  if (last > code.start && code.text[last - 1] === '\n') last--
  if (last > start && code.text[last - 1] === '\r' && code.text[last] === '\n') last--
  return { ...code, start, end: Math.max(start, lineEnd(code.text, last)) }
}

/** The selected lines; without a selection the block around the place. */
export function selectedOrBlock(code: Code): Code {
  return code.start < code.end ? wholeLines(code) : { ...code, ...blockAround(code.text, code.start) }
}

/** The lines of the innermost block that holds a place, its head and its end included; a few lines around it where that is too long. */
export function blockAround(text: string, offset: number): { start: number; end: number } {
  const own = lineStart(text, offset)
  let head = own
  let depth = indentAt(text, own)
  if (depth === undefined) depth = Number.POSITIVE_INFINITY
  const opens = (next(text, head) ?? { depth: 0 }).depth > depth
  if (!opens) {
    for (let count = 0; count < MOST_LINES && head > 0 && depth > 0; count++) {
      head = lineStart(text, head - 1)
      const here = indentAt(text, head)
      if (here === undefined || here >= depth) continue
      depth = here
      break
    }
  }
  const end = blockEnd(text, head)
  const lines = countLines(text, head, end)
  if (depth !== Number.POSITIVE_INFINITY && end >= own && lines <= MOST_LINES && (lines > 1 || opens)) {
    return { start: head, end }
  }
  return linesAround(text, offset, 3)
}

/** The end of the block whose first line begins at `head`: what is indented deeper, and the line that closes it. */
export function blockEnd(text: string, head: number): number {
  const depth = indentAt(text, head) ?? 0
  let end = lineEnd(text, head)
  let at = head
  for (let count = 0; count < 2 * MOST_LINES; count++) {
    const following = next(text, at)
    if (following === undefined) break
    at = following.start
    const line = text.slice(at, lineEnd(text, at))
    if (following.depth > depth) {
      end = lineEnd(text, at)
      continue
    }
    const closes = following.depth === depth && /^\s*([)\]}]|end\b|else\b|elif\b|except\b|finally\b|catch\b)/.test(line)
    // A brace on a line of its own opens the block.
    const braceBelow = following.depth === depth && /^\s*\{\s*$/.test(line)
    if (!closes && !braceBelow) break
    end = lineEnd(text, at)
    if (closes && !/[{:(]\s*$/.test(line)) break
  }
  return end
}

export function linesAround(text: string, offset: number, lines: number): { start: number; end: number } {
  let start = lineStart(text, offset)
  let end = lineEnd(text, offset)
  for (let count = 0; count < lines; count++) {
    if (start > 0) start = lineStart(text, start - 1)
    const following = text.indexOf('\n', end)
    if (following >= 0) end = lineEnd(text, following + 1)
  }
  return { start, end }
}

/** The file around the part, and the part itself, for a prompt. */
export function showCode(code: Code, name = 'Part to change'): Part[] {
  const { path, language, text, start, end } = code
  const before = text.slice(Math.max(0, start - BEFORE), start)
  const after = text.slice(end, end + AFTER)
  return [
    `File ${path} (${language}).\n`,
    ...(before.trim() === ''
      ? []
      : ['Before the part:\n```\n', { text: before.trimEnd(), lose: 'start' } as const, '\n```\n']),
    ...(after.trim() === '' ? [] : ['After the part:\n```\n', { text: after.trim(), lose: 'end' } as const, '\n```\n']),
    `${name}:\n\`\`\`${language}\n${text.slice(start, end)}\n\`\`\`\n`,
  ]
}

/** Tokens that an answer about as long as the part may take, with room for what is added. */
export function answerTokens({ start, end }: Code): number {
  return Math.min(4096, 300 + Math.ceil((end - start) / 2))
}

/**
 * What a model wrote in place of whole lines, with the fences, indentation and line ends put right.
 * @throws HubError unusable_answer when it is empty or changes nothing
 */
export function fitIn(code: Code, answer: string): Edit {
  const { text, start, end } = code
  const original = text.slice(start, end)
  const lines = unfence(answer).replaceAll('\r\n', '\n').split('\n')
  while (lines.length > 0 && lines[0]!.trim() === '') lines.shift()
  while (lines.length > 0 && lines.at(-1)!.trim() === '') lines.pop()
  lines.splice(0, repeatedAttributes(lines, text.slice(0, start)))
  if (lines.length === 0) throw unusable('The model answered with no code. Ask again, or choose a larger model.')
  const unit = indentUnit(text)
  const fitted = indented(lines, original.split('\n'), unit).join(text.includes('\r\n') ? '\r\n' : '\n')
  if (squeezed(fitted) === squeezed(original)) throw unusable('The model sees nothing to change here.')
  // Blank lines around what was changed stay.
  const head = /^(?:[ \t]*\r?\n)*/.exec(original)![0]
  const tail = /(?:\r?\n[ \t]*)*$/.exec(original.slice(head.length))![0]
  return { start, end, text: head + fitted + tail }
}

/** How many first lines of an answer are the decorators that stand right above its place: they belong to the function, so models give them back with it. */
function repeatedAttributes(lines: readonly string[], before: string): number {
  const above = before
    .slice(-4000)
    .split('\n')
    .slice(-1 - MOST_ATTRIBUTES, -1)
    .map(line => line.trim())
  for (let count = Math.min(above.length, lines.length); count > 0; count--) {
    const own = lines.slice(0, count).map(line => line.trim())
    if (own.every((line, index) => /^(@\w|#\[)/.test(line) && line === above[above.length - count + index]))
      return count
  }
  return 0
}

/** The inside of a fenced block, where the whole text is one. */
export function unfence(text: string): string {
  return /^\s*```[^\n]*\n([\s\S]*?)\n?[ \t]*```\s*$/.exec(text)?.[1] ?? text
}

/** Lines at the depth that the original has, in the file's own unit. */
function indented(lines: readonly string[], original: readonly string[], unit: string): string[] {
  const wanted = common(original)
  const own = lines.map(line => toUnit(line, unit, lines))
  const [first = '', ...rest] = own
  const restCommon = common(rest)
  // Models often forget the indentation of the first line alone. A block whose end has no closing line is deeper by nature.
  const least = first.trimEnd().endsWith(':') ? wanted.length + unit.length : wanted.length
  const forgotten = !/^\s/.test(first) && restCommon.startsWith(wanted) && restCommon.length >= least
  if (forgotten && wanted !== '') own[0] = wanted + first
  const mine = common(own)
  return own.map(line => (line.trim() === '' ? '' : wanted + line.slice(mine.length)))
}

function toUnit(line: string, unit: string, all: readonly string[]): string {
  const space = /^[ \t]*/.exec(line)![0]
  if (space === '') return line
  if (unit === '\t') {
    if (!space.includes(' ')) return line
    const step = Math.max(
      1,
      ...indentUnit(all.join('\n'))
        .split('\t')
        .map(spaces => spaces.length),
    )
    const depth = [...space].reduce((sum, each) => sum + (each === '\t' ? 1 : 1 / step), 0)
    return '\t'.repeat(Math.floor(depth + 1e-6)) + line.slice(space.length)
  }
  return space.replaceAll('\t', unit) + line.slice(space.length)
}

/** White space that all lines with text begin with. */
function common(lines: readonly string[]): string {
  let found: string | undefined
  for (const line of lines) {
    if (line.trim() === '') continue
    const space = /^[ \t]*/.exec(line)![0]
    if (found === undefined) found = space
    while (!space.startsWith(found)) found = found.slice(0, -1)
  }
  return found ?? ''
}

const squeezed = (text: string): string => text.replace(/[ \t\r]+$/gm, '').trim()

/** Columns of white space that the line at `start` begins with; undefined for a blank one. */
function indentAt(text: string, start: number): number | undefined {
  const line = text.slice(start, lineEnd(text, start))
  return line.trim() === '' ? undefined : /^[ \t]*/.exec(line)![0].length
}

/** The next line that is not blank. */
function next(text: string, at: number): { start: number; depth: number } | undefined {
  for (let end = text.indexOf('\n', at); end >= 0; end = text.indexOf('\n', end + 1)) {
    const depth = indentAt(text, end + 1)
    if (depth !== undefined) return { start: end + 1, depth }
  }
  return undefined
}

function countLines(text: string, start: number, end: number): number {
  let lines = 1
  for (let at = text.indexOf('\n', start); at >= 0 && at < end; at = text.indexOf('\n', at + 1)) lines++
  return lines
}
