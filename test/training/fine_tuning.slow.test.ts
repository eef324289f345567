/** Fine-tuning through npm's openai client on a real hub with the real trainer: from a file to a model that answers. */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import OpenAI, { toFile } from 'openai'
import type { TrainingDryRun, TrainingJobOut } from '../../server/wire/training.ts'
import { specMissing, validate } from '../helpers/openapi_spec.ts'
import { RANDOM_CHAT, type RealHub, realHub } from '../helpers/real_hub.ts'

const chatLines = (count: number): string =>
  Array.from({ length: count }, (_, i) =>
    JSON.stringify({
      messages: [
        { role: 'user', content: `What is ${i} plus one?` },
        { role: 'assistant', content: `It is ${i + 1}, of course.` },
      ],
    }),
  ).join('\n')

const upload = (client: OpenAI, text: string, name = 'sums.jsonl') =>
  toFile(Buffer.from(text), name).then(file => client.files.create({ file, purpose: 'fine-tune' }))

async function ended(client: OpenAI, id: string): Promise<OpenAI.FineTuning.FineTuningJob> {
  // The stream of events ends with the job.
  const response = await fetch(`${client.baseURL}/fine_tuning/jobs/${id}/events?stream=true`)
  await response.text()
  return client.fineTuning.jobs.retrieve(id)
}

test('from a file to a served adapter with the openai client', async context => {
  const hub = await realHub(context, { tiny: { ...RANDOM_CHAT, embedding: 32, feedForward: 64 } })
  const client = new OpenAI({ baseURL: `${hub.url}/v1`, apiKey: 'none', maxRetries: 0 })
  const file = await upload(client, chatLines(40))
  const job = await client.fineTuning.jobs.create({
    model: 'tiny',
    training_file: file.id,
    suffix: 'sums',
    seed: 7,
    method: { type: 'supervised', supervised: { hyperparameters: { n_epochs: 2, batch_size: 8 } } },
    metadata: { who: 'test' },
  })
  assert.equal(job.status, 'validating_files')
  const done = await ended(client, job.id)
  assert.deepEqual(
    [done.status, done.fine_tuned_model, done.error, done.seed, done.metadata],
    ['succeeded', 'tiny:sums', null, 7, { who: 'test' }],
  )
  assert.ok(Number(done.trained_tokens) > 0)
  const answer = await client.chat.completions.create({
    model: 'tiny:sums',
    messages: [{ role: 'user', content: 'What is 3 plus one?' }],
    max_tokens: 4,
  })
  assert.equal(answer.choices.length, 1)
  const events = []
  for await (const event of client.fineTuning.jobs.listEvents(job.id, { limit: 10 })) events.push(event)
  assert.ok(events.length > 10)
  const checkpoints = await client.fineTuning.jobs.checkpoints.list(job.id)
  assert.ok(checkpoints.data.length > 0)
  const listed = await client.fineTuning.jobs.list()
  assert.deepEqual(
    listed.data.map(({ id }) => id),
    [job.id],
  )
  if (specMissing !== false) return
  assert.deepEqual(validate('FineTuningJob', done), [])
  assert.deepEqual(
    events.flatMap(event => validate('FineTuningJobEvent', event)),
    [],
  )
  assert.deepEqual(
    checkpoints.data.flatMap(checkpoint => validate('FineTuningJobCheckpoint', checkpoint)),
    [],
  )
  assert.deepEqual(validate('OpenAIFile', file), [])
})

const TINY_CHAT = { ...RANDOM_CHAT, embedding: 32, feedForward: 64 }

