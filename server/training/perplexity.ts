/** Finds samples that the base model finds unusual: likelihoods far from those of the others. */
import type { Sample } from '../wire/sample.ts'

/** Mean negative log likelihood in nats per learned token of each sample; NaN where it can't be told. */
export type Logprobs = (samples: Sample[], signal: AbortSignal) => Promise<number[]>

type Chosen = { index: number; hash: number; sample: Sample }

const MOST = 256
/** Characters of a sample that is kept in memory for the measurement. */
const MOST_CHARACTERS = 65_536
const BATCH = 16
/** Robust z-score from which a value is an outlier (Iglewicz and Hoaglin). */
const MOST_Z = 3.5
/** Fewer measured values say nothing about what is usual. */
const LEAST = 20

/** A selection of samples by their content, the same for the same samples in any order. */
export class Selection {
  #samples: Chosen[] = []

  offer(index: number, hash: number, sample: Sample): void {
    const last = this.#samples.at(-1)
    if (this.#samples.length >= MOST && last !== undefined && hash >= last.hash) return
    if (JSON.stringify(sample).length > MOST_CHARACTERS) return
    let at = this.#samples.length
    while (at > 0 && this.#samples[at - 1]!.hash > hash) at--
    this.#samples.splice(at, 0, { index, hash, sample })
    if (this.#samples.length > MOST) this.#samples.pop()
  }

  get samples(): readonly Chosen[] {
    return this.#samples
  }
}

/**
 * The samples whose likelihood is an outlier. The score is 0.6745 (x - median) / MAD, which outliers themselves can't move.
 * Source: Iglewicz and Hoaglin, How to Detect and Handle Outliers (1993).
 */
export async function findOutliers(
  chosen: readonly Chosen[],
  logprobs: Logprobs,
  signal: AbortSignal,
): Promise<{ sample: Sample; index: number; note: string }[]> {
  const values: number[] = []
  for (let i = 0; i < chosen.length; i += BATCH) {
    signal.throwIfAborted()
    values.push(
      ...(await logprobs(
        chosen.slice(i, i + BATCH).map(({ sample }) => sample),
        signal,
      )),
    )
  }
  const known = values.filter(Number.isFinite)
  if (known.length < LEAST) return []
  const middle = median(known)
  const spread = median(known.map(value => Math.abs(value - middle)))
  // With more than half of the values equal the spread is 0 and nothing can be told.
  if (spread === 0) return []
  const outliers = []
  for (const [i, { sample, index }] of chosen.entries()) {
    const z = (0.6745 * (values[i]! - middle)) / spread
    if (!(Math.abs(z) > MOST_Z)) continue
    const note = `perplexity ${Math.exp(values[i]!).toPrecision(3)}, usual is ${Math.exp(middle).toPrecision(3)} (z ${z.toFixed(1)})`
    outliers.push({ sample, index, note })
  }
  return outliers.sort((a, b) => a.index - b.index)
}

function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const half = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2
}
