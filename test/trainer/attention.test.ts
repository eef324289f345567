/** The cuts of attention: every key that a query may see is in its chunk, and no other counts. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { cutQueries, firstKeys, maskOf, seenPairs } from '../../server/trainer/attention.ts'

test('chunks with their masks let a query see exactly its segment up to itself within the window', () => {
  const rows = fc.record({
    lengths: fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 5 }),
    padding: fc.integer({ min: 0, max: 20 }),
    size: fc.integer({ min: 1, max: 120 }),
    window: fc.constantFrom(0, 1, 7, 33, 64),
  })
  fc.assert(
    fc.property(rows, ({ lengths, padding, size, window }) => {
      const segments = Int32Array.from([
        ...lengths.flatMap((length, segment) => new Array<number>(length).fill(segment)),
        ...new Array<number>(padding).fill(-1),
      ])
      const length = segments.length
      for (const firsts of [undefined, firstKeys(segments.subarray(0, length - padding), length, size)]) {
        const seen = new Set<number>()
        for (const chunk of cutQueries(length, size, window, firsts)) {
          const mask = maskOf(chunk, segments, window)
          assert.equal(mask.length, chunk.keys * chunk.count)
          mask.forEach((value, at) => {
            assert.ok(value === 0 || value === -Infinity)
            const query = chunk.start + Math.floor(at / chunk.keys)
            if (value === 0) seen.add(query * length + chunk.low + (at % chunk.keys))
          })
        }
        for (let query = 0; query < length; query++) {
          for (let key = 0; key < length; key++) {
            const inside = key <= query && segments[key] === segments[query] && (window === 0 || query - key < window)
            assert.equal(seen.has(query * length + key), inside, `query ${query}, key ${key}`)
          }
        }
      }
    }),
    { seed: 5, numRuns: 60 },
  )
})

test('with a window, keys that no query of a chunk can see are left out', () => {
  const chunks = cutQueries(4096, 256, 512)
  assert.ok(chunks.every(({ keys, count }) => keys <= 512 + count + 32))
  assert.equal(
    chunks.reduce((sum, { count }) => sum + count, 0),
    4096,
  )
})

test('a row of short sequences sees few keys', () => {
  const segments = Int32Array.from({ length: 1024 }, (_, i) => Math.floor(i / 128))
  const few = cutQueries(1024, 64, 0, firstKeys(segments, 1024, 64))
  assert.ok(seenPairs(few) < 0.2 * seenPairs(cutQueries(1024, 64, 0)))
})
