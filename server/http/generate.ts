/** From the parameters that several endpoints share to the worker's request, and from its usage back. */
import { HubError } from '../lib/error.ts'
import type { Lease, Models } from '../models/models.ts'
import { messageKey, userKey } from '../training/ab_test.ts'
import type { EngineParams, SamplingParams, Stop, UsageOut } from '../wire/common.ts'
import type { ModelFile, SamplingDefaults } from '../wire/model.ts'
import type { Format, Generate, GenerateEvent, Sampling, Timings, Usage } from '../wire/worker.ts'

export type Purpose = 'chat' | 'code' | 'embedding'

export type EndpointDeps = {
  models: Models
  /** The model for a request that names none; undefined when there is none fit for the purpose. */
  defaultModel(purpose: Purpose): string | undefined
  /** The model that answers a request to `id`, where that is the name of an A/B test; `key` keeps a conversation with one of the two. */
  resolveModel?(id: string, key: string | undefined): string
  /** Names of running A/B tests, with the Unix seconds since when. */
  splitNames?(): { id: string; created: number }[]
}

/** Unix seconds, as OpenAI's `created`. */
export const unixSeconds = (): number => Math.floor(Date.now() / 1000)

/** Holds the model while `use` runs, whatever becomes of it. */
export async function withLease<T>(
  models: Pick<Models, 'acquire'>,
  id: string,
  signal: AbortSignal,
  use: (lease: Lease) => Promise<T>,
): Promise<T> {
  const lease = await models.acquire(id, signal)
  try {
    return await use(lease)
  } finally {
    lease.release()
  }
}

/** @throws HubError invalid_request when no model is named and none can stand in */
export function modelOr(deps: EndpointDeps, named: string | null | undefined, purpose: Purpose): string {
  const id = named ?? deps.defaultModel(purpose)
  if (id === undefined) {
    throw new HubError('invalid_request', "Name a model in 'model': there is none that could be chosen by itself.", {
      param: 'model',
    })
  }
  return id
}

type Labels = {
  user?: string | null | undefined
  prompt_cache_key?: string | null | undefined
  safety_identifier?: string | null | undefined
}

/** What the request names, or the variant that an A/B test of this name gives its conversation. */
export function variantOf(deps: EndpointDeps, id: string, labels: Labels, firstMessage?: string | null): string {
  const user = labels.user || labels.prompt_cache_key || labels.safety_identifier
  const key = user ? userKey(user) : firstMessage ? messageKey(firstMessage) : undefined
  return deps.resolveModel?.(id, key) ?? id
}

/** Sampling of the request, else of the model's card; what neither names is left to the engine. */
export function toSampling(params: SamplingParams, file: ModelFile): Sampling {
  const card: SamplingDefaults = file.sidecar.sampling ?? {}
  const sampling: Sampling = {}
  const set = <K extends keyof Sampling>(key: K, value: Sampling[K] | null | undefined): void => {
    if (value !== null && value !== undefined) sampling[key] = value
  }
  set('temperature', params.temperature ?? card.temperature)
  set('topK', params.top_k ?? card.top_k)
  set('topP', params.top_p ?? card.top_p)
  set('minP', params.min_p ?? card.min_p)
  set('repeatPenalty', params.repeat_penalty ?? card.repeat_penalty)
  set('frequencyPenalty', params.frequency_penalty ?? card.frequency_penalty)
  set('presencePenalty', params.presence_penalty ?? card.presence_penalty)
  set('typicalP', params.typical_p)
  set('topNSigma', params.top_n_sigma)
  set('xtcProbability', params.xtc_probability)
  set('xtcThreshold', params.xtc_threshold)
  set('repeatLastN', params.repeat_last_n)
  set('dryMultiplier', params.dry_multiplier)
  set('dryBase', params.dry_base)
  set('dryAllowedLength', params.dry_allowed_length)
  set('dryPenaltyLastN', params.dry_penalty_last_n)
  set('drySequenceBreakers', params.dry_sequence_breakers)
  const bias = Object.entries(params.logit_bias ?? {})
  if (bias.length > 0) sampling.logitBias = bias.map(([token, value]) => [Number(token), value])
  const { seed } = params
  // -1 is what llama.cpp's users write for a random one; the engine's seeds have 32 bits.
  if (seed !== null && seed !== undefined && seed !== -1) sampling.seed = Number(BigInt.asUintN(32, BigInt(seed)))
  return sampling
}

