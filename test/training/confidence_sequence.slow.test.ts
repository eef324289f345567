/** The interval of two rates that holds at every look: its form, and how often it errs when it is looked at all the time. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { randomOf } from '../../server/training/bootstrap.ts'
import { differenceInterval, logGamma } from '../../server/training/confidence_sequence.ts'

test('logGamma is exact to eleven places', () => {
  assert.ok(Math.abs(logGamma(0.5) - Math.log(Math.PI) / 2) < 1e-11)
  assert.ok(Math.abs(logGamma(5) - Math.log(24)) < 1e-11)
  assert.ok(Math.abs(logGamma(101) - 363.7393755555635) < 1e-9)
})

test('the interval is symmetric, shrinks with data, and says nothing without', () => {
  const near = (one: number, other: number) => assert.ok(Math.abs(one - other) < 1e-3, `${one} ${other}`)
  const one = differenceInterval({ count: 50, score: 30 }, { count: 80, score: 20 }, 0.95)
  const other = differenceInterval({ count: 80, score: 20 }, { count: 50, score: 30 }, 0.95)
  near(one.low, -other.high)
  near(one.high, -other.low)
  assert.ok(one.low < -0.35 && one.high > -0.35)
  const large = differenceInterval({ count: 5000, score: 3000 }, { count: 8000, score: 2000 }, 0.95)
  assert.ok(large.high - large.low < (one.high - one.low) / 5)
  assert.ok(large.low < -0.35 && large.high > -0.35)
  assert.deepEqual(differenceInterval({ count: 0, score: 0 }, { count: 9, score: 9 }, 0.95), {
    low: -1,
    high: 1,
    level: 0.95,
  })
  const all = differenceInterval({ count: 100, score: 0 }, { count: 100, score: 100 }, 0.95)
  assert.ok(all.low > 0.85 && all.high === 1)
})

test('of 300 tests without a difference that are looked at all the time, fewer than one in twenty is decided', () => {
  const random = randomOf(21)
  let decided = 0
  for (let experiment = 0; experiment < 300; experiment++) {
    const arms = { base: { count: 0, score: 0 }, candidate: { count: 0, score: 0 } }
    for (let step = 1; step <= 400; step++) {
      const arm = random() < 0.5 ? arms.base : arms.candidate
      arm.count++
      // Shares of good signals, not only 0 and 1.
      arm.score += random() < 0.2 ? 0.5 : Number(random() < 0.6)
      if (step % 20 !== 0) continue
      const { low, high } = differenceInterval(arms.base, arms.candidate, 0.95)
      if (low > 0 || high < 0) {
        decided++
        break
      }
    }
  }
  assert.ok(decided < 15, `${decided} were decided`)
})
