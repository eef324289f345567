/** Training that starts by itself, with the clock and the models' use given by the test. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { openDatabase } from '../../server/storage/db.ts'
import type { NewJob } from '../../server/training/jobs.ts'
import { isBetween, Schedules } from '../../server/training/schedule.ts'
import { ScheduleSettings, type TrainingJobOut } from '../../server/wire/training.ts'

const MINUTE = 60_000

function setUp(context: { after(close: () => void): void }) {
  const home = mkdtempSync(join(tmpdir(), 'hub-schedule-'))
  const db = openDatabase(join(home, 'hub.db'))
  context.after(() => {
    db.close()
    rmSync(home, { recursive: true, force: true, maxRetries: 5 })
  })
  const world = {
    nowMs: 100 * MINUTE,
    hour: 2,
    lastUsedMs: undefined as number | undefined,
    busy: false,
    dataset: { version: 1, training: 100 },
    adapters: new Set<string>(),
    made: [] as NewJob[],
    status: 'succeeded',
  }
  const schedules = new Schedules({
    db,
    jobs: {
      create(job) {
        world.made.push(job)
        return { id: `job-${world.made.length}`, model: job.model, name: job.name } as TrainingJobOut
      },
      get isBusy() {
        return world.busy
      },
      get: () => ({ status: world.status }),
    },
    dataset: () => world.dataset,
    hasAdapter: id => world.adapters.has(id),
    lastUsedMs: () => world.lastUsedMs,
    now: () => world.nowMs,
    hourOf: () => world.hour,
  })
  return { schedules, world }
}

const settings = (more: object = {}) =>
  ScheduleSettings.parse({ model: 'base', dataset: 'mine', name: 'nightly', ...more })

test('nothing starts by itself unless there is a schedule', context => {
  const { schedules } = setUp(context)
  assert.deepEqual(schedules.list(), [])
  assert.deepEqual(schedules.tick(), [])
})

test('it starts at night, when idle, and when there is enough that is new', context => {
  const { schedules, world } = setUp(context)
  schedules.create(settings())
  const tries: [change: Partial<typeof world>, started: number][] = [
    [{ hour: 12 }, 0],
    [{ hour: 2, lastUsedMs: world.nowMs - 5 * MINUTE }, 0],
    [{ lastUsedMs: world.nowMs - 11 * MINUTE, busy: true }, 0],
    [{ busy: false, dataset: { version: 1, training: 49 } }, 0],
    [{ dataset: { version: 2, training: 50 } }, 1],
  ]
  for (const [change, started] of tries) {
    Object.assign(world, change)
    assert.equal(schedules.tick().length, started, JSON.stringify(change))
  }
  const [job] = world.made
  assert.deepEqual(job?.data, { type: 'dataset', name: 'mine', version: 2 })
  assert.deepEqual([job?.replace, job?.continue_from, job?.priority], [true, undefined, -10])
})

test('the next run goes on from the adapter of the last, and only once the data has grown again', context => {
  const { schedules, world } = setUp(context)
  const { id } = schedules.create(settings({ replay: 0.3 }))
  assert.deepEqual(schedules.tick(), ['job-1'])
  world.adapters.add('base:nightly')
  assert.deepEqual(schedules.tick(), [])
  world.dataset = { version: 2, training: 149 }
  assert.deepEqual(schedules.tick(), [])
  world.dataset = { version: 3, training: 150 }
  assert.deepEqual(schedules.tick(), ['job-2'])
  assert.deepEqual([world.made[1]?.continue_from, world.made[1]?.replay], ['nightly', 0.3])
  assert.equal(schedules.list()[0]?.state.runs, 2)
  schedules.remove(id)
  assert.throws(() => schedules.remove(id), { code: 'not_found' })
})

test('what a failed run did not learn still counts as new, but is not tried again every minute', context => {
  const { schedules, world } = setUp(context)
  schedules.create(settings())
  schedules.tick()
  world.status = 'failed'
  assert.deepEqual(schedules.tick(), [])
  world.dataset = { version: 2, training: 101 }
  assert.deepEqual(schedules.tick(), ['job-2'])
})

test('two schedules for one adapter are refused', context => {
  const { schedules } = setUp(context)
  schedules.create(settings())
  assert.throws(() => schedules.create(settings()), { code: 'conflict' })
})

test('hours may go over midnight', () => {
  assert.deepEqual(
    [22, 23, 0, 4, 5, 21].map(hour => isBetween(hour, 22, 4)),
    [true, true, true, true, false, false],
  )
  assert.deepEqual(
    [0, 1, 6, 7].map(hour => isBetween(hour, 1, 6)),
    [false, true, true, false],
  )
})
