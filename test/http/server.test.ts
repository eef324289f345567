/** The door itself: bodies, unknown addresses, methods, hosts and origins, failures of handlers. */
import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import { request as httpRequest } from 'node:http'
import { connect } from 'node:net'
import { test } from 'node:test'
import * as z from 'zod'
import { route } from '../../server/http/route.ts'
import { createServer } from '../../server/http/server.ts'
import { HubError } from '../../server/lib/error.ts'
import { silentLog } from '../../server/lib/log.ts'
import { fakeModels } from '../helpers/fake_models.ts'
import { type Answer, type TestHub, testHub } from '../helpers/hub.ts'
import { specMissing, validate } from '../helpers/openapi_spec.ts'

type Failure = { error: { message: string; type: string; param: string | null; code: string } }
const failure = (answer: { json: unknown }): Failure['error'] => (answer.json as Failure).error

const CHAT = { model: 'fake', messages: [{ role: 'user', content: 'hi' }] }

/** A request with headers that fetch would not send. */
function raw(hub: TestHub, path: string, headers: { [name: string]: string }, method = 'GET'): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest(
      { host: '127.0.0.1', port: hub.port, path, method, headers, agent: false },
      response => {
        let text = ''
        response.setEncoding('utf8')
        response.on('data', (chunk: string) => {
          text += chunk
        })
        response.on('end', () => {
          const received = new Headers()
          for (const [name, value] of Object.entries(response.headers)) received.set(name, String(value))
          const json: unknown = text.startsWith('{') ? JSON.parse(text) : undefined
          resolve({ status: response.statusCode ?? 0, headers: received, text, json })
        })
      },
    )
    outgoing.on('error', reject)
    outgoing.end()
  })
}

test('malformed JSON is answered with 400 and not quoted', async context => {
  const hub = await testHub(context)
  const answer = await hub.post('/v1/chat/completions', '{"model": "secret')
  assert.equal(answer.status, 400)
  assert.match(failure(answer).message, /not valid JSON/)
  assert.doesNotMatch(answer.text, /secret/)
})

