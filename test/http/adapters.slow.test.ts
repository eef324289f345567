/** /v1/training/adapters against a real hub: list, card, versions, merge, export and import; the openai client sees an adapter as a model. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import OpenAI from 'openai'
import type { AdapterOut } from '../../server/wire/adapter.ts'
import { type RandomAdapter, writeRandomAdapter } from '../helpers/random_adapter.ts'
import { RANDOM_CHAT, type RealHub, realHub } from '../helpers/real_hub.ts'

type Answer = { status: number; json: { [key: string]: unknown } & { error?: { message: string; param: string } } }

async function call(hub: RealHub, method: string, path: string, body?: unknown): Promise<Answer> {
  const response = await fetch(hub.url + path, {
    method,
    ...(body !== undefined && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
  })
  return { status: response.status, json: (await response.json()) as Answer['json'] }
}

async function start(t: TestContext): Promise<RealHub> {
  const hub = await realHub(t, { base: RANDOM_CHAT })
  await publish(hub, 'style', { seed: 1 })
  return hub
}

async function publish(hub: RealHub, name: string, options: RandomAdapter, replace = false): Promise<void> {
  const file = join(hub.home, 'new.gguf')
  writeRandomAdapter(file, join(hub.folder, 'base.gguf'), options)
  await hub.adapters.publish({ base: 'base', name, file, card: { job: 'ftjob-1' }, replace })
}

const PATH = '/v1/training/adapters'
const list = async (hub: RealHub): Promise<AdapterOut[]> => (await call(hub, 'GET', PATH)).json.data as AdapterOut[]

const complete = async (hub: RealHub, model: string, more: object = {}): Promise<string> => {
  const { json } = await call(hub, 'POST', '/v1/completions', {
    model,
    prompt: 'a river',
    temperature: 0,
    max_tokens: 12,
    ...more,
  })
  return JSON.stringify((json.choices as { text: string }[] | undefined)?.[0]?.text ?? json)
}

test('an adapter is a model for the openai client, with its parent', async t => {
  const hub = await start(t)
  const client = new OpenAI({ baseURL: `${hub.url}/v1`, apiKey: 'none' })
  const found = (await client.models.list()).data.find(({ id }) => id === 'base:style')
  assert.equal((found as { parent?: string } | undefined)?.parent, 'base')
  assert.equal((await client.models.retrieve('base:style')).id, 'base:style')
  const ask = (model: string) =>
    client.chat.completions.create({
      model,
      temperature: 0,
      max_tokens: 12,
      messages: [{ role: 'user', content: 'Hello' }],
    })
  const [base, style] = [await ask('base'), await ask('base:style')]
  assert.equal(style.model, 'base:style')
  assert.notEqual(style.choices[0]!.message.content, base.choices[0]!.message.content)
  const embedding = await call(hub, 'POST', '/v1/embeddings', { model: 'base:style', input: 'x' })
  assert.equal(embedding.status, 400)
  assert.equal(embedding.json.error?.param, 'model')
  assert.deepEqual(await client.models.delete('base:style'), { id: 'base:style', object: 'model', deleted: true })
  assert.deepEqual(await list(hub), [])
  await assert.rejects(client.models.delete('base'), /is a base model/)
  assert.ok(existsSync(join(hub.folder, 'base.gguf')))
})

test('every endpoint that writes text takes an adapter, and its strength', async t => {
  const hub = await start(t)
  const [base, style] = [await complete(hub, 'base'), await complete(hub, 'base:style')]
  assert.notEqual(base, style)
  assert.equal(await complete(hub, 'base:style', { lora_scale: 0 }), base)
  assert.equal(await complete(hub, 'base', { adapters: [{ name: 'style' }] }), style)
  assert.equal(await complete(hub, 'base:style', { adapters: [{ name: 'style', scale: 0 }] }), base)
  const bodies: [path: string, body: object][] = [
    ['/v1/responses', { input: 'Hello', max_output_tokens: 8, store: false }],
    ['/infill', { input_prefix: 'let a = ', input_suffix: ';', n_predict: 4 }],
    ['/v1/completions', { prompt: 'let a = ', suffix: ';', max_tokens: 4 }],
    ['/tokenize', { content: 'Hello' }],
  ]
  for (const [path, body] of bodies) {
    const { status, json } = await call(hub, 'POST', path, { model: 'base:style', ...body })
    assert.equal(status, 200, `${path}: ${JSON.stringify(json)}`)
  }
  const refused = await call(hub, 'POST', '/v1/completions', { model: 'base', prompt: 'x', lora_scale: 1 })
  assert.deepEqual([refused.status, refused.json.error?.param], [400, 'lora_scale'])
})

test('list, card, versions, rename, roll back and delete', async t => {
  const hub = await start(t)
  const first = await complete(hub, 'base:style')
  await publish(hub, 'style', { seed: 2, rank: 8, targets: ['attn_q', 'attn_v'] }, true)
  const second = await complete(hub, 'base:style')
  const [style] = await list(hub)
  assert.equal(style!.id, 'base:style')
  assert.equal(style!.version, 2)
  assert.deepEqual(
    style!.versions.map(({ id }) => id),
    ['base:style@1'],
  )
  assert.deepEqual([style!.facts!.rank, style!.facts!.targets], [8, ['attn_q', 'attn_v']])
  assert.equal(style!.card.job, 'ftjob-1')
  assert.equal(style!.state, 'ready')

  const changed = await call(hub, 'PATCH', `${PATH}/base:style`, { description: 'short', scale: 0, name: 'tone' })
  assert.equal(changed.json.id, 'base:tone')
  assert.equal((await call(hub, 'GET', `${PATH}/base:style`)).status, 404)
  assert.equal(await complete(hub, 'base:tone'), await complete(hub, 'base'))
  assert.equal((changed.json.card as { description: string }).description, 'short')
  await call(hub, 'PATCH', `${PATH}/base:tone`, { scale: null })
  assert.equal(await complete(hub, 'base:tone'), second)

  const back = await call(hub, 'POST', `${PATH}/rollback`, { id: 'base:tone' })
  assert.equal(back.json.version, 1)
  assert.equal(await complete(hub, 'base:tone'), first)
  assert.equal(await complete(hub, 'base:tone@2'), second)
  assert.equal((await call(hub, 'POST', `${PATH}/rollback`, { id: 'base:tone', version: 7 })).status, 404)

  assert.equal((await call(hub, 'DELETE', `${PATH}/base:tone@2`)).status, 200)
  assert.equal((await call(hub, 'DELETE', `${PATH}/base:tone`)).json.deleted, true)
  assert.deepEqual(await list(hub), [])
  const gone = await call(hub, 'POST', '/v1/completions', { model: 'base:tone', prompt: 'x' })
  assert.deepEqual([gone.status, gone.json.error?.param], [404, 'model'])
})

test('a merged adapter is a model of its own that answers as base and adapter do', async t => {
  const hub = await start(t)
  const response = await fetch(`${hub.url}${PATH}/merge`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ id: 'base:style', name: 'merged', stream: true }),
  })
  const events = (await response.text())
    .split('\n\n')
    .filter(line => line.startsWith('data: '))
    .map(line => JSON.parse(line.slice(6)) as { type: string; result?: { output: string } })
  assert.equal(events[0]!.type, 'progress')
  const output = events.at(-1)!.result!.output
  assert.ok(existsSync(output))
  const again = await call(hub, 'POST', `${PATH}/merge`, { id: 'base:style', name: 'merged' })
  assert.equal(again.status, 409)
  await new Promise<void>(done => {
    const stop = hub.registry.onChange(models => {
      if (!models.some(({ id }) => id === 'merged')) return
      stop()
      done()
    })
  })
  assert.equal(await complete(hub, 'merged'), await complete(hub, 'base:style'))
})

test('exported and imported again under another name, it answers the same', async t => {
  const hub = await start(t)
  const exported = await call(hub, 'POST', `${PATH}/export`, { id: 'base:style', base_name: 'team/model' })
  const { output } = exported.json as { output: string }
  const config = JSON.parse(readFileSync(join(output, 'adapter_config.json'), 'utf8')) as { [key: string]: unknown }
  assert.equal(config.base_model_name_or_path, 'team/model')
  const imported = await call(hub, 'POST', `${PATH}/import`, { base: 'base', path: output, name: 'second' })
  assert.deepEqual([imported.json.id, imported.json.made_for], ['base:second', 'team/model'])
  assert.equal(await complete(hub, 'base:second'), await complete(hub, 'base:style'))

  const bad: [body: object, status: number][] = [
    [{ base: 'base', path: output, name: 'second' }, 409],
    [{ base: 'base', path: '../elsewhere', name: 'third' }, 403],
    [{ base: 'base', path: 'nowhere', name: 'third' }, 400],
    [{ base: 'base:style', path: output, name: 'third' }, 400],
    [{ base: 'base', path: output, name: 'a/b' }, 400],
  ]
  for (const [body, status] of bad) assert.equal((await call(hub, 'POST', `${PATH}/import`, body)).status, status)
})
