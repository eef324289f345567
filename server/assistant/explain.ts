/** Explains code, and a diagnostic on it where there is one. */
import { type AskModel, inLanguage } from './ask.ts'
import { type Code, selectedOrBlock, showCode } from './code.ts'

const SYSTEM =
  'You explain code to a programmer. Say first in one sentence what the part does, then how, step by step, then what is surprising or risky. Use Markdown. Be brief.'

/** @returns Markdown */
export async function explain(
  ask: AskModel,
  code: Code,
  options: { problems: string[]; prose: 'en' | 'vi' },
  signal: AbortSignal,
): Promise<string> {
  const problems = options.problems.map(problem => `- ${problem}\n`).join('')
  return ask.text(
    {
      system: SYSTEM + inLanguage(options.prose),
      parts: [
        ...showCode(selectedOrBlock(code), 'Part to explain'),
        problems === '' ? '' : `Explain these problems too, and what to do about them:\n${problems}`,
      ],
      maxTokens: 800,
    },
    signal,
  )
}
