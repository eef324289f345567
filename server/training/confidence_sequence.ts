/** An interval for the difference of two rates that holds at every look, so that a test may be looked at and stopped at any time. */
import type { Interval } from '../wire/evaluation.ts'

/** Conversations with their summed scores, each between 0 and 1. */
export type Arm = { count: number; score: number }

const GRID = 400
const BISECTIONS = 40

/**
 * Interval of `candidate - base`. For each arm, the product over observations of the likelihood under a Beta(1/2, 1/2) mixture divided
 * by that under a rate p is a non-negative martingale that starts at 1 when p is the true rate (Robbins 1970; Howard, Ramdas, McAuliffe
 * and Sekhon 2021, section 3.2). For scores between 0 and 1 it is a supermartingale, since each factor is convex in the score. The
 * arms are drawn independently, so the product of both is one as well, and by Ville's inequality it ever exceeds 1 / (1 - level) with a
 * chance of at most 1 - level. The interval spans the differences of all pairs of rates for which it has not.
 */
export function differenceInterval(base: Arm, candidate: Arm, level: number): Interval {
  if (base.count === 0 || candidate.count === 0) return { low: -1, high: 1, level }
  const limit = -Math.log(1 - level)
  const one = evidenceOf(base)
  const other = evidenceOf(candidate)
  const [from, to] = range(one, limit - other.least)
  let low = Number.POSITIVE_INFINITY
  let high = Number.NEGATIVE_INFINITY
  for (let step = 0; step <= GRID; step++) {
    const rate = from + ((to - from) * step) / GRID
    const room = limit - one.at(rate)
    if (room < other.least) continue
    const [least, most] = range(other, room)
    low = Math.min(low, least - rate)
    high = Math.max(high, most - rate)
  }
  return { low: Math.max(-1, low), high: Math.min(1, high), level }
}

/** Logarithm of the evidence against a rate: convex, least at the mean. */
type Evidence = { mean: number; least: number; at(rate: number): number }

function evidenceOf({ count, score }: Arm): Evidence {
  const rest = count - score
  const mixture = logGamma(score + 0.5) + logGamma(rest + 0.5) - logGamma(count + 1) - Math.log(Math.PI)
  const at = (rate: number) => mixture - times(score, rate) - times(rest, 1 - rate)
  const mean = score / count
  return { mean, least: at(mean), at }
}

const times = (count: number, share: number): number => (count === 0 ? 0 : count * Math.log(share))

/** Rates whose evidence is at most `limit`. */
function range({ mean, at }: Evidence, limit: number): [from: number, to: number] {
  const edge = (outside: number): number => {
    if (at(outside) <= limit) return outside
    let inner = mean
    let outer = outside
    for (let step = 0; step < BISECTIONS; step++) {
      const middle = (inner + outer) / 2
      if (at(middle) <= limit) inner = middle
      else outer = middle
    }
    return outer
  }
  return [edge(0), edge(1)]
}

/** Stirling's series behind a shift of the argument; its error is below 1e-11 for arguments from 0.5 on. */
export function logGamma(value: number): number {
  let shift = 0
  let x = value
  while (x < 10) {
    shift += Math.log(x)
    x++
  }
  const inverse = 1 / (x * x)
  const series = (1 / 12 - inverse * (1 / 360 - inverse * (1 / 1260 - inverse / 1680))) / x
  return (x - 0.5) * Math.log(x) - x + 0.5 * Math.log(2 * Math.PI) + series - shift
}
