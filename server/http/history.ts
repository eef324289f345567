/** The load of the last hour, so that a page opened now shows what was before. In memory only. */
import { HubError } from '../lib/error.ts'
import type { Log } from '../lib/log.ts'
import { LoadHistory, type SystemLoad } from '../wire/load.ts'
import { type Route, route } from './route.ts'

const STEP_MS = 10_000
const KEPT_MS = 3_600_000

export type HistoryDeps = {
  load(): Promise<SystemLoad>
  log: Log
  /** Calls the action again and again until the function that it gives is called. */
  every(action: () => void, ms: number): () => void
}

export type History = { read(): LoadHistory; close(): void }

export function keepHistory(deps: HistoryDeps): History {
  const samples: SystemLoad[] = []
  let isAsking = false
  const look = (): void => {
    // A slow answer is waited for: two at once would tell the same.
    if (isAsking) return
    isAsking = true
    deps
      .load()
      .then(load => {
        samples.push(load)
        if (samples.length > KEPT_MS / STEP_MS) samples.shift()
      })
      .catch((thrown: unknown) => deps.log.warn('the load cannot be read', { reason: HubError.from(thrown).message }))
      .finally(() => {
        isAsking = false
      })
  }
  const close = deps.every(look, STEP_MS)
  return { read: () => ({ object: 'history', step_ms: STEP_MS, samples: [...samples] }), close }
}

export function historyRoutes(deps: { history(): LoadHistory }): Route[] {
  return [
    route({
      method: 'GET',
      path: '/v1/system/history',
      summary: 'The load of the last hour, a sample every ten seconds',
      tag: 'Hub',
      scope: 'use',
      response: LoadHistory,
      handler: () => deps.history(),
    }),
  ]
}
