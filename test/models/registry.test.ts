/** The registry of model files: what is put into the folders, changed there and removed shows in the list. */
import assert from 'node:assert/strict'
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { silentLog } from '../../server/lib/log.ts'
import { createRegistry, type Registry, type RegistryOptions } from '../../server/models/registry.ts'
import { ModelFile } from '../../server/wire/model.ts'
import { makeModel, makeSplitModel, str, TINY, u32, writeGguf } from '../helpers/gguf_file.ts'
import { needsModels, testModels } from '../helpers/models.ts'

type Place = {
  folder: string
  registry: Registry
  /** Resolves with the list as soon as it fulfils the condition. */
  until(condition: (models: ModelFile[]) => boolean): Promise<ModelFile[]>
}

/** A registry on a folder of its own; `before` fills the folder before it starts. */
async function place(
  t: TestContext,
  before?: (folder: string) => void,
  more: Partial<RegistryOptions> = {},
): Promise<Place> {
  const home = mkdtempSync(join(tmpdir(), 'hub-registry-'))
  const folder = join(home, 'local_models')
  before?.(folder)
  const registry = createRegistry({ folder, log: silentLog, settleMs: 50, stallMs: 60_000, ...more })
  t.after(async () => {
    await registry.close()
    rmSync(home, { recursive: true, force: true })
  })
  await registry.start()
  return { folder, registry, until: condition => listed(registry, condition) }
}

function listed(registry: Registry, condition: (models: ModelFile[]) => boolean): Promise<ModelFile[]> {
  const now = registry.list()
  if (condition(now)) return Promise.resolve(now)
  return new Promise((resolve, reject) => {
    const giveUp = setTimeout(() => {
      stop()
      reject(
        new Error(
          `the list stayed ${JSON.stringify(registry.list().map(({ id, status, reason }) => ({ id, status, reason })))}`,
        ),
      )
    }, 20_000)
    const stop = registry.onChange(models => {
      if (!condition(models)) return
      clearTimeout(giveUp)
      stop()
      resolve(models)
    })
  })
}

const ids = (models: readonly ModelFile[]): string[] => models.map(({ id }) => id)
const has = (id: string) => (models: readonly ModelFile[]) => ids(models).includes(id)
/** What an hour old file looks like. */
const age = (path: string): void => utimesSync(path, Date.now() / 1000 - 3600, Date.now() / 1000 - 3600)

test('the four folders are made and what lies there is listed at start', async t => {
  const { folder, registry } = await place(t, folder => {
    makeModel(join(folder, 'chat_models', 'a.gguf'), TINY)
    makeModel(join(folder, 'custom_models', 'deep', 'er', 'b.GGUF'), TINY)
    makeModel(join(folder, 'elsewhere', 'c.gguf'), TINY)
    makeModel(join(folder, 'd.gguf'), TINY)
    makeModel(join(folder, 'chat_models', '.cache', 'e.gguf'), TINY)
    writeFileSync(join(folder, 'chat_models', 'README.md'), '# mine')
  })
  for (const name of ['chat_models', 'code_models', 'vietnamese_models', 'custom_models']) {
    assert.ok(existsSync(join(folder, name)))
  }
  const models = registry.list()
  assert.deepEqual(ids(models), ['a', 'b'])
  const [a, b] = models
  assert.ok(a && b)
  assert.equal(a.folder, 'chat_models')
  assert.equal(b.folder, 'custom_models')
  assert.deepEqual(a.files, [join(folder, 'chat_models', 'a.gguf')])
  assert.equal(a.bytes, readFileSync(join(folder, 'chat_models', 'a.gguf')).length)
  assert.equal(a.status, 'ok')
  assert.equal(a.facts?.layers, 2)
  assert.deepEqual(a.sidecar, {})
  for (const model of models) assert.ok(ModelFile.safeParse(model).success)
})

