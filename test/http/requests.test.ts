/** The list of recent requests: figures of each and no text, whatever became of it. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { coreRoutes } from '../../server/http/all.ts'
import { createRequestLog, MOST_REQUESTS, requestRoutes } from '../../server/http/requests.ts'
import { HubError } from '../../server/lib/error.ts'
import { RequestList, type RequestOut } from '../../server/wire/requests.ts'
import type { Generate } from '../../server/wire/worker.ts'
import { type FakeOptions, fakeModels } from '../helpers/fake_models.ts'
import { type TestHub, testHub } from '../helpers/hub.ts'

const SECRET = 'the secret of the prompt'

async function start(context: TestContext, options: FakeOptions = {}) {
  let clock = 1000
  const ended: RequestOut[] = []
  const log = createRequestLog({ now: () => clock++, ended: request => ended.push(request) })
  const models = fakeModels(options)
  const hub = await testHub(context, {
    models: log.watch(models),
    routes: deps => [...coreRoutes(deps), ...requestRoutes({ requests: log })],
    server: { requests: log },
  })
  return { hub, log, models, ended }
}

async function listed(hub: TestHub): Promise<RequestOut[]> {
  const { text, json } = await hub.get('/v1/system/requests')
  assert.ok(!text.includes(SECRET))
  return RequestList.parse(json).data
}

const chat = (more: object = {}) => ({ model: 'fake', messages: [{ role: 'user', content: SECRET }], ...more })

test('a request is told with its model, tokens and times, the latest first', async context => {
  const { hub, ended } = await start(context)
  await hub.post('/v1/chat/completions', chat())
  await hub.events('/v1/completions', { model: 'team/other', prompt: SECRET, stream: true })
  await hub.post('/v1/embeddings', { model: 'fake', input: SECRET })
  const [embedding, completion, first] = await listed(hub)
  assert.ok(embedding && completion && first)
  assert.deepEqual([first.endpoint, first.model, first.status], ['/v1/chat/completions', 'fake', 200])
  assert.deepEqual([completion.endpoint, completion.model], ['/v1/completions', 'team/other'])
  assert.equal(embedding.endpoint, '/v1/embeddings')
  assert.ok((first.prompt_tokens ?? 0) > 0 && (first.completion_tokens ?? 0) > 0)
  assert.ok((embedding.prompt_tokens ?? 0) > 0)
  assert.equal(embedding.completion_tokens, 0)
  for (const request of [first, completion]) {
    assert.equal(request.cancelled, false)
    assert.ok((request.wait_ms ?? -1) > 0)
    assert.ok((request.first_token_ms ?? 0) > (request.wait_ms ?? 0))
    assert.ok(request.ms > (request.first_token_ms ?? 0))
  }
  assert.deepEqual(ended, [first, completion, embedding])
})

test('what is refused and what fails is told with its code, and what asks no model is not told', async context => {
  const { hub } = await start(context, {
    answer: () => ({ deltas: [{ content: 'x' }], error: { code: 'worker_crashed', message: SECRET } }),
  })
  await hub.get('/v1/models')
  await hub.post('/v1/chat/completions', chat({ temperature: 'hot' }))
  await hub.post('/v1/chat/completions', chat({ model: 'nobody' }))
  await hub.post('/v1/chat/completions', chat())
  await hub.events('/v1/chat/completions', chat({ stream: true }))
  assert.deepEqual(
    (await listed(hub)).map(({ status, error, model }) => [status, error, model]),
    [
      [503, 'worker_crashed', 'fake'],
      [503, 'worker_crashed', 'fake'],
      [404, 'model_not_found', undefined],
      [400, 'invalid_request', undefined],
    ],
  )
})

test('a model that cannot be loaded is named', async context => {
  const { hub } = await start(context, { acquireError: new HubError('insufficient_memory', 'too large') })
  await hub.post('/v1/chat/completions', chat())
  const [request] = await listed(hub)
  assert.deepEqual([request?.model, request?.error, request?.wait_ms], ['fake', 'insufficient_memory', undefined])
})

test('a client that goes away leaves a cancelled request', async context => {
  const { hub, log, models } = await start(context, { gate: () => new Promise(() => {}) })
  const away = new AbortController()
  const asked = fetch(`${hub.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(chat()),
    signal: away.signal,
  })
  asked.catch(() => undefined)
  while (models.held() === 0) await new Promise(setImmediate)
  away.abort()
  await assert.rejects(asked)
  while (log.list().length === 0) await new Promise(setImmediate)
  const [request] = await listed(hub)
  assert.deepEqual([request?.cancelled, request?.status, request?.error], [true, 499, 'cancelled'])
})

test('the oldest are forgotten', () => {
  const log = createRequestLog({ now: () => 1, ended: () => {} })
  for (let i = 0; i < MOST_REQUESTS + 5; i++)
    log.begin({ id: String(i), endpoint: '/x' }, new AbortController().signal)()
  const ids = log.list().map(({ id }) => id)
  assert.equal(ids.length, MOST_REQUESTS)
  assert.deepEqual([ids[0], ids.at(-1)], [String(MOST_REQUESTS + 4), '5'])
})

test('a door without requests has one for each use that asks the model something', async () => {
  const log = createRequestLog({ now: () => 1, ended: () => {} })
  const models = log.watchUses(fakeModels(), 'editor')
  const { signal } = new AbortController()
  const looked = await models.acquire('fake', signal)
  looked.release()
  assert.deepEqual(log.list(), [])
  const lease = await models.acquire('fake', signal)
  const request = { prompt: { type: 'text', text: 'x' }, format: { type: 'text' }, n: 1 } as unknown
  for await (const event of lease.generate(request as Generate, signal)) assert.ok(event.type !== 'error')
  lease.release()
  await assert.rejects(models.acquire('nobody', signal))
  assert.deepEqual(
    log.list().map(({ endpoint, model, error }) => [endpoint, model, error]),
    [
      ['editor', undefined, 'model_not_found'],
      ['editor', 'fake', undefined],
    ],
  )
})
