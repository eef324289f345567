/** The load of the last hour: sampled by the clock, bounded, and told as it was. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { historyRoutes, keepHistory } from '../../server/http/history.ts'
import { silentLog } from '../../server/lib/log.ts'
import { LoadHistory, type SystemLoad } from '../../server/wire/load.ts'
import { testHub } from '../helpers/hub.ts'

const load = (at: number): SystemLoad => ({
  at_ms: at,
  cpu: 0.5,
  memory: { total_bytes: 2, available_bytes: 1, hub_rss_bytes: 1 },
  devices: [],
  queue: { running: 0, waiting: 0 },
  models: [],
})

test('a sample is kept for an hour, and one that cannot be read leaves a gap', async context => {
  let tick = (): void => {}
  let stepMs = 0
  let at = 0
  let stopped = false
  const history = keepHistory({
    load: async () => {
      at++
      if (at === 2) throw new Error('no')
      return load(at)
    },
    log: silentLog,
    every(action, ms) {
      tick = action
      stepMs = ms
      return () => {
        stopped = true
      }
    },
  })
  const hub = await testHub(context, { routes: () => historyRoutes({ history: history.read }) })
  for (let i = 0; i < 400; i++) {
    tick()
    // A second look before the first is answered asks nothing.
    tick()
    await new Promise(setImmediate)
  }
  const { samples, step_ms } = LoadHistory.parse((await hub.get('/v1/system/history')).json)
  assert.equal(step_ms, stepMs)
  assert.equal(samples.length, 3_600_000 / stepMs)
  assert.equal(samples.at(-1)?.at_ms, 400)
  assert.ok(samples.every(({ at_ms }, index) => index === 0 || at_ms > (samples[index - 1]?.at_ms ?? 0)))
  history.close()
  assert.ok(stopped)
})
