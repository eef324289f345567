/** The command line's side of the hub's HTTP API: just the calls that its commands make. */
import { openAsBlob } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { basename } from 'node:path'
import { Readable } from 'node:stream'
import type { ReadableStream } from 'node:stream/web'
import * as z from 'zod'
import { type ErrorCode, HubError, STATUS } from '../lib/error.ts'
import { FileOut } from '../wire/files.ts'
import { ModelStatusOut } from '../wire/system.ts'

/** What a streamed answer is made of; loose, since a newer hub may say more. */
const Chunk = z.looseObject({
  choices: z.array(
    z.looseObject({
      delta: z.looseObject({ content: z.string().nullish(), reasoning_content: z.string().nullish() }).optional(),
      finish_reason: z.string().nullish(),
    }),
  ),
  timings: z.looseObject({ predicted_n: z.number(), predicted_per_second: z.number() }).nullish(),
})
const ErrorAnswer = z.looseObject({ error: z.looseObject({ message: z.string(), code: z.string().nullish() }) })
const ModelRows = z.object({
  data: z.array(
    ModelStatusOut.pick({ id: true, folder: true, state: true, bytes: true, error: true, facts: true, toy: true }),
  ),
})
export type ListedModel = z.infer<typeof ModelRows>['data'][number]

export type Message = { role: 'system' | 'user' | 'assistant'; content: string }
export type AnswerPart =
  | { type: 'content'; text: string }
  | { type: 'reasoning'; text: string }
  | { type: 'end'; finishReason: string | undefined; tokens?: number; tokensPerSecond?: number }

type Fetch = typeof fetch

/** A hub, and what this user's programs show to it. */
export type HubAddress = { url: string; token?: string | undefined }

/** Models of the running hub with their state, as GET /v1/models/status gives them. @throws HubError */
export async function fetchModels(hub: HubAddress, fetchUrl: Fetch = fetch): Promise<ListedModel[]> {
  const response = await fetchUrl(`${hub.url}/v1/models/status`, { headers: authorization(hub) })
  return ModelRows.parse(await readJson(response)).data
}

/** Streams one answer; aborting the signal ends it by an AbortError. @throws HubError with the hub's own message */
export async function* streamChat(
  hub: HubAddress,
  request: { model: string; messages: readonly Message[] },
  signal: AbortSignal,
  fetchUrl: Fetch = fetch,
): AsyncGenerator<AnswerPart> {
  const response = await fetchUrl(`${hub.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...authorization(hub) },
    body: JSON.stringify({ ...request, stream: true }),
    signal,
  })
  if (!response.ok || response.body === null) {
    await readJson(response)
    throw new HubError('internal', `The hub answered with status ${response.status} and no text.`)
  }
  let finishReason: string | undefined
  let timings: z.infer<typeof Chunk>['timings']
  for await (const data of readEvents(response.body)) {
    if (data === '[DONE]') break
    const value: unknown = JSON.parse(data)
    const failure = ErrorAnswer.safeParse(value)
    if (failure.success) throw new HubError('internal', failure.data.error.message)
    const chunk = Chunk.parse(value)
    timings = chunk.timings ?? timings
    const choice = chunk.choices[0]
    finishReason = choice?.finish_reason ?? finishReason
    if (choice?.delta?.reasoning_content) yield { type: 'reasoning', text: choice.delta.reasoning_content }
    if (choice?.delta?.content) yield { type: 'content', text: choice.delta.content }
  }
  yield {
    type: 'end',
    finishReason,
    ...(timings && { tokens: timings.predicted_n, tokensPerSecond: timings.predicted_per_second }),
  }
}

/** The data of each server-sent event, comments left out; events may be cut anywhere in the bytes. */
export async function* readEvents(body: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const bytes of body) {
    rest += decoder.decode(bytes, { stream: true })
    const events = rest.split(/\r?\n\r?\n/)
    rest = events.pop() ?? ''
    for (const event of events) {
      const data = event
        .split(/\r?\n/)
        .filter(line => line.startsWith('data:'))
        .map(line => line.slice(line[5] === ' ' ? 6 : 5))
      if (data.length > 0) yield data.join('\n')
    }
  }
}

/** Asks the hub and gives its JSON, however long that takes. @throws HubError with the hub's own code and message */
export async function callHub(
  hub: HubAddress,
  method: 'GET' | 'POST' | 'DELETE',
  path: string,
  body?: unknown,
  signal?: AbortSignal,
): Promise<unknown> {
  const json = body === undefined ? undefined : JSON.stringify(body)
  const answer = Promise.withResolvers<{ status: number; text: string }>()
  // Not fetch, which gives an answer up after five minutes.
  const request = httpRequest(
    hub.url + path,
    {
      method,
      headers: {
        ...authorization(hub),
        ...(json !== undefined && { 'content-type': 'application/json', 'content-length': Buffer.byteLength(json) }),
      },
      ...(signal !== undefined && { signal }),
    },
    response => {
      const text = new Response(Readable.toWeb(response) as ReadableStream<Uint8Array>).text()
      text.then(text => answer.resolve({ status: response.statusCode ?? 500, text }), answer.reject)
    },
  )
  request.on('error', answer.reject)
  request.end(json)
  try {
    const { status, text } = await answer.promise
    return readAnswer(status, text)
  } catch (thrown) {
    if (thrown instanceof HubError) throw thrown
    if (signal?.aborted) throw new HubError('cancelled', 'Stopped.')
    throw hubGone(thrown)
  }
}

/** What is said when a connection to the hub broke. */
export function hubGone(cause: unknown): HubError {
  return new HubError('shutting_down', 'The hub has ended. Start it again with "ai-hub serve".', { cause })
}

/**
 * Copies a file to the hub, which reads no place outside its home. @returns the id of the upload
 * @throws HubError with the hub's own code and message
 */
export async function uploadFile(hub: HubAddress, path: string, signal: AbortSignal): Promise<string> {
  const form = new FormData()
  form.set('purpose', 'fine-tune')
  form.set('file', await openAsBlob(path), basename(path))
  let response: Response
  try {
    response = await fetch(`${hub.url}/v1/files`, { method: 'POST', headers: authorization(hub), body: form, signal })
  } catch (thrown) {
    if (signal.aborted) throw new HubError('cancelled', 'Stopped.')
    throw hubGone(thrown)
  }
  return FileOut.parse(await readJson(response)).id
}

/** The header that opens the hub of this home, whether or not it asks others for a key. */
export function authorization({ token }: HubAddress): { authorization?: string } {
  return token === undefined ? {} : { authorization: `Bearer ${token}` }
}

async function readJson(response: Response): Promise<unknown> {
  return readAnswer(response.status, await response.text())
}

function readAnswer(status: number, text: string): unknown {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new HubError('internal', `The hub answered with status ${status} and something that is not JSON.`)
  }
  if (status >= 200 && status < 300) return value
  const { code, message } = ErrorAnswer.safeParse(value).data?.error ?? {}
  throw new HubError(
    isCode(code) ? code : status < 500 ? 'invalid_request' : 'internal',
    message ?? `The hub answered with status ${status}.`,
  )
}

const isCode = (code: unknown): code is ErrorCode => typeof code === 'string' && Object.hasOwn(STATUS, code)