test('a model that is put there is listed and one removed disappears', async t => {
  const { folder, registry, until } = await place(t)
  assert.deepEqual(registry.list(), [])
  const path = join(folder, 'code_models', 'new', 'm.gguf')
  makeModel(path, TINY)
  await until(has('m'))
  assert.equal(registry.get('m')?.folder, 'code_models')
  rmSync(path)
  await until(models => models.length === 0)
  makeModel(path, TINY)
  await until(has('m'))
  rmSync(dirname(path), { recursive: true })
  await until(models => models.length === 0)
})

test('a model that is moved in, renamed or replaced is seen as such', async t => {
  const { folder, registry, until } = await place(t)
  const outside = join(dirname(folder), 'm.gguf')
  makeModel(outside, TINY)
  age(outside)
  renameSync(outside, join(folder, 'chat_models', 'm.gguf'))
  await until(has('m'))
  renameSync(join(folder, 'chat_models', 'm.gguf'), join(folder, 'chat_models', 'n.gguf'))
  assert.deepEqual(ids(await until(models => has('n')(models) && !has('m')(models))), ['n'])
  makeModel(join(folder, 'chat_models', 'n.gguf'), { ...TINY, layers: 3 })
  await until(() => registry.get('n')?.facts?.layers === 3)
})

test('a file being copied is listed once it is whole, not before', async t => {
  const { folder, registry, until } = await place(t)
  const whole = join(dirname(folder), 'whole.gguf')
  makeModel(whole, TINY)
  const bytes = readFileSync(whole)
  const seen: string[][] = []
  registry.onChange(models => {
    // The time of a file may change without its name.
    if (ids(models).join() !== seen.at(-1)?.join()) seen.push(ids(models))
  })
  const copy = join(folder, 'chat_models', 'copy.gguf')
  // Half of the header, then half of the weights; the marker that follows each has settled before it goes on.
  writeFileSync(copy, bytes.subarray(0, 1000))
  makeModel(join(folder, 'chat_models', 'one.gguf'), TINY)
  await until(has('one'))
  appendFileSync(copy, bytes.subarray(1000, 200_000))
  makeModel(join(folder, 'chat_models', 'two.gguf'), TINY)
  await until(has('two'))
  assert.deepEqual(ids(registry.list()), ['one', 'two'])
  appendFileSync(copy, bytes.subarray(200_000))
  await until(has('copy'))
  assert.deepEqual(seen, [['one'], ['one', 'two'], ['copy', 'one', 'two']])
  assert.equal(registry.get('copy')?.status, 'ok')
})

test('a copy that stopped half way is broken, and heals when it goes on', async t => {
  const { folder, registry, until } = await place(t, undefined, { stallMs: 100 })
  const whole = join(dirname(folder), 'whole.gguf')
  makeModel(whole, TINY)
  const bytes = readFileSync(whole)
  const copy = join(folder, 'chat_models', 'copy.gguf')
  writeFileSync(copy, bytes.subarray(0, 300_000))
  await until(has('copy'))
  const broken = registry.get('copy')
  assert.equal(broken?.status, 'broken')
  assert.equal(broken?.facts, undefined)
  assert.match(broken?.reason ?? '', new RegExp(`not whole: 300000 of ${bytes.length} bytes`))
  appendFileSync(copy, bytes.subarray(300_000))
  await until(() => registry.get('copy')?.status === 'ok')
  assert.equal(registry.get('copy')?.reason, undefined)
})

