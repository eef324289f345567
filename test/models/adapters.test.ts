/** Adapters on disk: names, publishing, versions, cards; and the list that follows the folder. */
import assert from 'node:assert/strict'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { createLog, silentLog } from '../../server/lib/log.ts'
import { type Adapters, createAdapters } from '../../server/models/adapter_registry.ts'
import {
  adapterAt,
  baseOfFolder,
  changeCard,
  folderName,
  olderVersions,
  publishAdapter,
  removeAdapter,
  renameAdapter,
  rollBackAdapter,
  splitAdapterId,
} from '../../server/models/adapters.ts'
import { f32Value, floatTensor, stringValue, writeGguf } from '../../server/trainer/gguf_write.ts'
import { temporary } from '../helpers/family_models.ts'
import { makeModel, TINY } from '../helpers/gguf_file.ts'
import { writeRandomAdapter } from '../helpers/random_adapter.ts'

function home(t: TestContext): string {
  const folder = temporary('adapters')
  t.after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }))
  makeModel(join(folder, 'base.gguf'), TINY)
  return folder
}

/** A new adapter file, outside of the folder of adapters. */
function file(folder: string, seed = 1): string {
  const path = join(folder, `new${seed}.gguf`)
  writeRandomAdapter(path, join(folder, 'base.gguf'), { seed })
  return path
}

test('ids of models become names of folders on every system, and back', () => {
  for (const id of [
    'plain-7b.Q4_K_M',
    'chat_models/two',
    'a:b',
    'what? <1>|"*\\',
    '100%',
    '.hidden',
    'end.',
    'Tiếng Việt',
  ]) {
    const name = folderName(id)
    assert.match(name, /^[^<>:"/\\|?*.][^<>:"/\\|?*]*[^. ]$/)
    assert.equal(baseOfFolder(name), id)
  }
  assert.deepEqual(splitAdapterId('a:b:name@2'), { base: 'a:b', name: 'name', version: 2 })
  assert.deepEqual(splitAdapterId('base:name'), { base: 'base', name: 'name' })
  for (const id of ['base', ':name', 'base:', '']) assert.equal(splitAdapterId(id), undefined)
})

test('a published adapter has its file, its card and no rests', t => {
  const folder = home(t)
  const path = file(folder)
  const bytes = readFileSync(path)
  const adapter = publishAdapter(folder, {
    base: 'chat_models/base',
    name: 'style',
    file: path,
    card: { job: 'j', created: 5 },
  })
  assert.equal(adapter.id, 'chat_models/base:style')
  assert.ok(readFileSync(adapter.path).equals(bytes))
  assert.ok(!existsSync(path))
  assert.deepEqual(adapter.card, { job: 'j', created: 5, base: 'chat_models/base', version: 1 })
  assert.deepEqual(readdirSync(dirname(adapter.path)).sort(), ['style.adapter.json', 'style.gguf'])
})

test('a taken name is refused, and the file stays where it was', t => {
  const folder = home(t)
  publishAdapter(folder, { base: 'base', name: 'style', file: file(folder), card: {} })
  const second = file(folder, 2)
  assert.throws(() => publishAdapter(folder, { base: 'base', name: 'style', file: second, card: {} }), {
    code: 'conflict',
  })
  assert.ok(existsSync(second))
  for (const name of ['', '../x', 'a/b', 'a:b', 'a@1', 'nul', 'end.', '.x', 'x'.repeat(81)]) {
    assert.throws(
      () => publishAdapter(folder, { base: 'base', name, file: second, card: {} }),
      { code: 'invalid_request' },
      name,
    )
  }
  assert.throws(() => publishAdapter(folder, { base: 'base', name: 'x', file: join(folder, 'no'), card: {} }), {
    code: 'not_found',
  })
})

