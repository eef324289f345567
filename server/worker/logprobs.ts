/** Log probabilities of tokens, from a row of logits before any penalty or bias. */
import type { TokenLogprob } from '../wire/worker.ts'
import type { Model } from './model.ts'
import { largest } from './sampling.ts'

/** Natural logarithm of the sum of exponentials, in a numerically safe order. */
export function logSumExp(logits: Float32Array): number {
  let max = -Infinity
  for (let index = 0; index < logits.length; index++) if (logits[index]! > max) max = logits[index]!
  let sum = 0
  for (let index = 0; index < logits.length; index++) sum += Math.exp(logits[index]! - max)
  return max + Math.log(sum)
}

/** What the row says of every token that may be asked about: its normaliser and the most likely ones. Taken before sampling changes the row. */
export type Distribution = { logits: Float32Array; normaliser: number; top: { id: number; logprob: number }[] }

/** @param logits copied, because the row is biased and then overwritten by the next decode */
export function distribution(logits: Float32Array, count: number): Distribution {
  const normaliser = logSumExp(logits)
  const top = count === 0 ? [] : [...largest(logits, count)].map(id => ({ id, logprob: logits[id]! - normaliser }))
  top.sort((a, b) => b.logprob - a.logprob || a.id - b.id)
  return { logits: logits.slice(), normaliser, top }
}

export function tokenLogprob(model: Model, token: number, row: Distribution): TokenLogprob {
  const describe = (id: number, logprob: number) => {
    const bytes = model.piece(id, true)
    return { token: bytes.toString('utf8'), id, logprob, bytes: [...bytes] }
  }
  return {
    ...describe(token, row.logits[token]! - row.normaliser),
    top: row.top.map(({ id, logprob }) => describe(id, logprob)),
  }
}
