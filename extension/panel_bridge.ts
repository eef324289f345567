/** The extension's side of a page: its requests and streams go to the hub, the hub's events to it, and the editor does what it asks. */
import * as vscode from 'vscode'
import type { HubEvent } from '../server/wire/events.ts'
import type { FromPanel, ToPanel } from '../server/wire/panel.ts'
import { type Api, readEvents } from './api.ts'
import type { Events } from './events.ts'
import type { Hub } from './hub.ts'
import { apiPath, readMessage } from './panel_door.ts'

/** Requests of one page at the same time; no page comes near it. */
const MOST_REQUESTS = 64
/** After such a wait a stream is taken for broken; the hub sends a sign of life every five seconds. */
const SILENCE_MS = 20_000

/** The window may be closing as well, and waits no longer. */
const LAST_MS = 3000

type Request = Extract<FromPanel, { type: 'request' | 'upload' }>
/** What is not for the hub: the editor's part. */
export type EditorMessage = Exclude<FromPanel, { type: 'request' | 'upload' | 'cancel' | 'listen' | 'leave' }>

export type BridgeDeps = {
  hub: Hub
  api: Api
  events: Events
  log: vscode.LogOutputChannel
  act(message: EditorMessage): unknown
  /** The page is there and hears what is said to it. */
  listening(): void
}

export type Serving = {
  /** Cancels all that the page asked for, and puts its last letters to the hub. Never rejects. */
  end(): Promise<void>
}

/** Serves a page until it ends. */
export function serveBridge(webview: vscode.Webview, deps: BridgeDeps): Serving {
  const { hub, api, events, log } = deps
  let letters: { path: string; body: unknown }[] = []
  const running = new Map<number, AbortController>()
  let isListening = false
  let isOver = false
  const post = (message: ToPanel): void => {
    if (!isOver) void webview.postMessage(message)
  }

  async function run(request: Request): Promise<void> {
    const { id } = request
    if (running.has(id)) return
    if (running.size >= MOST_REQUESTS) {
      post({ type: 'lost', id, message: vscode.l10n.t('The page asks for too much at once.') })
      return
    }
    const stopper = new AbortController()
    running.set(id, stopper)
    try {
      for await (const message of ask(deps, request, stopper)) post(message)
    } catch (thrown) {
      const message = thrown instanceof Error ? thrown.message : String(thrown)
      if (!stopper.signal.aborted || stopper.signal.reason === SILENT) post({ type: 'lost', id, message })
    } finally {
      running.delete(id)
    }
  }

  function listen(): void {
    isListening = true
    const { hello, models, load } = events
    post({ type: 'connected', connected: hello !== undefined })
    const said: HubEvent[] = [
      ...(hello === undefined ? [] : [{ ...hello, models: [...models] }]),
      ...(load === undefined ? [] : [{ type: 'system.load' as const, load }]),
    ]
    for (const event of said) post({ type: 'event', event })
    deps.listening()
  }

  function take(value: unknown): void {
    const message = readMessage(value)
    if (message === undefined) {
      log.warn('a page said what it cannot say')
      // It would wait for ever.
      const { id } = Object(value) as { id?: unknown }
      if (typeof id === 'number')
        post({ type: 'lost', id, message: vscode.l10n.t('The page asks for too much at once.') })
      return
    }
    if (message.type === 'request' || message.type === 'upload') void run(message)
    else if (message.type === 'cancel') running.get(message.id)?.abort()
    else if (message.type === 'listen') listen()
    else if (message.type === 'leave') letters = message.letters
    else deps.act(message)
  }

  const subscriptions = vscode.Disposable.from(
    webview.onDidReceiveMessage(take),
    events.onConnection(connected => {
      if (isListening) post({ type: 'connected', connected })
    }),
    events.onEvent(event => {
      if (isListening && events.hello !== undefined) post({ type: 'event', event })
    }),
  )
  return {
    async end() {
      if (isOver) return
      isOver = true
      subscriptions.dispose()
      for (const stopper of running.values()) stopper.abort()
      const url = hub.address?.url
      if (url === undefined || hub.state !== 'ready') return
      for (const letter of letters) {
        const path = apiPath(url, letter.path)
        if (path === undefined) continue
        await api.send('PUT', path, letter.body, AbortSignal.timeout(LAST_MS)).catch((thrown: unknown) => {
          log.warn('a page was closed, and what it had to store was not taken', String(thrown))
        })
      }
    },
  }
}

/** What the hub answers. @throws Error when it cannot be reached, or breaks off */
async function* ask({ hub, api }: BridgeDeps, request: Request, stopper: AbortController): AsyncGenerator<ToPanel> {
  const { id } = request
  // A hub that cannot run was told of already; whoever starts it is heard of by its events.
  if (hub.state === 'failed') throw new Error(vscode.l10n.t('The hub is not running.'))
  const { url } = await hub.ensure()
  if (request.type === 'upload') {
    const form = new FormData()
    form.set('purpose', 'fine-tune')
    form.set('file', new Blob([request.bytes]), request.filename)
    const response = await api.send('POST', '/v1/files', form, stopper.signal)
    yield { type: 'answer', id, status: response.status, body: await response.json().catch(() => undefined) }
    return
  }
  const { method, body, stream } = request
  const path = apiPath(url, request.path)
  if (path === undefined) throw new Error(vscode.l10n.t('A page may call the API of the hub only.'))
  const response = await api.send(method, path, body, stopper.signal)
  if (!stream || !response.ok || response.body === null) {
    const answer: unknown = await response.json().catch(() => undefined)
    yield { type: 'answer', id, status: response.status, body: answer }
    return
  }
  for await (const data of readEvents(watched(response.body, stopper))) yield { type: 'data', id, data }
  yield { type: 'done', id }
}

const SILENT = new Error('The hub fell silent.')

async function* watched(body: AsyncIterable<Uint8Array>, stopper: AbortController): AsyncGenerator<Uint8Array> {
  const watch = (): NodeJS.Timeout => setTimeout(() => stopper.abort(SILENT), SILENCE_MS)
  let timer = watch()
  try {
    for await (const bytes of body) {
      clearTimeout(timer)
      timer = watch()
      yield bytes
    }
  } finally {
    clearTimeout(timer)
  }
}
