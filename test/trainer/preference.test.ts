/** Preference pairs (DPO): the loss and the gradient against their closed form. */
import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { openModel } from '../../server/trainer/model.ts'
import type { Row, TrainerModel } from '../../server/trainer/types.ts'
import { randomRow, temporary, writeFamilyModel } from '../helpers/family_models.ts'
import { gradients, openOptions, relativeDifference, stir } from '../helpers/trainer.ts'

const folder = temporary('preference')
after(() => rmSync(folder, { recursive: true, force: true }))
const path = join(folder, 'model.gguf')
writeFamilyModel(path, { architecture: 'qwen3' })

const chosen = randomRow([24], 200, 1)
const rejected = randomRow([18], 200, 2)

async function withModel(work: (model: TrainerModel) => Promise<void>): Promise<void> {
  const model = await openModel(openOptions(path, { buckets: [32] }))
  try {
    await work(model)
  } finally {
    model.free()
  }
}

/** log p of a row's targets, from the logits, in double precision. */
async function logLikelihood(model: TrainerModel, row: Row): Promise<number> {
  const logits = await model.logits(row)
  const size = model.vocabularySize
  let sum = 0
  for (let i = 1; i < row.tokens.length; i++) {
    const part = Float64Array.from(logits.subarray((i - 1) * size, i * size))
    const all = Math.log(part.reduce((total, logit) => total + Math.exp(logit), 0))
    sum += row.weights[i]! * (part[row.tokens[i]!]! - all)
  }
  return sum
}

test('at the start the adapted model is the reference: the loss is ln 2 and the margin 0', async () => {
  await withModel(async model => {
    const result = await model.accumulatePreference({ chosen, rejected }, { beta: 0.1, lossScale: 1 })
    assert.ok(Math.abs(result.loss - Math.LN2) < 1e-4)
    assert.ok(Math.abs(result.margin) < 1e-4)
  })
})

test('loss and margin are those of the log likelihoods with and without the adapter', async () => {
  await withModel(async model => {
    const reference = [await logLikelihood(model, chosen), await logLikelihood(model, rejected)] as const
    stir(model)
    const adapted = [await logLikelihood(model, chosen), await logLikelihood(model, rejected)] as const
    const beta = 0.5
    const margin = beta * (adapted[0] - reference[0] - (adapted[1] - reference[1]))
    assert.ok(Math.abs(margin) > 0.01)
    const result = await model.accumulatePreference({ chosen, rejected }, { beta, lossScale: 0.25 })
    assert.ok(Math.abs(result.margin - margin) < 1e-4, `${result.margin} instead of ${margin}`)
    assert.ok(Math.abs(result.loss - 0.25 * Math.log(1 + Math.exp(-margin))) < 1e-4)
    assert.equal(result.accuracy, margin > 0 ? 1 : 0)
    const swapped = await model.accumulatePreference({ chosen: rejected, rejected: chosen }, { beta, lossScale: 1 })
    assert.ok(Math.abs(swapped.margin + margin) < 1e-4)
    assert.equal(swapped.accuracy, 1 - result.accuracy)
  })
})

test('the gradient is sigmoid(-margin) beta times the difference of the two likelihoods’ gradients', async () => {
  await withModel(async model => {
    stir(model)
    const { margin } = await model.accumulatePreference({ chosen, rejected }, { beta: 0.5, lossScale: 2 })
    const preference = gradients(model)
    model.clearGradients()
    const slope = (2 * 0.5) / (1 + Math.exp(margin))
    await model.accumulate(chosen, slope)
    await model.accumulate(rejected, -slope)
    assert.ok(relativeDifference(gradients(model), preference) < 1e-5)
  })
})

test('a pair is evaluated without touching the gradients', async () => {
  await withModel(async model => {
    stir(model)
    const result = await model.evaluatePreference({ chosen, rejected }, 0.5)
    assert.ok([...gradients(model).values()].every(values => values.every(value => value === 0)))
    assert.deepEqual(await model.accumulatePreference({ chosen, rejected }, { beta: 0.5, lossScale: 1 }), result)
  })
})

test('steps along the gradient prefer the chosen row', async () => {
  await withModel(async model => {
    const options = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, maxGradNorm: 1, loraPlusRatio: 1 }
    const margins: number[] = []
    for (let i = 0; i < 8; i++) {
      margins.push((await model.accumulatePreference({ chosen, rejected }, { beta: 0.1, lossScale: 1 })).margin)
      await model.step(0.01, options)
    }
    assert.ok(margins.at(-1)! > 0.5, `margins ${margins}`)
  })
})

test('a model whose own weights are trained has no reference', async () => {
  const mode = { type: 'full', randomStart: false } as const
  const model = await openModel(openOptions(path, { buckets: [32], mode }))
  try {
    await assert.rejects(
      model.accumulatePreference({ chosen, rejected }, { beta: 0.1, lossScale: 1 }),
      /preferences need an adapter/,
    )
  } finally {
    model.free()
  }
})
