/** Repairs what a diagnostic of any language tool complains about. */
import * as z from 'zod'
import { type AskModel, unusable } from './ask.ts'
import { answerTokens, type Code, type Edit, fitIn, lineEnd, lineStart, selectedOrBlock, showCode } from './code.ts'

const Answer = z.object({
  code: z.string().describe('The part to change, whole, with the problem solved.'),
  import: z.string().max(200).describe('An import line that must be added at the top of the file; empty for none.'),
})

const SYSTEM =
  'You fix code. Change as little as possible. Answer with JSON: "code" is the whole part with the problem fixed, "import" an import line that is missing at the top of the file, or "".'

/**
 * @param code the place of the diagnostic; the block around it may be changed
 * @param problem the diagnostic's text
 * @throws HubError unusable_answer when the model changes nothing
 */
export async function fix(ask: AskModel, code: Code, problem: string, signal: AbortSignal): Promise<Edit[]> {
  const { start, end } = selectedOrBlock({ ...code, end: code.start })
  const target = { ...code, start: Math.min(start, lineStart(code.text, code.start)), end: Math.max(end, code.end) }
  target.end = lineEnd(code.text, target.end)
  const faulty = code.text.slice(lineStart(code.text, code.start), lineEnd(code.text, code.start)).trim()
  return ask.json(
    {
      system: SYSTEM,
      parts: [...showCode(target), `Problem in the line \`${faulty}\`:\n${problem}\n`],
      maxTokens: answerTokens(target),
    },
    Answer,
    answer => {
      const added = importEdit(code, answer.import)
      try {
        const edit = fitIn(target, answer.code)
        return join(code, edit, added, answer.import)
      } catch (thrown) {
        // The import alone may be what was missing.
        if (added.length > 0 && answer.code.trim() !== '') return added
        throw thrown
      }
    },
    signal,
  )
}

/** The edit of the code with that of the imports, which must not overlap. */
function join(code: Code, edit: Edit, added: Edit[], line: string): Edit[] {
  const [first] = added
  if (first === undefined || first.start <= edit.start || first.start >= edit.end) return [...added, edit]
  const top = topOf(code.text, code.path) ?? 0
  if (edit.start > top) return [{ ...first, start: top, end: top }, edit]
  // The imports themselves are replaced: it goes behind those of the new text.
  const [inner] = importEdit({ text: edit.text, path: '' }, line)
  const at = inner?.start ?? 0
  return [{ ...edit, text: edit.text.slice(0, at) + (inner?.text ?? '') + edit.text.slice(at) }]
}

const IMPORT =
  /^(import\b|from\s+\S+\s+import\b|(const|let|var)\s.*\brequire\(|using\s|use\s|#include\b|require\b|package\b)/

/** The line behind the last import of the file; nothing when it is none, or is there already. */
function importEdit({ text, path }: Pick<Code, 'text' | 'path'>, given: string): Edit[] {
  const line = given.trim()
  if (line === '') return []
  if (line.includes('\n') || !IMPORT.test(line)) throw unusable('The model named an import that is none.')
  const present = new RegExp(`^\\s*${line.replace(/[.*+?^${}()|[\]\\]/g, '\\$&').replace(/;$/, '')};?\\s*$`, 'm')
  if (present.test(text)) return []
  const eol = text.includes('\r\n') ? '\r\n' : '\n'
  const top = topOf(text, path)
  // A page without a script has no place for it.
  if (top === undefined) return []
  let at = top
  let indent = ''
  let open = false
  let seen = 0
  // Imports stand in the first lines; those of several lines end with their bracket.
  for (let start = top; seen < 200 && start < text.length; seen++) {
    const end = lineEnd(text, start)
    const current = text.slice(start, end)
    const following = text.indexOf('\n', end) + 1 || text.length
    if (/^\s*<\/script>/.test(current)) break
    if (open) {
      if (/[)}]/.test(current)) {
        open = false
        at = following
      }
    } else if (IMPORT.test(PAGE.test(path) ? current.trimStart() : current)) {
      open = /[({]\s*$/.test(current)
      indent = /^\s*/.exec(current)![0]
      if (!open) at = following
    }
    start = following
  }
  const before = at > 0 && text[at - 1] !== '\n' ? eol : ''
  return [{ start: at, end: at, text: `${before}${indent}${line}${eol}` }]
}

const PAGE = /\.(vue|svelte|astro)$/i
/** Lines that must stay the first: of the shell, of PHP, an encoding, a docstring, directives of a bundler, and what a checker reads. */
const FIRST = new RegExp(
  `^(?:${[
    /#!.*(?:\n|$)/,
    /<\?php.*(?:\n|$)/,
    /#.*coding[:=].*(?:\n|$)/,
    /[rR]?"""(?:(?!""")[\s\S]){0,4000}"""[ \t]*\r?(?:\n|$)/,
    /[rR]?'''(?:(?!''')[\s\S]){0,4000}'''[ \t]*\r?(?:\n|$)/,
    /(?:'use [\w ]+'|"use [\w ]+");?[ \t]*\r?(?:\n|$)/,
    /\/\/ ?@ts-.*(?:\n|$)/,
  ]
    .map(({ source }) => source)
    .join('|')})*`,
)

/** Behind the lines that must be the first; in a page behind the tag of its script. */
function topOf(text: string, path: string): number | undefined {
  if (!PAGE.test(path)) return FIRST.exec(text)![0].length
  const tag = /^<script\b[^>]*>[ \t]*\r?\n/m.exec(text)
  return tag === null ? undefined : tag.index + tag[0].length
}
