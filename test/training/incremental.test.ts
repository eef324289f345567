/** Going on with more data: what is new, and a chosen share of the old. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { withReplay } from '../../server/training/incremental.ts'
import type { Sample } from '../../server/wire/sample.ts'

const samples = (from: number, to: number, source = 'a'): Sample[] =>
  Array.from({ length: to - from }, (_, i) => ({ kind: 'text', text: `text ${from + i}`, origin: { source } }))

async function* stream(list: Sample[]): AsyncGenerator<Sample> {
  yield* list
}
async function texts(next: Sample[], before: Sample[], share: number, seed = 1): Promise<string[]> {
  const found: string[] = []
  for await (const sample of withReplay(stream(next), () => stream(before), { share, seed })) {
    if (sample.kind === 'text') found.push(sample.text)
  }
  return found
}
const textsOf = (list: Sample[]) => list.map(sample => (sample.kind === 'text' ? sample.text : ''))

test('without replay only what is new is learned, wherever the old came from', async () => {
  assert.deepEqual(await texts(samples(0, 15), samples(0, 10, 'elsewhere'), 0), textsOf(samples(10, 15)))
})

test('a share of 1 learns everything again, the new first', async () => {
  assert.deepEqual(await texts(samples(0, 12), samples(0, 10), 1), textsOf([...samples(10, 12), ...samples(0, 10)]))
})

test('a share takes about so many, the same ones for the same seed, whatever their order', async () => {
  const old = samples(0, 1000)
  const chosen = await texts([], old, 0.2)
  assert.ok(chosen.length > 150 && chosen.length < 250, `${chosen.length}`)
  assert.deepEqual(new Set(await texts([], [...old].reverse(), 0.2)), new Set(chosen))
  assert.notDeepEqual(await texts([], old, 0.2, 2), chosen)
})
