/** /v1/fine_tuning/jobs through npm's openai client, over the queue with a scripted trainer. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import OpenAI from 'openai'
import { fineTuningRoutes } from '../../server/http/fine_tuning.ts'
import { type TestHub, testHub } from '../helpers/hub.ts'
import { openQueue, type Queue } from '../helpers/job_queue.ts'
import { specMissing, validate } from '../helpers/openapi_spec.ts'
import type { Script } from '../helpers/scripted_trainer.ts'

type Setup = { queue: Queue; hub: TestHub; client: OpenAI; jobs: OpenAI.FineTuning.Jobs }

async function setUp(context: Parameters<typeof testHub>[0], script: Script): Promise<Setup> {
  const queue = openQueue(context, { script })
  queue.jobs.start()
  const hub = await testHub(context, { routes: () => fineTuningRoutes(queue) })
  const client = new OpenAI({ baseURL: `${hub.url}/v1`, apiKey: 'none', maxRetries: 0 })
  return { queue, hub, client, jobs: client.fineTuning.jobs }
}

const BODY = { model: 'base', training_file: 'file-1' }

test('a job as it is made, and as it is when it has succeeded', async context => {
  const { queue, jobs } = await setUp(context, { steps: 12 })
  const made = await jobs.create({
    ...BODY,
    suffix: 'mine',
    seed: 4,
    validation_file: 'file-2',
    metadata: { a: 'b' },
    integrations: null,
    method: { type: 'supervised', supervised: { hyperparameters: { n_epochs: 'auto', learning_rate_multiplier: 2 } } },
  })
  assert.deepEqual(made.hyperparameters, { n_epochs: 'auto', batch_size: 'auto', learning_rate_multiplier: 2 })
  assert.deepEqual([made.training_file, made.validation_file, made.metadata], ['file-1', 'file-2', { a: 'b' }])
  await queue.status(made.id, 'succeeded')
  const done = await jobs.retrieve(made.id)
  assert.deepEqual(
    [done.status, done.fine_tuned_model, done.trained_tokens, done.hyperparameters.n_epochs, done.seed],
    ['succeeded', 'base:mine', 60, 2, 4],
  )
  assert.ok(done.finished_at! >= done.created_at)
})

test('pause, resume and cancel; a job in the wrong state is refused', async context => {
  const { queue, jobs } = await setUp(context, { steps: 12, holdAt: 4 })
  const { id } = await jobs.create(BODY)
  await queue.until(id, event => event.type === 'training.progress' && event.progress.step === 4)
  const running = await jobs.retrieve(id)
  assert.equal(running.status, 'running')
  assert.equal(typeof running.estimated_finish, 'number')
  assert.equal((await jobs.pause(id)).status as string, 'paused')
  await assert.rejects(jobs.pause(id), { status: 409 })
  const resumed: string = (await jobs.resume(id)).status
  assert.ok(['queued', 'running'].includes(resumed), resumed)
  assert.equal((await jobs.cancel(id)).status, 'cancelled')
  await assert.rejects(jobs.cancel(id), { status: 409, message: /is cancelled/ })
  await assert.rejects(jobs.retrieve('ftjob-none'), { status: 404 })
})

test('lists and their pages', async context => {
  const { queue, jobs } = await setUp(context, { steps: 12 })
  const made = []
  for (let i = 0; i < 3; i++) made.push((await jobs.create(BODY)).id)
  await queue.status(made[2]!, 'succeeded')
  const listed = []
  for await (const job of jobs.list({ limit: 2 })) listed.push(job.id)
  assert.deepEqual(listed, [...made].reverse())
  const events = []
  for await (const event of jobs.listEvents(made[0]!, { limit: 5 })) events.push(event)
  assert.equal(new Set(events.map(({ id }) => id)).size, events.length)
  assert.match(events[0]!.message, /The job succeeded/)
  assert.match(events.at(-1)!.message, /The job was created/)
  const checkpoints = []
  for await (const checkpoint of jobs.checkpoints.list(made[0]!, { limit: 1 })) checkpoints.push(checkpoint)
  assert.deepEqual(
    checkpoints.map(({ step_number }) => step_number),
    [10, 5],
  )
  await assert.rejects(jobs.listEvents(made[0]!, { after: 'x' }), { status: 400, param: 'after' })
})

test('the stream of events tells each once, in order, and ends with the job', async context => {
  const { queue, hub, jobs } = await setUp(context, { steps: 30 })
  const { id } = await jobs.create(BODY)
  const live = await fetch(`${hub.url}/v1/fine_tuning/jobs/${id}/events?stream=true`)
  const text = await live.text()
  await queue.status(id, 'succeeded')
  const data = text.split('\n').flatMap(line => (line.startsWith('data: ') ? [line.slice('data: '.length)] : []))
  assert.equal(data.pop(), '[DONE]')
  const told = data.map(line => (JSON.parse(line) as { id: string }).id)
  const { events } = queue.jobs.events(id, { limit: 1000, order: 'asc' })
  assert.deepEqual(
    told,
    events.map(event => `ftevent-${id}-${event.number}`),
  )
  // Of a job that has ended the same is told.
  const again = await (await fetch(`${hub.url}/v1/fine_tuning/jobs/${id}/events?stream=true`)).text()
  assert.equal(again, text)
})

test('what is not supported is refused by its name', async context => {
  const { hub } = await setUp(context, { steps: 2 })
  const cases: [body: object, param: string][] = [
    [{ integrations: [{ type: 'wandb', wandb: { project: 'x' } }] }, 'integrations'],
    [{ method: { type: 'reinforcement' } }, 'method.type'],
    [{ method: { type: 'supervised' }, hyperparameters: { n_epochs: 0 } }, 'hyperparameters.n_epochs'],
    [{ method: { type: 'dpo', dpo: { hyperparameters: { beta: 3 } } } }, 'method.dpo.hyperparameters.beta'],
    [{ colour: 'red' }, 'colour'],
    [{ suffix: '' }, 'suffix'],
  ]
  for (const [body, param] of cases) {
    const { status, json } = await hub.post('/v1/fine_tuning/jobs', { ...BODY, ...body })
    const { error } = json as { error: { param: string; message: string } }
    assert.deepEqual([status, error.param], [400, param], error.message)
  }
  const twice = { method: { type: 'supervised', supervised: { hyperparameters: {} } }, hyperparameters: {} }
  assert.equal((await hub.post('/v1/fine_tuning/jobs', { ...BODY, ...twice })).status, 400)
})

test('answers have the shapes of OpenAI’s document', { skip: specMissing }, async context => {
  const { queue, hub, jobs } = await setUp(context, { steps: 12 })
  const { id } = await jobs.create({ ...BODY, method: { type: 'dpo' } })
  await queue.status(id, 'succeeded')
  const get = async (path: string) => (await hub.get(`/v1/fine_tuning/jobs${path}`)).json
  assert.deepEqual(validate('FineTuningJob', await get(`/${id}`)), [])
  assert.deepEqual(validate('ListPaginatedFineTuningJobsResponse', await get('')), [])
  assert.deepEqual(validate('ListFineTuningJobEventsResponse', await get(`/${id}/events`)), [])
  assert.deepEqual(validate('ListFineTuningJobCheckpointsResponse', await get(`/${id}/checkpoints`)), [])
})
