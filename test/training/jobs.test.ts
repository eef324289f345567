/** The queue of training jobs with a scripted trainer: order, pause, cancel, crashes, restarts, and what is told of each. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { HubError } from '../../server/lib/error.ts'
import { ADAPTER } from '../../server/training/work.ts'
import type { TrainingEvent } from '../../server/wire/events.ts'
import { openQueue, type Queue } from '../helpers/job_queue.ts'

const isStep = (step: number) => (event: TrainingEvent) =>
  event.type === 'training.progress' && event.progress.step === step
const messages = (queue: Queue, id: string): string[] =>
  queue.jobs.events(id, { limit: 1000, order: 'asc', type: 'message' }).events.map(event => event.message)

test('a job goes through its stages to a model, and its folder is cleared', async context => {
  const queue = openQueue(context)
  queue.jobs.start()
  const made = queue.add('first', { steps: 12 })
  assert.equal(made.status, 'validating_files')
  const done = await queue.status(made.id, 'succeeded', 'failed')
  assert.deepEqual(
    {
      status: done.status,
      model: done.result_model,
      error: done.error,
      lost: done.lost_steps,
      best: done.best_validation_loss,
    },
    { status: 'succeeded', model: 'base:first', error: null, lost: 0, best: 2 / 13 },
  )
  assert.equal(done.progress?.step, 12)
  assert.equal(done.checkpoint_every_steps, 5)
  const seen = queue.events.flatMap(event =>
    event.type === 'training.job' ? [event.job.stage ?? event.job.status] : [],
  )
  const changes = seen.filter((stage, index) => stage !== seen[index - 1])
  assert.deepEqual(changes, [
    'validating_files',
    'data',
    'queued',
    'tokens',
    'plan',
    'waiting',
    'training',
    'publishing',
    'succeeded',
  ])
  const { events } = queue.jobs.events(made.id, { limit: 1000, order: 'asc', type: 'metrics' })
  assert.deepEqual(
    events.flatMap(({ data }) => (data?.train_loss === undefined ? [] : [data.step])),
    Array.from({ length: 12 }, (_, i) => i + 1),
  )
  const { checkpoints } = queue.jobs.checkpoints(made.id, { limit: 10 })
  assert.deepEqual(
    checkpoints.map(({ step, metrics }) => [step, metrics.train_loss]),
    [
      [10, 2 / 11],
      [5, 2 / 6],
    ],
  )
  await queue.jobs.close()
  assert.equal(existsSync(queue.jobs.folderOf(made.id)), false)
})

test('jobs run one after the other, the higher priority first', async context => {
  const queue = openQueue(context)
  const low = queue.add('low', { steps: 2 }, { priority: -1 })
  const normal = queue.add('normal', { steps: 2 })
  queue.add('high', { steps: 2 }, { priority: 5 })
  queue.jobs.start()
  await queue.status(low.id, 'succeeded', 'failed')
  assert.equal(queue.jobs.get(normal.id).status, 'succeeded')
  assert.deepEqual(
    queue.calls.filter(call => call.startsWith('publish')),
    ['publish high', 'publish normal', 'publish low'],
  )
})

test('two jobs must not make the same adapter; once the first has ended the name is free', async context => {
  const queue = openQueue(context)
  const first = queue.add('twin', { steps: 2 })
  assert.throws(() => queue.add('twin', { steps: 2 }), { code: 'conflict', param: 'name' })
  queue.add('twin', { steps: 2 }, { model: 'other' })
  queue.jobs.cancel(first.id)
  queue.add('twin', { steps: 2 })
  assert.throws(() => queue.jobs.resume(first.id), { code: 'conflict', param: 'name' })
})

test('a killed trainer is started again and goes on from its checkpoint; the steps lost are counted and told', async context => {
  const queue = openQueue(context, { checkpointEverySteps: 5 })
  queue.jobs.start()
  const { id } = queue.add('killed', { steps: 20, crashAt: 8, crashes: 2 })
  const done = await queue.status(id, 'succeeded', 'failed')
  assert.deepEqual([done.status, done.restarts, done.lost_steps], ['succeeded', 2, 6])
  const log = messages(queue, id)
  assert.ok(
    log.some(line => /killed from outside/.test(line)),
    log.join('\n'),
  )
  assert.ok(
    log.some(line => /goes on from step 5: 20 steps.*3 steps behind its last checkpoint are done again/.test(line)),
  )
})

test('a trainer that dies again and again without getting further fails the job, with the reason and the fix', async context => {
  const queue = openQueue(context)
  queue.jobs.start()
  const { id } = queue.add('doomed', { steps: 20, exitCode: 3 })
  const done = await queue.status(id, 'succeeded', 'failed')
  assert.equal(done.status, 'failed')
  assert.equal(done.error?.code, 'training_failed')
  assert.match(done.error?.message ?? '', /exit code 3.*GGML_ASSERT.*Resume the job/)
  assert.equal(done.restarts, 3)
})

test('what the trainer says is wrong fails the job at once; resumed, it goes on from the checkpoint', async context => {
  const queue = openQueue(context, { checkpointEverySteps: 5 })
  queue.jobs.start()
  const { id } = queue.add('full', { steps: 20, failAt: 7 })
  const failed = await queue.status(id, 'succeeded', 'failed')
  assert.deepEqual(failed.error, {
    code: 'insufficient_storage',
    message: 'The disk is full; free some space.',
    param: null,
  })
  assert.equal(failed.restarts, 0)
  queue.jobs.resume(id)
  await queue.until(id, event => event.type === 'training.progress')
  await queue.status(id, 'failed')
  assert.ok(messages(queue, id).some(line => line.includes('goes on from step 5')))
  // Neither the data nor the tokens were made a second time.
  assert.deepEqual(queue.calls, ['data full', 'tokens full'])
})

test('paused, a job leaves the device with a checkpoint; resumed, nothing is lost', async context => {
  const queue = openQueue(context)
  queue.jobs.start()
  const { id } = queue.add('pause', { steps: 12, holdAt: 7 })
  await queue.until(id, isStep(7))
  const { run } = queue
  assert.equal(queue.jobs.pause(id).status, 'paused')
  assert.deepEqual(await run?.ended, { type: 'stopped' })
  assert.throws(() => queue.jobs.pause(id), { code: 'conflict' })
  const paused = queue.jobs.get(id)
  assert.equal(paused.state.checkpointStep, 7)
  // The next one runs meanwhile.
  const other = queue.add('other', { steps: 2 })
  await queue.status(other.id, 'succeeded')
  queue.jobs.resume(id)
  await queue.until(
    id,
    event => event.type === 'training.message' && event.event.message.includes('goes on from step 7'),
  )
  const again = queue.until(id, isStep(7)).catch(() => undefined)
  void again
  queue.jobs.cancel(id)
  assert.equal(queue.jobs.get(id).status, 'cancelled')
  assert.equal(queue.jobs.get(id).state.lostSteps, 0)
})

test('a run makes way for a request and goes on by itself', async context => {
  const queue = openQueue(context)
  queue.jobs.start()
  const { id } = queue.add('yields', { steps: 12, holdAt: 6 })
  await queue.until(id, isStep(6))
  const { run, held } = queue
  await held?.makeWay()
  assert.deepEqual(await run?.ended, { type: 'stopped' })
  assert.equal(queue.jobs.get(id).status, 'running')
  await queue.until(
    id,
    event => event.type === 'training.message' && event.event.message.includes('goes on from step 6'),
  )
  assert.ok(messages(queue, id).some(line => line.includes('made way')))
})

test('cancelled in the midst of reading its data, a job stops there', async context => {
  const entered = Promise.withResolvers<void>()
  const queue = openQueue(context, {
    importData: (_job, _folder, signal) =>
      new Promise((_, reject) => {
        signal.addEventListener('abort', () => reject(new HubError('cancelled', 'cancelled')))
        entered.resolve()
      }),
  })
  queue.jobs.start()
  const { id } = queue.add('reading', { steps: 2 })
  await entered.promise
  assert.equal(queue.jobs.cancel(id).status, 'cancelled')
  await queue.jobs.close()
  assert.equal(queue.jobs.get(id).status, 'cancelled')
})

test('data that cannot be used fails the job with its own words', async context => {
  const queue = openQueue(context, {
    importData: async () => {
      throw new HubError('invalid_request', 'No training sample was found. Line 1: it is not JSON.', {
        param: 'training_file',
      })
    },
  })
  queue.jobs.start()
  const { id } = queue.add('bad', { steps: 2 })
  const failed = await queue.status(id, 'failed')
  assert.deepEqual(failed.error, {
    code: 'invalid_request',
    message: 'No training sample was found. Line 1: it is not JSON.',
    param: 'training_file',
  })
})

test('a hub that closes stops the run with a checkpoint, and the next hub goes on with it', async context => {
  const first = openQueue(context)
  first.jobs.start()
  const { id } = first.add('overnight', { steps: 12, holdAt: 9 })
  await first.until(id, isStep(9))
  await first.jobs.close()
  assert.equal(first.jobs.get(id).status, 'queued')
  const folder = first.jobs.folderOf(id)
  const second = openQueue(context, { home: first.home })
  const resumed = second.until(
    id,
    event => event.type === 'training.message' && event.event.message.includes('from step 9'),
  )
  second.jobs.start()
  await resumed
  second.jobs.cancel(id)
  assert.equal(existsSync(join(folder, ADAPTER)), false)
  assert.match(readFileSync(join(folder, 'adapter.gguf.checkpoint'), 'utf8'), /\{"step":9\}/)
})

test('what a job uses is known until it has ended', async context => {
  const queue = openQueue(context)
  const { id } = queue.add(
    'uses',
    { steps: 2 },
    {
      data: { type: 'file', id: 'file-1' },
      validation: { type: 'file', id: 'file-2' },
    },
  )
  assert.equal(queue.jobs.userOf({ file: 'file-2' }), id)
  queue.jobs.start()
  await queue.status(id, 'queued')
  assert.equal(queue.jobs.userOf({ dataset: 'set' }), id)
  await queue.status(id, 'succeeded')
  assert.equal(queue.jobs.userOf({ file: 'file-1' }), undefined)
  assert.equal(queue.jobs.userOf({ dataset: 'set' }), undefined)
})

test('resumed, a job whose data was read is checked against its dataset, not against the file it came from', async context => {
  const checked: string[] = []
  const queue = openQueue(context, {
    deps: {
      check(request) {
        checked.push(request.data.type)
        return request
      },
    },
  })
  queue.jobs.start()
  const { id } = queue.add('again', { steps: 9, holdAt: 3 }, { data: { type: 'file', id: 'file-1' } })
  await queue.until(id, isStep(3))
  queue.jobs.cancel(id)
  queue.jobs.resume(id)
  assert.deepEqual(checked, ['file', 'dataset'])
})

test('the dataset that a job validates on is in use as well', async context => {
  const queue = openQueue(context, {
    script: { steps: 9, holdAt: 3 },
    importData: async () => ({
      dataset: { name: 'set', version: 1 },
      validationDataset: { name: 'check', version: 1 },
      training: 3,
      validation: 1,
      notes: [],
    }),
  })
  queue.jobs.start()
  const { id } = queue.add('two', { steps: 9, holdAt: 3 })
  await queue.until(id, event => event.type === 'training.progress' && event.progress.step === 3)
  assert.deepEqual(
    ['set', 'check', 'other'].map(dataset => queue.jobs.userOf({ dataset })),
    [id, id, undefined],
  )
})
