/** One request in the engine: its state, the sampling of its next token, and the events that tell of it. */
import type { Pointer } from '../native/structs.ts'
import type { FinishReason, Generate, GenerateEvent, TokenLogprob, Usage } from '../wire/worker.ts'
import { type Context, logitsRow } from './context.ts'
import { afterToken, agreeing, type Cut } from './heal.ts'
import { distribution, tokenLogprob } from './logprobs.ts'
import type { Model } from './model.ts'
import { type Candidates, type GrammarText, Sampler } from './sampling.ts'
import { type Parser, type TextDelta, TextStream } from './text.ts'

/** A request as the engine takes it: its prompt in tokens, its output format resolved. */
export type Job = {
  id: number
  prompt: number[]
  request: Generate
  stops: string[]
  grammar: GrammarText | undefined
  createParser(): Parser
  /** Control tokens whose text the parser wants to see. */
  preserved: ReadonlySet<number>
  /** `id` is never given twice: an address may be, once what lay there was freed. */
  adapters: { id: number; pointer: Pointer; scale: number }[]
  infill: boolean
  /** What the prompt was cut back by and must be written first; it is no part of the output. */
  cut: Cut
}

export type Run = Job & {
  adapterKey: string
  sequences: Sequence[]
  receivedMs: number
  usage: Usage
  startedMs: number | undefined
  firstTokenMs: number | undefined
  /** Log probabilities of the prompt's tokens, by position, when they were asked for. */
  promptLogprobs: (TokenLogprob | null)[] | undefined
  cancelled: boolean
}

/** One choice of a request. */
export type Sequence = {
  run: Run
  choice: number
  /** Prompt, then what was generated; the last one is not in the KV yet. */
  tokens: number[]
  generated: number
  /** Of them those that wrote nothing but what was cut off: no part of the output, and none of what it may take. */
  healed: number
  sampler: Sampler
  text: TextStream
  inReasoning: boolean
  arrival: number
  primed: boolean
  deadlineMs: number | undefined
  /** Of the run's `cut` what was not written yet. */
  cut: Cut
}

export function createRun(job: Job, now: number): Run {
  return {
    ...job,
    adapterKey: keyOf(job.adapters),
    sequences: [],
    receivedMs: now,
    usage: { promptTokens: job.prompt.length, cachedTokens: 0, completionTokens: 0, reasoningTokens: 0 },
    startedMs: undefined,
    firstTokenMs: undefined,
    promptLogprobs: job.request.echo === true && job.request.topLogprobs !== undefined ? [null] : undefined,
    cancelled: false,
  }
}

/** Tells sets of adapters apart; empty for the base alone. The order in which they were named makes no difference. */
function keyOf(adapters: Job['adapters']): string {
  return adapters
    .map(({ id, scale }) => `${id}@${scale}`)
    .sort()
    .join('+')
}

/** @throws HubError invalid_request when the grammar does not parse */
export function createSequence(
  model: Model,
  candidates: Candidates,
  run: Run,
  choice: number,
  arrival: number,
): Sequence {
  const { request } = run
  const { seed } = request.sampling
  return {
    run,
    choice,
    tokens: [...run.prompt],
    generated: 0,
    healed: 0,
    sampler: new Sampler(model, candidates, {
      sampling: seed === undefined ? request.sampling : { ...request.sampling, seed: seed + choice },
      grammar: run.grammar,
      infill: run.infill,
      ignoreEos: request.ignoreEos === true,
    }),
    text: new TextStream({
      parser: run.createParser(),
      stops: run.stops,
      ...(request.minIndent !== undefined && { minIndent: request.minIndent }),
    }),
    inReasoning: false,
    arrival,
    primed: false,
    deadlineMs: undefined,
    cut: run.cut,
  }
}

