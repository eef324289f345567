/** Adapters served from the base's own worker, by a real hub over a random model: publish, use, mix, replace, remove. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { changeCard, removeAdapter, rollBackAdapter } from '../../server/models/adapters.ts'
import type { Models } from '../../server/models/models.ts'
import type { Generate, GenerateEvent } from '../../server/wire/worker.ts'
import { type RandomAdapter, writeRandomAdapter } from '../helpers/random_adapter.ts'
import { RANDOM_CHAT, type RealHub, realHub } from '../helpers/real_hub.ts'

const NEVER = new AbortController().signal

type Answer = { tokens: number[]; logprobs: number[]; cached: number }

async function generate(models: Models, id: string, prompt: string, more: Partial<Generate> = {}): Promise<Answer> {
  const lease = await models.acquire(id, NEVER)
  try {
    const answer: Answer = { tokens: [], logprobs: [], cached: 0 }
    const request: Generate = {
      prompt: { type: 'text', text: prompt, special: true },
      format: { type: 'text' },
      sampling: { temperature: 0 },
      maxTokens: 24,
      stop: [],
      n: 1,
      topLogprobs: 1,
      ignoreEos: true,
      cachePrompt: true,
      adapters: [],
      ...more,
    }
    for await (const event of lease.generate(request, NEVER) as AsyncIterable<GenerateEvent>) {
      if (event.type === 'start') answer.cached = event.cachedTokens
      if (event.type !== 'delta') continue
      answer.tokens.push(...(event.tokens ?? []))
      answer.logprobs.push(...(event.logprobs ?? []).map(each => each.logprob))
    }
    return answer
  } finally {
    lease.release()
  }
}

const basePath = (hub: RealHub): string => join(hub.folder, 'base.gguf')

async function publish(hub: RealHub, name: string, options: RandomAdapter, replace = false): Promise<void> {
  const file = join(hub.home, `${name}.new.gguf`)
  writeRandomAdapter(file, basePath(hub), options)
  await hub.adapters.publish({ base: 'base', name, file, card: {}, replace })
}

const hubWithBase = (t: TestContext, settings: { [name: string]: string } = {}): Promise<RealHub> =>
  realHub(t, { base: RANDOM_CHAT }, settings)

test('a published adapter answers from the resident base at once, without a reload', async t => {
  const hub = await hubWithBase(t)
  const base = await generate(hub.models, 'base', 'hello there')
  const { pid } = hub.models.get('base')
  await publish(hub, 'style', { seed: 3 })
  const adapted = await generate(hub.models, 'base:style', 'hello there')
  assert.notDeepEqual(adapted.tokens, base.tokens)
  assert.equal(hub.models.get('base').pid, pid)
  assert.deepEqual(await generate(hub.models, 'base', 'hello there', { cachePrompt: false }), base)
  const status = hub.models.get('base:style')
  assert.equal(status.file.parent, 'base')
  assert.equal(status.state, 'ready')
  assert.ok(hub.models.list().some(({ file }) => file.id === 'base:style'))
})

/** Long enough that KV is shared, put aside and restored, and that prompts come in several chunks. */
const LONG = 'a story of a river and a boat, told from the beginning to the end. '.repeat(4)

test('requests to the base and to adapters at the same time give what each gives alone', async t => {
  const hub = await hubWithBase(t, { kvType: 'f32', flashAttention: 'off', batchTokens: '64' })
  await publish(hub, 'one', { seed: 1 })
  await publish(hub, 'two', { seed: 2, targets: ['attn_q', 'attn_v'], rank: 8 })
  const asked: [id: string, prompt: string, more?: Partial<Generate>][] = [
    ['base', LONG],
    ['base:one', LONG],
    ['base:two', LONG],
    ['base:one', `${LONG} Once more.`],
    [
      'base',
      `${LONG} Once more.`,
      {
        adapters: [
          { name: 'one', scale: 1 },
          { name: 'two', scale: 0.5 },
        ],
      },
    ],
    ['base:one', LONG, { ownScale: 0.25 }],
    ['base', 'short'],
    ['base:two', 'short'],
  ]
  const alone: Answer[] = []
  for (const [id, prompt, more] of asked)
    alone.push(await generate(hub.models, id, prompt, { ...more, cachePrompt: false }))
  // All are different, or the test would show nothing.
  assert.equal(new Set(alone.slice(0, 6).map(({ tokens }) => tokens.join())).size, 6)
  for (const cachePrompt of [false, true, true]) {
    const mixed = await Promise.all(
      asked.map(([id, prompt, more]) => generate(hub.models, id, prompt, { ...more, cachePrompt })),
    )
    for (const [index, { tokens, logprobs }] of mixed.entries()) {
      assert.deepEqual(tokens, alone[index]!.tokens, `${asked[index]![0]} ${index}`)
      const apart = Math.max(...logprobs.map((value, at) => Math.abs(value - alone[index]!.logprobs[at]!)))
      assert.ok(apart < 2e-5, `log probabilities are ${apart} apart`)
    }
  }
})

