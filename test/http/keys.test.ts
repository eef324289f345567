/** API keys at the door: every route refuses without one where it is demanded, and what keys may do, over HTTP and WebSocket. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import fc from 'fast-check'
import OpenAI from 'openai'
import { WebSocket } from 'ws'
import { coreRoutes } from '../../server/http/all.ts'
import { keyRoutes } from '../../server/http/keys.ts'
import { chatKeeper } from '../../server/http/stored_chats.ts'
import { type Hub, startHub } from '../../server/hub.ts'
import { createLog, silentLog } from '../../server/lib/log.ts'
import { createAccess } from '../../server/security/access.ts'
import { createKey } from '../../server/security/keys.ts'
import { openDatabase } from '../../server/storage/db.ts'
import { eachChat } from '../../server/storage/stored_chats.ts'
import { ErrorOut } from '../../server/wire/common.ts'
import { ApiKey, ApiKeyCreated, ApiKeyList, ApiKeyRequest } from '../../server/wire/keys.ts'
import { testHub } from '../helpers/hub.ts'
import { memoryDb } from '../helpers/memory_db.ts'

const TOKEN = 'e'.repeat(48)
type Call = { method?: string; key?: string; body?: unknown; headers?: { [name: string]: string } }

async function call(url: string, { method = 'GET', key, body, headers }: Call = {}) {
  const response = await fetch(url, {
    method,
    headers: {
      ...(key !== undefined && { authorization: `Bearer ${key}` }),
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
  return { status: response.status, headers: response.headers, json: (await response.json()) as unknown }
}

/** A door over fake models that demands keys, on loopback. */
async function door(context: TestContext, isDemanded = true) {
  const db = memoryDb(context)
  const clock = { ms: 1_800_000_000_000 }
  const keys = { db, now: () => clock.ms }
  const access = createAccess({ ...keys, token: TOKEN, isDemanded: () => isDemanded, log: silentLog })
  const audit: string[] = []
  const hub = await testHub(context, {
    deps: { storeChat: chatKeeper(db) },
    routes: deps => [...coreRoutes(deps), ...keyRoutes({ ...keys, access })],
    server: { access, audit: createLog({ scope: 'audit', level: 'info', sinks: [line => audit.push(line)] }) },
  })
  const make = async (request: object = {}): Promise<ApiKeyCreated> => {
    const made = await call(`${hub.url}/v1/keys`, { method: 'POST', key: TOKEN, body: { name: 'x', ...request } })
    assert.equal(made.status, 200, JSON.stringify(made.json))
    return ApiKeyCreated.parse(made.json)
  }
  return { db, clock, hub, make, audit }
}

async function wholeHub(context: TestContext, settings: { [name: string]: string }, home = newHome(context)) {
  const hub = await startHub({
    home,
    commandLine: { port: '0', device: 'cpu', logLevel: 'debug', ...settings },
    env: {},
    logSinks: [],
  })
  context.after(() => hub.close())
  await hub.ready
  return hub
}

function newHome(context: TestContext): string {
  const home = mkdtempSync(join(tmpdir(), 'ai-hub-keys-'))
  context.after(() => rmSync(home, { recursive: true, force: true, maxRetries: 5 }))
  return home
}

async function makeKey(hub: Hub, request: object): Promise<ApiKeyCreated> {
  return ApiKeyCreated.parse(
    (await call(`${hub.url}/v1/keys`, { method: 'POST', key: hub.token, body: { name: 'x', ...request } })).json,
  )
}

