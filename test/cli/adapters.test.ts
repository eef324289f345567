/** `ai-hub adapters`: its command line, and what it does in a home without a hub. */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type TestContext, test } from 'node:test'
import { runAdapters } from '../../server/cli/adapters.ts'
import { type Command, parseCommandLine, UsageError } from '../../server/cli/args.ts'
import { silentLog } from '../../server/lib/log.ts'
import { createAdapters } from '../../server/models/adapter_registry.ts'
import { publishAdapter } from '../../server/models/adapters.ts'
import { createRegistry } from '../../server/models/registry.ts'
import { readGguf } from '../../server/trainer/gguf_read.ts'
import { temporary } from '../helpers/family_models.ts'
import { makeModel, TINY } from '../helpers/gguf_file.ts'
import { writeRandomAdapter } from '../helpers/random_adapter.ts'

const parse = (line: string): Command => parseCommandLine(line.split(' '))

test('what is typed becomes an action', () => {
  const name = 'adapters'
  assert.deepEqual(parse('adapters list --json'), { name, json: true, action: 'list' })
  assert.deepEqual(parse('adapters merge a:b --out x.gguf --type Q8_0 --scale -0.5'), {
    name,
    json: false,
    action: 'merge',
    adapter: 'a:b',
    out: 'x.gguf',
    type: 'Q8_0',
    scale: -0.5,
  })
  assert.deepEqual(parse('adapters export a:b --out dir --base-name team/model --home h'), {
    name,
    home: 'h',
    json: false,
    action: 'export',
    adapter: 'a:b',
    out: 'dir',
    baseName: 'team/model',
  })
  assert.deepEqual(parse('adapters import a dir --as b --replace'), {
    name,
    json: false,
    action: 'import',
    base: 'a',
    source: 'dir',
    as: 'b',
    replace: true,
  })
  assert.deepEqual(parse('adapters rollback a:b --version 2'), {
    name,
    json: false,
    action: 'rollback',
    adapter: 'a:b',
    version: 2,
  })
  assert.deepEqual(parse('adapters rename a:b c'), { name, json: false, action: 'rename', adapter: 'a:b', as: 'c' })
})

test('what is wrong is said', () => {
  const wrong: { [line: string]: RegExp } = {
    adapters: /Say what to do: list, merge/,
    'adapters melt a:b': /cannot "melt"/,
    'adapters merge': /Write: ai-hub adapters merge BASE:NAME/,
    'adapters merge a:b': /--out PATH/,
    'adapters merge a:b --out x --type Q3': /--type is one of same, F32/,
    'adapters merge a:b --out x --scale much': /--scale takes a number/,
    'adapters list --out x': /has no option "--out"/,
    'adapters delete a:b c': /"c" is one argument too many/,
  }
  for (const [line, message] of Object.entries(wrong)) {
    assert.throws(
      () => parse(line),
      (thrown: unknown) => thrown instanceof UsageError && message.test(thrown.message),
      line,
    )
  }
})

async function start(t: TestContext) {
  const home = temporary('cli-adapters')
  t.after(() => rmSync(home, { recursive: true, force: true, maxRetries: 5 }))
  mkdirSync(join(home, 'local_models', 'chat_models'), { recursive: true })
  const base = join(home, 'local_models', 'chat_models', 'base.gguf')
  makeModel(base, TINY)
  const file = join(home, 'new.gguf')
  writeRandomAdapter(file, base)
  publishAdapter(home, { base: 'base', name: 'style', file, card: { created: 0 } })
  const registry = createRegistry({ folder: join(home, 'local_models'), log: silentLog })
  await registry.start()
  await registry.close()
  const adapters = createAdapters({ home, log: silentLog })
  t.after(() => adapters.close())
  const run = async (line: string): Promise<string> => {
    let text = ''
    const write = (piece: string): void => {
      text += piece
    }
    const terminal = { write, colour: false }
    const script = resolve(import.meta.dirname, '../../server/trainer/convert.ts')
    const command = parse(`adapters ${line}`)
    assert.ok(command.name === 'adapters')
    const conversion = { home, script, log: silentLog, threads: 1 }
    const deps = { terminal, notes: terminal, conversion, adapters, models: async () => registry.list() }
    assert.equal(await runAdapters(deps, command, new AbortController().signal), 0)
    return text
  }
  return { home, base, run }
}

test('adapters are listed, renamed and deleted', async t => {
  const { run } = await start(t)
  const [head, line] = (await run('list')).split('\n')
  assert.match(head!, /^adapter +version +size +rank +architecture +made +state$/)
  assert.match(line!, /^base:style +1 +[\d.]+ KiB +4 +llama +1970-01-01 +current$/)
  assert.equal(await run('rename base:style tone'), 'base:tone\n')
  const rows = JSON.parse(await run('list --json')) as { id: string; facts: { alpha: number } }[]
  assert.deepEqual(
    rows.map(({ id, facts }) => [id, facts.alpha]),
    [['base:tone', 8]],
  )
  await assert.rejects(run('delete base:style'), { code: 'not_found', message: /base:tone/ })
  assert.equal(await run('delete base:tone'), 'deleted base:tone\n')
  assert.match(await run('list'), /There is no adapter/)
})

test('merge, export and import by the converter', async t => {
  const { home, base, run } = await start(t)
  const merged = join(home, 'merged.gguf')
  assert.match(await run(`merge base:style --out ${merged}`), /merged\.gguf {2}[\d.]+ KiB\n/)
  assert.equal(readGguf(merged).tensors.length, readGguf(base).tensors.length)
  await assert.rejects(run(`merge base:style --out ${merged}`), { code: 'conflict' })
  const folder = join(home, 'peft')
  await run(`export base:style --out ${folder} --base-name team/model`)
  assert.equal((JSON.parse(readFileSync(join(folder, 'adapter_config.json'), 'utf8')) as { r: number }).r, 4)
  assert.match(await run(`import base ${folder}`), /^base:peft .*made for team\/model/)
  assert.ok(existsSync(join(home, 'trained_models', 'base', 'peft.gguf')))
  await assert.rejects(run(`import other ${folder}`), { code: 'model_not_found' })
})
