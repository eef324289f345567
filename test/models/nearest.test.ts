/** Nearest names: edit distance and its laws. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { editDistance, nearestNames } from '../../server/models/nearest.ts'

test('known distances', () => {
  assert.equal(editDistance('kitten', 'sitting'), 3)
  assert.equal(editDistance('', 'abc'), 3)
  assert.equal(editDistance('abc', 'abc'), 0)
})

test('a distance is symmetric and obeys the triangle', () => {
  const word = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 8 })
  fc.assert(
    fc.property(word, word, word, (a, b, c) => {
      assert.equal(editDistance(a, b), editDistance(b, a))
      assert.ok(editDistance(a, c) <= editDistance(a, b) + editDistance(b, c))
      assert.equal(editDistance(a, b) === 0, a === b)
    }),
    { seed: 5 },
  )
})

test('names that contain the wanted one come first, then the fewest edits', () => {
  const names = ['zephyr', 'qwen2.5-7b-instruct-q4_k_m', 'gwen', 'phi']
  assert.deepEqual(nearestNames('Qwen', names), ['qwen2.5-7b-instruct-q4_k_m', 'gwen', 'phi'])
  assert.deepEqual(nearestNames('qwen', []), [])
})
