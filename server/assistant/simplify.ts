/** Makes code simpler without changing what it does. */
import * as z from 'zod'
import type { AskModel } from './ask.ts'
import { answerTokens, type Code, type Edit, fitIn, selectedOrBlock, showCode } from './code.ts'

const Answer = z.object({ code: z.string().describe('The part to change, whole, simplified.') })

const SYSTEM =
  'You simplify code: shorter, clearer, the same behaviour, the same names to the outside. Answer with JSON: "code" is the whole simplified part.'

/** @throws HubError unusable_answer when the model finds nothing to simplify */
export async function simplify(ask: AskModel, code: Code, signal: AbortSignal): Promise<Edit[]> {
  const target = selectedOrBlock(code)
  const question = { system: SYSTEM, parts: showCode(target), maxTokens: answerTokens(target) }
  return ask.json(question, Answer, answer => [fitIn(target, answer.code)], signal)
}
