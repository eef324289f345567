/** The parts of sampling that are ours: selection of the largest, penalties, log-sum-exp. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { logSumExp } from '../../server/worker/logprobs.ts'
import { argmax, largest, penalise } from '../../server/worker/sampling.ts'

const logits = fc.float32Array({ minLength: 1, maxLength: 300, noNaN: true, min: -50, max: 50 })

test('the largest are the largest (property)', () => {
  fc.assert(
    fc.property(logits, fc.integer({ min: 1, max: 40 }), (row, count) => {
      const sorted = [...row].sort((a, b) => b - a).slice(0, count)
      assert.deepEqual(
        [...largest(row, count)].map(id => row[id]).sort((a, b) => b! - a!),
        sorted,
      )
      assert.equal(argmax(row), row.indexOf(sorted[0]!))
    }),
    { seed: 4, numRuns: 500 },
  )
})

test('log-sum-exp is that of the definition and does not overflow', () => {
  fc.assert(
    fc.property(logits, row => {
      const direct = Math.log([...row].reduce((sum, value) => sum + Math.exp(value), 0))
      assert.ok(Math.abs(logSumExp(row) - direct) < 1e-6)
    }),
    { seed: 5, numRuns: 300 },
  )
  assert.ok(Math.abs(logSumExp(Float32Array.from([1000, 1000])) - (1000 + Math.log(2))) < 1e-9)
})

test('penalties follow their formulas', () => {
  const row = Float32Array.from([2, -2, 1, 0.5])
  penalise(row, [0, 0, 1], { repeatPenalty: 2, frequencyPenalty: 0.5, presencePenalty: 0.25 })
  assert.deepEqual([...row], [2 / 2 - 2 * 0.5 - 0.25, -2 * 2 - 0.5 - 0.25, 1, 0.5])
})
