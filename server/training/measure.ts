/** Measures one model on samples: loss of the learned tokens, greedy answers against those of the samples, and whether answers pass their tests. */
import { isDeepStrictEqual } from 'node:util'
import { HubError } from '../lib/error.ts'
import type { Lease } from '../models/models.ts'
import type { Sample, SampleMessage } from '../wire/sample.ts'
import type { ChatMessage, EncodedSequence, Generate, Prompt } from '../wire/worker.ts'
import { codeOf, LIMITS, runTests, type SandboxLimits } from './sandbox.ts'

/** What a model got on one sample. What could not be measured is absent, and `skipped` says why. */
export type Measured = {
  /** Weighted sum of the losses of learned tokens in nats, with the sum of the weights. */
  loss?: { sum: number; weight: number }
  /** Tells apart how two models cut the text into tokens. */
  tokens?: number
  answer?: string
  exact?: boolean
  passed?: boolean
  /** Of a preference: whether the chosen answer is likelier than the rejected one. */
  preferred?: boolean
  skipped?: string
}

export type MeasureOptions = {
  answers: boolean
  runCode: boolean
  maxAnswerTokens: number
  /** Answers are written to this length, instead of to that of the sample's own answer. */
  fullAnswers?: boolean
  limits?: SandboxLimits
  onSample?(): void
}

/** A reply of the model. */
type Reply = { text: string; calls: { name: string; arguments: string }[] }
type Question = { prompt: Prompt; expected: Reply }

/**
 * In the order of the samples. Half of the model's slots are used, so that others are still answered.
 * @throws HubError cancelled, or what ended the model; a sample that cannot be measured costs the others nothing
 */
export async function measure(
  lease: Lease,
  samples: readonly Sample[],
  options: MeasureOptions,
  signal: AbortSignal,
): Promise<Measured[]> {
  const results = new Array<Measured>(samples.length)
  let next = 0
  const failed = new AbortController()
  const both = AbortSignal.any([signal, failed.signal])
  const work = async (): Promise<void> => {
    while (next < samples.length) {
      const index = next++
      results[index] = await measureSample(lease, samples[index]!, options, both)
      options.onSample?.()
    }
  }
  const workers = Array.from({ length: Math.max(1, Math.ceil(lease.info.slots / 2)) }, work)
  try {
    await Promise.all(workers)
  } catch (thrown) {
    failed.abort()
    await Promise.allSettled(workers)
    throw thrown
  }
  return results
}

async function measureSample(
  lease: Lease,
  sample: Sample,
  options: MeasureOptions,
  signal: AbortSignal,
): Promise<Measured> {
  const measured: Measured = {}
  try {
    const { encoded } = await lease.ask(
      { type: 'encode', samples: [sample], infillTokens: lease.info.contextTokens - 1 },
      signal,
    )
    const found = encoded[0]!
    if ('error' in found) return { skipped: found.error }
    const sequences = [found, ...(found.more ?? [])]
    measured.tokens = sequences.reduce((hash, { tokens }) => hashOf(tokens, hash), 0)
    const losses = []
    for (const sequence of sequences) losses.push(await lossOf(lease, sequence, signal))
    measured.loss = {
      sum: losses.reduce((sum, loss) => sum + loss.sum, 0),
      weight: losses.reduce((sum, loss) => sum + loss.weight, 0),
    }
    if (found.rejected !== undefined) {
      const rejected = await lossOf(lease, found.rejected, signal)
      // Per answer, not per token: that is how likely the model is to give one or the other.
      measured.preferred = measured.loss.sum < rejected.sum
    }
    const tests = options.runCode ? sample.tests : undefined
    const question = options.answers || tests !== undefined ? questionOf(sample, found) : undefined
    if (question === undefined) return measured
    const learned = sequences.reduce((sum, { weights }) => sum + weights.filter(weight => weight > 0).length, 0)
    const whole = tests !== undefined || options.fullAnswers === true
    // An answer that goes on behind the end of the expected one is not the same any more.
    const maxTokens = whole ? options.maxAnswerTokens : Math.min(learned + 8, options.maxAnswerTokens)
    const { prompt, expected } = question
    const reply = await answer(lease, prompt, { maxTokens, ...(!whole && { expected }) }, signal)
    measured.answer = reply.text
    if (options.answers) measured.exact = sameReply(reply, question.expected)
    if (tests !== undefined) {
      const code = codeOf(sample, reply.text, tests.language)
      const run = await runTests(code, tests, signal, options.limits ?? LIMITS)
      if (run.outcome !== 'unavailable') measured.passed = run.outcome === 'passed'
    }
    return measured
  } catch (thrown) {
    const error = HubError.from(thrown)
    if (error.code !== 'context_length_exceeded' && error.code !== 'invalid_request') throw error
    return { ...measured, skipped: error.code === 'context_length_exceeded' ? TOO_LONG : error.message }
  }
}

const TOO_LONG = 'it is longer than the context of the model'