test('damaged and foreign files are broken with the reason, old truncated ones at start', async t => {
  const { folder, registry, until } = await place(t, folder => {
    const path = join(folder, 'chat_models', 'short.gguf')
    makeModel(path, TINY)
    writeFileSync(path, readFileSync(path).subarray(0, 5000))
    age(path)
    writeFileSync(join(folder, 'chat_models', 'text.gguf'), 'this is not the model you want')
    makeModel(join(folder, 'chat_models', 'good.gguf'), TINY)
  })
  assert.deepEqual(
    registry.list().map(({ id, status }) => [id, status]),
    [
      ['good', 'ok'],
      ['short', 'broken'],
      ['text', 'broken'],
    ],
  )
  assert.match(registry.get('short')?.reason ?? '', /not whole: it ends|not whole: 5000 of/)
  writeFileSync(join(folder, 'code_models', 'page.gguf'), '<html><body>404</body></html>')
  await until(has('page'))
  assert.match(registry.get('page')?.reason ?? '', /web page/)
  makeModel(join(folder, 'code_models', 'page.gguf'), TINY)
  await until(() => registry.get('page')?.status === 'ok')
})

test('adapters and projectors are no models', async t => {
  const { folder, until } = await place(t, folder => {
    const bare = { 'general.architecture': str('llama'), 'general.type': str('adapter'), 'adapter.lora.alpha': u32(16) }
    writeGguf(join(folder, 'chat_models', 'adapter.gguf'), bare, [])
    writeGguf(join(folder, 'chat_models', 'mmproj.gguf'), { 'general.architecture': str('clip') }, [])
  })
  makeModel(join(folder, 'chat_models', 'm.gguf'), TINY)
  assert.deepEqual(ids(await until(has('m'))), ['m'])
})

test('the parts of a split model are one model, listed when all are there', async t => {
  const { folder, registry, until } = await place(t)
  const outside = dirname(folder)
  const parts = makeSplitModel(outside, 'big', 3, TINY)
  const inside = parts.map(path => join(folder, 'chat_models', path.slice(outside.length + 1)))
  copyFileSync(parts[2] ?? '', inside[2] ?? '')
  copyFileSync(parts[0] ?? '', inside[0] ?? '')
  makeModel(join(folder, 'chat_models', 'marker.gguf'), TINY)
  assert.deepEqual(ids(await until(has('marker'))), ['marker'])
  copyFileSync(parts[1] ?? '', inside[1] ?? '')
  await until(has('big'))
  const whole = join(outside, 'whole.gguf')
  makeModel(whole, TINY)
  copyFileSync(whole, join(folder, 'chat_models', 'whole.gguf'))
  await until(has('whole'))
  const big = registry.get('big')
  assert.equal(big?.status, 'ok')
  assert.deepEqual(big?.files, inside)
  assert.equal(
    big?.bytes,
    inside.reduce((sum, path) => sum + readFileSync(path).length, 0),
  )
  assert.deepEqual(big?.facts, registry.get('whole')?.facts)
  rmSync(inside[1] ?? '')
  await until(models => !has('big')(models))
})

test('a split model with parts missing is broken with their names', async t => {
  const { folder, registry, until } = await place(
    t,
    folder => {
      for (const path of makeSplitModel(join(folder, 'chat_models'), 'big', 3, TINY)) {
        if (path.includes('00002')) rmSync(path)
        else age(path)
      }
    },
    { stallMs: 100 },
  )
  assert.equal(registry.get('big')?.status, 'broken')
  assert.match(registry.get('big')?.reason ?? '', /lacks 1 of its 3 parts: big-00002-of-00003\.gguf\. Put/)
  makeSplitModel(join(folder, 'chat_models'), 'big', 3, TINY)
  await until(() => registry.get('big')?.status === 'ok')
  makeSplitModel(join(folder, 'code_models'), 'late', 2, TINY)
  rmSync(join(folder, 'code_models', 'late-00001-of-00002.gguf'))
  await until(has('late'))
  assert.match(registry.get('late')?.reason ?? '', /late-00001-of-00002\.gguf/)
})

test('parts under wrong names are broken', async t => {
  const { registry } = await place(t, folder => {
    const [first = '', second = ''] = makeSplitModel(join(folder, 'chat_models'), 'big', 2, TINY)
    copyFileSync(first, second)
  })
  assert.match(registry.get('big')?.reason ?? '', /big-00002-of-00002\.gguf says that it is part 1 of 2/)
})

