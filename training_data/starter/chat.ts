/** The second stage: exchanges in the chat form, of which the answers are learned, among pieces of the first stage. */
import type { Sequence } from '../../server/trainer/data.ts'
import { randomAt, shuffle } from '../../server/trainer/random.ts'
import { codingExchanges } from './coding.ts'
import type { Exchange } from './exchange.ts'
import { productExchanges } from './product.ts'
import { talk } from './talk.ts'
import { CHAT_END, CHAT_START, type Tokenizer } from './tokenizer.ts'
import { vietnameseSamples } from './vietnamese.ts'

const SYSTEMS = [
  'You are a helpful assistant.',
  'You are the assistant of AI Backend Hub.',
  'Answer briefly.',
  'You are a coding assistant.',
  'Bạn là một trợ lý hữu ích.',
]
/** Longer answers than this are more than so small a model can hold. */
const LONGEST = 400

/** Every exchange that the recipe knows, the same for the same sources. @param root of the project */
export function allExchanges(root: string, seed: number): Exchange[] {
  const samples = vietnameseSamples(root).map(({ instruction, input, output }): Exchange => {
    const question = input === undefined || input === '' ? instruction : `${instruction}\n\n${input}`
    return { topic: 'vietnamese', question, answer: output }
  })
  return [...talk(), ...productExchanges(root), ...codingExchanges(seed), ...samples]
}

/** As the model's chat template writes it; the answers and the end behind each are learned. */
export function chatSequence(tokenizer: Tokenizer, turns: readonly Exchange[], system?: string): Sequence {
  const tokens: number[] = []
  const weights: number[] = []
  const [start, end] = [tokenizer.special(CHAT_START), tokenizer.special(CHAT_END)]
  const add = (ids: readonly number[], weight: number): void => {
    for (const id of ids) {
      tokens.push(id)
      weights.push(weight)
    }
  }
  const newline = tokenizer.encode('\n')
  const shown = (role: string, text: string): void =>
    add([start, ...tokenizer.encode(`${role}\n${text}`), end, ...newline], 0)
  if (system !== undefined) shown('system', system)
  for (const { question, answer } of turns) {
    shown('user', question)
    add([start, ...tokenizer.encode('assistant\n')], 0)
    add([...tokenizer.encode(answer), end], 1)
    add(newline, 0)
  }
  return { tokens: Int32Array.from(tokens), weights: Float32Array.from(weights) }
}

/** All exchanges once, in an order of its own per pass; some with a system message, some behind another exchange. */
export function chatSequences(
  tokenizer: Tokenizer,
  exchanges: readonly Exchange[],
  options: { seed: number; pass: number },
): Sequence[] {
  const random = randomAt(options.seed, 1000 + options.pass)
  const order = shuffle(Int32Array.from(exchanges.keys()), random)
  const sequences: Sequence[] = []
  for (let at = 0; at < order.length; at++) {
    const turns = [vary(exchanges[order[at]!]!, random)]
    if (random() < 0.15 && at + 1 < order.length) turns.push(vary(exchanges[order[++at]!]!, random))
    const system = random() < 0.2 ? SYSTEMS[Math.floor(random() * SYSTEMS.length)] : undefined
    const sequence = chatSequence(tokenizer, turns, system)
    if (sequence.tokens.length <= LONGEST) sequences.push(sequence)
  }
  return sequences
}

/** Now and then as people write in a hurry: without the last mark, or without a capital. */
function vary(exchange: Exchange, random: () => number): Exchange {
  let { question } = exchange
  if (random() < 0.15) question = question.replace(/[?.!]$/, '')
  if (random() < 0.15) question = question.charAt(0).toLowerCase() + question.slice(1)
  return { ...exchange, question }
}
