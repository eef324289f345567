/** Who may talk to an open hub: Host and Origin, judged without a network. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkOrigin, isLoopback } from '../../server/security/origin.ts'

const rules = { allowedOrigins: ['http://localhost:3000', 'null'], loopbackOnly: true }
const allowed = (headers: Parameters<typeof checkOrigin>[0]): boolean => checkOrigin(headers, rules).allowed

test('loopback names are taken as Host, with any port', () => {
  for (const host of ['localhost', 'localhost:8000', 'LOCALHOST:8000', '127.0.0.1:1', '[::1]:8000', '[::1]']) {
    assert.equal(allowed({ host }), true, host)
  }
})

test('a foreign or malformed Host is refused', () => {
  const hosts = [
    undefined,
    '',
    'evil.example',
    'localhost.evil.example:8000',
    '127.0.0.1.evil.example',
    'user@localhost',
    'localhost:8000:1',
    '0.0.0.0:8000',
    '192.168.1.5:8000',
    'localhost/x',
  ]
  for (const host of hosts) assert.equal(allowed({ host }), false, String(host))
})

test("the hub's own pages are allowed without CORS headers", () => {
  const verdict = checkOrigin({ host: '127.0.0.1:8000', origin: 'http://127.0.0.1:8000' }, rules)
  assert.deepEqual(verdict, { allowed: true })
})

test('another loopback name of the same port is the hub too, and the browser needs CORS headers', () => {
  const verdict = checkOrigin({ host: '127.0.0.1:8000', origin: 'http://localhost:8000' }, rules)
  assert.deepEqual(verdict, { allowed: true, corsOrigin: 'http://localhost:8000' })
})

test('an origin of the settings is allowed and named', () => {
  const verdict = checkOrigin({ host: '127.0.0.1:8000', origin: 'http://localhost:3000' }, rules)
  assert.deepEqual(verdict, { allowed: true, corsOrigin: 'http://localhost:3000' })
})

test('other origins are refused, `null` even when it is in the settings', () => {
  for (const origin of [
    'null',
    'http://localhost:3001',
    'https://localhost:8000',
    'http://evil.example',
    'http://127.0.0.1:8000.evil.example',
    'http://localhost:3000/',
    '',
  ]) {
    const verdict = checkOrigin({ host: '127.0.0.1:8000', origin }, rules)
    assert.equal(verdict.allowed, false, origin)
    assert.match(verdict.reason ?? '', /allowedOrigins/)
  }
})

test('a page of another site that sends no Origin is refused, a link to the hub is not', () => {
  const host = 'localhost:8000'
  assert.equal(allowed({ host, 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors' }), false)
  assert.equal(allowed({ host, 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' }), true)
  assert.equal(allowed({ host, 'sec-fetch-site': 'none', 'sec-fetch-mode': 'navigate' }), true)
})

test('where keys are demanded any name is taken as Host, and the page of that very name is its own, also behind TLS', () => {
  const open = { allowedOrigins: [], loopbackOnly: false }
  const host = 'desk.local:8443'
  assert.equal(checkOrigin({ host }, open).allowed, true)
  for (const origin of ['http://desk.local:8443', 'https://desk.local:8443', 'https://DESK.local:8443']) {
    assert.deepEqual(checkOrigin({ host, origin }, open), { allowed: true }, origin)
  }
  for (const origin of ['https://desk.local', 'https://evil.example', 'https://desk.local:8443.evil.example', 'null']) {
    assert.equal(checkOrigin({ host, origin }, open).allowed, false, origin)
  }
  assert.equal(checkOrigin({ host: 'a/b', origin: 'https://a/b' }, open).allowed, false)
})

test('loopback addresses are told from others', () => {
  for (const address of ['localhost', '127.0.0.1', '127.1.2.3', '::1', '[::1]']) assert.equal(isLoopback(address), true)
  for (const address of ['0.0.0.0', '::', '192.168.0.1', '127.evil.example', '']) {
    assert.equal(isLoopback(address), false, address)
  }
})

test('every address of the loopback range is a name of this machine', () => {
  assert.equal(checkOrigin({ host: '127.0.0.2:8000' }, { allowedOrigins: [], loopbackOnly: true }).allowed, true)
  assert.equal(
    checkOrigin({ host: '127.0.0.2.evil.example' }, { allowedOrigins: [], loopbackOnly: true }).allowed,
    false,
  )
})