/** Loss of the tokens of a sequence by their weights: the model reads it once and gives the log probability of each token. */
export async function lossOf(
  lease: Pick<Lease, 'generate' | 'model'>,
  { tokens, weights }: EncodedSequence,
  signal: AbortSignal,
): Promise<{ sum: number; weight: number }> {
  const last = weights.findLastIndex(weight => weight > 0)
  if (last < 0) return { sum: 0, weight: 0 }
  const first = weights.findIndex(weight => weight > 0)
  const request: Generate = {
    prompt: { type: 'tokens', tokens: tokens.slice(0, last + 1) },
    ...PLAIN,
    maxTokens: 0,
    echo: true,
    topLogprobs: 0,
    logprobsFrom: Math.max(1, first),
    // What was read for another request has no log probabilities any more.
    cachePrompt: false,
  }
  let sum = 0
  let weight = 0
  for await (const event of lease.generate(request, signal)) {
    if (event.type !== 'start' || event.echo?.logprobs === undefined) continue
    for (let index = Math.max(1, first); index <= last; index++) {
      const share = weights[index]!
      if (share === 0) continue
      sum -= share * (event.echo.logprobs[index]?.logprob ?? Number.NaN)
      weight += share
    }
  }
  if (!Number.isFinite(sum) || weight === 0) {
    throw new HubError('internal', `the model ${lease.model.id} gave no log probabilities for a sample`)
  }
  return { sum, weight }
}

export const PLAIN: Pick<Generate, 'format' | 'sampling' | 'stop' | 'n' | 'adapters' | 'cachePrompt'> = {
  format: { type: 'text' },
  // Greedy, and nothing that a card may have switched on.
  sampling: { temperature: 0, repeatPenalty: 1, frequencyPenalty: 0, presencePenalty: 0, dryMultiplier: 0 },
  stop: [],
  n: 1,
  adapters: [],
  cachePrompt: true,
}

/** @param options.expected ends the answer once it cannot become this one any more, which most do within a few words */
async function answer(
  lease: Lease,
  prompt: Prompt,
  { maxTokens, expected }: { maxTokens: number; expected?: Reply },
  signal: AbortSignal,
): Promise<Reply> {
  const reply: Reply = { text: '', calls: [] }
  const wanted = expected === undefined || expected.calls.length > 0 ? undefined : plainText(expected.text)
  for await (const event of lease.generate({ prompt, ...PLAIN, maxTokens }, signal)) {
    if (event.type !== 'delta') continue
    reply.text += event.content ?? ''
    for (const { index, name, arguments: text } of event.toolCalls ?? []) {
      const call = reply.calls[index] ?? { name: '', arguments: '' }
      reply.calls[index] = { name: call.name + (name ?? ''), arguments: call.arguments + (text ?? '') }
    }
    if (wanted !== undefined && !beginsLike(wanted, reply.text)) break
  }
  return reply
}

/** What the model is asked for a sample and should answer; of a conversation the last answer that is learned. */
export function questionOf(sample: Sample, encoded: EncodedSequence): Question | undefined {
  switch (sample.kind) {
    case 'chat': {
      const at = sample.messages.findLastIndex(({ role, weight }) => role === 'assistant' && weight !== 0)
      const expected = sample.messages[at]
      if (expected === undefined) return undefined
      const tools = (sample.tools ?? []).map(({ name, description, parameters }) => ({
        name,
        ...(description !== undefined && { description }),
        ...(parameters !== undefined && { parameters }),
      }))
      const calls = (expected.tool_calls ?? []).map(call => ({ name: call.name, arguments: call.arguments }))
      return {
        prompt: {
          type: 'chat',
          messages: sample.messages.slice(0, at).map(toChatMessage),
          tools,
          toolChoice: 'auto',
          parallelToolCalls: true,
          templateVariables: {},
        },
        expected: { text: expected.content ?? '', calls },
      }
    }
    case 'completion':
    case 'infill': {
      // The very tokens that training puts before the answer.
      const from = encoded.weights.findIndex(weight => weight > 0)
      if (from <= 0) return undefined
      const text = sample.kind === 'infill' ? sample.middle : sample.completion
      return { prompt: { type: 'tokens', tokens: encoded.tokens.slice(0, from) }, expected: { text, calls: [] } }
    }
    default:
      return undefined
  }
}

function toChatMessage(message: SampleMessage): ChatMessage {
  const { role, content, name, tool_calls: calls, tool_call_id: callId } = message
  return {
    role,
    content,
    ...(name !== undefined && { name }),
    ...(callId !== undefined && { toolCallId: callId }),
    ...(calls !== undefined && {
      toolCalls: calls.map((call, index) => ({
        id: call.id ?? `call_${index}`,
        name: call.name,
        arguments: call.arguments,
      })),
    }),
  }
}

/** Equal but for white space at line ends and around, the form of Unicode, and the layout of arguments. */
export function sameReply(one: Reply, other: Reply): boolean {
  const calls = (reply: Reply) => reply.calls.map(call => [call.name, parsed(call.arguments)])
  return plainText(one.text) === plainText(other.text) && isDeepStrictEqual(calls(one), calls(other))
}

/** The last letters may still be changed by marks that follow, so they do not count. */
function beginsLike(wanted: string, begun: string): boolean {
  return wanted.startsWith(plainText([...begun.normalize('NFC')].slice(0, -2).join('')))
}

function plainText(text: string): string {
  return text
    .normalize('NFC')
    .replace(/[ \t]*\r?\n/g, '\n')
    .trim()
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json)
  } catch {
    return json
  }
}

/** FNV-1a over tokens, going on from `hash`. */
function hashOf(tokens: readonly number[], hash: number): number {
  let value = hash ^ 0x811c9dc5
  for (const token of tokens) value = Math.imul(value ^ token, 0x01000193)
  return value >>> 0
}