test('KV of idle conversations is put aside and brought back for its own adapter only', async t => {
  const hub = await hubWithBase(t, { kvType: 'f32', slots: '1' })
  await publish(hub, 'one', { seed: 1 })
  await publish(hub, 'two', { seed: 2 })
  const ids = ['base', 'base:one', 'base:two']
  const alone = []
  for (const id of ids) alone.push(await generate(hub.models, id, LONG, { cachePrompt: false }))
  const first = []
  for (const id of ids) first.push(await generate(hub.models, id, LONG))
  // One slot: each has driven out the one before, to RAM.
  const again = []
  for (const id of ids) again.push(await generate(hub.models, id, LONG))
  assert.deepEqual(
    first.map(({ cached }) => cached),
    [0, 0, 0],
  )
  for (const [index, answer] of again.entries()) {
    assert.ok(answer.cached > 64, `${ids[index]} took ${answer.cached} tokens from its cache`)
    assert.deepEqual(answer.tokens, alone[index]!.tokens)
    assert.deepEqual(first[index]!.tokens, alone[index]!.tokens)
  }
})

test('a pinned adapter has a context of its own and gives the same', async t => {
  const hub = await hubWithBase(t, { kvType: 'f32', flashAttention: 'off' })
  await publish(hub, 'on', { seed: 1 })
  const ask = (id: string, more: Partial<Generate> = {}) =>
    generate(hub.models, id, LONG, { cachePrompt: false, ...more })
  const [base, on, half] = [await ask('base'), await ask('base:on'), await ask('base:on', { ownScale: 0.5 })]
  const bytes = hub.models.get('base').estimatedBytes
  const cells = async () => {
    await hub.models.refresh()
    return hub.models.get('base').stats!.kvTotalTokens
  }
  const one = await cells()
  changeCard(hub.home, 'base', 'on', { pin: true })
  const mixed = await Promise.all([
    ask('base'),
    ask('base:on'),
    ask('base:on', { ownScale: 0.5 }),
    ask('base:on'),
    ask('base'),
  ])
  assert.deepEqual(
    mixed.map(({ tokens }) => tokens),
    [base, on, half, on, base].map(({ tokens }) => tokens),
  )
  assert.equal(await cells(), 2 * one)
  assert.ok(hub.models.get('base').estimatedBytes > bytes)
  // What it has evaluated stays in its own KV.
  await ask('base:on', { cachePrompt: true })
  assert.ok((await ask('base:on', { cachePrompt: true })).cached > 64)
  removeAdapter(hub.home, 'base', 'on')
  await hub.adapters.refresh()
  while ((await cells()) > one) await ask('base')
  assert.deepEqual((await ask('base')).tokens, base.tokens)
})

test('scale 0 is the base itself, and shares its prompt cache', async t => {
  const hub = await hubWithBase(t, { kvType: 'f32' })
  await publish(hub, 'one', { seed: 1 })
  const base = await generate(hub.models, 'base', LONG)
  const off = await generate(hub.models, 'base:one', LONG, { ownScale: 0 })
  assert.deepEqual(off.tokens, base.tokens)
  assert.ok(off.cached > 64)
})

test('a replaced adapter is loaded anew, an older version can be asked and brought back, a removed one is refused', async t => {
  const hub = await hubWithBase(t)
  await publish(hub, 'style', { seed: 1 })
  await hub.models.load('base', NEVER)
  const bytes = () => hub.models.get('base').estimatedBytes
  const bare = bytes()
  const first = await generate(hub.models, 'base:style', LONG)
  const { pid } = hub.models.get('base')
  assert.equal(bytes(), bare + hub.models.get('base:style').file.bytes)
  await publish(hub, 'style', { seed: 2 }, true)
  const second = await generate(hub.models, 'base:style', LONG)
  assert.notDeepEqual(second.tokens, first.tokens)
  assert.equal(second.cached, 0)
  assert.deepEqual((await generate(hub.models, 'base:style@1', LONG, { cachePrompt: false })).tokens, first.tokens)

  rollBackAdapter(hub.home, 'base', 'style')
  assert.deepEqual((await generate(hub.models, 'base:style', LONG, { cachePrompt: false })).tokens, first.tokens)
  assert.deepEqual((await generate(hub.models, 'base:style@2', LONG, { cachePrompt: false })).tokens, second.tokens)

  removeAdapter(hub.home, 'base', 'style')
  await assert.rejects(generate(hub.models, 'base:style', LONG), { code: 'model_not_found' })
  assert.equal(hub.models.get('base').pid, pid)
  // The worker is asked to let go of them, and nobody waits for its answer.
  for (let tries = 0; bytes() > bare && tries < 200; tries++) await generate(hub.models, 'base', 'a')
  assert.equal(bytes(), bare)
})

