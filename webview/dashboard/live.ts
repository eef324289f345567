/** What the dashboard watches beside the models: the load over the last hour and the recent requests. Both are bounded. */
import type { HubEvent } from '../../server/wire/events.ts'
import type { LoadHistory, SystemLoad } from '../../server/wire/load.ts'
import type { RequestOut } from '../../server/wire/requests.ts'
import type { Bridge } from '../bridge.ts'
import { createStore, type Store } from '../store.ts'

/** The load at one moment, as charts show it. Bytes are bytes. */
export type Point = {
  atMs: number
  /** 0 to 1 */
  cpu: number
  memoryUsed: number
  memoryTotal: number
  /** Of all resident models, in main memory. */
  modelBytes: number
  /** Of all GPUs that tell it; absent where none does. */
  gpuBusy?: number
  gpuUsed?: number
  gpuTotal?: number
  running: number
  waiting: number
  /** Of all models together, since the point before. */
  tokensPerSecond?: number
}

export type LiveState = {
  points: Point[]
  /** The latest first. */
  requests: RequestOut[]
  requestsKnown: boolean
}

export type Live = Store<LiveState> & {
  hear(event: HubEvent): void
  /** Reads the past; again when the hub is back. */
  read(): Promise<void>
}

const KEPT_MS = 3_600_000
/** A point every two seconds for an hour, and some room. */
const MOST_POINTS = 2000
export const MOST_REQUESTS = 500

export function createLive(bridge: Bridge): Live {
  const store = createStore<LiveState>({ points: [], requests: [], requestsKnown: false })
  let last: SystemLoad | undefined
  return {
    ...store,
    hear(event) {
      if (event.type === 'system.load') {
        store.set({ points: addPoints(store.get().points, [toPoint(event.load, last)]) })
        last = event.load
      } else if (event.type === 'request.end') {
        store.set({ requests: addRequests(store.get().requests, [event.request]) })
      }
    },
    async read() {
      try {
        const [{ samples }, { data }] = await Promise.all([
          bridge.request<LoadHistory>('GET', '/v1/system/history'),
          bridge.request<{ data: RequestOut[] }>('GET', '/v1/system/requests'),
        ])
        const past = samples.map((load, index) => toPoint(load, samples[index - 1]))
        const { points, requests } = store.get()
        store.set({
          points: addPoints(points, past),
          requests: addRequests(requests, data),
          requestsKnown: true,
        })
      } catch {
        // The socket tells when the hub is back; then it is read again.
      }
    },
  }
}

export function toPoint(load: SystemLoad, before: SystemLoad | undefined): Point {
  const { memory, devices } = load
  const sum = (values: (number | undefined)[]): number | undefined => {
    const known = values.filter(value => value !== undefined)
    return known.length === 0 ? undefined : known.reduce((total, value) => total + value, 0)
  }
  const telling = devices.filter(({ free_bytes, total_bytes }) => free_bytes !== undefined && total_bytes !== undefined)
  const busy = devices.map(device => device.busy).filter(each => each !== undefined)
  const gpuTotal = sum(telling.map(({ total_bytes }) => total_bytes))
  const gpuFree = sum(telling.map(({ free_bytes }) => free_bytes))
  const rate = tokenRate(load, before)
  return {
    atMs: load.at_ms,
    cpu: load.cpu,
    memoryUsed: memory.total_bytes - memory.available_bytes,
    memoryTotal: memory.total_bytes,
    modelBytes: load.models.reduce((total, { memory_bytes }) => total + memory_bytes, 0),
    running: load.queue.running,
    waiting: load.queue.waiting,
    ...(busy.length > 0 && { gpuBusy: busy.reduce((total, each) => total + each, 0) / busy.length }),
    ...(gpuTotal !== undefined && gpuFree !== undefined && { gpuTotal, gpuUsed: gpuTotal - gpuFree }),
    ...(rate !== undefined && { tokensPerSecond: rate }),
  }
}

/** Tokens per second of all models that were there at both moments; a model loaded anew counts from nothing. */
function tokenRate(load: SystemLoad, before: SystemLoad | undefined): number | undefined {
  if (before === undefined || load.at_ms <= before.at_ms) return undefined
  let tokens = 0
  for (const { id, decoded_tokens } of load.models) {
    const earlier = before.models.find(model => model.id === id)?.decoded_tokens ?? 0
    tokens += decoded_tokens >= earlier ? decoded_tokens - earlier : decoded_tokens
  }
  return (tokens * 1000) / (load.at_ms - before.at_ms)
}

/** In the order of time, one for each moment, none older than an hour before the latest. */
export function addPoints(points: readonly Point[], more: readonly Point[]): Point[] {
  const first = more[0]
  const last = points.at(-1)
  const isNewer = first === undefined || last === undefined || first.atMs > last.atMs
  const all = isNewer
    ? [...points, ...more]
    : [...new Map([...more, ...points].map(point => [point.atMs, point])).values()].sort((a, b) => a.atMs - b.atMs)
  const oldest = (all.at(-1)?.atMs ?? 0) - KEPT_MS
  return all.filter(({ atMs }) => atMs >= oldest).slice(-MOST_POINTS)
}

/** The latest first, each once, the oldest forgotten. */
export function addRequests(requests: readonly RequestOut[], more: readonly RequestOut[]): RequestOut[] {
  const byId = new Map([...requests, ...more].map(request => [request.id, request]))
  const ended = (request: RequestOut): number => request.at_ms + request.ms
  return [...byId.values()].sort((a, b) => ended(b) - ended(a)).slice(0, MOST_REQUESTS)
}

/** One number for a row of requests: how many, how they ended, and how fast they were (medians). */
export type RequestSummary = {
  count: number
  failed: number
  cancelled: number
  firstTokenMs?: number
  tokensPerSecond?: number
  completionTokens: number
}

export function summarise(requests: readonly RequestOut[]): RequestSummary {
  const median = (values: (number | undefined)[]): number | undefined => {
    const known = values.filter(value => value !== undefined).sort((a, b) => a - b)
    return known[Math.floor((known.length - 1) / 2)]
  }
  const firstTokenMs = median(requests.map(({ first_token_ms }) => first_token_ms))
  const tokensPerSecond = median(requests.map(({ tokens_per_second }) => tokens_per_second))
  return {
    count: requests.length,
    failed: requests.filter(({ error, cancelled }) => error !== undefined && !cancelled).length,
    cancelled: requests.filter(({ cancelled }) => cancelled).length,
    completionTokens: requests.reduce((total, { completion_tokens = 0 }) => total + completion_tokens, 0),
    ...(firstTokenMs !== undefined && { firstTokenMs }),
    ...(tokensPerSecond !== undefined && { tokensPerSecond }),
  }
}