/** The engine's own parameters, without the grammar. */
export function toEngine(
  params: EngineParams,
): Pick<Generate, 'cachePrompt' | 'adapters'> & Partial<Pick<Generate, 'ignoreEos' | 'maxGenerateMs' | 'ownScale'>> {
  return {
    cachePrompt: params.cache_prompt ?? true,
    adapters: (params.adapters ?? []).map(({ name, scale }) => ({ name, scale })),
    ...(typeof params.lora_scale === 'number' && { ownScale: params.lora_scale }),
    ...(params.ignore_eos === true && { ignoreEos: true }),
    ...(params.t_max_predict_ms ? { maxGenerateMs: params.t_max_predict_ms } : {}),
  }
}

export function toStop(stop: Stop): string[] {
  return stop === null || stop === undefined ? [] : typeof stop === 'string' ? [stop] : stop
}

/** The format that a grammar asks for, else the other one. @throws HubError when both constrain the text */
export function toFormat(grammar: string | null | undefined, other: Format): Format {
  if (grammar === null || grammar === undefined) return other
  if (other.type !== 'text') {
    throw new HubError('invalid_request', "'grammar' and a JSON format exclude each other; send one of them.", {
      param: 'grammar',
    })
  }
  return { type: 'grammar', grammar }
}

/** Refuses what this very model cannot do. @throws HubError invalid_request */
export function checkGenerate(lease: Lease, request: Generate, names: { prompt: string; suffix?: string }): void {
  const { model, info } = lease
  if (!info.canGenerate) {
    throw new HubError('invalid_request', `Model '${model.id}' gives embeddings only; it cannot write text.`, {
      param: 'model',
    })
  }
  const { prompt, sampling } = request
  if (prompt.type === 'infill' && !info.hasFim) {
    throw new HubError(
      'invalid_request',
      `Model '${model.id}' has no fill-in-the-middle tokens. Choose a code model whose facts say fim.`,
      { param: names.suffix ?? names.prompt },
    )
  }
  if (prompt.type === 'tokens') checkTokens(lease, prompt.tokens, names.prompt)
  const unknown = sampling.logitBias?.find(([token]) => token >= info.vocabularySize)
  if (unknown !== undefined) throw badToken(lease, unknown[0], 'logit_bias')
}

/** @throws HubError invalid_request for a token that the model does not have */
export function checkTokens(lease: Lease, tokens: readonly number[], param: string): void {
  const unknown = tokens.find(token => token >= lease.info.vocabularySize)
  if (unknown !== undefined) throw badToken(lease, unknown, param)
}

function badToken(lease: Lease, token: number, param: string): HubError {
  return new HubError(
    'invalid_request',
    `Token ${token} is not one of model '${lease.model.id}': its ids end at ${lease.info.vocabularySize - 1}.`,
    { param },
  )
}

/** Usage of one or several generations in OpenAI's form. */
export function toUsage(usages: readonly Usage[]): UsageOut {
  const sum = (key: keyof Usage): number => usages.reduce((total, usage) => total + usage[key], 0)
  const prompt = sum('promptTokens')
  const completion = sum('completionTokens')
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    prompt_tokens_details: { cached_tokens: sum('cachedTokens') },
    completion_tokens_details: { reasoning_tokens: sum('reasoningTokens') },
  }
}

/** The timings of several generations that ran side by side: counts add up, the longest time counts. */
export function joinTimings(all: readonly Timings[]): Timings {
  const sum = (key: keyof Timings): number => all.reduce((total, one) => total + one[key], 0)
  const most = (key: keyof Timings): number => all.reduce((top, one) => Math.max(top, one[key]), 0)
  const only = all.length === 1 ? all[0] : undefined
  if (only !== undefined) return only
  const [promptN, promptMs] = [sum('prompt_n'), most('prompt_ms')]
  const [predictedN, predictedMs] = [sum('predicted_n'), most('predicted_ms')]
  const rate = (count: number, ms: number): number => (ms > 0 ? (count * 1000) / ms : 0)
  return {
    queue_ms: most('queue_ms'),
    prompt_n: promptN,
    prompt_ms: promptMs,
    prompt_per_second: rate(promptN, promptMs),
    predicted_n: predictedN,
    predicted_ms: predictedMs,
    predicted_per_second: rate(predictedN, predictedMs),
    cache_n: sum('cache_n'),
  }
}

export type Done = Extract<GenerateEvent, { type: 'done' }>

/** The end of a stream of events that broke off without one. */
export function unfinished(): HubError {
  return new HubError('worker_crashed', 'The model stopped before the answer was complete. Try again.')
}
