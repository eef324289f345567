/** Packing: every sequence once, no row too long, the same for the same seed, and close to full. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { defaultBuckets, makeRow, packRows, rowWeight } from '../../server/trainer/pack.ts'
import { Steps } from '../../server/trainer/steps.ts'

test('every sequence is in exactly one row, and no row is too long', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 2, max: 64 })), fc.nat(), fc.nat(5), (lengths, seed, epoch) => {
      const rows = packRows(lengths, 64, seed, epoch)
      assert.deepEqual(
        rows.flat().sort((a, b) => a - b),
        lengths.map((_, index) => index),
      )
      for (const row of rows) assert.ok(row.reduce((sum, index) => sum + lengths[index]!, 0) <= 64)
      assert.deepEqual(packRows(lengths, 64, seed, epoch), rows)
    }),
    { seed: 11 },
  )
})

test('epochs and seeds give different orders', () => {
  const lengths = Array.from({ length: 40 }, (_, i) => 3 + (i % 9))
  assert.notDeepEqual(packRows(lengths, 32, 1, 0), packRows(lengths, 32, 1, 1))
  assert.notDeepEqual(packRows(lengths, 32, 1, 0), packRows(lengths, 32, 2, 0))
})

test('rows of short sequences are nearly full', () => {
  const lengths = Array.from({ length: 2000 }, (_, i) => 5 + ((i * 37) % 60))
  const rows = packRows(lengths, 512, 1, 0)
  const least = lengths.reduce((sum, length) => sum + length, 0) / 512
  assert.ok(rows.length <= Math.ceil(least * 1.02), `${rows.length} rows where ${least} would do`)
})

test('positions restart, segments count, and the first token of each sequence is masked', () => {
  const row = makeRow([
    { tokens: Int32Array.of(5, 6, 7), weights: Float32Array.of(1, 1, 0.5) },
    { tokens: Int32Array.of(8, 9), weights: Float32Array.of(1, 1) },
  ])
  assert.deepEqual([...row.tokens], [5, 6, 7, 8, 9])
  assert.deepEqual([...row.positions], [0, 1, 2, 0, 1])
  assert.deepEqual([...row.segments], [0, 0, 0, 1, 1])
  assert.deepEqual([...row.weights], [0, 1, 0.5, 0, 1])
  assert.equal(rowWeight(row), 2.5)
})

test('buckets double up to the row length', () => {
  assert.deepEqual(defaultBuckets(1024), [256, 512, 1024])
  assert.deepEqual(defaultBuckets(700), [256, 512, 700])
  assert.deepEqual(defaultBuckets(32), [32])
})

test('the steps of an epoch hold every sample once, in whatever order they are asked for', () => {
  const samples = Array.from({ length: 23 }, (_, i) => [
    { tokens: Int32Array.of(i, i, i), weights: Float32Array.of(0, 1, 1) },
  ])
  const options = { preferences: false, rowTokens: 8, unitsPerStep: 3, epochs: 2, maxSteps: undefined, seed: 4 }
  const steps = new Steps(samples, options)
  const tokensOf = (epoch: number, step: number) =>
    steps.units(epoch, step).map(unit => (unit.type === 'row' ? [...unit.row.tokens] : []))
  const inOrder = [0, 1].map(epoch => Array.from({ length: steps.stepsOf(epoch) }, (_, step) => tokensOf(epoch, step)))
  assert.equal(steps.total, inOrder.flat().length)
  for (const epoch of inOrder) {
    const firsts = epoch.flat(2).filter((_, i) => i % 3 === 0)
    assert.deepEqual(
      firsts.sort((a, b) => a - b),
      samples.map((_, i) => i),
    )
  }
  // A resumed run begins in the middle.
  assert.deepEqual(tokensOf(1, 2), inOrder[1]![2])
  assert.deepEqual(tokensOf(0, 1), inOrder[0]![1])
  assert.equal(new Steps(samples, { ...options, maxSteps: 3 }).total, 3)
})

test('of a preference job each pair is a unit of two rows', () => {
  const pair = (i: number) => [0, 1].map(j => ({ tokens: Int32Array.of(i, j), weights: Float32Array.of(0, 1) }))
  const steps = new Steps([pair(0), pair(1), pair(2)], {
    preferences: true,
    rowTokens: 8,
    unitsPerStep: 2,
    epochs: 1,
    maxSteps: undefined,
    seed: 1,
  })
  const units = [...steps.units(0, 0), ...steps.units(0, 1)]
  const seen = units.map(unit => (unit.type === 'pair' ? [[...unit.chosen.tokens], [...unit.rejected.tokens]] : []))
  assert.deepEqual(
    seen.sort((a, b) => a[0]![0]! - b[0]![0]!),
    [0, 1, 2].map(i => [
      [i, 0],
      [i, 1],
    ]),
  )
})
