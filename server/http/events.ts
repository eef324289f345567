/** WebSocket /v1/events: model states, progress and system load to everyone who listens, without waiting for anyone. */
import { type IncomingMessage, STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import { type WebSocket, WebSocketServer } from 'ws'
import { HubError } from '../lib/error.ts'
import type { Log } from '../lib/log.ts'
import { repeat } from '../lib/repeat.ts'
import type { ModelStatus } from '../models/models.ts'
import { EVENTS_CLOSE, type HubEvent, type ModelBrief } from '../wire/events.ts'
import type { SystemLoad } from '../wire/load.ts'
import { agreeOn } from './credentials.ts'
import { toOpenAiError } from './error.ts'

export const EVENTS_PATH = '/v1/events'
const LOAD_MS = 2000
/** A client that does not answer a ping until the next one is gone. */
const TICKS_PER_PING = 15
/** Bytes that may wait for one client. */
const MAX_BUFFERED_BYTES = 2 ** 20
const MAX_CLIENTS = 256

export type EventsDeps = {
  version: string
  /** Unix milliseconds. */
  startedAt: number
  /** All models, for the hello. */
  models(): ModelStatus[]
  /** Asked every two seconds while someone listens. */
  load(): Promise<SystemLoad>
  log: Log
  /** Calls the action again and again until the function that it gives is called; setInterval by default. */
  every?: (action: () => void, ms: number) => () => void
}

export type Events = {
  /** Sends to all clients. Never throws and never waits: a client that does not keep up is closed with code 4001. */
  publish(event: HubEvent): void
  /** Takes an upgrade whose Host and Origin were checked; answers 404 for another path. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void
  /** Closes every client with code 1001 and waits until they are gone. */
  close(): Promise<void>
}

export function createEvents(deps: EventsDeps): Events {
  const { log, every = repeat } = deps
  // What clients send is not read, so that a large message is refused by the protocol itself.
  const server = new WebSocketServer({
    noServer: true,
    maxPayload: 1024,
    perMessageDeflate: false,
    handleProtocols: agreeOn,
  })
  /** Clients, with whether each has answered the last ping. */
  const clients = new Map<WebSocket, { alive: boolean }>()
  let stop: (() => void) | undefined
  let ticks = 0
  let isAsking = false
  let isClosed = false

  function send(client: WebSocket, text: string): void {
    if (client.readyState !== client.OPEN) return
    if (client.bufferedAmount > MAX_BUFFERED_BYTES) {
      log.warn('a slow listener was closed', { buffered: client.bufferedAmount })
      clients.delete(client)
      client.close(EVENTS_CLOSE.too_slow, 'too slow: connect again')
      return
    }
    client.send(text)
  }

  function publish(event: HubEvent): void {
    if (clients.size === 0) return
    const text = JSON.stringify(event)
    for (const client of [...clients.keys()]) send(client, text)
  }

  function tick(): void {
    if (++ticks % TICKS_PER_PING === 0) {
      for (const [client, state] of clients) {
        if (!state.alive) client.terminate()
        else {
          state.alive = false
          client.ping()
        }
      }
    }
    // A slow answer is waited for: two at once would tell the same.
    if (isAsking) return
    isAsking = true
    deps
      .load()
      .then(load => publish({ type: 'system.load', load }))
      .catch((thrown: unknown) => log.warn('the system load cannot be read', { reason: HubError.from(thrown).message }))
      .finally(() => {
        isAsking = false
      })
  }

  function welcome(client: WebSocket): void {
    const state = { alive: true }
    clients.set(client, state)
    client.on('pong', () => {
      state.alive = true
    })
    client.on('message', () => client.close(EVENTS_CLOSE.only_speaks, 'this socket takes no messages'))
    // The error is followed by close, which does what there is to do.
    client.on('error', error => log.debug('listener failed', { reason: error.message }))
    client.on('close', () => {
      clients.delete(client)
      if (clients.size > 0) return
      stop?.()
      stop = undefined
    })
    const { version, startedAt } = deps
    const hello: HubEvent = { type: 'hello', version, started_at: startedAt, models: deps.models().map(toBrief) }
    send(client, JSON.stringify(hello))
    stop ??= every(tick, LOAD_MS)
  }

  return {
    publish,
    upgrade(request, socket, head) {
      if (isClosed) return refuseUpgrade(socket, new HubError('shutting_down', 'The hub is closing.'))
      if ((request.url ?? '').split('?', 1)[0] !== EVENTS_PATH) {
        return refuseUpgrade(socket, new HubError('not_found', `There is no WebSocket here; it is at ${EVENTS_PATH}.`))
      }
      if (server.clients.size >= MAX_CLIENTS) {
        return refuseUpgrade(socket, new HubError('busy', `${MAX_CLIENTS} clients listen already; close some.`))
      }
      server.handleUpgrade(request, socket, head, welcome)
    },
    async close() {
      isClosed = true
      stop?.()
      stop = undefined
      const gone = [...server.clients].map(client => {
        const closed = new Promise<void>(resolve => client.once('close', () => resolve()))
        client.close(EVENTS_CLOSE.going_away, 'the hub is closing')
        return closed
      })
      // One that does not answer the close is cut off.
      const cut = setTimeout(() => {
        for (const client of server.clients) client.terminate()
      }, 1000)
      await Promise.all(gone)
      clearTimeout(cut)
      server.close()
    },
  }
}

/** A model as events tell it. */
export function toBrief({ file, state, progress, error, inUse }: ModelStatus): ModelBrief {
  const reason = error ?? file.reason
  return {
    id: file.id,
    ...(file.parent !== undefined && { parent: file.parent }),
    folder: file.folder,
    bytes: file.bytes,
    state,
    ...(progress !== undefined && { progress }),
    ...(reason !== undefined && { error: reason }),
    in_use: inUse,
  }
}

/** The event that a change of a model's status is: progress while it loads, else its state. */
export function toEvent(status: ModelStatus): HubEvent {
  return status.state === 'loading' && status.progress !== undefined && status.progress > 0
    ? { type: 'model.progress', id: status.file.id, fraction: status.progress }
    : { type: 'model.state', model: toBrief(status) }
}

/** Answers an upgrade with an error in OpenAI's form. */
export function refuseUpgrade(socket: Duplex, error: HubError): void {
  const body = JSON.stringify(toOpenAiError(error))
  socket.end(
    `HTTP/1.1 ${error.status} ${STATUS_CODES[error.status]}\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  )
}
