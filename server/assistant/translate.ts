/** Translates comments between Vietnamese and English; only their words pass through the model, so that the code stays as it is. */
import * as z from 'zod'
import { HubError } from '../lib/error.ts'
import { type AskModel, unusable } from './ask.ts'
import { type Code, type Edit, lineEnd, lineStart, wholeLines } from './code.ts'
import { commentsOf } from './comments.ts'
import { VIETNAMESE } from './document.ts'

/** Lines of one comment that belong together, from the first word to the last. */
type Paragraph = { lines: { start: number; end: number; words: string }[] /** Between two lines. */; joint: string }

type Line = { start: number; end: number; close: string }

const BATCH = 8
const MOST_WIDTH = 100
/** Tools read these; code that was switched off looks like them as well. */
const NOT_PROSE =
  /^(eslint|biome|prettier|@?ts-|noqa|type:|pylint|#?region|#?endregion|istanbul|c8|v8|nolint|go:|SPDX)|[;{}=]$/
const TAG =
  /^@(?:param|arg|argument|property|throws|template)\s+(?:\{[^}]*\}\s+)?[\w$.[\]]+(?:\s+-)?\s+|^@\w+(?:\s+\{[^}]*\})?\s+/

/** The language that the comments of a part would be translated into; undefined where there are none. */
export function translationOf(code: Code): 'en' | 'vi' | undefined {
  const words = paragraphsOf(code).flatMap(({ lines }) => lines.map(line => line.words))
  if (words.length === 0) return undefined
  return VIETNAMESE.test(words.join(' ')) ? 'en' : 'vi'
}

/** @throws HubError invalid_request where there are no comments, unusable_answer */
export async function translate(ask: AskModel, code: Code, signal: AbortSignal): Promise<Edit[]> {
  const to = translationOf(code)
  if (to === undefined) throw new HubError('invalid_request', 'There are no comments here to translate.')
  // Of a mixed text only what is in the other language.
  const paragraphs = paragraphsOf(code).filter(each => VIETNAMESE.test(wordsOf(each)) === (to === 'en'))
  const edits: Edit[] = []
  for (let at = 0; at < paragraphs.length; at += BATCH) {
    const batch = paragraphs.slice(at, at + BATCH)
    const texts = await translateTexts(ask, batch.map(wordsOf), to, signal)
    for (const [index, paragraph] of batch.entries()) edits.push(...toEdits(code.text, paragraph, texts[index]!))
  }
  if (edits.length === 0) throw unusable('The model translated nothing. Ask again, or choose another model.')
  return edits
}

function translateTexts(ask: AskModel, texts: string[], to: 'en' | 'vi', signal: AbortSignal): Promise<string[]> {
  const name = to === 'en' ? 'English' : 'Vietnamese'
  const longest = texts.reduce((sum, text) => sum + text.length, 0)
  return ask.json(
    {
      system: `You translate comments of code into ${name}. Keep names of code and markup as they are. Answer with JSON: "translations" has one text for each given text, in the same order.`,
      parts: [`Translate into ${name}:\n${JSON.stringify({ texts }, undefined, 1)}\n`],
      maxTokens: 200 + longest,
    },
    z.object({ translations: z.array(z.string()).min(texts.length).max(texts.length) }),
    ({ translations }) => translations.map(clean),
    signal,
  )
}

const clean = (text: string): string =>
  text.replaceAll(/\s+/g, ' ').replaceAll('*/', '* /').replaceAll('-->', '-- >').replaceAll('"""', "'''").trim()

const wordsOf = ({ lines }: Paragraph): string => lines.map(line => line.words).join(' ')

/** The edit for a paragraph; none when the text is empty or the same. */
function toEdits(text: string, { lines, joint }: Paragraph, translated: string): Edit[] {
  const [first] = lines
  const last = lines.at(-1)!
  if (first === undefined || translated === '' || translated === lines.map(line => line.words).join(' ')) return []
  if (lines.length === 1) return [{ start: first.start, end: first.end, text: translated }]
  const lead = (line: { start: number }): number => line.start - lineStart(text, line.start)
  const width = Math.max(40, ...lines.map(line => Math.min(MOST_WIDTH, lead(line) + line.words.length)))
  const wrapped: string[] = []
  for (const word of translated.split(' ')) {
    const line = wrapped.at(-1)
    if (line !== undefined && lead(last) + line.length + 1 + word.length <= width) {
      wrapped[wrapped.length - 1] = `${line} ${word}`
    } else wrapped.push(word)
  }
  return [{ start: first.start, end: last.end, text: wrapped.join(joint) }]
}