test('replacing keeps versions, rolling back swaps them, and each keeps its own card', t => {
  const folder = home(t)
  const publish = (seed: number) =>
    publishAdapter(folder, {
      base: 'base',
      name: 'style',
      file: file(folder, seed),
      card: { job: `j${seed}` },
      replace: true,
    })
  const contents = [1, 2, 3].map(seed => readFileSync(publish(seed).path))
  const now = () => adapterAt(folder, 'base', 'style')
  assert.deepEqual([now().version, now().card.job, olderVersions(folder, 'base', 'style')], [3, 'j3', [1, 2]])
  assert.ok(readFileSync(adapterAt(folder, 'base', 'style', 1).path).equals(contents[0]!))

  const before = now().fingerprint
  rollBackAdapter(folder, 'base', 'style')
  assert.deepEqual([now().version, now().card.job, olderVersions(folder, 'base', 'style')], [2, 'j2', [1, 3]])
  assert.ok(readFileSync(now().path).equals(contents[1]!))
  assert.notEqual(now().fingerprint, before)
  rollBackAdapter(folder, 'base', 'style', 3)
  assert.deepEqual([now().version, now().card.job], [3, 'j3'])
  assert.ok(readFileSync(now().path).equals(contents[2]!))
  assert.throws(() => rollBackAdapter(folder, 'base', 'style', 9), { code: 'not_found' })
  assert.equal(publish(4).version, 4)

  renameAdapter(folder, 'base', 'style', 'tone')
  assert.deepEqual(olderVersions(folder, 'base', 'tone'), [1, 2, 3])
  assert.equal(adapterAt(folder, 'base', 'tone', 2).card.job, 'j2')
  changeCard(folder, 'base', 'tone', { scale: 0.5, version: 9, base: 'other' })
  const { card } = adapterAt(folder, 'base', 'tone')
  assert.deepEqual([card.scale, card.version, card.base, card.job], [0.5, 4, 'base', 'j4'])
  removeAdapter(folder, 'base', 'tone', 2)
  assert.deepEqual(olderVersions(folder, 'base', 'tone'), [1, 3])
  removeAdapter(folder, 'base', 'tone')
  assert.deepEqual(readdirSync(join(folder, 'trained_models', 'base')), [])
  assert.throws(() => removeAdapter(folder, 'base', 'tone'), { code: 'model_not_found' })
  publish(5)
  for (const name of ['../base/style', '..\\base\\style', '..']) {
    assert.throws(() => removeAdapter(folder, 'base', name), { code: 'model_not_found' })
    assert.throws(() => rollBackAdapter(folder, 'base', name, 1), /no version 1|no adapter/)
  }
  assert.equal(now().card.job, 'j5')
})

test('the report of an evaluation goes where its adapter goes', t => {
  const folder = home(t)
  const publish = (seed: number) =>
    publishAdapter(folder, { base: 'base', name: 'style', file: file(folder, seed), card: {}, replace: true })
  const reports = () => {
    const at = join(folder, 'trained_models', 'base')
    const names = readdirSync(at).filter(name => name.endsWith('.evaluation.json'))
    return names.sort().map(name => `${name.slice(0, -'.evaluation.json'.length)}: ${readFileSync(join(at, name))}`)
  }
  const judge = (text: string) => writeFileSync(join(folder, 'trained_models', 'base', 'style.evaluation.json'), text)
  publish(1)
  judge('one')
  publish(2)
  assert.deepEqual(reports(), ['style@1: one'])
  judge('two')
  rollBackAdapter(folder, 'base', 'style', 1)
  assert.deepEqual(reports(), ['style: one', 'style@2: two'])
  renameAdapter(folder, 'base', 'style', 'tone')
  assert.deepEqual(reports(), ['tone: one', 'tone@2: two'])
  removeAdapter(folder, 'base', 'tone', 2)
  assert.deepEqual(reports(), ['tone: one'])
  removeAdapter(folder, 'base', 'tone')
  assert.deepEqual(reports(), [])
})

test('a name that differs in its letters only is another adapter where files are', t => {
  const folder = home(t)
  publishAdapter(folder, { base: 'base', name: 'Style', file: file(folder, 1), card: {} })
  const noCase = existsSync(join(folder, 'trained_models', 'base', 'STYLE.gguf'))
  if (!noCase) {
    publishAdapter(folder, { base: 'base', name: 'style', file: file(folder, 2), card: {} })
    assert.throws(() => renameAdapter(folder, 'base', 'Style', 'style'), { code: 'conflict' })
    removeAdapter(folder, 'base', 'style')
  }
  assert.equal(renameAdapter(folder, 'base', 'Style', 'style').id, 'base:style')
})

async function listing(t: TestContext, folder: string, lines: string[] = []): Promise<Adapters> {
  const log = createLog({ scope: 'x', level: 'warn', sinks: [line => lines.push(line)] })
  const adapters = createAdapters({ home: folder, log, settleMs: 1 })
  t.after(() => adapters.close())
  await adapters.start()
  return adapters
}

