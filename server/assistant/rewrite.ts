/** Changes code as an instruction says. */
import * as z from 'zod'
import type { AskModel } from './ask.ts'
import { answerTokens, type Code, type Edit, fitIn, selectedOrBlock, showCode } from './code.ts'

const Answer = z.object({ code: z.string().describe('The part to change, whole, rewritten.') })

const SYSTEM =
  'You rewrite code. Do what the instruction says and nothing else; keep the style. Answer with JSON: "code" is the whole part after the change.'

/** @throws HubError unusable_answer when the model changes nothing */
export async function rewrite(ask: AskModel, code: Code, instruction: string, signal: AbortSignal): Promise<Edit[]> {
  const target = selectedOrBlock(code)
  const question = {
    system: SYSTEM,
    parts: [...showCode(target), `Instruction: ${instruction}\n`],
    maxTokens: answerTokens(target),
  }
  return ask.json(question, Answer, answer => [fitIn(target, answer.code)], signal)
}

const WISH = /^\s*(?:\/\/+|#+|--|\/\*+|\*|<!--|;+|%)\s*(?:ai|todo|fixme)\s*[:：]\s*(.+?)\s*(?:\*\/|-->)?\s*$/i

/** What a comment among the lines asks for (`// AI: use a map`), so that editors without an input box can say it too. */
export function instructionIn(lines: string): string | undefined {
  for (const line of lines.slice(0, 4000).split('\n')) {
    const wish = WISH.exec(line)?.[1]
    if (wish !== undefined) return wish
  }
  return undefined
}
