/** What the page knows of the hub: its models and their states, its load, and whether it is there. */
import type { HubEvent } from '../server/wire/events.ts'
import type { SystemLoad } from '../server/wire/load.ts'
import type { PullOut } from '../server/wire/pull.ts'
import type { ModelStatusOut, SystemStatus } from '../server/wire/system.ts'
import type { Bridge } from './bridge.ts'
import { createStore, type Store } from './store.ts'

export type HubState = {
  models: ModelStatusOut[]
  /** Downloads of models, the newest first. */
  pulls: PullOut[]
  /** False until the models have been read once. */
  known: boolean
  connected: boolean
  /** True once the hub has gone away after it had been there. */
  lost: boolean
  load?: SystemLoad
  system?: SystemStatus
}

/** With what reads the models again: their speeds change without an event. */
export type Hub = Store<HubState> & { refresh(): void }

/** @param hear is told every event as well */
export function watchHub(bridge: Bridge, hear: (event: HubEvent) => void = () => {}): Hub {
  const store = createStore<HubState>({ models: [], pulls: [], known: false, connected: false, lost: false })
  let reading = false
  let again = false
  /** One at a time; what changes meanwhile is read behind it. */
  async function read(): Promise<void> {
    if (reading) {
      again = true
      return
    }
    reading = true
    try {
      const { data } = await bridge.request<{ data: ModelStatusOut[] }>('GET', '/v1/models/status')
      for (const { id, worker } of data) if (worker) bridge.kept.set(`loadMs.${id}`, String(Math.round(worker.load_ms)))
      store.set({ models: data, known: true })
    } catch {
      // The socket tells when the hub is back; then it is read again.
    }
    reading = false
    if (again) {
      again = false
      await read()
    }
  }
  const change = (id: string, changes: Partial<ModelStatusOut>): void =>
    store.set({ models: store.get().models.map(model => (model.id === id ? { ...model, ...changes } : model)) })

  bridge.listen({
    connected(connected) {
      if (connected === store.get().connected) return
      store.set({ connected, lost: !connected })
      if (connected) {
        void read()
        bridge
          .request<SystemStatus>('GET', '/v1/system/status')
          .then(system => store.set({ system }))
          .catch(() => undefined)
        bridge
          .request<{ data: PullOut[] }>('GET', '/v1/models/pulls')
          .then(({ data }) => store.set({ pulls: data }))
          .catch(() => undefined)
      }
    },
    event(event: HubEvent) {
      hear(event)
      if (event.type === 'model.progress') change(event.id, { progress: event.fraction })
      else if (event.type === 'model.pull') store.set({ pulls: withPull(store.get().pulls, event.pull) })
      else if (event.type === 'system.load') store.set({ load: event.load })
      else if (event.type === 'model.state' || event.type === 'models.changed') void read()
    },
  })
  void read()
  return { ...store, refresh: () => void read() }
}

/** In the place of what was known of it; one that was discarded is gone. */
export function withPull(pulls: readonly PullOut[], pull: PullOut): PullOut[] {
  if (pull.state === 'cancelled' && pull.bytes === 0) return pulls.filter(({ id }) => id !== pull.id)
  return pulls.some(({ id }) => id === pull.id)
    ? pulls.map(each => (each.id === pull.id ? pull : each))
    : [pull, ...pulls]
}

/** Those that can chat: bases first, each with its adapters behind it. */
export function chatModels(models: readonly ModelStatusOut[]): ModelStatusOut[] {
  const usable = models.filter(
    ({ facts, state }) => state !== 'broken' && facts?.kind === 'model' && facts.pooling === undefined,
  )
  const bases = usable.filter(({ parent }) => parent === undefined)
  return bases.flatMap(base => [base, ...usable.filter(({ parent }) => parent === base.id)])
}

/** The model for a new chat: the one used last, else a loaded one, else the smallest that is no toy. */
export function firstChoice(models: readonly ModelStatusOut[], last: string | undefined): string | undefined {
  const usable = chatModels(models)
  const found = usable.find(({ id }) => id === last)
  if (found !== undefined) return found.id
  const rank = (model: ModelStatusOut): number =>
    (model.toy ? 4 : 0) + (model.parent !== undefined ? 2 : 0) + (model.state === 'ready' ? 0 : 1)
  return usable.toSorted((a, b) => rank(a) - rank(b) || a.bytes - b.bytes)[0]?.id
}

/** Milliseconds that loading took the last time; else what reading at 1 GB/s takes. */
export function expectedLoadMs(bridge: Bridge, { id, bytes }: ModelStatusOut): number {
  return Number(bridge.kept.get(`loadMs.${id}`)) || bytes / 1e6
}