/** Samples the sequence's next token from the logits at `output`; `ended` tells that it was the last, and why. */
export function sampleNext(
  model: Model,
  context: Context,
  sequence: Sequence,
  output: number,
  now: number,
): { ended?: 'stop' | 'length'; event?: GenerateEvent } {
  const { run } = sequence
  const { request } = run
  sequence.deadlineMs ??= request.maxGenerateMs === undefined ? undefined : now + request.maxGenerateMs
  const logits = logitsRow(model.native, context.pointer, output, model.vocabularySize)
  // The row is read before penalties and biases change it.
  const row = request.topLogprobs === undefined ? undefined : distribution(logits, request.topLogprobs)
  const token =
    sequence.cut.bytes.length > 0
      ? sequence.sampler.take(agreeing(model, logits, sequence.cut))
      : sequence.sampler.sample(logits, context.pointer, output)
  // A complete grammar leaves nothing but the end, and a contradiction between grammar and biases leaves nothing at all.
  if (token === undefined) return { ended: 'stop' }
  sequence.generated++
  run.usage.completionTokens++
  if (model.endsGeneration(token) && request.ignoreEos !== true) return { ended: 'stop' }
  sequence.tokens.push(token)
  const whole = model.piece(token, run.preserved.has(token))
  const piece = whole.subarray(Math.min(whole.length, sequence.cut.bytes.length))
  if (sequence.cut.bytes.length > 0) {
    sequence.cut = afterToken(model, sequence.cut, token)
    if (piece.length === 0) sequence.healed++
  }
  const event = deltaEvent(sequence, sequence.text.push(token, piece, row && tokenLogprob(model, token, row)))
  const ended = reasonToEnd(sequence, context.sequenceTokens, now)
  return { ...(ended && { ended }), ...(event && { event }) }
}

function reasonToEnd(sequence: Sequence, contextTokens: number, now: number): 'stop' | 'length' | undefined {
  if (sequence.text.stopped !== undefined) return 'stop'
  if (sequence.generated - sequence.healed === sequence.run.request.maxTokens) return 'length'
  if (sequence.tokens.length > contextTokens) return 'length'
  return sequence.deadlineMs !== undefined && now >= sequence.deadlineMs ? 'length' : undefined
}

export function startEvent(model: Model, run: Run): GenerateEvent {
  const { promptTokens, cachedTokens } = run.usage
  const { prompt } = run.request
  const text = prompt.type === 'text' ? prompt.text : model.detokenize(run.prompt)
  return {
    type: 'start',
    id: run.id,
    promptTokens,
    cachedTokens,
    ...(run.request.echo === true && { echo: { text, ...(run.promptLogprobs && { logprobs: run.promptLogprobs }) } }),
  }
}

/** undefined when everything was held back. */
function deltaEvent(sequence: Sequence, delta: TextDelta): GenerateEvent | undefined {
  const { run } = sequence
  if (delta.reasoning !== '') sequence.inReasoning = true
  else if (delta.content !== '' || delta.toolCalls.length > 0) sequence.inReasoning = false
  if (sequence.inReasoning) run.usage.reasoningTokens += delta.tokens.length
  if (delta.content === '' && delta.reasoning === '' && delta.toolCalls.length === 0 && delta.logprobs.length === 0) {
    return undefined
  }
  return {
    type: 'delta',
    id: run.id,
    choice: sequence.choice,
    ...(delta.content !== '' && { content: delta.content }),
    ...(delta.reasoning !== '' && { reasoning: delta.reasoning }),
    ...(delta.toolCalls.length > 0 && { toolCalls: delta.toolCalls }),
    ...(delta.logprobs.length > 0 && { logprobs: delta.logprobs }),
    tokens: delta.tokens,
  }
}

/** What was held back, and the end of the choice. */
export function endEvents(sequence: Sequence, reason: 'stop' | 'length'): GenerateEvent[] {
  const { run, text, choice } = sequence
  const last = deltaEvent(sequence, text.end())
  const finishReason: FinishReason = reason === 'stop' && text.calledTool ? 'tool_calls' : reason
  const stop = text.stopped === undefined || text.stopped === '' ? undefined : text.stopped
  return [
    ...(last ? [last] : []),
    { type: 'end', id: run.id, choice, finishReason, ...(stop !== undefined && { stop }) },
  ]
}

export function doneEvent(run: Run, now: number): GenerateEvent {
  const startedMs = run.startedMs ?? run.receivedMs
  const firstTokenMs = run.firstTokenMs ?? now
  const promptCount = run.usage.promptTokens - run.usage.cachedTokens
  const promptMs = firstTokenMs - startedMs
  const predictedMs = now - firstTokenMs
  const rate = (count: number, ms: number) => (ms > 0 ? (count * 1000) / ms : 0)
  return {
    type: 'done',
    id: run.id,
    usage: run.usage,
    timings: {
      queue_ms: startedMs - run.receivedMs,
      prompt_n: promptCount,
      prompt_ms: promptMs,
      prompt_per_second: rate(promptCount, promptMs),
      predicted_n: run.usage.completionTokens,
      predicted_ms: predictedMs,
      // The first token comes with the prompt.
      predicted_per_second: rate(Math.max(0, run.usage.completionTokens - 1), predictedMs),
      cache_n: run.usage.cachedTokens,
    },
  }
}