test('every route of the hub refuses without a key, and with the role that it is not for; no key comes into a log', async context => {
  const hub = await wholeHub(context, { requireApiKey: 'always' })
  const [use, admin] = [await makeKey(hub, {}), await makeKey(hub, { role: 'admin' })]
  const { paths } = (await call(`${hub.url}/openapi.json`)).json as {
    paths: { [path: string]: { [method: string]: { 'x-role'?: 'use' | 'admin'; security?: object[] } } }
  }
  const routes = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, route]) => ({ path, method: method.toUpperCase(), role: route['x-role'] })),
  )
  assert.ok(routes.length > 60)
  for (const { path, method, role } of routes) {
    const url = hub.url + path.replace(/\{\w+\}/g, 'nothing')
    const what = `${method} ${path}`
    const body = /POST|PUT|PATCH/.test(method) ? { body: {} } : {}
    const open = await call(url, { method, ...body })
    if (path === '/health') {
      assert.equal(open.status, 200)
      continue
    }
    assert.ok(role !== undefined, what)
    for (const answer of [open, await call(url, { method, key: 'sk-hub-nothing', ...body })]) {
      assert.equal(answer.status, 401, what)
      assert.equal(answer.headers.get('www-authenticate'), 'Bearer realm="AI Backend Hub"')
      const { error } = ErrorOut.parse(answer.json)
      assert.deepEqual([error.type, error.code], ['invalid_request_error', 'invalid_api_key'])
    }
    const used = await call(url, { method, key: use.value, ...body })
    if (role === 'admin') assert.equal(used.status, 403, what)
    else assert.ok(used.status !== 401 && used.status !== 403, what)
    const managed = await call(url, { method, key: admin.value, ...body })
    assert.ok(managed.status !== 401 && managed.status !== 403 && managed.status < 500, what)
  }
  for (const path of ['/docs', '/openapi.json']) assert.equal((await fetch(hub.url + path)).status, 200)
  await call(`${hub.url}/v1/settings`, { method: 'PATCH', key: admin.value, body: { maxQueue: 9 } })
  const audit = readFileSync(join(hub.home, 'logs', 'audit.log'), 'utf8')
  assert.match(audit, new RegExp(`audit: POST /v1/keys by=local of=${admin.id}`))
  assert.match(audit, new RegExp(`audit: PATCH /v1/settings by=${admin.id} changed=maxQueue`))
  const log = readFileSync(join(hub.home, 'logs', 'hub.log'), 'utf8')
  assert.match(log, /status=401/)
  for (const secret of [use.value, admin.value, hub.token]) {
    assert.ok(!log.includes(secret) && !audit.includes(secret))
    assert.ok(!log.includes(secret.slice(8)) && !audit.includes(secret.slice(8)))
  }
})

test('the hub goes beyond loopback only once there is a key, and then answers to any name that shows one', async context => {
  const home = newHome(context)
  await assert.rejects(wholeHub(context, { host: '0.0.0.0' }, home), {
    code: 'forbidden',
    param: 'host',
    message: /'0\.0\.0\.0'.*ai-hub keys create/,
  })
  const db = openDatabase(join(home, 'hub.db'))
  const request = ApiKeyRequest.parse({ name: 'x', expires_at: 1_800_000_000 })
  createKey({ db, now: () => 1_700_000_000_000 }, request)
  db.close()
  const hub = await wholeHub(context, { host: '0.0.0.0' }, home)
  assert.match(hub.url, /^http:\/\/127\.0\.0\.1:\d+$/)
  const named = (headers: { [name: string]: string }) =>
    new Promise<number | undefined>((resolve, reject) => {
      const asked = httpRequest(
        `${hub.url}/v1/models`,
        { headers: { host: 'desk.local:8000', ...headers } },
        answer => {
          answer.resume()
          resolve(answer.statusCode)
        },
      )
      asked.on('error', reject).end()
    })
  assert.equal(await named({}), 401)
  assert.equal(await named({ authorization: 'Bearer none' }), 401)
  assert.equal(await named({ authorization: `Bearer ${hub.token}` }), 200)
  // A page of another site is refused whatever it shows; the hub's own page is of the name that was called.
  const page = { authorization: `Bearer ${hub.token}`, origin: 'http://evil.example' }
  assert.equal(await named(page), 403)
  assert.equal(await named({ ...page, origin: 'http://desk.local:8000' }), 200)
  assert.equal(
    (await call(`${hub.url}/v1/settings`, { method: 'PATCH', key: hub.token, body: { requireApiKey: 'auto' } })).status,
    200,
  )
  assert.equal(await named({}), 401)
})

test('requireApiKey counts at once, and on loopback auto demands nothing', async context => {
  const hub = await wholeHub(context, {})
  assert.equal((await call(`${hub.url}/v1/models`)).status, 200)
  assert.equal((await call(`${hub.url}/v1/models`, { key: 'none' })).status, 200)
  assert.equal((await call(`${hub.url}/v1/models`, { key: 'sk-hub-none' })).status, 401)
  const change = (requireApiKey: string, key?: string) =>
    call(`${hub.url}/v1/settings`, { method: 'PATCH', body: { requireApiKey }, ...(key !== undefined && { key }) })
  const socket = new WebSocket(`${hub.url.replace('http', 'ws')}/v1/events`)
  await once(socket, 'open')
  const closed = once(socket, 'close')
  assert.equal((await change('always')).status, 200)
  // Who came in with nothing has to show a key now.
  await closed
  assert.equal((await change('auto')).status, 401)
  assert.equal((await call(`${hub.url}/v1/models`)).status, 401)
  assert.equal((await change('auto', hub.token)).status, 200)
  assert.equal((await call(`${hub.url}/v1/models`)).status, 200)
})

