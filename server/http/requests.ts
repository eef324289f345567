/** The recent requests to models: when, which model, how many tokens, how fast and how it ended; nothing of their text. In memory only. */
import { randomUUID } from 'node:crypto'
import { HubError } from '../lib/error.ts'
import type { Lease, Models } from '../models/models.ts'
import { RequestList, type RequestOut } from '../wire/requests.ts'
import type { Answer, Ask, GenerateEvent } from '../wire/worker.ts'
import { type Route, route } from './route.ts'

/** The older ones are forgotten. */
export const MOST_REQUESTS = 500

export type RequestLogDeps = {
  /** Unix milliseconds. */
  now(): number
  /** Told of each that has ended. */
  ended(request: RequestOut): void
}

export type RequestLog = {
  /** A request begins; its signal tells it from others wherever a model is asked on its behalf. The result ends it. */
  begin(about: { id: string; endpoint: string }, signal: AbortSignal): (error?: HubError) => void
  /** Models that note which request uses them and how fast they answer it. */
  watch(models: Models): Models
  /** Models for a door without requests of its own: each use is one of `endpoint`. */
  watchUses(models: Models, endpoint: string): Models
  /** The latest first. */
  list(): RequestOut[]
}

type Open = {
  id: string
  endpoint: string
  atMs: number
  model?: string
  heldMs?: number
  firstMs?: number
  /** Until the generation is done, what its events told. */
  promptTokens: number
  cachedTokens: number
  completionTokens: number
  predicted: { tokens: number; ms: number }
  generated: boolean
}

export function createRequestLog(deps: RequestLogDeps): RequestLog {
  const { now } = deps
  const recent: RequestOut[] = []
  const open = new WeakMap<AbortSignal, Open>()

  function start(id: string, endpoint: string): Open {
    return {
      id,
      endpoint,
      atMs: now(),
      promptTokens: 0,
      cachedTokens: 0,
      completionTokens: 0,
      predicted: { tokens: 0, ms: 0 },
      generated: false,
    }
  }

  function end(request: Open, error: HubError | undefined): void {
    const { id, endpoint, atMs, model, heldMs, firstMs, generated, predicted } = request
    const told: RequestOut = {
      id,
      at_ms: atMs,
      endpoint,
      status: error?.status ?? 200,
      cancelled: error?.code === 'cancelled',
      ms: now() - atMs,
      ...(model !== undefined && { model }),
      ...(error !== undefined && { error: error.code }),
      ...(heldMs !== undefined && { wait_ms: heldMs - atMs }),
      ...(firstMs !== undefined && { first_token_ms: firstMs - atMs }),
      ...(generated && {
        prompt_tokens: request.promptTokens,
        cached_tokens: request.cachedTokens,
        completion_tokens: request.completionTokens,
      }),
      ...(predicted.ms > 0 && { tokens_per_second: (predicted.tokens * 1000) / predicted.ms }),
    }
    recent.push(told)
    if (recent.length > MOST_REQUESTS) recent.shift()
    deps.ended(told)
  }

  /** The events as they are, with their figures taken down. */
  async function* noted(events: AsyncIterable<GenerateEvent>, request: Open): AsyncGenerator<GenerateEvent, void> {
    request.generated = true
    /** Of this one generation of several. */
    let counted = 0
    for await (const event of events) {
      if (event.type === 'start') {
        request.promptTokens += event.promptTokens
        request.cachedTokens += event.cachedTokens
      } else if (event.type === 'delta') {
        request.firstMs ??= now()
        counted += event.tokens?.length ?? 0
        request.completionTokens += event.tokens?.length ?? 0
      } else if (event.type === 'done') {
        // What was held back at the end is in no delta.
        request.completionTokens += event.usage.completionTokens - counted
        // The first token comes out of the prompt's evaluation.
        request.predicted.tokens += Math.max(0, event.timings.predicted_n - 1)
        request.predicted.ms = Math.max(request.predicted.ms, event.timings.predicted_ms)
      }
      yield event
    }
  }

  const watched = (lease: Lease, request: Open): Lease => ({
    ...lease,
    generate: (asked, signal) => noted(lease.generate(asked, signal), request),
    async ask<T extends keyof Answer>(asked: Extract<Ask, { type: T }>, signal: AbortSignal): Promise<Answer[T]> {
      const answer = await lease.ask<T>(asked, signal)
      if ('vectors' in answer) {
        request.generated = true
        request.promptTokens += answer.tokens.reduce((sum, count) => sum + count, 0)
      }
      return answer
    },
  })

  /** Holds the model; the request bears its name whether it comes or not. @throws HubError as Models.acquire */
  async function hold(models: Models, id: string, signal: AbortSignal, request: Open): Promise<Lease> {
    try {
      const lease = await models.acquire(id, signal)
      request.model = lease.model.id
      request.heldMs = now()
      return lease
    } catch (thrown) {
      const name = nameOf(models, id)
      if (name !== undefined) request.model = name
      throw thrown
    }
  }

  return {
    begin({ id, endpoint }, signal) {
      const request = start(id, endpoint)
      open.set(signal, request)
      return error => end(request, error)
    },
    watch: models => ({
      ...models,
      async acquire(id, signal) {
        const request = open.get(signal)
        if (request === undefined) return models.acquire(id, signal)
        return watched(await hold(models, id, signal, request), request)
      },
    }),
    watchUses: (models, endpoint) => ({
      ...models,
      async acquire(id, signal) {
        const request = start(`use_${randomUUID().replaceAll('-', '')}`, endpoint)
        let failure: HubError | undefined
        const lease = await hold(models, id, signal, request).catch((thrown: unknown) => {
          end(request, HubError.from(thrown))
          throw thrown
        })
        const inner = watched(lease, request)
        return {
          ...inner,
          async *generate(asked, abort) {
            try {
              yield* inner.generate(asked, abort)
            } catch (thrown) {
              failure = HubError.from(thrown)
              throw thrown
            }
          },
          release() {
            lease.release()
            // Who only looked at the model asked it nothing.
            if (request.generated) end(request, failure)
          },
        }
      },
    }),
    list: () => recent.toReversed(),
  }
}

function nameOf(models: Models, id: string): string | undefined {
  try {
    return models.get(id).file.id
  } catch {
    return undefined
  }
}

export function requestRoutes(deps: { requests: Pick<RequestLog, 'list'> }): Route[] {
  return [
    route({
      method: 'GET',
      path: '/v1/system/requests',
      summary: 'The latest requests to models in figures, without their text',
      tag: 'Hub',
      scope: 'use',
      response: RequestList,
      handler: () => ({ object: 'list' as const, data: deps.requests.list() }),
    }),
  ]
}
