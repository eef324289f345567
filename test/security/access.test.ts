/** Who may call: keys and the token of hub.json against what is needed, with the clock and the randomness given. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import fc from 'fast-check'
import { HubError } from '../../server/lib/error.ts'
import { silentLog } from '../../server/lib/log.ts'
import { type Access, createAccess, type Need } from '../../server/security/access.ts'
import { changeKey, createKey, listApiKeys, removeKey } from '../../server/security/keys.ts'
import { listKeys } from '../../server/storage/keys.ts'
import { ApiKeyRequest } from '../../server/wire/keys.ts'
import { memoryDb } from '../helpers/memory_db.ts'

const TOKEN = 'f'.repeat(48)

function setUp(context: TestContext) {
  const db = memoryDb(context)
  const clock = { ms: 1_800_000_000_000, isDemanded: true }
  const keys = { db, now: () => clock.ms }
  const access = createAccess({ ...keys, token: TOKEN, isDemanded: () => clock.isDemanded, log: silentLog })
  const make = (request: object = {}) => createKey(keys, ApiKeyRequest.parse({ name: 'x', ...request }))
  return { db, clock, keys, access, make }
}

/** The code of the refusal, or who was let in. */
function tell(access: Access, shown: string | undefined, need: Need): string {
  try {
    const { id, role } = access.admit(shown, need)
    return id.startsWith('key_') ? `key ${role}` : id
  } catch (thrown) {
    if (thrown instanceof HubError) return thrown.code
    throw thrown
  }
}

test('a key has 256 bits of the randomness that it is given, and the database none of them', context => {
  const { db, keys } = setUp(context)
  const random = (bytes: number): Buffer => Buffer.alloc(bytes, 0xfb)
  const { value, redacted_value, id } = createKey({ ...keys, random }, ApiKeyRequest.parse({ name: 'phone' }))
  assert.equal(value, `sk-hub-${Buffer.alloc(32, 0xfb).toString('base64url')}`)
  assert.equal(redacted_value, `${value.slice(0, 11)}...${value.slice(-4)}`)
  const stored = JSON.stringify(listKeys(db)) + JSON.stringify(listApiKeys(keys))
  assert.ok(stored.includes(id) && !stored.includes(value.slice(7)) && !stored.includes(value.slice(11, -4)))
})

test('where keys are demanded, each need lets in who it should', context => {
  const { access, make } = setUp(context)
  const [use, admin] = [make().value, make({ role: 'admin' }).value]
  const table: [string | undefined, string, string, string][] = [
    [undefined, 'invalid_api_key', 'invalid_api_key', 'invalid_api_key'],
    ['none', 'invalid_api_key', 'invalid_api_key', 'invalid_api_key'],
    ['', 'invalid_api_key', 'invalid_api_key', 'invalid_api_key'],
    [`${use}x`, 'invalid_api_key', 'invalid_api_key', 'invalid_api_key'],
    [use.toUpperCase(), 'invalid_api_key', 'invalid_api_key', 'invalid_api_key'],
    [TOKEN.slice(1), 'invalid_api_key', 'invalid_api_key', 'invalid_api_key'],
    [use, 'key use', 'forbidden', 'forbidden'],
    [admin, 'key admin', 'key admin', 'key admin'],
    [TOKEN, 'local', 'local', 'local'],
  ]
  for (const [shown, ...expected] of table) {
    const found = (['use', 'manage', 'editor'] as const).map(need => tell(access, shown, need))
    assert.deepEqual(found, expected, shown)
  }
})

test('where none is demanded, a key of ours is honoured or refused all the same, and editors still show something', context => {
  const { access, clock, make } = setUp(context)
  clock.isDemanded = false
  const { value } = make()
  const table: [string | undefined, string, string, string][] = [
    [undefined, 'anyone', 'anyone', 'invalid_api_key'],
    ['none', 'anyone', 'anyone', 'invalid_api_key'],
    ['sk-proj-abc', 'anyone', 'anyone', 'invalid_api_key'],
    [value, 'key use', 'forbidden', 'forbidden'],
    [`${value.slice(0, -1)}!`, 'invalid_api_key', 'invalid_api_key', 'invalid_api_key'],
    ['sk-hub-', 'invalid_api_key', 'invalid_api_key', 'invalid_api_key'],
    [TOKEN, 'local', 'local', 'local'],
  ]
  for (const [shown, ...expected] of table) {
    const found = (['use', 'manage', 'editor'] as const).map(need => tell(access, shown, need))
    assert.deepEqual(found, expected, shown)
  }
})