async function call<T>(
  hub: RealHub,
  path: string,
  body?: unknown,
  method = body === undefined ? 'GET' : 'POST',
): Promise<T> {
  const response = await fetch(hub.url + path, {
    method,
    ...(body !== undefined && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
  })
  const value = (await response.json()) as T & { error?: { message: string; param: string } | null }
  if (response.status !== 200)
    throw Object.assign(new Error(value.error?.message), { status: response.status, ...value.error })
  return value
}

/** To the end of its stream. */
async function follow(hub: RealHub, id: string): Promise<TrainingJobOut> {
  await (await fetch(`${hub.url}/v1/training/status/${id}?stream=true`)).text()
  return call(hub, `/v1/training/status/${id}`)
}

test('the hub’s own words: a plan, a run, more data on top of it with some of the old, and pairs', async context => {
  const hub = await realHub(context, { tiny: TINY_CHAT })
  const data = (name: string) => join(hub.home, 'training_data', name)
  writeFileSync(data('first.jsonl'), chatLines(30))
  const config = { epochs: 2, batch_size: 4, rank: 4, seed: 3 }
  const first = { model_name: 'tiny', dataset_path: 'training_data/first.jsonl', name: 'sums', config }
  const plan = await call<TrainingDryRun>(hub, '/v1/training/start', { ...first, dry_run: true })
  assert.equal(plan.object, 'training.plan')
  assert.equal(plan.plan.settings.epochs, 2)
  assert.ok(plan.plan.expected.memoryBytes > 0 && plan.plan.reasons.learning_rate !== undefined)
  assert.deepEqual((await call<{ data: unknown[] }>(hub, '/v1/training/status')).data, [])

  const copies = join(hub.home, 'copies')
  const made = await call<TrainingJobOut>(hub, '/v1/training/start', { ...first, output_dir: 'copies' })
  // Neither its data nor its name can be taken from it meanwhile.
  await assert.rejects(call(hub, '/v1/training/start', first), { status: 409, param: 'name' })
  const done = await follow(hub, made.id)
  assert.deepEqual([done.status, done.result_model], ['succeeded', 'tiny:sums'], JSON.stringify(done.error))
  assert.ok(existsSync(join(copies, 'sums.gguf')))
  await assert.rejects(call(hub, '/v1/training/start', { ...first, output_dir: 'elsewhere' }), {
    status: 409,
    param: 'name',
  })

  // The larger file holds the thirty of before.
  writeFileSync(data('first.jsonl'), chatLines(45))
  const more = await call<TrainingJobOut>(hub, '/v1/training/start', {
    ...first,
    continue_from: 'sums',
    replay: 0.5,
    replace: true,
    config: { epochs: 2, batch_size: 4 },
  })
  const continued = await follow(hub, more.id)
  assert.deepEqual(
    [continued.status, continued.result_model],
    ['succeeded', 'tiny:sums'],
    JSON.stringify(continued.error),
  )
  assert.deepEqual(continued.dataset, { name: 'first', version: 2 })
  const { counts } = await call<{ counts: { train: number } }>(hub, '/v1/training/datasets/first')
  assert.ok(
    continued.stats!.samples > 45 - 30 - 6 && continued.stats!.samples < counts.train,
    `${continued.stats!.samples} samples`,
  )
  assert.equal((await call<{ id: string }>(hub, '/v1/models/tiny:sums@1')).id, 'tiny:sums@1')

  const pairs = Array.from({ length: 20 }, (_, i) =>
    JSON.stringify({
      input: { messages: [{ role: 'user', content: `What is ${i} plus one?` }] },
      preferred_output: [{ role: 'assistant', content: `${i + 1}` }],
      non_preferred_output: [{ role: 'assistant', content: 'No idea.' }],
    }),
  ).join('\n')
  writeFileSync(data('pairs.jsonl'), pairs)
  const wrong = await call<TrainingJobOut>(hub, '/v1/training/start', {
    ...first,
    name: 'wrong',
    dataset_path: 'training_data/pairs.jsonl',
  })
  const refused = await follow(hub, wrong.id)
  assert.deepEqual([refused.status, refused.error?.param], ['failed', 'method'])
  const preferred = await call<TrainingJobOut>(hub, '/v1/training/start', {
    ...first,
    name: 'polite',
    dataset_path: 'training_data/pairs.jsonl',
    method: 'dpo',
    config: { epochs: 2, batch_size: 4, rank: 4, beta: 0.2 },
  })
  const polite = await follow(hub, preferred.id)
  assert.equal(polite.status, 'succeeded', JSON.stringify(polite.error))
  assert.deepEqual(polite.plan?.settings.loss, { type: 'preference', beta: 0.2 })
  assert.equal(typeof polite.progress?.accuracy, 'number')
})

test('a search tries settings, trains with the best, and shows both', async context => {
  const hub = await realHub(context, { tiny: TINY_CHAT })
  writeFileSync(join(hub.home, 'training_data', 'sums.jsonl'), chatLines(60))
  const { id } = await call<TrainingJobOut>(hub, '/v1/training/search', {
    model_name: 'tiny',
    dataset_path: 'training_data/sums.jsonl',
    name: 'searched',
    config: { rank: 4, max_steps: 6 },
    first_steps: 1,
  })
  const done = await follow(hub, id)
  assert.equal(done.status, 'succeeded', JSON.stringify(done.error))
  const { search, plan } = done
  assert.equal(search!.trials.length, 10)
  assert.equal(plan!.settings.rate, search!.best.learning_rate)
  assert.equal(plan!.settings.mode.type === 'lora' && plan!.settings.mode.rank, search!.best.rank)
  assert.match(search!.table, /learning rate +rank/)
  assert.equal(done.result_model, 'tiny:searched')
})

test('what is wrong with a job is told in words, at once where it can be', async context => {
  const hub = await realHub(context, { tiny: TINY_CHAT })
  const client = new OpenAI({ baseURL: `${hub.url}/v1`, apiKey: 'none', maxRetries: 0 })
  const start = (body: object) => call<TrainingJobOut>(hub, '/v1/training/start', { model_name: 'tiny', ...body })
  const secret = join(tmpdir(), 'outside.jsonl')
  const cases: [body: object, status: number, message: RegExp][] = [
    [{ dataset_path: '../outside.jsonl' }, 400, /has to lie inside/],
    [{ dataset_path: secret }, 400, /has to lie inside/],
    [{ dataset_path: 'training_data/none.jsonl' }, 404, /no file or folder/],
    [{ dataset: 'none' }, 404, /no dataset 'none'/],
    [{ training_file: 'file-none' }, 404, /Upload it/],
    [{}, 400, /dataset_path, dataset and training_file/],
    [{ dataset: 'a', training_file: 'b' }, 400, /by one of/],
    [{ dataset_path: 'training_data', output_dir: '/tmp' }, 400, /output_dir/],
    [{ dataset_path: 'training_data', config: { colour: 1 } }, 400, /config.colour/],
    [{ dataset_path: 'training_data', replay: 0.5 }, 400, /continue_from/],
    [{ dataset_path: 'training_data', continue_from: 'none' }, 400, /no adapter tiny:none/],
    [{ model_name: 'huge', dataset_path: 'training_data' }, 404, /huge/],
  ]
  for (const [body, status, message] of cases) {
    await assert.rejects(start(body), (thrown: Error & { status: number }) => {
      assert.equal(thrown.status, status, thrown.message)
      assert.match(thrown.message, message)
      return true
    })
  }
  // A link that leads out of home counts as outside.
  if (process.platform !== 'win32') {
    mkdirSync(join(hub.home, 'training_data', 'links'))
    symlinkSync(tmpdir(), join(hub.home, 'training_data', 'links', 'out'))
    await assert.rejects(start({ dataset_path: 'training_data/links/out/x.jsonl' }), { status: 400 })
  }
  const other = await client.files.create({
    file: await toFile(Buffer.from(chatLines(3)), 'x.jsonl'),
    purpose: 'user_data',
  })
  const create = (body: object) =>
    client.fineTuning.jobs.create({
      model: 'tiny',
      training_file: other.id,
      ...body,
    } as OpenAI.FineTuning.JobCreateParams)
  await assert.rejects(create({}), { status: 400, message: /purpose fine-tune/ })
  await assert.rejects(create({ integrations: [{ type: 'wandb', wandb: { project: 'x' } }] }), {
    status: 400,
    message: /integrations/,
  })
  await assert.rejects(create({ method: { type: 'reinforcement', reinforcement: {} } }), {
    status: 400,
    message: /graders/,
  })
  await assert.rejects(create({ suffix: 'a/b' }), { status: 400 })

  const bad = await upload(client, 'not a sample\n{"also": "not"}\n', 'bad.jsonl')
  const job = await client.fineTuning.jobs.create({ model: 'tiny', training_file: bad.id })
  const failed = await ended(client, job.id)
  assert.equal(failed.status, 'failed')
  assert.match(failed.error!.message, /No training sample was found.*line 1/)
  await client.files.delete(bad.id)
})

test('a dataset that a job needs is not deleted; a cancelled job lets it go', async context => {
  const hub = await realHub(context, { tiny: TINY_CHAT })
  writeFileSync(join(hub.home, 'training_data', 'kept.jsonl'), chatLines(30))
  const config = { epochs: 1000, batch_size: 1, rank: 4 }
  const body = { model_name: 'tiny', dataset_path: 'training_data/kept.jsonl', name: 'kept', config }
  const { id } = await call<TrainingJobOut>(hub, '/v1/training/start', body)
  const response = await fetch(`${hub.url}/v1/training/status/${id}?stream=true`)
  for await (const chunk of response.body!) if (Buffer.from(chunk).includes('event: progress')) break
  const remove = () => call(hub, '/v1/training/datasets/kept', undefined, 'DELETE')
  await assert.rejects(remove(), { status: 409, message: new RegExp(`job ${id}`) })
  // The base answers while its adapter is trained.
  const client = new OpenAI({ baseURL: `${hub.url}/v1`, apiKey: 'none', maxRetries: 0 })
  const answer = await client.completions.create({ model: 'tiny', prompt: 'What', max_tokens: 2 })
  assert.equal(answer.choices.length, 1)
  const cancelled = await client.fineTuning.jobs.cancel(id)
  assert.equal(cancelled.status, 'cancelled')
  await remove()
})