test('a body that is not UTF-8 is refused', async context => {
  const hub = await testHub(context)
  const response = await fetch(`${hub.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: new Uint8Array([0x22, 0xff, 0x22]),
  })
  assert.equal(response.status, 400)
  assert.match(await response.text(), /UTF-8/)
})

test('another content type or a compressed body is answered with 415', async context => {
  const hub = await testHub(context)
  const text = await hub.post('/v1/chat/completions', '{}', { 'content-type': 'text/plain' })
  assert.equal(text.status, 415)
  assert.equal(failure(text).code, 'unsupported_media_type')
  const zipped = await hub.post('/v1/chat/completions', '{}', { 'content-encoding': 'gzip' })
  assert.equal(zipped.status, 415)
})

test('a body over 32 MiB is answered with 413', async context => {
  const hub = await testHub(context)
  const answer = await hub.post('/tokenize', { content: 'x'.repeat(33 * 2 ** 20) })
  assert.equal(answer.status, 413)
  assert.equal(failure(answer).code, 'payload_too_large')
  assert.equal((await hub.get('/health')).status, 200)
})

test('a body nested too deeply is refused before anyone walks it', async context => {
  const hub = await testHub(context)
  const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`
  const answer = await hub.post('/v1/chat/completions', `{"model":"fake","tools":${deep}}`)
  assert.equal(answer.status, 400)
  assert.match(failure(answer).message, /nested/)
})

test('unknown addresses are 404, other methods 405 with Allow', async context => {
  const hub = await testHub(context)
  for (const path of ['/nope', '/v1/chat/completions/', '/V1/models', '/v1/chat']) {
    const answer = await hub.get(path)
    assert.equal(answer.status, 404, path)
    assert.equal(failure(answer).code, 'not_found')
  }
  const wrong = await hub.get('/v1/chat/completions')
  assert.equal(wrong.status, 405)
  assert.equal(wrong.headers.get('allow'), 'POST, OPTIONS')
  assert.equal((await hub.post('/health', {})).headers.get('allow'), 'GET, HEAD, OPTIONS')
  assert.equal((await hub.post('/docs', {})).status, 405)
  assert.equal((await hub.get('/v1/models/%E0%A4%A')).status, 400)
})

test('HEAD is answered like GET without a body', async context => {
  const hub = await testHub(context)
  const answer = await raw(hub, '/health', {}, 'HEAD')
  assert.equal(answer.status, 200)
  assert.equal(answer.text, '')
})

test('a query parameter that a route does not know is refused by name', async context => {
  const hub = await testHub(context)
  const answer = await hub.get('/v1/models?limit=3')
  assert.equal(answer.status, 400)
  assert.equal(failure(answer).param, 'limit')
})

test('a foreign Host is refused with 403 on every address', async context => {
  const hub = await testHub(context)
  for (const path of ['/health', '/v1/models', '/docs', '/openapi.json', '/nope']) {
    const answer = await raw(hub, path, { host: `rebound.example:${hub.port}` })
    assert.equal(answer.status, 403, path)
    assert.equal(failure(answer).type, 'permission_error')
  }
  assert.equal((await raw(hub, '/health', { host: `localhost:${hub.port}` })).status, 200)
})

test('a cross-site Origin is refused with 403, and its preflight is not answered', async context => {
  const hub = await testHub(context)
  const answer = await hub.post('/v1/chat/completions', CHAT, { origin: 'http://evil.example' })
  assert.equal(answer.status, 403)
  assert.match(failure(answer).message, /allowedOrigins/)
  assert.equal(answer.headers.get('access-control-allow-origin'), null)
  const preflight = await raw(
    hub,
    '/v1/chat/completions',
    { origin: 'null', 'access-control-request-method': 'POST' },
    'OPTIONS',
  )
  assert.equal(preflight.status, 403)
})

test('an origin of the settings gets CORS headers, its preflight included', async context => {
  const origin = 'http://localhost:3000'
  const origins: string[] = []
  const hub = await testHub(context, { server: { allowedOrigins: () => origins } })
  assert.equal((await raw(hub, '/v1/models', { origin })).status, 403)
  origins.push(origin)
  const answer = await raw(hub, '/v1/models', { origin })
  assert.equal(answer.status, 200)
  assert.equal(answer.headers.get('access-control-allow-origin'), origin)
  const preflight = await raw(
    hub,
    '/v1/chat/completions',
    {
      origin,
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'content-type, authorization',
    },
    'OPTIONS',
  )
  assert.equal(preflight.status, 204)
  assert.equal(preflight.headers.get('access-control-allow-origin'), origin)
  assert.match(preflight.headers.get('access-control-allow-methods') ?? '', /POST/)
  assert.equal(preflight.headers.get('access-control-allow-headers'), 'content-type, authorization')
})

test('every answer has an id and the security headers', async context => {
  const hub = await testHub(context)
  const [one, two] = [await hub.get('/health'), await hub.get('/nope')]
  assert.match(one.headers.get('x-request-id') ?? '', /^req_[0-9a-f]{32}$/)
  assert.notEqual(one.headers.get('x-request-id'), two.headers.get('x-request-id'))
  assert.equal(two.headers.get('x-content-type-options'), 'nosniff')
})

test('what a handler throws by accident is a 500 without its words; the log has them, and not the body', async context => {
  const hub = await testHub(context, {
    routes: () => [
      route({
        method: 'POST',
        path: '/broken',
        summary: '',
        tag: '',
        scope: 'use',
        request: z.strictObject({ text: z.string() }),
        response: z.object({}),
        handler: () => {
          throw new TypeError('cannot read the thing')
        },
      }),
    ],
  })
  const answer = await hub.post('/broken', { text: 'my secret prompt' })
  assert.equal(answer.status, 500)
  assert.equal(failure(answer).type, 'server_error')
  assert.doesNotMatch(answer.text, /the thing/)
  const log = hub.log.join('')
  assert.match(log, /cannot read the thing/)
  assert.match(log, new RegExp(answer.headers.get('x-request-id') ?? 'no id'))
  assert.doesNotMatch(log, /secret/)
})

test('a client that goes away is no failure of the hub, whatever its going ended', async context => {
  const begun = Promise.withResolvers<void>()
  const hub = await testHub(context, {
    routes: () => [
      route({
        method: 'GET',
        path: '/slow',
        summary: '',
        tag: '',
        scope: 'use',
        response: z.object({}),
        async handler({ signal }) {
          begun.resolve()
          await once(new EventEmitter(), 'never', { signal })
          return {}
        },
      }),
    ],
  })
  const client = new AbortController()
  const asked = fetch(`${hub.url}/slow`, { signal: client.signal })
  await begun.promise
  client.abort()
  await assert.rejects(asked)
  while (hub.log.length === 0) await new Promise(setImmediate)
  assert.match(hub.log.join(''), /request refused .*status=499 code=cancelled/)
})

test('a full queue is 429 with Retry-After', async context => {
  const busy = new HubError('busy', 'Model fake has 256 requests waiting.', { retryAfterS: 1.5 })
  const hub = await testHub(context, { models: fakeModels({ acquireError: busy }) })
  const answer = await hub.post('/v1/chat/completions', CHAT)
  assert.equal(answer.status, 429)
  assert.equal(answer.headers.get('retry-after'), '2')
  assert.equal(failure(answer).type, 'rate_limit_error')
})

test('errors have the shape of the specification', { skip: specMissing }, async context => {
  const hub = await testHub(context)
  for (const answer of [
    await hub.get('/nope'),
    await hub.get('/v1/chat/completions'),
    await hub.post('/v1/chat/completions', '{'),
    await hub.post('/v1/chat/completions', {}),
  ]) {
    assert.deepEqual(validate('ErrorResponse', answer.json), [])
  }
})

test('what is not HTTP gets a 400 and does no harm', async context => {
  const hub = await testHub(context)
  const reply = await new Promise<string>(resolve => {
    const socket = connect(hub.port, '127.0.0.1', () => socket.write('\x16\x03\x01 hello\r\n\r\n'))
    let text = ''
    socket.on('data', data => {
      text += data.toString()
    })
    socket.on('close', () => resolve(text))
  })
  assert.match(reply, /^HTTP\/1\.1 400/)
  assert.equal((await hub.get('/health')).status, 200)
})

test('a WebSocket upgrade with a foreign Origin is refused, and one of the hub itself reaches the hook', async context => {
  let upgrades = 0
  const hub = await testHub(context, {
    server: {
      upgrade: (_request, socket) => {
        upgrades++
        socket.end('HTTP/1.1 101 Switching Protocols\r\n\r\n')
      },
    },
  })
  const upgrade = (origin: string): Promise<string> =>
    new Promise((resolve, reject) => {
      const socket = connect(hub.port, '127.0.0.1', () =>
        socket.write(
          `GET /v1/events HTTP/1.1\r\nHost: 127.0.0.1:${hub.port}\r\nOrigin: ${origin}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`,
        ),
      )
      let text = ''
      socket.on('data', data => {
        text += data.toString()
      })
      socket.on('error', reject)
      socket.on('close', () => resolve(text))
    })
  assert.match(await upgrade('http://evil.example'), /^HTTP\/1\.1 403/)
  assert.equal(upgrades, 0)
  assert.match(await upgrade(hub.url), /^HTTP\/1\.1 101/)
  assert.equal(upgrades, 1)
})

test('an address that is not loopback is refused', async () => {
  const server = createServer({ routes: [], log: silentLog, version: '0', allowedOrigins: () => [] })
  await assert.rejects(server.listen({ host: '0.0.0.0', port: 0 }), { code: 'forbidden' })
  await server.close()
})

test('a taken port is the error of the system', async context => {
  const hub = await testHub(context)
  const server = createServer({ routes: [], log: silentLog, version: '0', allowedOrigins: () => [] })
  await assert.rejects(server.listen({ host: '127.0.0.1', port: hub.port }), { code: 'EADDRINUSE' })
  await server.close()
})

test("an offer to upgrade that is no WebSocket is passed over, as Java's client makes it", async context => {
  const hub = await testHub(context)
  const answer = await raw(hub, '/health', {
    Connection: 'Upgrade, HTTP2-Settings',
    Upgrade: 'h2c',
    'HTTP2-Settings': 'AAEA',
  })
  assert.equal(answer.status, 200)
})

test('a refused upgrade does not keep the hub from closing', async () => {
  const closers: (() => Promise<void>)[] = []
  const hub = await testHub({ after: close => void closers.push(close) })
  const socket = connect({ port: hub.port, host: '127.0.0.1', allowHalfOpen: true })
  socket.write(
    `GET /v1/events HTTP/1.1\r\nHost: 127.0.0.1:${hub.port}\r\nOrigin: http://evil.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`,
  )
  const [first] = (await once(socket, 'data')) as [Buffer]
  assert.match(first.toString(), /^HTTP\/1\.1 403/)
  for (const close of closers) await close()
  socket.destroy()
})
