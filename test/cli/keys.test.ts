/** `ai-hub keys`: what is typed, the table, and the command itself on a home with no hub and with one. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { type TestContext, test } from 'node:test'
import { parseCommandLine, UsageError } from '../../server/cli/args.ts'
import { type KeyRing, runKeys } from '../../server/cli/keys.ts'
import { type KeysAction, parseKeys } from '../../server/cli/keys_args.ts'
import { startHub } from '../../server/hub.ts'
import { createKey, listApiKeys, removeKey } from '../../server/security/keys.ts'
import { memoryDb } from '../helpers/memory_db.ts'

const MAIN = resolve(import.meta.dirname, '../../server/main.ts')
const NOW_MS = Date.UTC(2026, 10, 30)

function parse(line: string): KeysAction {
  const command = parseCommandLine(['keys', ...line.split(' ').filter(word => word !== '')])
  assert.ok(command.name === 'keys')
  const { name: _, json: __, ...action } = command
  return action
}

test('what is typed becomes a request', () => {
  const request = { role: 'use', expires_at: null, training: false, requests_per_minute: null }
  assert.deepEqual(parse(''), { action: 'list' })
  assert.deepEqual(parse('delete phone'), { action: 'delete', key: 'phone' })
  assert.deepEqual(parse('create phone'), { action: 'create', request: { ...request, name: 'phone' } })
  assert.deepEqual(parse('create desk --role admin --training --requests-per-minute 60'), {
    action: 'create',
    request: { ...request, name: 'desk', role: 'admin', training: true, requests_per_minute: 60 },
  })
})

test('an end is a span from now or a day where the user is', () => {
  const fail = (message: string): never => assert.fail(message)
  const endOf = (expires: string): number | null => {
    const action = parseKeys({ expires }, ['create', 'x'], { fail, now: () => NOW_MS })
    return action.action === 'create' ? action.request.expires_at : null
  }
  assert.equal(endOf('12h'), NOW_MS / 1000 + 43_200)
  assert.equal(endOf('30d'), NOW_MS / 1000 + 30 * 86_400)
  assert.equal(endOf('8w'), NOW_MS / 1000 + 56 * 86_400)
  assert.equal(endOf('2030-12-31'), new Date(2030, 11, 31, 23, 59, 59).getTime() / 1000)
})

test('what is mistyped is told', () => {
  const wrong: [string, RegExp][] = [
    ['make x', /cannot "make". Choose: list, create, delete/],
    ['create', /Say what the key is for/],
    ['create a b', /"b" is one argument too many/],
    ['list a', /"a" is one argument too many/],
    ['delete', /Name the key/],
    ['delete x --role use', /delete" has no option "--role"/],
    ['create x --role root', /--role: /],
    ['create x --requests-per-minute 0', /--requests-per-minute: /],
    ['create x --requests-per-minute many', /--requests-per-minute: /],
    ['create x --expires tomorrow', /--expires takes/],
    ['create x --expires 2030-13-45', /--expires takes/],
    ['create x --expires 2020-01-01', /--expires is over/],
    [`create ${'x'.repeat(65)}`, /The name: /],
  ]
  for (const [line, message] of wrong) {
    assert.throws(
      () => parse(line),
      (thrown: Error) => thrown instanceof UsageError && message.test(thrown.message),
      line,
    )
  }
})

function setUp(context: TestContext) {
  const clock = { ms: NOW_MS }
  const keys = { db: memoryDb(context), now: () => clock.ms }
  const ring: KeyRing & { close(): void } = {
    list: async () => listApiKeys(keys),
    create: async request => createKey(keys, request),
    remove: async id => removeKey(keys, id),
    close() {},
  }
  const said = { out: '', notes: '' }
  const writer = (to: 'out' | 'notes') => ({
    write(text: string) {
      said[to] += text
    },
    colour: false,
  })
  const run = async (line: string, json = false): Promise<string> => {
    said.out = ''
    said.notes = ''
    const deps = {
      findHub: async () => undefined,
      openKeys: () => ring,
      terminal: writer('out'),
      notes: writer('notes'),
      now: keys.now,
    }
    assert.equal(await runKeys(deps, { ...parse(line), json }), 0)
    return said.out
  }
  return { clock, said, run }
}

test('a new key stands alone on standard output, and the list knows it by its ends', async context => {
  const { clock, said, run } = setUp(context)
  assert.match(await run(''), /no API keys\. "ai-hub keys create NAME"/)
  const value = (await run('create phone')).trimEnd()
  assert.match(value, /^sk-hub-[\w-]{43}$/)
  assert.match(said.notes, /'phone' \(use\) is shown this once/)
  await run('create desk --role admin --expires 30d --training --requests-per-minute 9')
  clock.ms += 40 * 86_400_000
  const lines = (await run('')).trimEnd().split('\n')
  assert.match(lines[0]!, /^id +name +role +key +created +last used +expires$/)
  assert.match(lines[1]!, /^key_\w+ +phone +use +sk-hub-.{4}\.\.\..{4} +2026-.* +never +never$/)
  assert.ok(lines[1]!.includes(`${value.slice(0, 11)}...${value.slice(-4)}`) && !lines.join().includes(value))
  assert.match(lines[2]!, /^key_\w+ +desk +admin +.* over since 20\d\d-/)
  assert.equal(lines[3], '  -> its chats are kept for training, 9 requests a minute')
})

test('a key is deleted by its id, or by a name that only it has', async context => {
  const { run } = setUp(context)
  for (const name of ['a', 'b', 'b']) await run(`create ${name}`)
  assert.match(await run('delete a'), /'a' .* opens nothing from now on/)
  await assert.rejects(run('delete a'), { code: 'not_found' })
  await assert.rejects(run('delete b'), { code: 'conflict', message: /by its id/ })
  const [first] = JSON.parse(await run('', true)) as { id: string }[]
  assert.deepEqual(JSON.parse(await run(`delete ${first!.id}`, true)), { id: first!.id, deleted: true })
  assert.match(await run('delete b'), /opens nothing/)
})

test('the command works on a home with no hub, and through the hub that runs', async context => {
  const home = mkdtempSync(join(tmpdir(), 'ai-hub-cli-keys-'))
  context.after(() => rmSync(home, { recursive: true, force: true, maxRetries: 5 }))
  const command = async (...args: string[]): Promise<string> => {
    const child = spawn(process.execPath, [MAIN, ...args, '--home', home], { stdio: ['ignore', 'pipe', 'pipe'] })
    let text = ''
    let errors = ''
    child.stdout.on('data', (bytes: Buffer) => {
      text += bytes.toString()
    })
    child.stderr.on('data', (bytes: Buffer) => {
      errors += bytes.toString()
    })
    const code = await new Promise(done => child.once('close', done))
    assert.equal(code, 0, errors)
    return text.trim()
  }
  const first = await command('keys', 'create', 'phone')
  const settings = { port: '0', device: 'cpu', requireApiKey: 'always' }
  const hub = await startHub({ home, commandLine: settings, env: {}, logSinks: [] })
  context.after(() => hub.close())
  await hub.ready
  const status = async (key: string): Promise<number> =>
    (await fetch(`${hub.url}/v1/models`, { headers: { authorization: `Bearer ${key}` } })).status
  assert.equal(await status(first), 200)
  const second = JSON.parse(await command('keys', 'create', 'desk', '--json')) as { id: string; value: string }
  assert.equal(await status(second.value), 200)
  assert.match(await command('keys', 'delete', 'phone'), /opens nothing/)
  assert.deepEqual([await status(first), await status(second.value)], [401, 200])
  // The other commands show the token of hub.json.
  assert.deepEqual(JSON.parse(await command('models', '--json')), [])
  assert.match(await command('jobs'), /There are no training jobs/)
  const audit = readFileSync(join(home, 'logs', 'audit.log'), 'utf8')
  assert.match(audit, /POST \/v1\/keys by="command line" of=key_\w+\n[\s\S]*by=local of=key_\w+ id=req_/)
  assert.ok(!audit.includes(first) && !audit.includes(second.value))
})