test('a key is made, told once, listed, changed and deleted', async context => {
  const { hub, make, audit } = await door(context)
  const made = await make({ name: ' điện thoại ', requests_per_minute: 5, expires_at: 1_900_000_000 })
  assert.match(made.value, /^sk-hub-[\w-]{43}$/)
  const { value, ...told } = made
  assert.deepEqual(told, {
    object: 'api_key',
    id: made.id,
    name: 'điện thoại',
    role: 'use',
    redacted_value: `${value.slice(0, 11)}...${value.slice(-4)}`,
    created_at: 1_800_000_000,
    last_used_at: null,
    expires_at: 1_900_000_000,
    training: false,
    requests_per_minute: 5,
  })
  const url = `${hub.url}/v1/keys`
  const one = `${url}/${made.id}`
  const { json } = await call(url, { key: TOKEN })
  assert.deepEqual(ApiKeyList.parse(json).data, [told])
  assert.ok(!JSON.stringify(json).includes(value))
  const changed = await call(one, { method: 'PATCH', key: TOKEN, body: { role: 'admin', requests_per_minute: null } })
  assert.deepEqual(changed.json, { ...told, role: 'admin', requests_per_minute: null })
  // An admin key manages keys, itself too.
  assert.deepEqual(ApiKey.parse((await call(one, { key: value })).json), {
    ...told,
    ...(changed.json as object),
    last_used_at: 1_800_000_000,
  })
  assert.deepEqual((await call(one, { method: 'DELETE', key: value })).json, {
    object: 'api_key.deleted',
    id: made.id,
    deleted: true,
  })
  assert.equal((await call(url, { key: value })).status, 401)
  assert.equal((await call(one, { method: 'DELETE', key: TOKEN })).status, 404)
  const acts = audit.map(line => /audit: (.*) id=req_\w+\n$/.exec(line)?.[1]?.replaceAll(made.id, 'ID'))
  assert.deepEqual(acts, [
    'POST /v1/keys by=local of=ID',
    'PATCH /v1/keys/ID by=local changed="role,requests_per_minute" of=ID',
    'DELETE /v1/keys/ID by=ID of=ID',
  ])
})

test('what a key cannot be is refused by the name of the field', async context => {
  const { hub } = await door(context)
  const wrong: [object, string][] = [
    [{}, 'name'],
    [{ name: '  ' }, 'name'],
    [{ name: 'a\u001b[2J' }, 'name'],
    [{ name: 'x'.repeat(65) }, 'name'],
    [{ name: 'x', role: 'root' }, 'role'],
    [{ name: 'x', expires_at: 1_700_000_000 }, 'expires_at'],
    [{ name: 'x', expires_at: 'tomorrow' }, 'expires_at'],
    [{ name: 'x', requests_per_minute: 0 }, 'requests_per_minute'],
    [{ name: 'x', training: 'yes' }, 'training'],
    [{ name: 'x', value: 'sk-hub-mine' }, 'value'],
  ]
  for (const [body, param] of wrong) {
    const { status, json } = await call(`${hub.url}/v1/keys`, { method: 'POST', key: TOKEN, body })
    assert.deepEqual([status, ErrorOut.parse(json).error.param], [400, param], JSON.stringify(body))
  }
  const { id } = ApiKeyCreated.parse(
    (await call(`${hub.url}/v1/keys`, { method: 'POST', key: TOKEN, body: { name: 'x' } })).json,
  )
  assert.equal((await call(`${hub.url}/v1/keys/${id}`, { method: 'PATCH', key: TOKEN, body: {} })).status, 400)
})

test("npm's openai works with a key, and gets its own errors without", async context => {
  const { hub, make } = await door(context)
  const client = (apiKey: string) => new OpenAI({ baseURL: `${hub.url}/v1`, apiKey, maxRetries: 0 })
  const messages = [{ role: 'user' as const, content: 'hi' }]
  const { value } = await make({ requests_per_minute: 2 })
  const answer = await client(value).chat.completions.create({ model: 'fake', messages })
  assert.equal(answer.choices[0]?.message.content, 'Hello world!')
  await assert.rejects(client('none').models.list(), OpenAI.AuthenticationError)
  await client(value).models.list()
  await assert.rejects(client(value).models.list(), (error: InstanceType<typeof OpenAI.RateLimitError>) => {
    assert.ok(error instanceof OpenAI.RateLimitError)
    assert.deepEqual([error.code, error.headers?.get('retry-after')], ['rate_limit_exceeded', '60'])
    return true
  })
})

