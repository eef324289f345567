/** One streamed completion, timed; kept lean, because the driver shares the processors with the servers it measures. */
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http'

export type Timing = {
  /** From sending the request to the first event with text, ms. */
  firstTokenMs: number
  /** From sending the request to the end of the stream, ms. */
  totalMs: number
  /** performance.now() at sending and at the end. */
  startedAt: number
  endedAt: number
  completionTokens: number
  promptTokens: number
  cachedTokens: number
}

// A connection per request: some servers close an idle one at the very moment of its next use.
const agent = new Agent({ keepAlive: false, maxSockets: 256 })

export type Completion = { model: string; prompt: string; maxTokens: number; cachePrompt?: boolean }

/** Greedy and without end-of-text, so that every server makes the same number of tokens. @throws Error with the server's own message */
export async function complete(url: string, completion: Completion): Promise<Timing> {
  const startedAt = performance.now()
  const response = await post(`${url}/v1/completions`, {
    model: completion.model,
    prompt: completion.prompt,
    max_tokens: completion.maxTokens,
    temperature: 0,
    ignore_eos: true,
    stream: true,
    stream_options: { include_usage: true },
    ...(completion.cachePrompt === false && { cache_prompt: false }),
  })
  if (response.statusCode !== 200) throw new StatusError(response.statusCode ?? 0, await readText(response))
  let firstTokenMs: number | undefined
  let usage: Usage | undefined
  let rest = ''
  response.setEncoding('utf8')
  for await (const piece of response) {
    rest += piece
    let end = rest.indexOf('\n\n')
    while (end >= 0) {
      const event = rest.slice(0, end)
      rest = rest.slice(end + 2)
      end = rest.indexOf('\n\n')
      if (!event.startsWith('data: {')) continue
      const chunk: Chunk = JSON.parse(event.slice(6))
      if (chunk.error !== undefined) throw new Error(chunk.error.message)
      if (chunk.choices?.some(choice => choice.text)) firstTokenMs ??= performance.now() - startedAt
      usage = chunk.usage ?? usage
    }
  }
  const endedAt = performance.now()
  if (usage === undefined) throw new Error(`${url} gave no usage at the end of the stream`)
  return {
    // Text that is no whole character is held back, by some servers to the very end.
    firstTokenMs: firstTokenMs ?? endedAt - startedAt,
    totalMs: endedAt - startedAt,
    startedAt,
    endedAt,
    completionTokens: usage.completion_tokens,
    promptTokens: usage.prompt_tokens,
    cachedTokens: usage.prompt_tokens_details?.cached_tokens ?? 0,
  }
}

type Usage = {
  completion_tokens: number
  prompt_tokens: number
  prompt_tokens_details?: { cached_tokens?: number }
}
type Chunk = { choices?: { text?: string }[]; usage?: Usage | null; error?: { message: string } }

/** A server that listens but cannot serve yet answers 503. */
export class StatusError extends Error {
  readonly status: number

  constructor(status: number, body: string) {
    super(`status ${status}: ${body.slice(0, 500)}`)
    this.status = status
  }
}

/** POSTs JSON and gives the answer's status and text. */
export async function postJson(url: string, body: object): Promise<{ status: number; text: string }> {
  const response = await post(url, body)
  return { status: response.statusCode ?? 0, text: await readText(response) }
}

/** @throws StatusError unless the answer is 200 */
export async function getJson(url: string): Promise<unknown> {
  const response = await fetch(url)
  if (!response.ok) throw new StatusError(response.status, await response.text())
  return response.json()
}

export function closeConnections(): void {
  agent.destroy()
}

function post(url: string, body: object): Promise<IncomingMessage> {
  const text = JSON.stringify(body)
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      url,
      {
        method: 'POST',
        agent,
        headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) },
      },
      resolve,
    )
    request.on('error', reject)
    request.end(text)
  })
}

async function readText(response: IncomingMessage): Promise<string> {
  response.setEncoding('utf8')
  let text = ''
  for await (const piece of response) text += piece
  return text
}

/** Words in a seeded order; about `count` * 1.3 tokens of most vocabularies. Different seeds differ from the first word on. */
export function words(seed: number, count: number): string {
  let state = Math.imul(seed + 1, 0x9e3779b1) >>> 0 || 1
  const chosen: string[] = []
  for (let index = 0; index < count; index++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    state >>>= 0
    chosen.push(WORDS[state % WORDS.length] ?? 'the')
  }
  return chosen.join(' ')
}

const WORDS =
  'time year people way day man thing woman life child world school state family student group country problem hand part place case week company system program question work government number night point home water room mother area money story fact month lot right study book eye job word business issue side kind head house service friend father power hour game line end member law car city community name president team minute idea kid body information back parent face others level office door health person art war history party result change morning reason research girl guy moment air teacher force education'.split(
    ' ',
  )
