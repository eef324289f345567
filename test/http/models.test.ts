/** The list of models in OpenAI's form, and the hub's own view of them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ModelStatusList, ModelStatusOut, SystemStatus } from '../../server/wire/system.ts'
import { fakeFile, fakeModels } from '../helpers/fake_models.ts'
import { fakeSystem, testHub } from '../helpers/hub.ts'
import { specMissing, validate } from '../helpers/openapi_spec.ts'

test('the list has the models that can be used, and neither broken ones nor adapters', async context => {
  const facts = { ...fakeFile('x').facts!, kind: 'adapter' }
  const files = [fakeFile('one'), fakeFile('broken', { status: 'broken' }), fakeFile('lora', { facts })]
  const hub = await testHub(context, { models: fakeModels({ files }) })
  const { json } = await hub.get('/v1/models')
  assert.deepEqual(json, {
    object: 'list',
    data: [{ id: 'one', object: 'model', created: 1_700_000_000, owned_by: 'local' }],
  })
  assert.equal((await hub.get('/v1/models/broken')).status, 409)
  assert.equal((await hub.get('/v1/models/lora')).status, 404)
})

test('a model is found by its id, with a slash written plainly or escaped', async context => {
  const hub = await testHub(context)
  for (const path of ['/v1/models/team/other', '/v1/models/team%2Fother']) {
    assert.equal(((await hub.get(path)).json as { id: string }).id, 'team/other')
  }
  const missing = await hub.get('/v1/models/nope')
  assert.equal(missing.status, 404)
  assert.match(missing.text, /Nearest/)
})

test('list and model have the shape of the specification', { skip: specMissing }, async context => {
  const hub = await testHub(context)
  assert.deepEqual(validate('ListModelsResponse', (await hub.get('/v1/models')).json), [])
  assert.deepEqual(validate('Model', (await hub.get('/v1/models/fake')).json), [])
})

test('loading and unloading change the state, and what is in use stays', async context => {
  let open = (): void => {}
  const gate = new Promise<void>(resolve => {
    open = resolve
  })
  const models = fakeModels({ gate: () => gate })
  const hub = await testHub(context, { models })
  const loaded = ModelStatusOut.parse((await hub.post('/v1/models/load', { model: 'fake' })).json)
  assert.equal(loaded.state, 'ready')
  assert.equal(loaded.worker?.context_tokens, 2048)

  const running = hub.post('/v1/completions', { model: 'fake', prompt: 'x' })
  while (models.held() === 0) await new Promise(resolve => setImmediate(resolve))
  assert.equal((await hub.post('/v1/models/unload', { model: 'fake' })).status, 409)
  open()
  assert.equal((await running).status, 200)
  const unloaded = ModelStatusOut.parse((await hub.post('/v1/models/unload', { model: 'fake' })).json)
  assert.equal(unloaded.state, 'unloaded')
})

test('the status list has broken models too', async context => {
  const hub = await testHub(context)
  const { data } = ModelStatusList.parse((await hub.get('/v1/models/status')).json)
  assert.deepEqual(
    data.map(model => [model.id, model.state]),
    [
      ['fake', 'unloaded'],
      ['team/other', 'unloaded'],
      ['damaged', 'broken'],
    ],
  )
})

test('loading refuses a model that is not there or broken', async context => {
  const hub = await testHub(context)
  assert.equal((await hub.post('/v1/models/load', { model: 'nope' })).status, 404)
  assert.equal((await hub.post('/v1/models/load', { model: 'damaged' })).status, 409)
  assert.equal((await hub.post('/v1/models/load', {})).status, 400)
})

test('the card of a model is changed key by key, null takes a key away, and an adapter has a card of its own', async context => {
  const changed: [string, { [key: string]: unknown }][] = []
  const files = [fakeFile('one'), fakeFile('one:vi', { parent: 'one' })]
  const hub = await testHub(context, {
    models: fakeModels({ files }),
    deps: {
      changeCard: async (id, changes) => changed.push([id, changes]),
      measured: ({ file }) => (file.id === 'one' ? { load_ms: 5, generation_per_second: 40 } : undefined),
    },
  })
  const patch = (id: string, body: unknown) =>
    fetch(`${hub.url}/v1/models/${id}`, {
      method: 'PATCH',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
  const answer = ModelStatusOut.parse(await (await patch('one', { pin: true, context_size: null })).json())
  assert.deepEqual(changed, [['one', { pin: true, context_size: undefined }]])
  assert.deepEqual(answer.measured, { load_ms: 5, generation_per_second: 40 })
  for (const [id, body, status] of [
    ['one', {}, 400],
    ['one', { context_size: 1 }, 400],
    ['one', { colour: 'red' }, 400],
    ['one:vi', { pin: true }, 400],
    ['none', { pin: true }, 404],
  ] as const) {
    assert.equal((await patch(id, body)).status, status, `${id} ${JSON.stringify(body)}`)
  }
  assert.equal(changed.length, 1)
})

test('health and system status answer', async context => {
  const hub = await testHub(context)
  assert.deepEqual((await hub.get('/health')).json, {
    status: 'ok',
    version: '0.0.0-test',
    pid: process.pid,
    started_at: 1_700_000_000_000,
  })
  assert.deepEqual(SystemStatus.parse((await hub.get('/v1/system/status')).json), fakeSystem)
})
