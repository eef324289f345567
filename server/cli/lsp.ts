/** `ai-hub lsp`: an editor's standard input and output, joined to the language server of the hub that runs, or of one started for it. */
import { spawn } from 'node:child_process'
import { type RawData, WebSocket } from 'ws'
import { HubError } from '../lib/error.ts'
import type { HubRecord } from '../lib/home.ts'
import { LSP_PATH } from '../wire/editor.ts'

export type LspBridgeDeps = {
  findHub(): Promise<HubRecord | undefined>
  /** Starts a hub that outlives this process. */
  startHub(): void
  input: NodeJS.ReadableStream
  output: NodeJS.WritableStream
  wait(ms: number): Promise<void>
}

const START_MS = 60_000
const LOOK_MS = 200
/** A header is two short lines. */
const MAX_HEADER_BYTES = 4096
const MAX_MESSAGE_BYTES = 256 * 2 ** 20

/** @returns the exit code, when either side has ended @throws HubError when there is no hub and none could be started */
export async function runLsp(deps: LspBridgeDeps): Promise<number> {
  const hub = await findOrStart(deps)
  if (hub.token === undefined) {
    throw new HubError('conflict', `The hub at ${hub.url} is too old for this command; restart it with this version.`)
  }
  const url = `${hub.url.replace(/^http/, 'ws')}${LSP_PATH}`
  const socket = new WebSocket(url, {
    headers: { authorization: `Bearer ${hub.token}` },
    maxPayload: MAX_MESSAGE_BYTES,
  })
  const ended = Promise.withResolvers<number>()
  /** Messages that came before the socket was open. */
  const early: string[] = []
  const messages = new MessageSplitter()
  deps.input.on('data', (bytes: Buffer) => {
    try {
      for (const text of messages.push(bytes)) {
        if (socket.readyState === socket.OPEN) socket.send(text)
        else early.push(text)
      }
    } catch (thrown) {
      ended.reject(thrown)
      socket.terminate()
    }
  })
  deps.input.on('end', () => socket.close())
  socket.on('open', () => {
    for (const text of early.splice(0)) socket.send(text)
  })
  socket.on('message', (data: RawData) => deps.output.write(frame(data.toString())))
  socket.on('error', error => ended.reject(new HubError('internal', `The hub at ${hub.url} hung up: ${error.message}`)))
  // 1000: the editor said exit. Anything else is the hub's end, and the editor starts its server again.
  socket.on('close', code => ended.resolve(code === 1000 || code === 1005 ? 0 : 1))
  return ended.promise
}

async function findOrStart(deps: LspBridgeDeps): Promise<HubRecord> {
  const running = await deps.findHub()
  if (running !== undefined) return running
  deps.startHub()
  for (let waited = 0; waited < START_MS; waited += LOOK_MS) {
    await deps.wait(LOOK_MS)
    const hub = await deps.findHub()
    if (hub !== undefined) return hub
  }
  throw new HubError('internal', 'The hub did not start within a minute; run "ai-hub doctor" to see why.')
}

/** Starts `serve` as a process of its own that ends by itself when nobody has used it for a while. */
export function startDetached(home: string, script: string): void {
  const args = [script, 'serve', '--home', home, '--idle-exit-minutes', '30']
  spawn(process.execPath, args, { detached: true, stdio: 'ignore', windowsHide: true }).unref()
}

/** A message with LSP's header. */
export function frame(text: string): Buffer {
  const body = Buffer.from(text)
  return Buffer.concat([Buffer.from(`Content-Length: ${body.length}\r\n\r\n`), body])
}

/** Takes bytes as they come and gives the messages that are whole. */
export class MessageSplitter {
  #chunks: Buffer[] = []
  #bytes = 0
  /** Bytes of the message being read; undefined while its header is. */
  #length: number | undefined

  /** @throws HubError invalid_request for a header that is none or names too much */
  push(bytes: Buffer): string[] {
    this.#chunks.push(bytes)
    this.#bytes += bytes.length
    const found: string[] = []
    for (;;) {
      if (this.#length === undefined && !this.#readHeader()) return found
      if (this.#length === undefined || this.#bytes < this.#length) return found
      found.push(this.#take(this.#length).toString('utf8'))
      this.#length = undefined
    }
  }

  #readHeader(): boolean {
    const start = this.#join()
    const end = start.indexOf('\r\n\r\n')
    if (end < 0) {
      if (this.#bytes > MAX_HEADER_BYTES) throw wrong('a header without an end')
      return false
    }
    const length = Number(/^content-length:\s*(\d+)\s*$/im.exec(start.toString('latin1', 0, end))?.[1])
    if (!Number.isSafeInteger(length)) throw wrong('a header without Content-Length')
    if (length > MAX_MESSAGE_BYTES) throw wrong(`a message of ${length} bytes, more than ${MAX_MESSAGE_BYTES}`)
    this.#take(end + 4)
    this.#length = length
    return true
  }

  #join(): Buffer {
    if (this.#chunks.length > 1) this.#chunks = [Buffer.concat(this.#chunks)]
    return this.#chunks[0] ?? Buffer.alloc(0)
  }

  #take(length: number): Buffer {
    const all = this.#join()
    this.#bytes -= length
    this.#chunks = this.#bytes === 0 ? [] : [all.subarray(length)]
    return all.subarray(0, length)
  }
}

function wrong(what: string): HubError {
  return new HubError(
    'invalid_request',
    `Standard input gave ${what}; it takes messages of the language server protocol.`,
  )
}
