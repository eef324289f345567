/** Describes a declaration; the model gives the words only, so that it cannot harm the code. */
import * as z from 'zod'
import { HubError } from '../lib/error.ts'
import { type AskModel, unusable } from './ask.ts'
import { blockEnd, type Code, type Edit, showCode } from './code.ts'
import { declarationAt, docEdit } from './doc_comments.ts'

const Answer = z.object({
  summary: z.string().max(400).describe('What it does or is, in one or two sentences.'),
  parameters: z
    .array(z.object({ name: z.string().max(60), description: z.string().max(160) }))
    .max(12)
    .describe('Each parameter by its name, in order.'),
  returns: z.string().max(200).describe('What it gives back; empty for nothing.'),
})

const SYSTEM =
  'You write documentation of code. Answer with JSON: "summary" says what the declaration does, "parameters" lists each parameter of it with a description, "returns" says what it gives back, or "". Plain sentences, no markup, no code.'

/** Letters that only Vietnamese has. */
export const VIETNAMESE = /[ăđơưĂĐƠƯ\u1EA0-\u1EF9]/

/**
 * The comment is written in Vietnamese where the file has Vietnamese text already.
 * @throws HubError invalid_request where nothing is declared, unusable_answer
 */
export async function document(ask: AskModel, code: Code, signal: AbortSignal): Promise<Edit[]> {
  const declaration = declarationAt(code)
  if (declaration === undefined) {
    throw new HubError('invalid_request', 'There is no declaration here that could be documented.')
  }
  const part = { ...code, start: declaration.start, end: blockEnd(code.text, declaration.start) }
  const signature = code.text.slice(declaration.start, declaration.end)
  const language = VIETNAMESE.test(code.text.slice(0, 100_000)) ? ' Write in Vietnamese.' : ' Write in English.'
  return ask.json(
    { system: SYSTEM + language, parts: showCode(part, 'Declaration to document'), maxTokens: 600 },
    Answer,
    answer => {
      const summary = sentence(answer.summary)
      if (!/\p{L}/u.test(summary)) throw unusable('The model wrote no description. Ask again.')
      const seen = new Set<string>()
      const parameters = answer.parameters
        .map(({ name, description }) => ({ name: name.trim(), description: clean(description) }))
        // Small models name what is not there.
        .filter(({ name, description }) => {
          const isNew = !seen.has(name)
          seen.add(name)
          return isNew && description !== '' && takes(signature, name)
        })
      const returns = clean(answer.returns)
      const nothing = /^(none|nothing|void|undefined|null|n\/?a|không|không có)?\.?$/i.test(returns)
      return [docEdit(code, declaration, { summary, parameters, returns: nothing ? '' : returns })]
    },
    signal,
  )
}

/** Whether the name stands behind the signature's opening bracket. */
function takes(signature: string, name: string): boolean {
  if (!/^[\p{L}_$][\p{L}\p{N}_$]*$/u.test(name) || name === 'self' || name === 'this') return false
  const inside = signature.slice(signature.indexOf('(') + 1)
  return inside.match(/[\p{L}_$][\p{L}\p{N}_$]*/gu)?.includes(name) === true
}

const clean = (text: string): string => text.replaceAll(/[\p{Cc}\s]+/gu, ' ').trim()

function sentence(text: string): string {
  const one = clean(text)
  return one === '' || /[.!?:…]$/.test(one) ? one : `${one}.`
}
