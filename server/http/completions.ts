/** POST /v1/completions: text in, text on. Several prompts run side by side on one lease. */
import { randomUUID } from 'node:crypto'
import { HubError } from '../lib/error.ts'
import type { Lease } from '../models/models.ts'
import { CompletionChunk, type CompletionLogprobs, CompletionRequest, CompletionResponse } from '../wire/completions.ts'
import type { ModelFile } from '../wire/model.ts'
import type { Generate, GenerateEvent, Prompt, Timings, TokenLogprob, Usage } from '../wire/worker.ts'
import {
  checkGenerate,
  type EndpointDeps,
  joinTimings,
  toEngine,
  toFormat,
  toSampling,
  toStop,
  toUsage,
  unfinished,
  unixSeconds,
  variantOf,
  withLease,
} from './generate.ts'
import { type Route, route } from './route.ts'
import type { Sse } from './sse.ts'

/** Choices of one request, all prompts together. */
const MAX_CHOICES = 128

export function completionRoutes(deps: EndpointDeps): Route[] {
  return [
    route({
      method: 'POST',
      path: '/v1/completions',
      summary: 'Go on with a text, or fill the gap before a suffix',
      tag: 'OpenAI',
      scope: 'use',
      asksModel: true,
      request: CompletionRequest,
      response: CompletionResponse,
      chunk: CompletionChunk,
      async handler({ body, signal, stream }) {
        const prepare = toGenerates(body)
        const head = { id: `cmpl-${randomUUID().replaceAll('-', '')}`, created: unixSeconds() }
        const sse = body.stream === true ? stream() : undefined
        return withLease(deps.models, variantOf(deps, body.model, body), signal, async lease => {
          const requests = prepare(lease.model)
          for (const request of requests) checkGenerate(lease, request, { prompt: 'prompt', suffix: 'suffix' })
          const full = { ...head, model: lease.model.id, includeUsage: body.stream_options?.include_usage === true }
          if (sse === undefined) return collect(lease, requests, signal, full)
          await streamAll(lease, requests, signal, sse, full)
          return sse
        })
      },
    }),
  ]
}

type Head = { id: string; created: number; model: string; includeUsage: boolean }

/** One request of the worker per prompt. @throws HubError naming the parameter */
export function toGenerates(body: CompletionRequest): (file: ModelFile) => Generate[] {
  if (body.stream_options && body.stream !== true) {
    throw new HubError('invalid_request', "'stream_options' goes with stream: true only.", { param: 'stream_options' })
  }
  const n = body.n ?? 1
  if (typeof body.best_of === 'number' && body.best_of !== n) {
    throw new HubError('unsupported_parameter', "'best_of' is supported only where it equals n.", { param: 'best_of' })
  }
  const prompts = toPrompts(body)
  if (prompts.length * n > MAX_CHOICES) {
    throw new HubError('invalid_request', `Prompts times n may be ${MAX_CHOICES} at most; send several requests.`, {
      param: 'n',
    })
  }
  return file =>
    prompts.map(prompt => ({
      prompt,
      format: toFormat(body.grammar, { type: 'text' }),
      sampling: toSampling(body, file),
      maxTokens: body.max_tokens ?? 16,
      stop: toStop(body.stop),
      n,
      ...(typeof body.logprobs === 'number' && { topLogprobs: body.logprobs }),
      ...(body.echo === true && { echo: true }),
      ...toEngine(body),
    }))
}

function toPrompts(body: CompletionRequest): Prompt[] {
  const { suffix } = body
  const prompt = body.prompt ?? ''
  const list: (string | number[])[] =
    typeof prompt === 'string' ? [prompt] : typeof prompt[0] === 'number' ? [prompt as number[]] : (prompt as string[])
  if (suffix !== null && suffix !== undefined && body.echo === true) {
    throw new HubError('invalid_request', "'echo' and 'suffix' exclude each other.", { param: 'echo' })
  }
  return list.map((one): Prompt => {
    if (typeof suffix === 'string') {
      if (typeof one === 'string') return { type: 'infill', prefix: one, suffix, prompt: '', extra: [] }
      throw new HubError('invalid_request', "'suffix' needs the prompt as text, not as token ids.", { param: 'suffix' })
    }
    return typeof one === 'string' ? { type: 'text', text: one, special: true } : { type: 'tokens', tokens: one }
  })
}

type Finish = 'stop' | 'length'
/** Completions know no tool calls. */
const toFinish = (reason: string): Finish => (reason === 'length' ? 'length' : 'stop')

/** Log probabilities of a choice, grown piece by piece; offsets count the characters of the text so far. */
class LogprobWriter {
  #offset = 0

