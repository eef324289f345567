/** Rewrites by instruction: the client asks for it in words where it can, else a comment in the lines says it. */
import * as z from 'zod'
import { selectedOrBlock } from '../../assistant/code.ts'
import { instructionIn, rewrite } from '../../assistant/rewrite.ts'
import { say, short } from '../texts.ts'
import { type Action, inDocument } from './action.ts'

const REWRITE = 'aiHub.rewrite'

export const rewriteAction: Action = {
  id: 'rewrite',
  kind: 'refactor.rewrite.aiHub.rewrite',
  offers({ document, range, code, locale, client }) {
    if (code.text.trim() === '') return []
    const { start, end } = selectedOrBlock(code)
    const instruction = instructionIn(code.text.slice(start, end))
    if (instruction !== undefined) {
      return [{ title: say(locale, 'rewriteAs', short(instruction)), data: instruction }]
    }
    if (!client.commands.has(REWRITE)) return []
    const title = say(locale, 'rewrite')
    return [{ title, command: { title, command: REWRITE, arguments: [document.uri, range] } }]
  },
  async resolve({ document, code }, data, { ask }, signal) {
    return inDocument(document, await rewrite(ask, code, z.string().parse(data), signal))
  },
}