test('chats of a key with training are kept unless they say otherwise, those of another only when they ask', async context => {
  const { db, hub, make } = await door(context)
  const ask = async (key: string, more: object): Promise<number> => {
    const before = [...eachChat(db)].length
    const body = { model: 'fake', messages: [{ role: 'user', content: 'hi' }], ...more }
    const { status } = await call(`${hub.url}/v1/chat/completions`, { method: 'POST', key, body })
    assert.equal(status, 200)
    return [...eachChat(db)].length - before
  }
  const [plain, taught] = [(await make()).value, (await make({ training: true })).value]
  assert.deepEqual([await ask(plain, {}), await ask(plain, { store: true })], [0, 1])
  assert.deepEqual(
    [await ask(taught, {}), await ask(taught, { store: null }), await ask(taught, { store: false })],
    [1, 1, 0],
  )
  const response = await fetch(`${hub.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${taught}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'fake', messages: [{ role: 'user', content: 'streamed' }], stream: true }),
  })
  await response.text()
  assert.equal([...eachChat(db)].length, 4)
})

test('a browser shows its key as a subprotocol; a socket is closed when its key is deleted or changed', async context => {
  const hub = await wholeHub(context, { requireApiKey: 'always' })
  const url = `${hub.url.replace('http', 'ws')}/v1/events`
  const open = async (socket: WebSocket): Promise<WebSocket | number> => {
    context.after(() => socket.terminate())
    socket.on('error', () => {})
    return new Promise(resolve => {
      socket.once('open', () => resolve(socket))
      socket.once('unexpected-response', (_request, response) => resolve(response.statusCode ?? 0))
    })
  }
  const key = await makeKey(hub, {})
  assert.equal(await open(new WebSocket(url)), 401)
  assert.equal(await open(new WebSocket(url, ['ai-hub', 'ai-hub-key.sk-hub-none'])), 401)
  const socket = await open(new WebSocket(url, ['ai-hub', `ai-hub-key.${key.value}`]))
  assert.ok(socket instanceof WebSocket)
  assert.equal(socket.protocol, 'ai-hub')
  const other = await open(new WebSocket(url, { headers: { authorization: `Bearer ${hub.token}` } }))
  assert.ok(other instanceof WebSocket)
  const lsp = url.replace('/v1/events', '/lsp')
  assert.equal(await open(new WebSocket(lsp, { headers: { authorization: `Bearer ${key.value}` } })), 403)
  const closed = once(socket, 'close')
  await call(`${hub.url}/v1/keys/${key.id}`, { method: 'PATCH', key: hub.token, body: { name: 'y' } })
  await closed
  const again = await open(new WebSocket(url, { headers: { authorization: `Bearer ${key.value}` } }))
  assert.ok(again instanceof WebSocket)
  const gone = once(again, 'close')
  await call(`${hub.url}/v1/keys/${key.id}`, { method: 'DELETE', key: hub.token })
  await gone
  assert.equal(other.readyState, WebSocket.OPEN)
  assert.equal(await open(new WebSocket(`${url}?token=${key.value}`)), 401)
})

test('a socket is closed when its key ends', async context => {
  const hub = await wholeHub(context, { requireApiKey: 'always' })
  const { value } = await makeKey(hub, { expires_at: Math.floor(Date.now() / 1000) + 2 })
  const socket = new WebSocket(`${hub.url.replace('http', 'ws')}/v1/events`, ['ai-hub', `ai-hub-key.${value}`])
  context.after(() => socket.terminate())
  socket.on('error', () => {})
  await once(socket, 'open')
  await once(socket, 'close')
  assert.equal((await call(`${hub.url}/v1/models`, { key: value })).status, 401)
})

test('whatever stands in Authorization is answered with 401 and comes back in no answer and no log', async context => {
  const { hub, make } = await door(context)
  const { value } = await make()
  const scheme = fc.constantFrom('Bearer', 'bearer ', 'Basic', 'Digest', '', 'Bearer Bearer', value)
  const rest = fc.oneof(
    fc.string({ unit: 'grapheme-ascii', maxLength: 60 }),
    fc.constantFrom(value.slice(0, -1), `${value}.`, `"${value}"`, `${value}, ${value}`, 'x'.repeat(8000)),
  )
  await fc.assert(
    fc.asyncProperty(scheme, rest, async (first, second) => {
      const authorization = `${first} ${second}`
      const answer = await hub.get('/v1/models', { authorization })
      assert.equal(answer.status, 401, authorization)
      ErrorOut.parse(answer.json)
      if (second.length > 20) assert.ok(!answer.text.includes(second.slice(0, 20)))
    }),
    { seed: 20_261_130, numRuns: 300 },
  )
  assert.ok(!hub.log.join('').includes(value.slice(8, 30)))
})
