/** The bridge of a page in a VS Code panel: everything goes through messages to the extension. */
import type { HubEvent } from '../server/wire/events.ts'
import type { FromPanel, KeptState, ToPanel } from '../server/wire/panel.ts'
import type { Bridge, Kept } from './bridge.ts'
import { HubFailure, toFailure } from './failure.ts'

/** By this key the part of the page that is shown is kept. */
const ROUTE = 'route'
/** The extension takes no larger file, since all of it is held in memory on its way. */
const MAX_UPLOAD_BYTES = 512 * 2 ** 20

export type PanelApi = {
  postMessage(message: unknown): void
  getState(): unknown
  setState(state: unknown): void
}

export function panelBridge(api: PanelApi): Bridge {
  const post = (message: FromPanel): void => api.postMessage(message)
  const waiting = new Map<number, (message: Extract<ToPanel, { id: number }>) => void>()
  const listeners: Parameters<Bridge['listen']>[0][] = []
  let isThere = false
  const routeListeners = new Set<() => void>()
  let takeDraft: ((text: string) => void) | undefined
  const drafts: string[] = []
  let last = 0
  window.addEventListener('message', ({ data }: MessageEvent<ToPanel>) => {
    if (data.type === 'event') for (const listener of listeners) listener.event(data.event as HubEvent)
    else if (data.type === 'connected') {
      isThere = data.connected
      for (const listener of listeners) listener.connected(isThere)
    } else if (data.type === 'route') setRoute(data.route)
    else if (data.type === 'draft') {
      if (takeDraft !== undefined) takeDraft(data.text)
      else drafts.push(data.text)
    } else waiting.get(data.id)?.(data)
  })
  // What the extension kept is there after a reload of the window; the editor's state of the panel when only the panel was loaded again.
  const { state: given = '{}', route: wanted } = document.body.dataset
  const first = { at: 0, kept: {}, own: {}, ...(JSON.parse(given) as Partial<KeptState>) }
  const before = api.getState() as KeptState | undefined
  let state: KeptState = before !== undefined && before.at >= first.at ? before : first
  function keep(own: boolean, key: string, value: string | undefined): void {
    const at = Date.now()
    const { [key]: _, ...rest } = state.kept
    state = {
      at,
      kept: value === undefined ? rest : { ...rest, [key]: value },
      // Empty: this page has none, though another may.
      own: own ? { ...state.own, [key]: value ?? '' } : state.own,
    }
    api.setState(state)
    post({ type: 'keep', key, ...(value !== undefined && { value }), own, at })
  }
  const kept: Kept = { get: key => state.kept[key], set: (key, value) => keep(false, key, value) }
  const own: Kept = {
    get(key) {
      const value = state.own[key]
      return value === undefined ? state.kept[key] : value || undefined
    },
    set: (key, value) => keep(true, key, value),
  }
  if (wanted && before === undefined) keep(true, ROUTE, wanted)
  const setRoute = (route: string): void => {
    keep(true, ROUTE, route)
    for (const each of [...routeListeners]) each()
  }

  /** One message that is answered by one. */
  function call<T>(message: (id: number) => FromPanel, signal?: AbortSignal): Promise<T> {
    const id = ++last
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    waiting.set(id, answer => {
      if (answer.type === 'lost') reject(new HubFailure('unreachable', answer.message))
      else if (answer.type !== 'answer') return
      else if (answer.status >= 400) reject(toFailure(answer.status, answer.body))
      else resolve(answer.body as T)
    })
    const stop = (): void => {
      post({ type: 'cancel', id })
      reject(signal?.reason)
    }
    signal?.addEventListener('abort', stop)
    post(message(id))
    return promise.finally(() => {
      // One signal may stand for many requests, one behind the other.
      signal?.removeEventListener('abort', stop)
      waiting.delete(id)
    })
  }

  return {
    place: 'panel',
    languages: [document.documentElement.lang],
    request: (method, path, body, options = {}) =>
      call(
        id => ({ type: 'request', id, method, path, stream: false, ...(body !== undefined && { body }) }),
        options.signal,
      ),
    maxUploadBytes: MAX_UPLOAD_BYTES,
    async upload(file, signal) {
      const bytes = await file.arrayBuffer()
      signal.throwIfAborted()
      return call(id => ({ type: 'upload', id, filename: file.name, bytes }), signal)
    },
    async *stream(path, body, signal) {
      const id = ++last
      const queue: Extract<ToPanel, { id: number }>[] = []
      let wake = (): void => {}
      waiting.set(id, message => {
        queue.push(message)
        wake()
      })
      const stop = (): void => {
        post({ type: 'cancel', id })
        wake()
      }
      signal.addEventListener('abort', stop)
      post({ type: 'request', id, method: 'POST', path, body, stream: true })
      try {
        for (;;) {
          signal.throwIfAborted()
          const message = queue.shift()
          if (message === undefined) {
            await new Promise<void>(resolve => {
              wake = resolve
            })
          } else if (message.type === 'data') yield message.data
          else if (message.type === 'lost') throw new HubFailure('unreachable', message.message)
          else if (message.type === 'answer') throw toFailure(message.status, message.body)
          else return
        }
      } finally {
        signal.removeEventListener('abort', stop)
        waiting.delete(id)
      }
    },
    listen(listener) {
      listeners.push(listener)
      if (isThere) listener.connected(true)
      if (listeners.length === 1) post({ type: 'listen' })
    },
    // A panel has its state for itself.
    kept,
    own,
    route: {
      get: () => state.own[ROUTE] ?? '',
      set: setRoute,
      listen(given) {
        routeListeners.add(given)
        return () => routeListeners.delete(given)
      },
    },
    pages: { open: (page, route) => post({ type: 'open', page, ...(route !== undefined && { route }) }) },
    leave: letters => post({ type: 'leave', letters }),
    async copy(text) {
      post({ type: 'copy', text })
    },
    save: (filename, _mediaType, content) => post({ type: 'save', filename, content }),
    editor: {
      insert: text => post({ type: 'insert', text }),
      apply: (text, language, file) => post({ type: 'apply', text, language, ...(file !== undefined && { file }) }),
      drafts(given) {
        takeDraft = given
        if (given !== undefined) for (const text of drafts.splice(0)) given(text)
      },
    },
  }
}
