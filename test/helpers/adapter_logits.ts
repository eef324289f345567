/** Logits that the serving engine gives for a model file, alone or with an adapter, in a process of its own. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'

/** Logits of every position, one after another. */
export function engineLogits(
  model: string,
  tokens: readonly number[],
  adapter?: { path: string; scale: number },
): Float32Array {
  const extra = adapter === undefined ? [] : [adapter.path, String(adapter.scale)]
  const result = spawnSync(
    process.execPath,
    [join(import.meta.dirname, 'llama_logits.ts'), model, JSON.stringify(tokens), ...extra],
    { maxBuffer: 2 ** 28 },
  )
  if (result.status !== 0) throw new Error(`no logits of ${model}: ${result.stderr.toString().slice(-500)}`)
  const { buffer, byteOffset, byteLength } = result.stdout
  return new Float32Array(buffer.slice(byteOffset, byteOffset + byteLength))
}

export function largestDifference(a: Float32Array, b: Float32Array): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY
  return a.reduce((most, value, index) => Math.max(most, Math.abs(value - b[index]!)), 0)
}

/** Mean over positions of KL(a || b), in nats. */
export function meanDivergence(a: Float32Array, b: Float32Array, vocabulary: number): number {
  const logProbabilities = (row: Float32Array): Float64Array => {
    const most = row.reduce((top, value) => Math.max(top, value), Number.NEGATIVE_INFINITY)
    const sum = row.reduce((total, value) => total + Math.exp(value - most), 0)
    return Float64Array.from(row, value => value - most - Math.log(sum))
  }
  let total = 0
  for (let at = 0; at < a.length; at += vocabulary) {
    const [p, q] = [a, b].map(values => logProbabilities(values.subarray(at, at + vocabulary)))
    for (let token = 0; token < vocabulary; token++) total += Math.exp(p![token]!) * (p![token]! - q![token]!)
  }
  return (total * vocabulary) / a.length
}
