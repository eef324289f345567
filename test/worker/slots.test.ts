/** Which slot a prompt takes, and how a prompt budget is shared: pure decisions. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { commonPrefix, evenChunk, place, type SlotView, share } from '../../server/worker/slots.ts'

const slot = (id: number, cache: number[], more: Partial<SlotView> = {}): SlotView => ({
  id,
  busy: false,
  cache,
  adapterKey: '',
  pending: [],
  lastUsed: 0,
  ...more,
})
const normal = { reuse: true, canCut: true }
const range = (from: number, count: number) => Array.from({ length: count }, (_, index) => from + index)

test('the slot whose conversation goes on is continued in place', () => {
  const slots = [slot(0, range(0, 50)), slot(1, range(500, 50)), slot(2, [])]
  assert.deepEqual(place(slots, [...range(500, 50), 1, 2], '', normal), { slot: 1, reuse: 50 })
})

test('a shared beginning is shared from its slot into another, so that both conversations stay', () => {
  const slots = [slot(0, [...range(0, 20), ...range(900, 90)]), slot(1, [])]
  assert.deepEqual(place(slots, [...range(0, 20), 1, 2, 3], '', normal), { slot: 1, reuse: 20, donor: 0 })
  // A few tokens in common are not worth it, unless nothing else is left to evaluate.
  assert.deepEqual(place(slots, [...range(0, 10), 1, 2, 3], '', normal), { slot: 1, reuse: 0 })
  assert.deepEqual(place(slots, range(0, 6), '', normal), { slot: 1, reuse: 5, donor: 0 })
})

test('a busy slot gives its prefix as well', () => {
  const slots = [slot(0, range(0, 40), { busy: true, pending: range(0, 40) }), slot(1, [])]
  assert.deepEqual(place(slots, [...range(0, 40), 7], '', normal), { slot: 1, reuse: 40, donor: 0 })
})

test('a prompt waits for a slot that is about to compute what it needs', () => {
  const slots = [slot(0, range(0, 18), { busy: true, pending: range(0, 200) }), slot(1, [])]
  assert.equal(place(slots, [...range(0, 200), 7], '', normal), 'wait')
  assert.deepEqual(place(slots, [...range(0, 20), 999], '', normal), { slot: 1, reuse: 18, donor: 0 })
})

test('KV of another set of adapters is never used', () => {
  const slots = [slot(0, range(0, 50), { adapterKey: 'a@1' }), slot(1, [])]
  assert.deepEqual(place(slots, [...range(0, 50), 7], '', normal), { slot: 1, reuse: 0 })
})

test('at least one token is left to decode', () => {
  assert.deepEqual(place([slot(0, range(0, 50))], range(0, 50), '', normal), { slot: 0, reuse: 49 })
})

test('recurrent state is reused whole or not at all', () => {
  const whole = { reuse: true, canCut: false }
  const slots = [slot(0, range(0, 50)), slot(1, [])]
  assert.deepEqual(place(slots, [...range(0, 50), 7], '', whole), { slot: 0, reuse: 50 })
  assert.deepEqual(place(slots, [...range(0, 40), 7], '', whole), { slot: 1, reuse: 0 })
})

test('without an idle slot there is no place, and the least recently used idle one goes first', () => {
  assert.equal(place([slot(0, [], { busy: true })], [1, 2], '', normal), undefined)
  assert.deepEqual(place([slot(0, [9], { lastUsed: 5 }), slot(1, [8], { lastUsed: 2 })], [1, 2], '', normal), {
    slot: 1,
    reuse: 0,
  })
})

test('whatever is placed reuses a true prefix (property)', () => {
  const tokens = fc.array(fc.nat(3), { maxLength: 12 })
  fc.assert(
    fc.property(
      fc.array(fc.record({ cache: tokens, busy: fc.boolean(), pending: tokens, lastUsed: fc.nat(9) }), {
        minLength: 1,
        maxLength: 5,
      }),
      fc.array(fc.nat(3), { minLength: 1, maxLength: 12 }),
      (states, prompt) => {
        const slots = states.map((state, id) =>
          slot(id, state.cache, { ...state, pending: state.busy ? [...state.cache, ...state.pending] : [] }),
        )
        const placement = place(slots, prompt, '', normal)
        if (placement === undefined || placement === 'wait')
          return slots.every(each => each.busy) || placement === 'wait'
        const source = slots[placement.donor ?? placement.slot]!
        assert.equal(slots[placement.slot]!.busy, false)
        assert.ok(placement.reuse <= prompt.length - 1)
        assert.ok(commonPrefix(source.cache, prompt) >= placement.reuse)
        return true
      },
    ),
    { seed: 1, numRuns: 500 },
  )
})

test('a budget is shared fairly and used up (property)', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(500), { maxLength: 8 }), fc.nat(600), (remaining, budget) => {
      const granted = share(remaining, budget)
      const total = granted.reduce((sum, part) => sum + part, 0)
      const wanted = remaining.reduce((sum, part) => sum + part, 0)
      for (const [index, part] of granted.entries()) assert.ok(part <= remaining[index]!)
      // Only what does not divide evenly may stay over.
      assert.ok(total <= budget && (total === wanted || budget - total < remaining.length))
    }),
    { seed: 2, numRuns: 500 },
  )
  assert.deepEqual(share([1000, 10], 100), [90, 10])
})

test('a prompt is cut so that no short rest is left (property)', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 3000 }), fc.integer({ min: 1, max: 600 }), (length, most) => {
      const chunks: number[] = []
      for (let left = length; left > 0; left -= chunks.at(-1)!) chunks.push(evenChunk(left, most))
      assert.ok(chunks.every(chunk => chunk >= 1 && chunk <= most))
      assert.ok(chunks.length <= Math.ceil(length / most) + 1)
    }),
    { seed: 6, numRuns: 500 },
  )
  assert.deepEqual([evenChunk(430, 384), evenChunk(430, 512), evenChunk(1000, 512)], [256, 430, 512])
})
