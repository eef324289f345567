/** What base and adapter answer while a job goes on and when it is done, its log, and its curve with the learning rate. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TrainingCurve, TrainingJobOut, TrainingSamples } from '../../server/wire/training.ts'
import { RANDOM_CHAT, type RealHub, realHub } from '../helpers/real_hub.ts'

const lines = (count: number): string =>
  Array.from({ length: count }, (_, i) =>
    JSON.stringify({
      messages: [
        { role: 'user', content: `What is ${i} plus one?` },
        { role: 'assistant', content: `It is ${i + 1}, of course.` },
      ],
    }),
  ).join('\n')

async function call<T>(
  hub: RealHub,
  method: string,
  path: string,
  body?: unknown,
): Promise<{ status: number; json: T }> {
  const response = await fetch(hub.url + path, {
    method,
    ...(body !== undefined && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
  })
  return { status: response.status, json: (await response.json()) as T }
}

test('base and adapter are asked the same held-out questions, at a checkpoint and at the end', async context => {
  const hub = await realHub(context, { tiny: { ...RANDOM_CHAT, embedding: 32, feedForward: 64 } })
  await call(hub, 'POST', '/v1/training/datasets/import', {
    name: 'sums',
    text: lines(60),
    shares: { train: 0.7, validation: 0.3, test: 0 },
    filters: { duplicate_near: false },
  })
  const start = async (name: string, epochs: number): Promise<string> => {
    const config = { epochs, batch_size: 4, learning_rate: 0.01, save_interval: 5, seed: 1, patience: 0 }
    const { json } = await call<TrainingJobOut>(hub, 'POST', '/v1/training/start', {
      model_name: 'tiny',
      dataset: 'sums',
      name,
      config,
    })
    return json.id
  }
  const samplesOf = (id: string, query = '') =>
    call<TrainingSamples & { error: { param: string } }>(hub, 'GET', `/v1/training/status/${id}/samples${query}`)

  const long = await start('long', 900)
  // Checkpoints are told as they are written.
  for await (const text of (await fetch(`${hub.url}/v1/training/status/${long}?stream=true`)).body!.pipeThrough(
    new TextDecoderStream(),
  )) {
    if (/"checkpoint_step":[1-9]/.test(text)) break
  }
  const during = await samplesOf(long, '?count=2')
  assert.equal(during.status, 200, JSON.stringify(during.json))
  assert.ok(Number(during.json.step) >= 5)
  assert.equal(during.json.part, 'validation')
  assert.equal(during.json.samples.length, 2)
  for (const { question, expected } of during.json.samples) {
    const number = Number(/^What is (\d+) plus one\?$/.exec(question)?.[1])
    assert.equal(expected, `It is ${number + 1}, of course.`)
  }
  await call(hub, 'POST', `/v1/fine_tuning/jobs/${long}/cancel`)
  // The last checkpoint of a cancelled job can be asked as well, unless the base is away.
  await (await fetch(`${hub.url}/v1/training/status/${long}?stream=true`)).text()
  await call(hub, 'POST', '/v1/models/unload', { model: 'tiny' })
  const away = await samplesOf(long)
  assert.deepEqual([away.status, away.json.error.param], [409, 'load'])
  assert.equal((await samplesOf(long, '?load=true')).status, 200)

  const short = await start('short', 10)
  await (await fetch(`${hub.url}/v1/training/status/${short}?stream=true`)).text()
  const after = (await samplesOf(short)).json
  assert.deepEqual([after.step, after.samples.length], [null, 3])
  // What is shown is what the models answer.
  for (const [model, key] of [
    ['tiny', 'base'],
    ['tiny:short', 'adapter'],
  ] as const) {
    const { json } = await call<{ choices: { message: { content: string } }[] }>(hub, 'POST', '/v1/chat/completions', {
      model,
      messages: [{ role: 'user', content: after.samples[0]!.question }],
      temperature: 0,
      repeat_penalty: 1,
      max_tokens: 12,
    })
    assert.ok(after.samples[0]![key].startsWith(json.choices[0]!.message.content.trimEnd()), model)
  }
  assert.notDeepEqual(
    after.samples.map(({ base }) => base),
    after.samples.map(({ adapter }) => adapter),
  )

  const { points } = (await call<TrainingCurve>(hub, 'GET', `/v1/training/status/${short}/curve`)).json
  assert.ok(points.every(({ loss, learning_rate }) => loss === undefined || learning_rate !== undefined))
  const log = await call<{ data: { type: string; message: string }[] }>(hub, 'GET', `/v1/training/status/${short}/log`)
  assert.ok(log.json.data.every(({ type }) => type === 'message'))
  assert.match(log.json.data[0]!.message, /^The job was created/)
  assert.match(log.json.data.at(-1)!.message, /^The job succeeded/)
})
