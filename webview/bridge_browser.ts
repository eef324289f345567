/** The bridge of a page that the hub itself served: fetch, a WebSocket, the browser's storage. */
import type { HubEvent } from '../server/wire/events.ts'
import type { FileOut } from '../server/wire/files.ts'
import { createAccess } from './access.ts'
import type { Bridge, Kept, PageName } from './bridge.ts'
import { HubFailure, toFailure, toHubFailure } from './failure.ts'
import { createEventReader } from './sse.ts'

/** Between two tries to reach the hub. */
const RETRY_MS = 1000
/** Behind such a wait a stream is taken for broken; the hub sends a sign of life every five seconds. */
const SILENCE_MS = 20_000
const PREFIX = 'aiHub.'

const ADDRESSES: { [page in PageName]: string } = { chat: '/', dashboard: '/dashboard', docs: '/docs' }

export function browserBridge(): Bridge {
  const listeners: Parameters<Bridge['listen']>[0][] = []
  let isThere = false
  const access = createAccess(keptIn(localStorage))

  /** A hub that wants another key is asked again with the one that the person gives. */
  async function call(path: string, init: RequestInit & { headers?: { [name: string]: string } }): Promise<Response> {
    for (;;) {
      const key = access.key()
      const headers = { ...init.headers, ...(key !== undefined && { authorization: `Bearer ${key}` }) }
      let response: Response
      try {
        response = await fetch(path, { ...init, headers })
      } catch (thrown) {
        if (init.signal?.aborted) throw thrown
        throw new HubFailure('unreachable', 'The hub does not answer.')
      }
      if (response.ok) return response
      // Nobody can be asked by a page that is being left.
      if (response.status !== 401 || init.keepalive) {
        throw toFailure(response.status, await response.json().catch(() => undefined))
      }
      await access.ask(key, init.signal)
      init.signal?.throwIfAborted()
    }
  }
  const json = (body: unknown): { headers?: { [name: string]: string }; body?: string } =>
    body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }

  return {
    place: 'browser',
    languages: navigator.languages,
    async request<T>(
      method: string,
      path: string,
      body?: unknown,
      { signal, last }: { signal?: AbortSignal; last?: boolean } = {},
    ) {
      const init = { method, ...json(body), ...(signal && { signal }), ...(last && { keepalive: true }) }
      const response = await call(path, init)
      return (await response.json()) as T
    },
    async *stream(path, body, signal) {
      const response = await call(path, { method: 'POST', ...json(body), signal })
      const read = createEventReader()
      const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
      try {
        for (;;) {
          const { done, value } = await within(reader.read(), SILENCE_MS)
          if (done) return
          yield* read(value)
        }
      } catch (thrown) {
        if (signal.aborted) throw thrown
        throw toHubFailure(thrown).unreachable ? new HubFailure('unreachable', 'The hub does not answer.') : thrown
      } finally {
        await reader.cancel().catch(() => undefined)
      }
    },
    async upload(file, signal) {
      const form = new FormData()
      form.set('purpose', 'fine-tune')
      form.set('file', file)
      const response = await call('/v1/files', { method: 'POST', body: form, signal })
      return (await response.json()) as FileOut
    },
    listen(listener) {
      listeners.push(listener)
      if (isThere) listener.connected(true)
      if (listeners.length > 1) return
      const tell = (connected: boolean): void => {
        isThere = connected
        for (const each of listeners) each.connected(connected)
      }
      const connect = (): void => {
        const url = new URL('/v1/events', location.href)
        url.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:'
        const key = access.key()
        const socket = new WebSocket(url, key === undefined ? [] : ['ai-hub', `ai-hub-key.${key}`])
        socket.onopen = () => tell(true)
        socket.onmessage = message => {
          const event = JSON.parse(String(message.data)) as HubEvent
          for (const each of listeners) each.event(event)
        }
        socket.onclose = () => {
          tell(false)
          setTimeout(look, RETRY_MS)
        }
      }
      /** A socket does not say why it was refused; a request does, and asks for a key if that is why. */
      const look = (): void => {
        call('/v1/models', {}).then(connect, thrown => {
          if (toHubFailure(thrown).unreachable) setTimeout(look, RETRY_MS)
          else connect()
        })
      }
      look()
    },
    kept: keptIn(localStorage),
    access,
    own: {
      get(key) {
        const value = sessionStorage.getItem(PREFIX + key)
        // Empty: this tab has none, though another may.
        return value === null ? keptIn(localStorage).get(key) : value || undefined
      },
      set(key, value) {
        keptIn(sessionStorage).set(key, value ?? '')
        keptIn(localStorage).set(key, value)
      },
    },
    route: {
      get: readRoute,
      set(route) {
        if (route !== readRoute()) location.hash = route
      },
      listen(listener) {
        addEventListener('hashchange', listener)
        return () => removeEventListener('hashchange', listener)
      },
    },
    pages: { address: (page, route = '') => `${ADDRESSES[page]}${route === '' ? '' : `#${route}`}` },
    copy: copyText,
    save(filename, mediaType, content) {
      const url = URL.createObjectURL(new Blob([content], { type: mediaType }))
      const link = document.createElement('a')
      link.href = url
      link.download = filename
      link.click()
      URL.revokeObjectURL(url)
    },
  }
}

function readRoute(): string {
  const route = location.hash.slice(1)
  try {
    return decodeURIComponent(route)
  } catch {
    // A percent sign that encodes nothing.
    return route
  }
}

function keptIn(storage: Storage): Kept {
  return {
    get: key => storage.getItem(PREFIX + key) ?? undefined,
    set(key, value) {
      try {
        if (value === undefined) storage.removeItem(PREFIX + key)
        else storage.setItem(PREFIX + key, value)
      } catch {
        // A full or forbidden storage costs the draft of a reload, nothing else.
      }
    },
  }
}

/** A page from another machine without TLS has no clipboard of its own, but may copy what is selected. */
async function copyText(text: string): Promise<void> {
  const clipboard: Clipboard | undefined = navigator.clipboard
  if (clipboard !== undefined) return clipboard.writeText(text)
  const area = document.createElement('textarea')
  const before = document.activeElement
  area.value = text
  area.className = 'hidden'
  // Behind an open dialog nothing can be selected.
  ;(document.querySelector('dialog[open]') ?? document.body).append(area)
  area.select()
  document.execCommand('copy')
  area.remove()
  if (before instanceof HTMLElement) before.focus()
}

function within<T>(promise: Promise<T>, ms: number): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new HubFailure('unreachable', 'The hub fell silent.')), ms)
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}
