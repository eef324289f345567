/** The arithmetic behind the benchmark's table. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { words } from './client.ts'
import { formatNumber, median, pairedRatios, percentile } from './statistics.ts'

test('percentiles lie between the measurements; medians of both counts', () => {
  assert.equal(median([3, 1, 2]), 2)
  assert.equal(median([4, 1, 2, 3]), 2.5)
  assert.deepEqual(
    [0, 0.5, 0.95, 1].map(fraction => percentile([10, 0, 20], fraction)),
    [0, 10, 19, 20],
  )
  assert.throws(() => median([]), RangeError)
})

test('ratios pair the rounds, so that noise that meets both servers cancels', () => {
  assert.deepEqual(pairedRatios([10, 100], [5, 50]), [2, 2])
  assert.deepEqual(pairedRatios([10, 100, 7], [5]), [2])
  assert.deepEqual(pairedRatios([10], []), [])
})

test('prompts of other seeds differ from the beginning, the same seed gives the same', () => {
  assert.equal(words(5, 20), words(5, 20))
  const beginnings = new Set(Array.from({ length: 40 }, (_, seed) => words(seed * 100, 3)))
  assert.ok(beginnings.size > 38)
  assert.equal(words(1, 400).split(' ').length, 400)
})

test('three figures are enough', () => {
  assert.deepEqual([1234.5, 100, 12.34, 1.006].map(formatNumber), ['1235', '100', '12.3', '1.01'])
})
