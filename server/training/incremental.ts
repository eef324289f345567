/** Going on from an adapter with new data: what it has not seen yet, and a share of what it learned before, so that this is not forgotten. */
import { createHash } from 'node:crypto'
import type { Sample } from '../wire/sample.ts'
import { findSorted } from './datasets_compare.ts'

/** 48 bits of a hash of what is learned from a sample, where it came from left aside. */
function keyOf(sample: Sample): number {
  const { origin: _, tests: __, ...content } = sample
  return createHash('sha256').update(JSON.stringify(content)).digest().readUIntBE(0, 6)
}

/** Whether a sample is of the share; the same seed chooses the same ones, whatever their order. */
function isChosen(key: number, share: number, seed: number): boolean {
  const place = createHash('sha256').update(`${seed}\0${key}`).digest().readUIntBE(0, 6) / 2 ** 48
  return place < share
}

/** Sorted: eight bytes a sample, where a Set takes forty and ends at sixteen million. */
async function keysOf(samples: AsyncIterable<Sample>): Promise<Float64Array> {
  let keys = new Float64Array(1024)
  let count = 0
  for await (const sample of samples) {
    if (count === keys.length) {
      const more = new Float64Array(2 * count)
      more.set(keys)
      keys = more
    }
    keys[count++] = keyOf(sample)
  }
  return keys.subarray(0, count).sort()
}

/** The samples of `next` that `before` lacks, then that share of `before`, which is read twice. */
export async function* withReplay(
  next: AsyncIterable<Sample>,
  before: () => AsyncIterable<Sample>,
  options: { share: number; seed: number },
): AsyncGenerator<Sample> {
  const known = await keysOf(before())
  for await (const sample of next) if (findSorted(known, keyOf(sample)) < 0) yield sample
  if (options.share === 0) return
  for await (const sample of before()) if (isChosen(keyOf(sample), options.share, options.seed)) yield sample
}
