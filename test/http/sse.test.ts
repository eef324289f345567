/** Streams: keep-alive, clients that leave, slow readers, closing. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { test } from 'node:test'
import { KEEP_ALIVE_MS } from '../../server/http/sse.ts'
import { type FakeModels, fakeModels } from '../helpers/fake_models.ts'
import { type TestHub, testHub } from '../helpers/hub.ts'

const BODY = { model: 'fake', stream: true, messages: [{ role: 'user', content: 'hi' }] }

/** A client that reads only when told to. */
async function open(hub: TestHub, body: object): Promise<Socket> {
  const socket = connect(hub.port, '127.0.0.1')
  await once(socket, 'connect')
  const text = JSON.stringify(body)
  socket.write(
    `POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:${hub.port}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
  )
  return socket
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(resolve => setImmediate(resolve))
}

/** A gate that stays shut until it is opened. */
function gate(): { pass: () => Promise<void>; open: () => void } {
  let open = (): void => {}
  const opened = new Promise<void>(resolve => {
    open = resolve
  })
  return { pass: () => opened, open }
}

test('a stream that says nothing sends keep-alive comments, then its chunks', async context => {
  context.mock.timers.enable({ apis: ['setInterval'] })
  const held = gate()
  const models = fakeModels({ gate: held.pass })
  const hub = await testHub(context, { models })
  const socket = await open(hub, BODY)
  let text = ''
  socket.on('data', data => {
    text += data.toString()
  })
  await until(() => models.generated.length === 1)
  assert.equal(text, '')
  context.mock.timers.tick(KEEP_ALIVE_MS)
  await until(() => text.includes(': keep-alive'))
  assert.match(text, /^HTTP\/1\.1 200/)
  held.open()
  await until(() => text.includes('[DONE]'))
  assert.match(text, /Hello/)
  socket.destroy()
})

test('once the stream was opened by a keep-alive, an error is an event', async context => {
  context.mock.timers.enable({ apis: ['setInterval'] })
  const held = gate()
  const error = { code: 'context_length_exceeded' as const, message: 'Too long.' }
  const models = fakeModels({ gate: held.pass, answer: () => ({ deltas: [], error }) })
  const hub = await testHub(context, { models })
  const events = hub.events('/v1/chat/completions', BODY)
  await until(() => models.generated.length === 1)
  context.mock.timers.tick(KEEP_ALIVE_MS)
  held.open()
  const { status, comments, json } = await events
  assert.equal(status, 200)
  assert.deepEqual(comments, [': keep-alive'])
  assert.equal((json[0] as { error: { code: string } }).error.code, 'context_length_exceeded')
})

for (const stream of [true, false]) {
  test(`a client that leaves cancels its ${stream ? 'stream' : 'request'} and gives the model back`, async context => {
    const models = fakeModels({ gate: gate().pass })
    const hub = await testHub(context, { models })
    const socket = await open(hub, { ...BODY, stream })
    await until(() => models.generated.length === 1)
    socket.destroy()
    await until(() => models.cancelled() === 1 && models.held() === 0)
    assert.equal((await hub.get('/health')).status, 200)
  })
}

test('a client that leaves while its model loads is not left waiting', async context => {
  const plain = fakeModels()
  let aborted = false
  const models: FakeModels = {
    ...plain,
    acquire: (_id, signal) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => {
          aborted = true
          reject(new Error('gone'))
        })
        started = true
      }),
  }
  let started = false
  const hub = await testHub(context, { models })
  const socket = await open(hub, BODY)
  await until(() => started)
  socket.destroy()
  await until(() => aborted)
})

test('a reader that does not read holds nobody back and is not buffered without end', async context => {
  let produced = 0
  const models = fakeModels({
    answer: (request): { deltas: { content: string }[] } => {
      const isBig = request.maxTokens === 1000
      return { deltas: Array.from({ length: isBig ? 1000 : 1 }, () => ({ content: 'x'.repeat(isBig ? 100_000 : 1) })) }
    },
    gate: async () => {
      produced++
    },
  })
  const hub = await testHub(context, { models })
  const socket = await open(hub, { ...BODY, max_tokens: 1000 })
  socket.pause()
  // Other requests are answered while the first one waits for its reader.
  for (let round = 0; round < 20; round++) {
    const { data } = await hub.events('/v1/chat/completions', BODY)
    assert.equal(data.at(-1), '[DONE]')
  }
  assert.ok(produced < 1000, `${produced} events of 100 KB were taken from the model`)
  socket.destroy()
  await until(() => models.held() === 0)
})

test('closing the hub ends streams with an error', async context => {
  const models = fakeModels({
    answer: () => ({ deltas: [{ content: 'a' }, { content: 'b' }] }),
    gate: (() => {
      let events = 0
      const shut = gate()
      return () => (++events > 2 ? shut.pass() : Promise.resolve())
    })(),
  })
  const hub = await testHub(context, { models })
  const socket = await open(hub, BODY)
  let text = ''
  socket.on('data', data => {
    text += data.toString()
  })
  await until(() => text.includes('"content":"a"'))
  const closed = once(socket, 'close')
  await hub.close()
  await closed
  assert.match(text, /shutting_down/)
  assert.equal(models.held(), 0)
})
