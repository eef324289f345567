/** Quick fix of a diagnostic of any language server. */
import type { Diagnostic } from 'vscode-languageserver'
import * as z from 'zod'
import { fix } from '../../assistant/fix.ts'
import { Range } from '../../wire/editor.ts'
import { say, short } from '../texts.ts'
import { type Action, inDocument } from './action.ts'

const Problem = z.object({ range: Range, text: z.string() })
const MOST_OFFERS = 4
/** Some tools print whole types. */
const MOST_CHARACTERS = 2000

export const fixAction: Action = {
  id: 'fix',
  kind: 'quickfix.aiHub.fix',
  automatic: true,
  offers({ diagnostics, locale }) {
    return diagnostics.slice(0, MOST_OFFERS).map(diagnostic => ({
      title: say(locale, 'fix', short(messageOf(diagnostic))),
      diagnostics: [diagnostic],
      data: { range: diagnostic.range, text: textOf(diagnostic) } satisfies z.infer<typeof Problem>,
    }))
  },
  async resolve({ document, code }, data, { ask }, signal) {
    const { range, text } = Problem.parse(data)
    const place = { ...code, start: document.offsetAt(range.start), end: document.offsetAt(range.end) }
    return inDocument(document, await fix(ask, place, text, signal))
  },
}

/** A message may be markup since LSP 3.18. */
function messageOf({ message }: Diagnostic): string {
  const given: unknown = message
  const text = typeof given === 'string' ? given : String((given as { value?: unknown } | null)?.value ?? '')
  return text.slice(0, MOST_CHARACTERS)
}

/** What a language tool says, with whence it comes. */
export function textOf(diagnostic: Diagnostic): string {
  const { source, code } = diagnostic
  const from = [source, code].filter(each => each !== undefined && each !== '').join(' ')
  return `${from === '' ? '' : `${from}: `}${messageOf(diagnostic)}`
}
