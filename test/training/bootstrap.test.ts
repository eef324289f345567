/** Paired comparison: known cases, its coverage by simulation, and its seeds. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { compare, drawFrom, type Pair, randomOf } from '../../server/training/bootstrap.ts'

const OPTIONS = { seed: 7, level: 0.95 }

test('a constant difference has an interval of no width', async () => {
  const pairs = Array.from({ length: 20 }, (_, index) => ({ base: index, candidate: index - 0.5 }))
  const { difference, interval, p } = await compare(pairs, OPTIONS)
  assert.equal(difference, -0.5)
  assert.ok(Math.abs(interval.low + 0.5) < 1e-12 && Math.abs(interval.high + 0.5) < 1e-12)
  assert.ok(p < 0.001)
})

test('equal models: the difference is 0 and p is 1', async () => {
  const pairs = Array.from({ length: 30 }, (_, index) => ({ base: index, candidate: index }))
  assert.deepEqual(await compare(pairs, OPTIONS), {
    base: 14.5,
    candidate: 14.5,
    difference: 0,
    interval: { low: 0, high: 0, level: 0.95 },
    p: 1,
  })
})

test('few pairs: p is exact, as counted by hand', async () => {
  // Of the 8 ways to swap 3 pairs, only none and all give a sum of 3.
  const { p } = await compare(
    [
      { base: 0, candidate: 1 },
      { base: 0, candidate: 1 },
      { base: 0, candidate: 1 },
    ],
    OPTIONS,
  )
  assert.equal(p, 2 / 8)
})

test('weights count: means and difference are weighted', async () => {
  const { base, candidate, difference } = await compare(
    [
      { base: 2, candidate: 1, weight: 3 },
      { base: 4, candidate: 8, weight: 1 },
    ],
    OPTIONS,
  )
  assert.deepEqual([base, candidate, difference], [2.5, 2.75, 0.25])
})

test('the same seed gives the same numbers, another seed others', async () => {
  const random = randomOf(3)
  const pairs = Array.from({ length: 40 }, () => ({ base: random(), candidate: random() }))
  assert.deepEqual(await compare(pairs, OPTIONS), await compare(pairs, OPTIONS))
  assert.notDeepEqual(await compare(pairs, OPTIONS), await compare(pairs, { ...OPTIONS, seed: 8 }))
})

test('of 200 experiments without a difference, about one in twenty is called significant', async () => {
  const random = randomOf(11)
  const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
  let missed = 0
  let significant = 0
  for (let experiment = 0; experiment < 200; experiment++) {
    const pairs = Array.from({ length: 50 }, () => {
      const hard = 3 * normal()
      return { base: hard + normal(), candidate: hard + normal() }
    })
    const { interval, p } = await compare(pairs, { seed: experiment, level: 0.95, resamples: 400 })
    if (interval.low > 0 || interval.high < 0) missed++
    if (p < 0.05) significant++
  }
  // 10 are expected; the bounds are those of the binomial at one in a thousand.
  assert.ok(missed >= 2 && missed <= 24, `the interval missed ${missed} times`)
  assert.ok(significant >= 2 && significant <= 22, `p was small ${significant} times`)
})

test('pairing finds what unpaired spread would hide', async () => {
  const random = randomOf(5)
  const pairs: Pair[] = Array.from({ length: 60 }, () => {
    const hard = 10 * random()
    return { base: hard, candidate: hard - 0.2 + 0.1 * (random() - 0.5) }
  })
  const { interval, p } = await compare(pairs, OPTIONS)
  assert.ok(interval.high < -0.15 && interval.low > -0.25)
  assert.ok(p < 0.001)
})

test('the interval holds the difference of the sample, and swapping the models swaps it', async () => {
  const pair = fc.record({
    base: fc.double({ min: -100, max: 100, noNaN: true }),
    candidate: fc.double({ min: -100, max: 100, noNaN: true }),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(pair, { minLength: 20, maxLength: 40 }), async pairs => {
      const options = { ...OPTIONS, resamples: 300 }
      const one = await compare(pairs, options)
      const other = await compare(
        pairs.map(({ base, candidate }) => ({ base: candidate, candidate: base })),
        options,
      )
      assert.ok(Math.abs(one.difference + other.difference) < 1e-9)
      assert.ok(Math.abs(one.interval.low + other.interval.high) < 1e-6)
      assert.ok(one.p > 0 && one.p <= 1)
    }),
    { seed: 1, numRuns: 40 },
  )
})

test('nothing to compare is an error', async () => {
  await assert.rejects(compare([], OPTIONS), RangeError)
  await assert.rejects(compare([{ base: 1, candidate: 2, weight: 0 }], OPTIONS), RangeError)
})

test('drawing takes every item with the same chance and keeps the order', async () => {
  async function* numbers() {
    for (let number = 0; number < 20; number++) yield number
  }
  const counts = new Array<number>(20).fill(0)
  for (let seed = 0; seed < 1000; seed++) {
    const { read, taken } = await drawFrom(numbers(), 5, seed)
    assert.equal(read, 20)
    assert.equal(taken.length, 5)
    assert.deepEqual(
      taken,
      taken.toSorted((a, b) => a - b),
    )
    for (const number of taken) counts[number]!++
  }
  // 250 expected with a standard deviation of 14.
  for (const count of counts) assert.ok(count > 190 && count < 310, `${counts}`)
  assert.deepEqual(await drawFrom(numbers(), 50, 1), { read: 20, taken: counts.map((_, index) => index) })
})
