/** Suggests a better name: the client renames where it can ask which, else every place of it in the file is edited. */
import { betterNames, identifierAt, placesOf } from '../../assistant/name.ts'
import { say, short } from '../texts.ts'
import { type Action, inDocument } from './action.ts'

const RENAME = 'aiHub.rename'

export const nameAction: Action = {
  id: 'name',
  kind: 'refactor.rewrite.aiHub.name',
  offers({ code, locale }) {
    const identifier = identifierAt(code)
    return identifier === undefined ? [] : [{ title: say(locale, 'name', short(identifier.name, 40)) }]
  },
  async resolve({ document, code }, _, { ask, client }, signal) {
    const { identifier, names } = await betterNames(ask, code, signal)
    if (client.commands.has(RENAME)) {
      const position = document.positionAt(identifier.start)
      return { command: { title: '', command: RENAME, arguments: [document.uri, position, names] } }
    }
    const places = placesOf(code.text, code.language, identifier.name)
    return inDocument(
      document,
      places.map(place => ({ ...place, text: names[0]! })),
    )
  },
}