function paragraphsOf(code: Code): Paragraph[] {
  const { text, language } = code
  const { start, end } = code.start < code.end ? wholeLines(code) : code
  const comments = commentsOf(text, language)
  // Without a selection the comment in the cursor's line, with the lines that it goes on in.
  const own = { start: lineStart(text, start), end: lineEnd(text, end) }
  if (start === end) widen(text, comments, own)
  const wanted = comments.filter(each =>
    start === end ? each.start <= own.end && own.start <= each.end : each.start < end && start < each.end,
  )
  /** The next line end, looked for once: a minified file has many comments in one line. */
  let newline = -1
  const stopOf = (at: number, most: number): number => {
    if (newline < at) newline = text.indexOf('\n', at)
    if (newline < 0) newline = text.length
    if (newline >= most) return most
    return newline > at && text[newline - 1] === '\r' ? newline - 1 : newline
  }
  const paragraphs: Paragraph[] = []
  for (const comment of wanted) {
    const isLine = comment.close === ''
    let at = comment.start
    let joins = false
    while (at < comment.end) {
      const stop = stopOf(at, comment.end)
      const line = commentLine(text, comment, at, stop)
      const inside = line !== undefined && (start === end || (line.end > start && line.start < end))
      if (line === undefined || !inside) joins = false
      else {
        const previous = paragraphs.at(-1)
        const before = previous?.lines.at(-1)
        const between = before === undefined ? '' : text.slice(before.end, line.start)
        const adjacent = isLine ? isNextLine(text, before?.end, comment) : joins
        const goesOn = previous !== undefined && before !== undefined && adjacent && !line.begins
        if (goesOn && (!isLine || column(text, before.start) === column(text, line.start))) {
          previous.lines.push(line)
          if (previous.lines.length === 2) previous.joint = between
        } else paragraphs.push({ lines: [line], joint: '' })
        joins = true
      }
      if (newline >= comment.end) break
      at = newline + 1
    }
  }
  return paragraphs
}

/** Widens a line to the line comments above and below that one there is part of. */
function widen(text: string, comments: readonly Line[], own: { start: number; end: number }): void {
  const at = comments.findIndex(each => own.start <= each.start && each.start <= own.end)
  const goOn = (one: Line | undefined, other: Line | undefined): boolean =>
    one?.close === '' &&
    other?.close === '' &&
    isNextLine(text, one.end, other) &&
    column(text, one.start) === column(text, other.start)
  if (at < 0) return
  for (let index = at; goOn(comments[index - 1], comments[index]); index--) own.start = comments[index - 1]!.start
  for (let index = at; goOn(comments[index], comments[index + 1]); index++) own.end = comments[index + 1]!.end
}

/** The words of one line of a comment, its marks left out; undefined where there are none to translate. */
function commentLine(
  text: string,
  { start, end, open, close }: { start: number; end: number; open: string; close: string },
  at: number,
  stop: number,
): { start: number; end: number; words: string; begins: boolean } | undefined {
  let from = at === start ? at + open.length : at
  let to = stop === end && close !== '' && text.endsWith(close, end) ? stop - close.length : stop
  if (to <= from) return undefined
  const lead = /^[\s*/!#-]*/.exec(text.slice(from, to))![0]
  // A list's dash begins a text of its own.
  const begins = /-\s*$/.test(lead) || /^\s*(\d+[.)]|@)/.test(text.slice(from + lead.length, to))
  from += lead.length
  to = from + text.slice(from, to).trimEnd().length
  const tag = TAG.exec(text.slice(from, to))?.[0] ?? ''
  const words = text.slice(from + tag.length, to)
  if (!/\p{L}{2}/u.test(words) || NOT_PROSE.test(text.slice(from, to))) return undefined
  return { start: from + tag.length, end: to, words, begins: begins || tag !== '' }
}

/** Whether a line comment stands alone on the line right below a place. */
function isNextLine(text: string, end: number | undefined, comment: { start: number }): boolean {
  if (end === undefined) return false
  const between = text.slice(end, comment.start)
  return /^[ \t]*\r?\n[ \t]*$/.test(between)
}

const column = (text: string, offset: number): number => offset - lineStart(text, offset)