test('a key ends at its time, can be given a new one, and is gone when it is deleted', context => {
  const { access, clock, keys, make } = setUp(context)
  const { id, value } = make({ expires_at: clock.ms / 1000 + 60 })
  assert.equal(access.hasKey(), true)
  clock.ms += 59_999
  assert.equal(tell(access, value, 'use'), 'key use')
  clock.ms += 1
  assert.throws(() => access.admit(value, 'use'), { code: 'invalid_api_key', message: /valid until 2027-01-15T/ })
  assert.equal(access.hasKey(), false)
  assert.throws(() => changeKey(keys, id, { expires_at: clock.ms / 1000 }), { param: 'expires_at' })
  assert.throws(() => make({ expires_at: 0 }), { code: 'invalid_request', param: 'expires_at' })
  changeKey(keys, id, { expires_at: null, role: 'admin' })
  assert.equal(tell(access, value, 'manage'), 'key admin')
  removeKey(keys, id)
  assert.equal(tell(access, value, 'use'), 'invalid_api_key')
  assert.throws(() => removeKey(keys, id), { code: 'not_found', message: new RegExp(id) })
  assert.equal(access.hasKey(), false)
})

test('the last use is known to the minute', context => {
  const { access, clock, keys, make } = setUp(context)
  const { value } = make()
  const used = () => listApiKeys(keys)[0]?.last_used_at
  assert.equal(used(), null)
  const first = clock.ms / 1000
  access.admit(value, 'use')
  clock.ms += 59_000
  access.admit(value, 'use')
  assert.equal(used(), first)
  clock.ms += 1000
  access.admit(value, 'use')
  assert.equal(used(), first + 60)
})

test('a limit lets in that many requests of any minute, and says when the next may come', context => {
  const { access, clock, keys, make } = setUp(context)
  const { id, value } = make({ requests_per_minute: 2 })
  const other = make({ requests_per_minute: 1 }).value
  access.admit(value, 'use')
  clock.ms += 40_000
  access.admit(value, 'use')
  access.admit(other, 'use')
  assert.throws(() => access.admit(value, 'use'), { code: 'rate_limit_exceeded', retryAfterS: 20 })
  clock.ms += 20_000
  access.admit(value, 'use')
  assert.throws(() => access.admit(value, 'use'), { retryAfterS: 40 })
  // A lowered limit waits for all that it would not have let in.
  changeKey(keys, id, { requests_per_minute: 1 })
  assert.throws(() => access.admit(value, 'use'), { retryAfterS: 60 })
  changeKey(keys, id, { requests_per_minute: null })
  access.admit(value, 'use')
  // A clock that was set back locks nobody out.
  clock.ms -= 3_600_000
  access.admit(other, 'use')
})

test('in a random course of requests no minute ever holds more than the limit', context => {
  const { access, clock, make } = setUp(context)
  const steps = fc.array(fc.nat(30_000), { minLength: 1, maxLength: 60 })
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5 }), steps, (perMinute, gaps) => {
      const { value } = make({ requests_per_minute: perMinute })
      const taken: number[] = []
      for (const gap of gaps) {
        clock.ms += gap
        const result = tell(access, value, 'use')
        const recent = taken.filter(time => time > clock.ms - 60_000).length
        assert.equal(result, recent < perMinute ? 'key use' : 'rate_limit_exceeded')
        if (result === 'key use') taken.push(clock.ms)
      }
    }),
    { seed: 41, numRuns: 50 },
  )
})

test('whatever is shown that is no key opens nothing', context => {
  const { access, make } = setUp(context)
  const { value } = make({ role: 'admin' })
  const near = fc
    .tuple(fc.nat(value.length - 1), fc.string({ maxLength: 3 }), fc.nat(3))
    .map(([at, put, cut]) => value.slice(0, at) + put + value.slice(at + cut))
  const shown = fc.oneof(fc.string({ unit: 'binary', maxLength: 80 }), near, fc.constant(`Bearer ${value}`))
  fc.assert(
    fc.property(shown, text => {
      fc.pre(text !== value)
      assert.equal(tell(access, text, 'use'), 'invalid_api_key')
    }),
    { seed: 20_261_130, numRuns: 500 },
  )
})
