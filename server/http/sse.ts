/** Server-sent events: one writer per response, with keep-alive comments and an error event once the stream has begun. */
import type { ServerResponse } from 'node:http'
import type { HubError } from '../lib/error.ts'
import { toOpenAiError } from './error.ts'

export type SseOptions = {
  /** The whole frame of an error after the stream began; OpenAI's form of chat completions by default. */
  formatError?: (error: HubError) => string
}

/** A silent stream says so often that it is alive, so that clients and proxies do not give up during a long prompt. */
export const KEEP_ALIVE_MS = 5000
/** Bytes that may wait for a slow reader before `send` asks its caller to wait. */
const STALLED_MS = 5 * 60_000
const HIGH_WATER_BYTES = 2 ** 20

const HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache, no-transform',
  connection: 'keep-alive',
  'x-accel-buffering': 'no',
}

/** The headers go out with the first frame, or with the first keep-alive; until then `opened` is false. */
export class Sse {
  readonly #response: ServerResponse
  readonly #formatError: (error: HubError) => string
  readonly #timer: NodeJS.Timeout
  #wrote = false

  constructor(response: ServerResponse, options: SseOptions = {}) {
    this.#response = response
    this.#formatError = options.formatError ?? (error => `data: ${JSON.stringify(toOpenAiError(error))}\n\n`)
    this.#timer = setInterval(() => {
      // Nothing is added for a reader that has not taken what was sent before.
      if (!this.#wrote && response.writableLength === 0) this.frame(': keep-alive\n\n')
      this.#wrote = false
    }, KEEP_ALIVE_MS)
    this.#timer.unref()
    response.once('close', () => clearInterval(this.#timer))
  }

  get opened(): boolean {
    return this.#response.headersSent
  }

  /** Sends one `data:` event. `data` is JSON text without line breaks. A promise comes back only when the reader is slow: await it. */
  send(data: string): Promise<void> | undefined {
    return this.frame(`data: ${data}\n\n`)
  }

  /** Sends an event with a name, as the responses endpoint does. */
  event(name: string, data: string): Promise<void> | undefined {
    return this.frame(`event: ${name}\ndata: ${data}\n\n`)
  }

  /** Sends complete frames as they are. */
  frame(frame: string): Promise<void> | undefined {
    const response = this.#response
    if (response.destroyed || response.writableEnded) return undefined
    if (!response.headersSent) response.writeHead(200, HEADERS)
    this.#wrote = true
    response.write(frame)
    if (response.writableLength < HIGH_WATER_BYTES) return undefined
    return new Promise(resolve => {
      // Who reads nothing for so long is gone; its model must not stay in use for it.
      const stalled = setTimeout(() => response.destroy(), STALLED_MS)
      stalled.unref()
      const done = (): void => {
        clearTimeout(stalled)
        response.off('drain', done)
        response.off('close', done)
        resolve()
      }
      response.once('drain', done)
      response.once('close', done)
    })
  }

  /** Tells the client that the generation failed, and ends the stream. */
  fail(error: HubError): void {
    this.frame(this.#formatError(error))
    this.end()
  }

  end(): void {
    clearInterval(this.#timer)
    if (!this.#response.headersSent) this.#response.writeHead(200, HEADERS)
    if (!this.#response.writableEnded) this.#response.end()
  }

  /** Stops the keep-alives of a stream that was given up before it was opened. */
  abandon(): void {
    clearInterval(this.#timer)
  }
}
