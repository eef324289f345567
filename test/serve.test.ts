/** `serve` as a process: addresses, a second one on the same home, kill -9, a clean end, and that nothing leaves the machine. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { startHub } from '../server/hub.ts'
import { processExists } from '../server/lib/home.ts'
import { makeModel } from './helpers/gguf_file.ts'
import { RANDOM_CHAT } from './helpers/real_hub.ts'

const MAIN = resolve(import.meta.dirname, '../server/main.ts')
const OUTSIDE = pathToFileURL(resolve(import.meta.dirname, 'helpers/no_outside.mjs')).href
const homes: string[] = []
const children: ChildProcess[] = []

function newHome(): string {
  const home = mkdtempSync(join(tmpdir(), 'ai-hub-serve-'))
  homes.push(home)
  return home
}

type Serve = {
  child: ChildProcess
  url: string
  output(): string
  ended: Promise<{ code: number | null; signal: string | null }>
}

/** Starts `serve` and waits until it says that it is ready, or ends. */
async function serve(home: string, env: NodeJS.ProcessEnv = {}, more: string[] = []): Promise<Serve> {
  const child = spawn(
    process.execPath,
    [MAIN, 'serve', '--home', home, '--port', '0', '--device', 'cpu', '--threads', '1', ...more],
    {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  )
  children.push(child)
  let text = ''
  const ready = Promise.withResolvers<void>()
  const take = (chunk: Buffer) => {
    text += chunk.toString('utf8')
    if (text.includes('Press Ctrl+C to stop.')) ready.resolve()
  }
  child.stdout!.on('data', take)
  child.stderr!.on('data', take)
  const ended = new Promise<{ code: number | null; signal: string | null }>(done => {
    child.once('close', (code, signal) => {
      ready.resolve()
      done({ code, signal })
    })
  })
  await ready.promise
  return { child, url: /OpenAI API\s+(\S+)\/v1/.exec(text)?.[1] ?? '', output: () => text, ended }
}

const complete = (url: string, tokens = 3) =>
  fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'tiny', prompt: 'Hello', max_tokens: tokens, ignore_eos: true }),
  })

async function gone(pid: number): Promise<void> {
  while (processExists(pid)) await new Promise(done => setTimeout(done, 20))
}

after(() => {
  for (const child of children) child.kill('SIGKILL')
  for (const home of homes) rmSync(home, { recursive: true, force: true, maxRetries: 5 })
})

test('serve prints its addresses, answers, loads a model put there by hand, and ends cleanly', async () => {
  const home = newHome()
  const hub = await serve(home)
  assert.match(hub.url, /^http:\/\/127\.0\.0\.1:\d+$/)
  assert.match(hub.output(), /none yet/)
  assert.equal((await fetch(`${hub.url}/health`)).status, 200)
  makeModel(join(home, 'local_models', 'chat_models', 'tiny.gguf'), RANDOM_CHAT)
  for (;;) {
    const { data } = (await (await fetch(`${hub.url}/v1/models`)).json()) as { data: { id: string }[] }
    if (data.some(model => model.id === 'tiny')) break
  }
  assert.equal((await complete(hub.url)).status, 200)

  const second = await serve(home)
  assert.equal((await second.ended).code, 1)
  assert.match(second.output(), new RegExp(`already runs at ${hub.url}`))

  // Windows knows no polite kill between processes.
  if (process.platform !== 'win32') {
    hub.child.kill('SIGTERM')
    assert.deepEqual(await hub.ended, { code: 0, signal: null })
    assert.equal(existsSync(join(home, 'hub.json')), false)
  }
})

test('a hub killed at work leaves no worker behind, and the next one starts on the same home', async () => {
  const home = newHome()
  makeModel(join(home, 'local_models', 'chat_models', 'tiny.gguf'), RANDOM_CHAT)
  const hub = await serve(home)
  const running = complete(hub.url, 1500).catch(() => undefined)
  let pid: number | undefined
  while (pid === undefined) {
    const { data } = (await (await fetch(`${hub.url}/v1/models/status`)).json()) as {
      data: { worker?: { pid?: number } }[]
    }
    pid = data[0]?.worker?.pid
  }
  hub.child.kill('SIGKILL')
  await hub.ended
  await running
  await gone(pid)
  const next = await serve(home)
  assert.equal((await complete(next.url)).status, 200)
  next.child.kill()
  await next.ended
})

test('a request that comes before the folders are read waits for them, and a pinned model loads by itself', async () => {
  const home = newHome()
  const path = join(home, 'local_models', 'chat_models', 'tiny.gguf')
  makeModel(path, RANDOM_CHAT)
  const hub = await startHub({ home, commandLine: { port: '0', device: 'cpu', threads: '1' }, env: {}, logSinks: [] })
  assert.equal((await complete(hub.url)).status, 200)
  await hub.close()
  writeFileSync(join(home, 'local_models', 'chat_models', 'tiny.model.json'), '{"pin": true}')
  const pinned = await startHub({
    home,
    commandLine: { port: '0', device: 'cpu', threads: '1' },
    env: {},
    logSinks: [],
  })
  await pinned.ready
  while (pinned.models.get('tiny').state !== 'ready') await new Promise(setImmediate)
  await pinned.close()
  // Closing at once, while the folders are still being read, leaves nothing open either.
  const hasty = await startHub({ home, commandLine: { port: '0', device: 'cpu', threads: '1' }, env: {}, logSinks: [] })
  await hasty.close()
})

test('nothing leaves the machine: start, load, answer and status reach no outside address', async () => {
  const home = newHome()
  const record = join(home, 'outside.txt')
  makeModel(join(home, 'local_models', 'chat_models', 'tiny.gguf'), RANDOM_CHAT)
  const env = { NODE_OPTIONS: `--import=${OUTSIDE}`, AI_HUB_TEST_OUTSIDE: record }
  // The guard itself works: a process under it that tries is recorded.
  const probe = spawn(process.execPath, ['-e', "require('net').connect(9, '192.0.2.1')"], {
    env: { ...process.env, ...env },
    stdio: 'ignore',
  })
  await new Promise(done => probe.once('close', done))
  assert.match(readFileSync(record, 'utf8'), /connect 192\.0\.2\.1/)
  rmSync(record)

  const hub = await serve(home, env)
  assert.equal((await complete(hub.url)).status, 200)
  for (const path of ['/v1/system/status', '/docs', '/openapi.json', '/v1/models'])
    assert.equal((await fetch(hub.url + path)).status, 200)
  hub.child.kill()
  await hub.ended
  assert.equal(existsSync(record), false, existsSync(record) ? readFileSync(record, 'utf8') : '')
})

test('a wrong setting, a damaged settings file and a damaged database end the start with the fix', async () => {
  const home = newHome()
  const wrong = await serve(home, {}, ['--slots', 'many'])
  assert.equal((await wrong.ended).code, 1)
  assert.match(wrong.output(), /slots/)
  mkdirSync(home, { recursive: true })
  writeFileSync(join(home, 'settings.json'), '{')
  const settings = await serve(home)
  assert.equal((await settings.ended).code, 1)
  assert.match(settings.output(), /settings\.json/)
  rmSync(join(home, 'settings.json'))
  rmSync(join(home, 'hub.db'))
  writeFileSync(join(home, 'hub.db'), 'this is no database, and it is long enough to be read as one. '.repeat(100))
  const database = await serve(home)
  assert.equal((await database.ended).code, 1)
  assert.match(database.output(), /hub\.db/)
  assert.match(readFileSync(join(home, 'hub.db'), 'utf8'), /^this is no database/)
})
