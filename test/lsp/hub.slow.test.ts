/** The language server of a whole hub: over WebSocket with the token of hub.json, and over standard input and output. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { readFileSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { test } from 'node:test'
import { WebSocket } from 'ws'
import { frame, MessageSplitter } from '../../server/cli/lsp.ts'
import { LspClient } from '../helpers/lsp_client.ts'
import { RANDOM_CHAT, type RealHub, realHub } from '../helpers/real_hub.ts'

const MAIN = resolve(import.meta.dirname, '..', '..', 'server', 'main.ts')
const URI = 'file:///code/a.ts'

type Record = { url: string; token: string }
const recordOf = (hub: RealHub): Record => JSON.parse(readFileSync(join(hub.home, 'hub.json'), 'utf8')) as Record

async function socketClient(context: { after(close: () => void): void }, { url, token }: Record): Promise<LspClient> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/lsp?token=${token}`)
  context.after(() => socket.terminate())
  const client = new LspClient(text => socket.send(text))
  socket.on('message', data => client.take(data.toString()))
  await new Promise((done, failed) => socket.once('open', done).once('error', failed))
  return client
}

test('a real model completes over WebSocket, for two clients with documents of their own', async context => {
  const hub = await realHub(context, { code: RANDOM_CHAT })
  const clients = [await socketClient(context, recordOf(hub)), await socketClient(context, recordOf(hub))]
  for (const [index, client] of clients.entries()) {
    await client.initialize()
    client.open(URI, `const client${index} = compute(\n`)
  }
  const answers = await Promise.all(clients.map((client, index) => client.complete(URI, 0, 24 + index * 0, 1).result))
  for (const answer of answers) assert.ok(Array.isArray(answer))
  const counts = (await clients[0]!.request('aiHub/counts', null)) as { asked: number; generated: number }
  assert.equal(counts.asked, 1)
  assert.ok(counts.generated >= 1)
  assert.equal(hub.models.get('code').state, 'ready')
})

test('without the token the door stays shut', async context => {
  const hub = await realHub(context, {})
  const { url, token } = recordOf(hub)
  for (const query of ['', '?token=', `?token=${token}0`, `?token=${'0'.repeat(token.length)}`]) {
    const socket = new WebSocket(`${url.replace('http', 'ws')}/lsp${query}`)
    socket.on('error', () => {})
    const status = await new Promise(done => {
      socket.once('unexpected-response', (_request, response) => done(response.statusCode))
      socket.once('open', () => done('open'))
    })
    socket.terminate()
    assert.equal(status, 401, query)
  }
  if (process.platform !== 'win32') assert.equal(statSync(join(hub.home, 'hub.json')).mode & 0o077, 0)
})

test('an editor over standard input and output: the bridge finds the hub, and ends with its input', async context => {
  const hub = await realHub(context, { code: RANDOM_CHAT })
  const child = spawn(process.execPath, [MAIN, 'lsp', '--stdio', '--home', hub.home], {
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  context.after(() => {
    child.kill('SIGKILL')
  })
  const client = new LspClient(text => child.stdin.write(frame(text)))
  const messages = new MessageSplitter()
  child.stdout.on('data', (bytes: Buffer) => {
    for (const text of messages.push(bytes)) client.take(text)
  })
  const { capabilities } = await client.initialize()
  assert.equal(capabilities.inlineCompletionProvider, true)
  client.open(URI, 'const a = compute(\n')
  assert.ok(Array.isArray(await client.complete(URI, 0, 18, 1).result))
  const ended = new Promise(done => child.once('exit', done))
  await client.request('shutdown', null)
  client.notify('exit', null)
  assert.equal(await ended, 0)
  // The hub lives on.
  assert.equal((await fetch(`${hub.url}/health`)).status, 200)
})

test('a worker that is killed in the middle of an answer is told of once, and the next request starts it anew', async context => {
  const hub = await realHub(context, { code: RANDOM_CHAT })
  const client = await socketClient(context, recordOf(hub))
  await client.initialize()
  // Long enough to be read for a while.
  client.open(URI, `const a = compute(\n${'const value = other(1, 2)\n'.repeat(200)}`)
  const shown = (): string[] =>
    client.received
      .filter(({ method }) => method === 'window/showMessage')
      .map(({ params }) => (params as { message: string }).message)
  await client.complete(URI, 0, 18, 1).result
  const { pid } = hub.models.get('code')
  const asked = client.request('aiHub/ask', { uri: URI, question: 'Why?' })
  while (hub.models.get('code').inUse === 0) await new Promise(resolve => setTimeout(resolve, 1))
  process.kill(pid!, 'SIGKILL')
  assert.equal(await asked, null)
  assert.equal(shown().length, 1, shown().join())
  assert.ok(Array.isArray(await client.complete(URI, 0, 18, 1).result))
  client.type(URI, 2, 0, 18, 'b, ')
  assert.ok(Array.isArray(await client.complete(URI, 0, 21, 1).result))
  assert.equal(shown().length, 1, shown().join())
  assert.notEqual(hub.models.get('code').pid, pid)
  assert.equal(hub.models.get('code').state, 'ready')
})
