/** Answers a question about a part of a document. */
import { type AskModel, inLanguage } from './ask.ts'
import { type Code, selectedOrBlock, showCode } from './code.ts'

const SYSTEM =
  'You answer questions about code. Rely on what is shown; say so when it does not suffice. Use Markdown. Be brief.'

/** @returns Markdown */
export async function answerQuestion(
  ask: AskModel,
  code: Code,
  options: { question: string; prose: 'en' | 'vi' },
  signal: AbortSignal,
): Promise<string> {
  return ask.text(
    {
      system: SYSTEM + inLanguage(options.prose),
      parts: [...showCode(selectedOrBlock(code), 'Selected part'), `Question: ${options.question}\n`],
      maxTokens: 1000,
    },
    signal,
  )
}