test('a removed adapter stays until its last request is done', async t => {
  const hub = await hubWithBase(t)
  await publish(hub, 'style', { seed: 1 })
  const alone = await generate(hub.models, 'base:style', 'hello', { maxTokens: 60 })
  const lease = await hub.models.acquire('base:style', NEVER)
  removeAdapter(hub.home, 'base', 'style')
  await hub.adapters.refresh()
  const held: Models = { ...hub.models, acquire: async () => lease }
  assert.deepEqual(
    (await generate(held, 'base:style', 'hello', { maxTokens: 60, cachePrompt: false })).tokens,
    alone.tokens,
  )
})

test('after its process has died, the model comes back with its adapter', async t => {
  const hub = await hubWithBase(t)
  await publish(hub, 'style', { seed: 1 })
  const before = await generate(hub.models, 'base:style', 'hello')
  const { pid } = hub.models.get('base')
  process.kill(pid!, 'SIGKILL')
  while (hub.models.get('base').state === 'ready') await new Promise(setImmediate)
  const after = await generate(hub.models, 'base:style', 'hello')
  assert.deepEqual(after.tokens, before.tokens)
  assert.notEqual(hub.models.get('base').pid, pid)
})

test('adapters come and go while others write', async t => {
  const hub = await hubWithBase(t, { kvType: 'f32', flashAttention: 'off' })
  await publish(hub, 'keeps', { seed: 1 })
  const alone = await generate(hub.models, 'base:keeps', LONG, { maxTokens: 80, cachePrompt: false })
  const busy = Array.from({ length: 3 }, () => generate(hub.models, 'base:keeps', LONG, { maxTokens: 80 }))
  for (let seed = 2; seed < 8; seed++) {
    await publish(hub, 'changes', { seed }, true)
    const now = await generate(hub.models, 'base:changes', LONG, { maxTokens: 4 })
    assert.equal(now.cached, 0)
  }
  for (const { tokens } of await Promise.all(busy)) assert.deepEqual(tokens, alone.tokens)
})

test('what cannot be done with an adapter is refused with the reason', async t => {
  const hub = await realHub(t, { base: RANDOM_CHAT, other: { ...RANDOM_CHAT, embedding: 128 } })
  await publish(hub, 'style', { seed: 1 })
  const refuses = (
    id: string,
    more: Partial<Generate>,
    expected: { code?: string; param?: string; message?: RegExp },
  ) => assert.rejects(generate(hub.models, id, 'x', more), expected)
  await refuses('base:stile', {}, { code: 'model_not_found', message: /base:style/ })
  await refuses('other:style', {}, { code: 'model_not_found', message: /other has no adapters/ })
  await refuses('base', { ownScale: 1 }, { code: 'invalid_request', param: 'lora_scale' })
  await refuses('base', { adapters: [{ name: 'no', scale: 1 }] }, { code: 'invalid_request', param: 'adapters' })
  await refuses(
    'base:style',
    { ownScale: 1, adapters: [{ name: 'style', scale: 1 }] },
    { code: 'invalid_request', param: 'lora_scale' },
  )
  const twice = [
    { name: 'style', scale: 1 },
    { name: 'base:style', scale: 1 },
  ]
  const foreign = [{ name: 'other:style', scale: 1 }]
  await refuses(
    'base',
    { adapters: foreign },
    { code: 'invalid_request', param: 'adapters', message: /not one of base/ },
  )
  await refuses('base', { adapters: twice }, { code: 'invalid_request', param: 'adapters' })

  const lease = await hub.models.acquire('base:style', NEVER)
  assert.equal(lease.info.canEmbed, false)
  await assert.rejects(lease.ask({ type: 'embed', inputs: ['x'] }, NEVER), { code: 'invalid_request' })
  const { tokens } = await lease.ask({ type: 'tokenize', text: 'hi', addSpecial: false, parseSpecial: false }, NEVER)
  assert.ok(tokens.length > 0)
  await assert.rejects(hub.models.unload('base:style'), { code: 'conflict' })
  lease.release()
  await hub.models.unload('base:style')

  // Made for another base of the same architecture: only the engine finds out, and says so.
  const file = join(hub.home, 'odd.gguf')
  writeRandomAdapter(file, join(hub.folder, 'other.gguf'))
  await hub.adapters.publish({ base: 'base', name: 'odd', file, card: {} })
  await refuses('base:odd', {}, { code: 'invalid_request', message: /does not fit this model.*shape/ })
  assert.ok((await generate(hub.models, 'base:style', 'x')).tokens.length > 0)
})
