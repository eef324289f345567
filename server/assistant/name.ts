/** Suggests better names for what stands at the cursor. */
import * as z from 'zod'
import { HubError } from '../lib/error.ts'
import { type AskModel, unusable } from './ask.ts'
import { blockAround, type Code, showCode } from './code.ts'
import { notCode } from './comments.ts'

const Answer = z.object({
  names: z
    .array(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{1,38}$/))
    .min(1)
    .max(5),
})

const SYSTEM =
  'You name things in code: a name says what the thing is or does, in the style of the code around it. Answer with JSON: "names" lists three better names, the best first.'

const WORD = /[\p{L}\p{N}_$]/u
const KEYWORDS = new Set(
  'abstract as async await break case catch class const continue default def del do elif else enum export extends false final finally fn for from func function global go if impl implements import in interface is lambda let match mod module mut namespace new nil none None null package pass private protected pub public raise return self static struct super switch this throw throws trait true try type typeof undefined use using var void when where while with yield True False int string bool boolean float double char number any'.split(
    ' ',
  ),
)

/** Languages that write a name of several words with underscores. */
const SNAKE = new Set(['python', 'rust', 'ruby', 'c', 'lua', 'elixir', 'perl', 'php', 'shellscript', 'sql'])

export type Identifier = { start: number; end: number; name: string }

/** The identifier at a place; undefined for keywords, numbers, and inside comments and strings. */
export function identifierAt({ text, start, language }: Code): Identifier | undefined {
  let from = start
  let to = start
  while (from > 0 && start - from < 100 && WORD.test(text[from - 1]!)) from--
  while (to < text.length && to - start < 100 && WORD.test(text[to]!)) to++
  const name = text.slice(from, to)
  if (name === '' || /^\p{N}/u.test(name) || KEYWORDS.has(name)) return undefined
  if (notCode(text, language).some(each => each.start <= from && to <= each.end)) return undefined
  return { start: from, end: to, name }
}

/** @returns names that are free in the file, in the style of the old one, best first @throws HubError unusable_answer, invalid_request */
export async function betterNames(
  ask: AskModel,
  code: Code,
  signal: AbortSignal,
): Promise<{ identifier: Identifier; names: string[] }> {
  const identifier = identifierAt(code)
  if (identifier === undefined) throw new HubError('invalid_request', 'There is no name at this place.')
  const { name } = identifier
  const part = { ...code, ...blockAround(code.text, identifier.start) }
  return ask.json(
    { system: SYSTEM, parts: [...showCode(part, 'Code'), `Better names for: ${name}\n`], maxTokens: 120 },
    Answer,
    answer => {
      const names = [...new Set(answer.names.map(each => inStyle(each, name, code.language)))].filter(
        each => each !== name && !KEYWORDS.has(each) && !occurs(code.text, each),
      )
      if (names.length === 0) throw unusable(`The model knows no better name than '${name}'.`)
      return { identifier, names }
    },
    signal,
  )
}

/** Every place of an identifier in the file's code, comments and strings left out. */
export function placesOf(text: string, language: string, name: string): { start: number; end: number }[] {
  const skip = notCode(text, language)
  const places: { start: number; end: number }[] = []
  let index = 0
  for (let at = text.indexOf(name); at >= 0; at = text.indexOf(name, at + name.length)) {
    const end = at + name.length
    if (WORD.test(text[at - 1] ?? '') || WORD.test(text[end] ?? '')) continue
    while (index < skip.length && skip[index]!.end <= at) index++
    if (index < skip.length && skip[index]!.start <= at) continue
    places.push({ start: at, end })
  }
  return places
}

function occurs(text: string, name: string): boolean {
  return new RegExp(`(?<![\\p{L}\\p{N}_$])${name.replaceAll('$', '\\$')}(?![\\p{L}\\p{N}_$])`, 'u').test(text)
}

/** The words of a name, written as the old name is: snake_case, SCREAMING_CASE, PascalCase or camelCase. */
function inStyle(name: string, old: string, language: string): string {
  const words = name
    .replaceAll(/([a-z0-9])([A-Z])/g, '$1 $2')
    .split(/[\s_]+/)
    .filter(word => word !== '')
    .map(word => word.toLowerCase())
  const capital = (word: string): string => word[0]!.toUpperCase() + word.slice(1)
  if (/^[A-Z][A-Z0-9_]+$/.test(old)) return words.join('_').toUpperCase()
  if (old.includes('_') || (/^[a-z0-9]+$/.test(old) && SNAKE.has(language))) return words.join('_')
  if (/^[A-Z]/.test(old)) return words.map(capital).join('')
  return words.map((word, index) => (index === 0 ? word : capital(word))).join('')
}
