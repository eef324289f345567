/** Translates the comments of the selection, or the one at the cursor, between Vietnamese and English. */
import { translate, translationOf } from '../../assistant/translate.ts'
import { say } from '../texts.ts'
import { type Action, inDocument } from './action.ts'

export const translateAction: Action = {
  id: 'translate',
  kind: 'refactor.rewrite.aiHub.translate',
  offers({ code, locale }) {
    const to = translationOf(code)
    return to === undefined ? [] : [{ title: say(locale, to === 'en' ? 'translateEn' : 'translateVi') }]
  },
  async resolve({ document, code }, _, { ask }, signal) {
    return inDocument(document, await translate(ask, code, signal))
  },
}