  add(tokens: readonly (TokenLogprob | null)[], text: string): CompletionLogprobs {
    const known = tokens.reduce((sum, one) => sum + (one === null ? 0 : one.token.length), 0)
    const piece: CompletionLogprobs = { tokens: [], token_logprobs: [], top_logprobs: [], text_offset: [] }
    for (const one of tokens) {
      // Only the first token of an echoed prompt has no log probability: its text is what the others leave.
      const token = one === null ? text.slice(0, Math.max(0, text.length - known)) : one.token
      piece.tokens.push(token)
      piece.token_logprobs.push(one === null ? null : one.logprob)
      piece.top_logprobs.push(
        one === null
          ? null
          : Object.fromEntries([...one.top, one].map(({ token, logprob }): [string, number] => [token, logprob])),
      )
      piece.text_offset.push(this.#offset)
      this.#offset += [...token].length
    }
    return piece
  }
}

type Collected = { text: string; logprobs: CompletionLogprobs; writer: LogprobWriter; finish: Finish }

async function collect(
  lease: Lease,
  requests: Generate[],
  signal: AbortSignal,
  head: Head,
): Promise<CompletionResponse> {
  const all = await together(requests, signal, async (request, inner) => {
    const choices = Array.from(
      { length: request.n },
      (): Collected => ({
        text: '',
        logprobs: { tokens: [], token_logprobs: [], top_logprobs: [], text_offset: [] },
        writer: new LogprobWriter(),
        finish: 'stop',
      }),
    )
    const add = (choice: Collected, text: string, logprobs: readonly (TokenLogprob | null)[] | undefined): void => {
      choice.text += text
      if (logprobs === undefined) return
      const piece = choice.writer.add(logprobs, text)
      for (const key of ['tokens', 'token_logprobs', 'top_logprobs', 'text_offset'] as const) {
        ;(choice.logprobs[key] as unknown[]).push(...piece[key])
      }
    }
    for await (const event of lease.generate(request, inner)) {
      if (event.type === 'start' && event.echo !== undefined) {
        for (const choice of choices) add(choice, event.echo.text, event.echo.logprobs)
      } else if (event.type === 'delta') add(choices[event.choice]!, textOf(event), event.logprobs)
      else if (event.type === 'end') choices[event.choice]!.finish = toFinish(event.finishReason)
      else if (event.type === 'done') {
        return { choices, usage: event.usage, timings: event.timings, logprobs: request.topLogprobs !== undefined }
      }
    }
    throw unfinished()
  })
  return {
    id: head.id,
    object: 'text_completion',
    created: head.created,
    model: head.model,
    choices: all
      .flatMap(one => one.choices.map(choice => ({ choice, logprobs: one.logprobs })))
      .map(({ choice, logprobs }, index) => ({
        index,
        text: choice.text,
        logprobs: logprobs ? choice.logprobs : null,
        finish_reason: choice.finish,
      })),
    usage: toUsage(all.map(one => one.usage)),
    timings: joinTimings(all.map(one => one.timings)),
  }
}

async function streamAll(lease: Lease, requests: Generate[], signal: AbortSignal, sse: Sse, head: Head): Promise<void> {
  const prefix = `{"id":${JSON.stringify(head.id)},"object":"text_completion","created":${head.created},"model":${JSON.stringify(head.model)},"choices":[`
  const tail = head.includeUsage ? '],"usage":null' : ']'
  const frame = (index: number, text: string, logprobs: string, finish: string, extra = ''): string =>
    `data: ${prefix}{"index":${index},"text":${JSON.stringify(text)},"logprobs":${logprobs},"finish_reason":${finish}}${tail}${extra}}\n\n`
  // The very last finish chunk waits for the timings.
  let held: ((extra: string) => string) | undefined
  const finished = await together(requests, signal, async (request, inner, at) => {
    const writers = Array.from({ length: request.n }, () => new LogprobWriter())
    const piece = (choice: number, text: string, logprobs: readonly (TokenLogprob | null)[] | undefined): string => {
      const written = logprobs === undefined ? 'null' : JSON.stringify(writers[choice]!.add(logprobs, text))
      return frame(at * request.n + choice, text, written, 'null')
    }
    for await (const event of lease.generate(request, inner)) {
      if (event.type === 'delta') {
        const text = textOf(event)
        if (text === '' && event.logprobs === undefined) continue
        const wait = sse.frame(piece(event.choice, text, event.logprobs))
        if (wait !== undefined) await wait
      } else if (event.type === 'start' && event.echo !== undefined) {
        for (let choice = 0; choice < request.n; choice++) {
          sse.frame(piece(choice, event.echo.text, event.echo.logprobs))
        }
      } else if (event.type === 'end') {
        if (held !== undefined) sse.frame(held(''))
        const index = at * request.n + event.choice
        const finish = `"${toFinish(event.finishReason)}"`
        held = extra => frame(index, '', 'null', finish, extra)
      } else if (event.type === 'done') return { usage: event.usage, timings: event.timings }
    }
    throw unfinished()
  })
  const timings = `,"timings":${JSON.stringify(joinTimings(finished.map(one => one.timings)))}`
  let text = held?.(head.includeUsage ? '' : timings) ?? ''
  if (head.includeUsage) {
    const usage = JSON.stringify(toUsage(finished.map(one => one.usage)))
    text += `data: ${prefix}],"usage":${usage}${timings}}\n\n`
  }
  sse.frame(`${text}data: [DONE]\n\n`)
}

/** A raw continuation has no separate reasoning: whatever the model wrote is its text. */
function textOf(event: Extract<GenerateEvent, { type: 'delta' }>): string {
  return (event.reasoning ?? '') + (event.content ?? '')
}

/** Runs the generations side by side; when one fails, the others are stopped and waited for. */
async function together<T extends { usage: Usage; timings: Timings }>(
  requests: readonly Generate[],
  signal: AbortSignal,
  run: (request: Generate, signal: AbortSignal, at: number) => Promise<T>,
): Promise<T[]> {
  const failed = new AbortController()
  const inner = AbortSignal.any([signal, failed.signal])
  let reason: unknown
  const settled = await Promise.allSettled(
    requests.map((request, at) =>
      run(request, inner, at).catch((error: unknown) => {
        reason ??= error
        failed.abort()
        throw error
      }),
    ),
  )
  if (reason !== undefined) throw reason
  return settled.flatMap(one => (one.status === 'fulfilled' ? [one.value] : []))
}