test('a bare file is listed with what its header says, a broken one with the reason', async t => {
  const folder = home(t)
  const into = join(folder, 'trained_models', 'base')
  mkdirSync(into, { recursive: true })
  const at = (name: string) => join(into, `${name}.gguf`)
  renameSync(file(folder), at('bare'))
  copyFileSync(join(folder, 'base.gguf'), at('model'))
  writeFileSync(at('text'), 'no GGUF at all')
  const half = readFileSync(at('bare')).subarray(0, -100)
  writeFileSync(at('half'), half)
  utimesSync(at('half'), 1, 1)
  writeFileSync(at('fresh'), half)
  const head = (type: string, alpha = 8): [string, Uint8Array][] => [
    ['general.type', stringValue('adapter')],
    ['general.architecture', stringValue('llama')],
    ['adapter.type', stringValue(type)],
    ['adapter.lora.alpha', f32Value(alpha)],
  ]
  const tensor = (name: string, shape: [number, number]) =>
    floatTensor(name, shape, 'F32', () => new Float32Array(shape[0] * shape[1]))
  const a = tensor('blk.0.attn_q.weight.lora_a', [64, 4])
  writeGguf(at('control'), head('control_vector'), [a])
  writeGguf(at('single'), head('lora'), [a])
  writeGguf(at('norm'), head('lora'), [
    a,
    tensor('blk.0.attn_q.weight.lora_b', [4, 64]),
    tensor('blk.0.attn_norm.weight', [64, 1]),
  ])
  writeGguf(at('uneven'), head('lora'), [a, tensor('blk.0.attn_q.weight.lora_b', [8, 64])])

  const adapters = await listing(t, folder)
  const bare = adapters.get('base:bare')!
  assert.equal(bare.status, 'ok')
  assert.deepEqual(bare.facts, {
    architecture: 'llama',
    rank: 4,
    alpha: 8,
    targets: ['attn_q', 'attn_k', 'attn_v', 'attn_output', 'ffn_gate', 'ffn_up', 'ffn_down'],
    layers: 2,
    parameters: bare.facts!.parameters,
    type: 'F32',
    base_sha256: '0'.repeat(64),
  })
  const reasons: { [id: string]: RegExp } = {
    'base:model': /whole model/,
    'base:text': /not a GGUF|no GGUF/,
    'base:half': /truncated|ends|bytes/,
    'base:control': /control_vector/,
    'base:single': /only one half/,
    'base:norm': /attn_norm/,
    'base:uneven': /ranks 4 and 8/,
  }
  for (const [id, reason] of Object.entries(reasons)) {
    const found = adapters.get(id)
    assert.equal(found?.status, 'broken', id)
    assert.match(found?.reason ?? '', reason)
  }
  // It may still be on its way.
  assert.equal(adapters.get('base:fresh'), undefined)
})

test('a wrong card is ignored with its reason, and the adapter can be used', async t => {
  const folder = home(t)
  const { path } = publishAdapter(folder, { base: 'base', name: 'style', file: file(folder), card: {} })
  writeFileSync(path.replace('.gguf', '.adapter.json'), '{ "scale": "much" }')
  const adapter = (await listing(t, folder)).get('base:style')!
  assert.equal(adapter.status, 'ok')
  assert.match(adapter.reason ?? '', /style\.adapter\.json.*scale/)
  assert.deepEqual(adapter.card, {})
})

test('the list follows what is put there, replaced and removed, and a look sees it at once', async t => {
  const folder = home(t)
  const adapters = await listing(t, folder)
  const next = () =>
    new Promise<string[]>(done => {
      const stop = adapters.onChange(() => {
        stop()
        done(adapters.list().map(({ id }) => id))
      })
    })
  const into = join(folder, 'trained_models', 'base')
  mkdirSync(into, { recursive: true })
  const appeared = next()
  renameSync(file(folder), join(into, 'style.gguf'))
  assert.deepEqual(await appeared, ['base:style'])
  const before = adapters.get('base:style')!.fingerprint
  renameSync(file(folder, 2), join(into, 'style.gguf'))
  assert.notEqual((await adapters.look('base:style'))!.fingerprint, before)
  assert.equal(await adapters.look('base:other'), undefined)
  assert.equal(await adapters.look('base:../style'), undefined)
  removeAdapter(folder, 'base', 'style')
  assert.equal(await adapters.look('base:style'), undefined)
  assert.deepEqual(adapters.list(), [])
})

test('of two that publish the same name at the same time one is refused', async t => {
  const folder = home(t)
  const adapters = createAdapters({ home: folder, log: silentLog })
  t.after(() => adapters.close())
  const files = [1, 2, 3].map(seed => file(folder, seed))
  const results = await Promise.allSettled(
    files.map(path => adapters.publish({ base: 'base', name: 'style', file: path, card: {} })),
  )
  assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 1)
})
