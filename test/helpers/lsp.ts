/** A language client for tests: JSON-RPC over any text socket, and a language server over scripted models. */
import { silentLog } from '../../server/lib/log.ts'
import { connect, type LspDeps } from '../../server/lsp/connection.ts'
import type { TextSocket } from '../../server/lsp/socket.ts'
import { type FakeModels, type FakeOptions, fakeModels } from './fake_models.ts'

import { VirtualTime } from './virtual_time.ts'

type Message = {
  jsonrpc: '2.0'
  id?: number | string
  method?: string
  params?: unknown
  result?: unknown
  error?: { code: number; message: string }
}

export class LspClient {
  readonly #send: (text: string) => void
  readonly #waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>()
  #lastId = 0
  /** What the server told or asked, in order. */
  readonly received: { method: string; params: unknown }[] = []
  /** Answers to what the server asks, by method; null otherwise. */
  readonly answers: { [method: string]: (params: never) => unknown } = {}

  constructor(send: (text: string) => void) {
    this.#send = send
  }

  take(text: string): void {
    const message = JSON.parse(text) as Message
    if (message.method !== undefined) {
      this.received.push({ method: message.method, params: message.params })
      if (message.id !== undefined) {
        const result = this.answers[message.method]?.(message.params as never) ?? null
        this.#send(JSON.stringify({ jsonrpc: '2.0', id: message.id, result }))
      }
      return
    }
    const waiting = this.#waiting.get(message.id as number)
    this.#waiting.delete(message.id as number)
    if (message.error !== undefined) waiting?.reject(Object.assign(new Error(message.error.message), message.error))
    else waiting?.resolve(message.result)
  }

  request(method: string, params: unknown): Promise<unknown> {
    return this.begin(method, params).result
  }

  /** A request that can be cancelled. */
  begin(method: string, params: unknown): { result: Promise<unknown>; cancel(): void } {
    const id = ++this.#lastId
    const { promise, resolve, reject } = Promise.withResolvers<unknown>()
    this.#waiting.set(id, { resolve, reject })
    this.#send(JSON.stringify({ jsonrpc: '2.0', id, method, params }))
    return { result: promise, cancel: () => this.notify('$/cancelRequest', { id }) }
  }

  notify(method: string, params: unknown): void {
    this.#send(JSON.stringify({ jsonrpc: '2.0', method, params }))
  }

  async initialize(
    options: { settings?: unknown; folders?: string[] } = {},
  ): Promise<{ capabilities: { [name: string]: unknown } }> {
    const result = await this.request('initialize', {
      processId: null,
      rootUri: null,
      capabilities: { workspace: { configuration: options.settings !== undefined, workspaceFolders: true } },
      workspaceFolders: (options.folders ?? ['file:///work']).map(uri => ({ uri, name: 'work' })),
    })
    if (options.settings !== undefined) {
      this.answers['workspace/configuration'] = ({ items }: { items: unknown[] }) => items.map(() => options.settings)
    }
    this.notify('initialized', {})
    return result as { capabilities: { [name: string]: unknown } }
  }

  open(uri: string, text: string, languageId = 'typescript'): void {
    this.notify('textDocument/didOpen', { textDocument: { uri, languageId, version: 1, text } })
  }

  /** Types text at a place. */
  type(uri: string, version: number, line: number, character: number, text: string): void {
    const position = { line, character }
    this.notify('textDocument/didChange', {
      textDocument: { uri, version },
      contentChanges: [{ range: { start: position, end: position }, text }],
    })
  }

  complete(
    uri: string,
    line: number,
    character: number,
    triggerKind = 2,
  ): { result: Promise<unknown>; cancel(): void } {
    return this.begin('textDocument/inlineCompletion', {
      textDocument: { uri },
      position: { line, character },
      context: { triggerKind },
    })
  }
}

export type LspTest = {
  client: LspClient
  models: FakeModels
  time: VirtualTime
  collected: unknown[]
  /** Ends the client's side of the connection. */
  hangUp(): void
}

/** A server over scripted models; time passes by `time.advance` only. */
export function lspServer(
  context: { after(close: () => void): void },
  options: FakeOptions & { deps?: Partial<LspDeps> } = {},
): LspTest {
  const time = new VirtualTime()
  const models = fakeModels(options)
  const collected: unknown[] = []
  let listener: (text: string) => void = () => {}
  const closers: (() => void)[] = []
  const early: string[] = []
  const socket: TextSocket = {
    send: text => setImmediate(() => client.take(text)),
    onMessage(next) {
      listener = next
      for (const text of early.splice(0)) next(text)
    },
    onClose: closer => closers.push(closer),
    close: () => hangUp(),
  }
  const client = new LspClient(text => setImmediate(() => listener(text)))
  const hangUp = (): void => {
    for (const closer of closers.splice(0)) closer()
  }
  connect(
    {
      models,
      defaultModel: () => 'fake',
      version: '0.0.0-test',
      collect: outcome => collected.push(outcome),
      log: silentLog,
      now: time.now,
      wait: time.wait,
      ...options.deps,
    },
    socket,
  )
  context.after(hangUp)
  return { client, models, time, collected, hangUp }
}
