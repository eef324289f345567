/** Explains the selection, or the block at the cursor, with what is wrong there. */
import * as z from 'zod'
import { explain } from '../../assistant/explain.ts'
import { say } from '../texts.ts'
import type { Action } from './action.ts'
import { textOf } from './fix.ts'

export const SHOW_MARKDOWN = 'aiHub.showMarkdown'
const Problems = z.array(z.string())

export const explainAction: Action = {
  id: 'explain',
  kind: 'refactor.aiHub.explain',
  offers({ code, diagnostics, locale }) {
    if (code.text.trim() === '') return []
    return [{ title: say(locale, 'explain'), data: diagnostics.slice(0, 4).map(textOf) }]
  },
  async resolve({ code }, data, { ask, locale }, signal) {
    const markdown = await explain(ask, code, { problems: Problems.parse(data), prose: locale }, signal)
    const title = say(locale, 'explanation')
    return { command: { title, command: SHOW_MARKDOWN, arguments: [title, markdown] } }
  },
}