test('two of one name are told apart by folder, as long as there are two', async t => {
  const { folder, registry, until } = await place(t)
  makeModel(join(folder, 'chat_models', 'm.gguf'), TINY)
  await until(has('m'))
  assert.equal(registry.resolve('chat_models/m').id, 'm')
  makeModel(join(folder, 'code_models', 'sub', 'm.gguf'), TINY)
  assert.deepEqual(ids(await until(has('chat_models/m'))), ['chat_models/m', 'code_models/sub/m'])
  assert.equal(registry.resolve('code_models/sub/m').folder, 'code_models')
  assert.throws(() => registry.resolve('m'), {
    code: 'model_not_found',
    message: 'There is no model "m". There are 2 models of this name: chat_models/m, code_models/sub/m.',
  })
  makeSplitModel(join(folder, 'chat_models'), 'm', 2, TINY)
  const all = await until(models => models.length === 3)
  assert.deepEqual(ids(all), ['chat_models/m-00001-of-00002.gguf', 'chat_models/m.gguf', 'code_models/sub/m'])
  rmSync(join(folder, 'chat_models'), { recursive: true })
  assert.deepEqual(ids(await until(has('m'))), ['m'])
})

test('an unknown model is refused with the nearest names', async t => {
  const { folder, registry, until } = await place(t)
  assert.throws(() => registry.resolve('x'), {
    code: 'model_not_found',
    message: /no model yet: get one with "ai-hub pull", or put a GGUF file/,
  })
  const names = ['qwen2.5-coder-7b', 'qwen2.5-7b-instruct', 'llama-3.2-1b', 'phi-4-mini', 'gemma-3-4b']
  for (const name of names) makeModel(join(folder, 'chat_models', `${name}.gguf`), TINY)
  await until(models => models.length === names.length)
  assert.throws(() => registry.resolve('lama-3.2-1b'), {
    code: 'model_not_found',
    param: 'model',
    message: /nearest names are: llama-3\.2-1b, [^,]+, [^,]+\.$/,
  })
  assert.throws(() => registry.resolve('qwen2.5'), /nearest names are: qwen2\.5-coder-7b, qwen2\.5-7b-instruct,/)
  assert.throws(
    () => registry.resolve('x'.repeat(1_000_000)),
    ({ message }: Error) => message.length < 400,
  )
})

test('a sidecar is read, read again when it changes, and forgotten when it goes', async t => {
  const { folder, registry, until } = await place(t, folder => {
    makeModel(join(folder, 'chat_models', 'm.gguf'), TINY)
    writeFileSync(join(folder, 'chat_models', 'm.model.json'), '\uFEFF{"languages": ["vi"], "card": {"by": "me"}}')
    makeSplitModel(join(folder, 'code_models'), 'big', 2, TINY)
    writeFileSync(join(folder, 'code_models', 'big.model.json'), '{"pin": true}')
  })
  assert.deepEqual(registry.get('m')?.sidecar, { languages: ['vi'], card: { by: 'me' } })
  assert.equal(registry.get('big')?.sidecar.pin, true)
  const path = join(folder, 'chat_models', 'm.model.json')
  writeFileSync(path, '{"sampling": {"temperature": 0.2}, "context_size": 4096}')
  await until(() => registry.get('m')?.sidecar.context_size === 4096)
  writeFileSync(path, '{"sampling": {"temperature": "hot"}, "context_size": 4096}')
  await until(() => registry.get('m')?.reason !== undefined)
  assert.equal(registry.get('m')?.status, 'ok')
  assert.deepEqual(registry.get('m')?.sidecar, {})
  assert.match(registry.get('m')?.reason ?? '', /^m\.model\.json is ignored: sampling\.temperature: .*expected number/)
  writeFileSync(path, '{ not json')
  await until(() => /is not JSON/.test(registry.get('m')?.reason ?? ''))
  rmSync(path)
  await until(() => registry.get('m')?.reason === undefined)
})

