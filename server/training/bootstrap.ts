/** How sure a difference between two models on the same samples is: paired bootstrap interval and paired permutation test, both seeded. */
import type { Interval } from '../wire/evaluation.ts'

/** What both models got on one sample; `weight` is how much of the mean it is, such as its tokens. */
export type Pair = { base: number; candidate: number; weight?: number }

export type Comparison = {
  base: number
  candidate: number
  /** Weighted mean of candidate minus base. */
  difference: number
  interval: Interval
  /** Two-sided: how often a difference as large comes when each pair's two values are swapped by chance. */
  p: number
}

export type CompareOptions = { seed: number; level: number; resamples?: number }

const RESAMPLES = 4000
/** Up to so many pairs every swap is tried instead of random ones. */
const EXACT_PAIRS = 12
/** How long to count before others have their turn. */
const TURN_MS = 8

/**
 * Compares two models by weighted means over pairs. The interval is the percentile interval of the bootstrap over pairs
 * (Efron and Tibshirani, 1993, chapter 13), whole pairs being drawn, so that what makes a sample hard for both cancels. The test
 * flips the sign of each pair's difference (Good, 2005); with few pairs it cannot give a small p, which keeps small samples from
 * being believed.
 * @throws RangeError without pairs or without weight
 */
export async function compare(pairs: readonly Pair[], options: CompareOptions): Promise<Comparison> {
  const { level, resamples = RESAMPLES } = options
  const random = randomOf(options.seed)
  const weights = Float64Array.from(pairs, pair => pair.weight ?? 1)
  const differences = Float64Array.from(pairs, ({ base, candidate }, index) => (candidate - base) * weights[index]!)
  const total = sum(weights)
  if (!(total > 0)) throw new RangeError('there is nothing to compare')
  const mean = (key: 'base' | 'candidate') =>
    pairs.reduce((whole, pair, index) => whole + pair[key] * weights[index]!, 0) / total
  const difference = sum(differences) / total
  const breathe = breather()

  const means = new Float64Array(resamples)
  for (let sample = 0; sample < resamples; sample++) {
    let weight = 0
    let whole = 0
    for (let drawn = 0; drawn < pairs.length; drawn++) {
      const index = Math.floor(random() * pairs.length)
      weight += weights[index]!
      whole += differences[index]!
    }
    means[sample] = weight > 0 ? whole / weight : 0
    await breathe()
  }
  means.sort()
  const tail = (1 - level) / 2
  const interval = { low: quantile(means, tail), high: quantile(means, 1 - tail), level }

  const observed = Math.abs(sum(differences))
  // Sums that are equal but for rounding count as equal.
  const reached = observed * (1 - 1e-9)
  let extreme = 0
  let tried = 0
  const exact = pairs.length <= EXACT_PAIRS
  for (; tried < (exact ? 2 ** pairs.length : resamples); tried++) {
    let whole = 0
    for (let index = 0; index < pairs.length; index++) {
      const flip = exact ? (tried >> index) & 1 : random() < 0.5
      whole += flip ? -differences[index]! : differences[index]!
    }
    if (Math.abs(whole) >= reached) extreme++
    await breathe()
  }
  const p = exact ? extreme / tried : (extreme + 1) / (tried + 1)
  return { base: mean('base'), candidate: mean('candidate'), difference, interval, p }
}

/** Uniform numbers in [0, 1), the same for the same seed: sfc32 (Doty-Humphrey, PractRand). */
export function randomOf(seed: number): () => number {
  let a = seed | 0
  let b = 0x9e3779b9 | 0
  let c = 0x243f6a88 | 0
  let counter = 1
  const next = (): number => {
    const result = (((a + b) | 0) + counter) | 0
    counter = (counter + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = (((c << 21) | (c >>> 11)) + result) | 0
    return (result >>> 0) / 2 ** 32
  }
  // The first numbers of near seeds are alike.
  for (let round = 0; round < 15; round++) next()
  return next
}

/** So many of a stream of unknown length, each with the same chance (Vitter's algorithm R); in the order of the stream. */
export async function drawFrom<T>(
  items: AsyncIterable<T>,
  count: number,
  seed: number,
): Promise<{ read: number; taken: T[] }> {
  const random = randomOf(seed)
  const taken: { at: number; item: T }[] = []
  let read = 0
  for await (const item of items) {
    if (taken.length < count) taken.push({ at: read, item })
    else {
      const place = Math.floor(random() * (read + 1))
      if (place < count) taken[place] = { at: read, item }
    }
    read++
  }
  return { read, taken: taken.sort((one, other) => one.at - other.at).map(({ item }) => item) }
}

function sum(values: Float64Array): number {
  let whole = 0
  for (const value of values) whole += value
  return whole
}

/** @param sorted ascending; linear between neighbours */
function quantile(sorted: Float64Array, share: number): number {
  const at = share * (sorted.length - 1)
  const below = Math.floor(at)
  const above = Math.min(below + 1, sorted.length - 1)
  return sorted[below]! + (at - below) * (sorted[above]! - sorted[below]!)
}

/** The hub counts on the thread that answers requests. */
function breather(): () => Promise<void> | undefined {
  let since = performance.now()
  return () => {
    if (performance.now() - since < TURN_MS) return undefined
    return new Promise(resolve =>
      setImmediate(() => {
        since = performance.now()
        resolve()
      }),
    )
  }
}
