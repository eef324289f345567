/** A language client for tests and measurements: JSON-RPC over anything that carries texts. */

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
    options: { settings?: unknown; folders?: string[]; more?: { [name: string]: unknown } } = {},
  ): Promise<{ capabilities: { [name: string]: unknown } }> {
    const result = await this.request('initialize', {
      processId: null,
      rootUri: null,
      capabilities: { workspace: { configuration: options.settings !== undefined, workspaceFolders: true } },
      workspaceFolders: (options.folders ?? ['file:///code']).map(uri => ({ uri, name: 'work' })),
      ...options.more,
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
