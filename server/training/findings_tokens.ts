/** Counts the tokens of samples in batches, by the base model's tokenizer or estimated. */
import type { Prepared } from './findings_check.ts'
import { answersOf, groupsOf } from './sample_text.ts'

export type Tokens = { all: number; answerTooShort: boolean }
type Count = (texts: string[], signal: AbortSignal) => Promise<number[]>

/** An answer of more characters than this per token is not asked about: no tokenizer has longer tokens in real text. */
const MOST_CHARACTERS = 16

export class TokenCounter {
  readonly #count: Count
  readonly #minTokens: number

  constructor(count: Count | undefined, minTokens: number) {
    this.#count = count ?? (async texts => texts.map(estimateTokens))
    this.#minTokens = minTokens
  }

  /** Tokens of all texts of each sample (without the template's own), and whether its answers are too short. */
  async count(batch: Prepared[], signal: AbortSignal): Promise<Tokens[]> {
    if (batch.length === 0) return []
    const whole = batch.map(({ sample }) =>
      groupsOf({ ...sample, tests: undefined } as typeof sample)
        .flat()
        .join('\n'),
    )
    const short: { index: number; text: string }[] = []
    for (const [index, { sample }] of batch.entries()) {
      const text = answersOf(sample).join('').trim()
      const calls = sample.kind === 'chat' && sample.messages.some(message => message.tool_calls?.length)
      if (sample.kind !== 'infill' && !calls && text.length < this.#minTokens * MOST_CHARACTERS)
        short.push({ index, text })
    }
    const counts = await this.#count([...whole, ...short.map(({ text }) => text)], signal)
    const tokens = whole.map((_, i) => ({ all: counts[i]!, answerTooShort: false }))
    for (const [i, { index }] of short.entries())
      tokens[index]!.answerTooShort = counts[whole.length + i]! < this.#minTokens
    return tokens
  }
}

/** About four ASCII characters per token, and one and a half others, as usual tokenizers have it. */
export function estimateTokens(text: string): number {
  let high = 0
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) >= 0x80) high++
  return Math.ceil((text.length - high) / 4 + high / 1.5)
}
