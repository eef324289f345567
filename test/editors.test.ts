/** What counts as one conversation of an editor in an A/B test. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { abSession } from '../server/editors.ts'

test('a key lasts half an hour, and what was shown under it is told under it', () => {
  let now = 0
  const session = abSession(() => now)
  const first = session.key()
  assert.equal(session.last(), first)
  now = 30 * 60_000
  assert.equal(session.key(), first)
  now++
  assert.equal(session.last(), first)
  const second = session.key()
  assert.notEqual(second, first)
  assert.equal(session.last(), second)
  assert.notEqual(abSession(() => now).key(), second)
})
