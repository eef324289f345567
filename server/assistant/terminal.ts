/** Explains what went wrong in a terminal. */
import { stripVTControlCharacters } from 'node:util'
import { HubError } from '../lib/error.ts'
import { type AskModel, inLanguage } from './ask.ts'

const SYSTEM =
  'You explain errors of a terminal. Say what went wrong in one sentence, then the likely cause, then the command or change that fixes it. Use Markdown. Be brief.'

/** The end of the output matters: that is where the error stands. */
const MOST_CHARACTERS = 12_000

/** @returns Markdown @throws HubError invalid_request when there is no text */
export async function explainTerminal(
  ask: AskModel,
  options: { text: string; prose: 'en' | 'vi' },
  signal: AbortSignal,
): Promise<string> {
  const output = stripVTControlCharacters(options.text.slice(-4 * MOST_CHARACTERS))
    .replaceAll('\r\n', '\n')
    // A progress bar overwrites its line; the last state of it is what was seen.
    .replace(/^.*\r(?=[^\n])/gm, '')
    .trim()
    .slice(-MOST_CHARACTERS)
  if (output === '') throw new HubError('invalid_request', 'There is no terminal output to explain. Select some.')
  return ask.text(
    {
      system: SYSTEM + inLanguage(options.prose),
      parts: ['Terminal output:\n```\n', { text: output, lose: 'start' }, '\n```\n'],
      maxTokens: 600,
    },
    signal,
  )
}
