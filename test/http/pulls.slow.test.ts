/** Downloads over HTTP, with a whole hub: the record at once, events, a kill -9 in the middle, and that nothing else is asked. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { type TestContext, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { HubEvent } from '../../server/wire/events.ts'
import { PullList, PullOut, SuggestionList } from '../../server/wire/pull.ts'
import { giveFile, hubFile, modelHub } from '../helpers/model_hub.ts'
import { modelBytes } from '../helpers/pulls.ts'

const MAIN = resolve(import.meta.dirname, '../../server/main.ts')
const OUTSIDE = pathToFileURL(resolve(import.meta.dirname, '../helpers/no_outside.mjs')).href
const MODEL = modelBytes()
const REPO = 'maker/tiny-GGUF'

type Running = { url: string; kill(signal?: NodeJS.Signals): Promise<void> }

/** A hub as a process of its own, under the guard that records and refuses every outside address. */
async function serve(context: TestContext, home: string, env: NodeJS.ProcessEnv): Promise<Running> {
  const child = spawn(
    process.execPath,
    [MAIN, 'serve', '--home', home, '--port', '0', '--device', 'cpu', '--threads', '1'],
    {
      env: {
        ...process.env,
        NODE_OPTIONS: `--import=${OUTSIDE}`,
        AI_HUB_TEST_OUTSIDE: join(home, 'outside.txt'),
        ...env,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  )
  const ended = new Promise<void>(done => child.once('close', () => done()))
  let text = ''
  await new Promise<void>((done, fail) => {
    const take = (chunk: Buffer) => {
      text += chunk.toString('utf8')
      if (text.includes('Press Ctrl+C to stop.')) done()
    }
    child.stdout.on('data', take)
    child.stderr.on('data', take)
    void ended.then(() => fail(new Error(`the hub ended: ${text}`)))
  })
  const kill = async (signal: NodeJS.Signals = 'SIGTERM') => {
    child.kill(signal)
    await ended
  }
  context.after(() => kill('SIGKILL'))
  return { url: /OpenAI API\s+(\S+)\/v1/.exec(text)?.[1] ?? '', kill }
}

const call = async (url: string, method = 'GET', body?: unknown) => {
  const response = await fetch(url, {
    method,
    ...(body !== undefined && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
  })
  return { status: response.status, json: (await response.json()) as unknown }
}

test('a download survives a kill -9 of the hub, is told in events, and is the only thing that is ever asked of the outside', async t => {
  const remote = await modelHub(t, { [REPO]: { 'tiny-Q4_K_M.gguf': hubFile(MODEL, { etag: '"e"' }) } })
  let isOpen = false
  remote.misbehave = (request, response, file) => {
    if (isOpen) giveFile(request, response, file)
    else {
      response.writeHead(200, { 'content-length': file.bytes.length, etag: '"e"' })
      response.write(file.bytes.subarray(0, 6000))
    }
    return true
  }
  const home = mkdtempSync(join(tmpdir(), 'ai-hub-pull-'))
  t.after(() => rmSync(home, { recursive: true, force: true, maxRetries: 5 }))
  const env = { HF_ENDPOINT: remote.url, HF_TOKEN: 'hf_secret' }
  const folder = join(home, 'local_models', 'chat_models')

  const first = await serve(t, home, env)
  const suggested = SuggestionList.parse((await call(`${first.url}/v1/models/suggested`)).json)
  assert.ok(suggested.data.length > 0)
  assert.deepEqual(PullList.parse((await call(`${first.url}/v1/models/pulls`)).json).data, [])
  assert.equal(remote.seen.length, 0)
  const { status, json } = await call(`${first.url}/v1/models/pull`, 'POST', { model: `hf:${REPO}` })
  assert.equal(status, 200)
  const { id, state } = PullOut.parse(json)
  assert.ok(['queued', 'running'].includes(state))
  const part = join(folder, 'tiny-Q4_K_M.gguf.part')
  while (!existsSync(part) || statSync(part).size < 6000) await new Promise(setImmediate)
  await first.kill('SIGKILL')

  isOpen = true
  const second = await serve(t, home, env)
  const socket = new WebSocket(`${second.url.replace('http', 'ws')}/v1/events`)
  const events: HubEvent[] = []
  socket.onmessage = ({ data }) => events.push(HubEvent.parse(JSON.parse(String(data))))
  t.after(() => socket.close())
  const record = async () => PullOut.parse((await call(`${second.url}/v1/models/pulls/${id}`)).json)
  let now = await record()
  while (now.state !== 'done') {
    assert.notEqual(now.state, 'failed', now.error)
    now = await record()
  }
  assert.equal(remote.seen.at(-1)?.range, 'bytes=6000-')
  assert.deepEqual(readdirSync(folder), ['tiny-Q4_K_M.gguf'])
  assert.deepEqual(readFileSync(join(folder, 'tiny-Q4_K_M.gguf')), MODEL)
  assert.equal((await call(`${second.url}/v1/models/tiny-Q4_K_M`)).status, 200)
  // The token is in no log and no file.
  assert.doesNotMatch(readFileSync(join(home, 'logs', 'hub.log'), 'utf8'), /hf_secret/)

  // Its end is told on the socket, too; another one shows it from the start.
  remote.repos['maker/b'] = { 'b.gguf': hubFile(MODEL) }
  while (!events.some(({ type }) => type === 'hello')) await new Promise(setImmediate)
  const other = PullOut.parse((await call(`${second.url}/v1/models/pull`, 'POST', { model: 'maker/b' })).json)
  const told = () =>
    events.flatMap(event => (event.type === 'model.pull' && event.pull.id === other.id ? [event.pull.state] : []))
  while (told().at(-1) !== 'done') await new Promise(setImmediate)
  assert.deepEqual([...new Set(told())], ['queued', 'running', 'checking', 'done'])
  socket.close()

  assert.equal((await call(`${second.url}/v1/models/pulls/${id}`, 'DELETE')).status, 200)
  assert.equal((await call(`${second.url}/v1/models/pulls/${id}`)).status, 404)
  await second.kill()
  assert.equal(existsSync(join(home, 'outside.txt')), false)
})

test('wrong requests are answered in words', async t => {
  const remote = await modelHub(t, {})
  const home = mkdtempSync(join(tmpdir(), 'ai-hub-pull-'))
  t.after(() => rmSync(home, { recursive: true, force: true, maxRetries: 5 }))
  const hub = await serve(t, home, { HF_ENDPOINT: remote.url })
  const ask = async (body: unknown) => {
    const { status, json } = await call(`${hub.url}/v1/models/pull`, 'POST', body)
    const { error } = json as { error: { message: string; param: string | null; code: string } }
    return [status, error.code, error.param]
  }
  assert.deepEqual(await ask({}), [400, 'invalid_request', 'model'])
  assert.deepEqual(await ask({ model: 'llama3' }), [400, 'invalid_request', 'model'])
  assert.deepEqual(await ask({ model: 'a/b', folder: '../x' }), [400, 'invalid_request', 'folder'])
  assert.deepEqual(await ask({ model: 'a/b', nonsense: 1 }), [400, 'unsupported_parameter', 'nonsense'])
  assert.deepEqual(await ask({ model: 'a/b:Q4_0', quant: 'Q8_0' }), [400, 'invalid_request', 'quant'])
  assert.deepEqual(await ask({ model: 'https://127.0.0.1/a.gguf', quant: 'Q8_0' }), [400, 'invalid_request', 'quant'])
  assert.deepEqual(await ask({ model: 'none/none' }), [404, 'not_found', 'model'])
  assert.equal((await call(`${hub.url}/v1/models/pulls/pull_x`)).status, 404)
  assert.equal((await call(`${hub.url}/v1/models/pulls/pull_x?discard=maybe`, 'DELETE')).status, 400)
  // A page of another origin has no say in it.
  const foreign = await fetch(`${hub.url}/v1/models/pull`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', origin: 'https://example.org' },
    body: JSON.stringify({ model: 'none/none' }),
  })
  assert.equal(foreign.status, 403)
  await hub.kill()
  assert.equal(existsSync(join(home, 'outside.txt')), false)
})