test('a link to a file is a model', async t => {
  const { folder, registry, until } = await place(t)
  const outside = join(dirname(folder), 'outside.gguf')
  makeModel(outside, TINY)
  try {
    symlinkSync(outside, join(folder, 'chat_models', 'link.gguf'))
  } catch {
    return t.skip('this user may not make links')
  }
  await until(has('link'))
  assert.equal(registry.get('link')?.bytes, readFileSync(outside).length)
})

test('the real models are listed with their facts', needsModels, async t => {
  const models = testModels() ?? ''
  const { registry } = await place(t, folder => {
    mkdirSync(join(folder, 'chat_models'), { recursive: true })
    for (const name of ['stories260K-F32', 'stories260K-Q4_0']) {
      copyFileSync(join(models, `${name}.gguf`), join(folder, 'chat_models', `${name}.gguf`))
    }
  })
  assert.deepEqual(
    registry.list().map(({ id, facts }) => [id, facts?.quantization]),
    [
      ['stories260K-F32', 'F32'],
      ['stories260K-Q4_0', 'Q4_0'],
    ],
  )
})

test('closing ends every change, also of files still arriving', async t => {
  const { folder, registry } = await place(t)
  let calls = 0
  registry.onChange(() => calls++)
  writeFileSync(join(folder, 'chat_models', 'half.gguf'), 'GGUF')
  makeModel(join(folder, 'chat_models', 'm.gguf'), TINY)
  await registry.close()
  assert.equal(calls, 0)
  assert.deepEqual(registry.list(), [])
})

test('folders that cannot be made are refused in words', async () => {
  const home = mkdtempSync(join(tmpdir(), 'hub-registry-'))
  writeFileSync(join(home, 'local_models'), 'a file in the way')
  const registry = createRegistry({ folder: join(home, 'local_models'), log: silentLog })
  await assert.rejects(registry.start(), /The model folders cannot be created in/)
  await registry.close()
  rmSync(home, { recursive: true })
})

test('a card is changed on disk and listed at once; what it said beside stays', async t => {
  const { folder, registry } = await place(t, at => {
    makeModel(join(at, 'chat_models', 'small.gguf'), TINY)
    makeModel(join(at, 'chat_models', 'odd.gguf'), TINY)
    writeFileSync(join(at, 'chat_models', 'small.model.json'), '{ "description": "mine", "own": [1] }')
    writeFileSync(join(at, 'chat_models', 'odd.model.json'), '{ no json')
  })
  const card = join(folder, 'chat_models', 'small.model.json')
  const changed = await registry.changeCard('small', { pin: true, context_size: 512 })
  assert.deepEqual(changed.sidecar, { description: 'mine', own: [1], pin: true, context_size: 512 })
  assert.deepEqual(JSON.parse(readFileSync(card, 'utf8')), changed.sidecar)
  await registry.changeCard('small', { context_size: undefined })
  assert.deepEqual(JSON.parse(readFileSync(card, 'utf8')), { description: 'mine', own: [1], pin: true })
  await Promise.all([registry.changeCard('small', { slots: 2 }), registry.changeCard('small', { gpu_layers: 0 })])
  assert.deepEqual(JSON.parse(readFileSync(card, 'utf8')), {
    description: 'mine',
    own: [1],
    pin: true,
    slots: 2,
    gpu_layers: 0,
  })
  await assert.rejects(registry.changeCard('odd', { pin: true }), /odd\.model\.json is ignored: it is not JSON/)
  assert.equal(readFileSync(join(folder, 'chat_models', 'odd.model.json'), 'utf8'), '{ no json')
  await assert.rejects(registry.changeCard('none', { pin: true }), /There is no model "none"/)
})
