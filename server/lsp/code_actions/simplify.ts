/** Simplifies the selection, or the block at the cursor. */
import { simplify } from '../../assistant/simplify.ts'
import { say } from '../texts.ts'
import { type Action, inDocument } from './action.ts'

const PROSE = new Set(['plaintext', 'markdown', 'log'])

export const simplifyAction: Action = {
  id: 'simplify',
  kind: 'refactor.rewrite.aiHub.simplify',
  offers({ code, locale }) {
    return code.text.trim() === '' || PROSE.has(code.language) ? [] : [{ title: say(locale, 'simplify') }]
  },
  async resolve({ document, code }, _, { ask }, signal) {
    return inDocument(document, await simplify(ask, code, signal))
  },
}
