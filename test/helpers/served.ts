/** The trainer's probabilities against those of the serving library. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { openModel } from '../../server/trainer/model.ts'
import { randomRow } from './family_models.ts'
import { openOptions } from './trainer.ts'

/** Logits of each token by libllama, in a process of its own. */
export function servedLogits(path: string, tokens: Int32Array): Float32Array {
  const child = spawnSync(
    process.execPath,
    [join(import.meta.dirname, 'llama_logits.ts'), path, JSON.stringify([...tokens])],
    { maxBuffer: 2 ** 26 },
  )
  assert.equal(child.status, 0, child.stderr.toString())
  return new Float32Array(
    child.stdout.buffer.slice(child.stdout.byteOffset, child.stdout.byteOffset + child.stdout.length),
  )
}

/** Probabilities of each row, in double precision. */
export function probabilities(logits: Float32Array, vocabulary: number): Float64Array[] {
  return Array.from({ length: logits.length / vocabulary }, (_, row) => {
    const part = Float64Array.from(logits.subarray(row * vocabulary, (row + 1) * vocabulary))
    const top = part.reduce((a, b) => Math.max(a, b))
    const powers = part.map(logit => Math.exp(logit - top))
    const sum = powers.reduce((a, b) => a + b)
    return powers.map(power => power / sum)
  })
}

/** The largest difference of a probability, and the mean divergence in nats, between the trainer and libllama. */
export async function compareWithServed(path: string): Promise<{ difference: number; divergence: number }> {
  const model = await openModel(openOptions(path))
  try {
    const row = randomRow([Math.min(40, model.contextLength)], model.vocabularySize, 3)
    const ours = probabilities(await model.logits(row), model.vocabularySize)
    const served = probabilities(servedLogits(path, row.tokens), model.vocabularySize)
    assert.equal(ours.length, served.length)
    let difference = 0
    let divergence = 0
    served.forEach((p, i) => {
      p.forEach((chance, token) => {
        const own = ours[i]![token]!
        difference = Math.max(difference, Math.abs(chance - own))
        divergence += (chance * Math.log(chance / own)) / served.length
      })
    })
    return { difference, divergence }
  } finally {
    model.free()
  }
}
