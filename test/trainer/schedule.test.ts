/** The learning rate over a run. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { rateAt } from '../../server/trainer/schedule.ts'

const settings = { rate: 1, warmupShare: 0.2, finalShare: 0.1 }
const rates = (schedule: 'cosine' | 'linear' | 'constant', total: number, changed = {}) =>
  Array.from({ length: total }, (_, step) =>
    Number(rateAt(step, total, { ...settings, schedule, ...changed }).toFixed(4)),
  )

test('the rate rises over the warm-up, and falls to its final share at the last step', () => {
  assert.deepEqual(
    rates('linear', 11, { warmupShare: 0 }),
    [1, 0.91, 0.82, 0.73, 0.64, 0.55, 0.46, 0.37, 0.28, 0.19, 0.1],
  )
  assert.deepEqual(rates('constant', 10), [0.5, 1, 1, 1, 1, 1, 1, 1, 1, 1])
  assert.deepEqual(rates('cosine', 7, { warmupShare: 2 / 7 }), [0.5, 1, 1, 0.8682, 0.55, 0.2318, 0.1])
})

test('a run of one step, or of warm-up alone, has rates above 0', () => {
  for (const schedule of ['cosine', 'linear', 'constant'] as const) {
    assert.deepEqual(rates(schedule, 1, { warmupShare: 0 }), [1])
    assert.deepEqual(rates(schedule, 4, { warmupShare: 1 }), [0.25, 0.5, 0.75, 1])
  }
})
