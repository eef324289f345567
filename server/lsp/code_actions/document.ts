/** Writes the doc comment of the declaration at the cursor. */
import { declarationAt, declaredName } from '../../assistant/doc_comments.ts'
import { document } from '../../assistant/document.ts'
import { say, short } from '../texts.ts'
import { type Action, inDocument } from './action.ts'

export const documentAction: Action = {
  id: 'document',
  kind: 'refactor.rewrite.aiHub.document',
  offers({ code, locale }) {
    const declaration = declarationAt(code)
    if (declaration === undefined) return []
    const name = declaredName(code.text.slice(declaration.start, declaration.end))
    return [{ title: say(locale, 'document', short(name, 40)) }]
  },
  async resolve(place, _, { ask }, signal) {
    return inDocument(place.document, await document(ask, place.code, signal))
  },
}
