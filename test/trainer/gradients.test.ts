/** Gradients of every family against finite differences, and what must not change them: recomputation, chunks, packing, masked tokens. */
import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { loadGgml } from '../../server/native/ggml.ts'
import { FAMILIES } from '../../server/trainer/families/all.ts'
import { readGguf } from '../../server/trainer/gguf_read.ts'
import { floatTensor, writeGguf } from '../../server/trainer/gguf_write.ts'
import { openModel } from '../../server/trainer/model.ts'
import type { OpenOptions, Row, TrainerModel } from '../../server/trainer/types.ts'
import { readAsF32 } from '../../server/trainer/weights.ts'
import { randomRow, takeSegment, temporary, writeFamilyModel } from '../helpers/family_models.ts'
import { gradients, openOptions, relativeDifference, stir } from '../helpers/trainer.ts'

const folder = temporary('gradients')
after(() => rmSync(folder, { recursive: true, force: true }))

function modelOf(architecture: string): string {
  const path = join(folder, `${architecture}.gguf`)
  writeFamilyModel(path, { architecture })
  return path
}

async function using<T>(
  path: string,
  changes: Partial<OpenOptions>,
  work: (model: TrainerModel) => Promise<T>,
): Promise<T> {
  const model = await openModel(openOptions(path, changes))
  try {
    stir(model)
    return await work(model)
  } finally {
    model.free()
  }
}

/** Loss of a row from its logits, summed in double precision. */
async function exactLoss(model: TrainerModel, row: Row): Promise<number> {
  const logits = await model.logits(row)
  const { vocabularySize } = model
  let loss = 0
  for (let i = 1; i < row.tokens.length; i++) {
    const weight = row.weights[i]!
    if (weight === 0 || row.segments[i] !== row.segments[i - 1]) continue
    const part = logits.subarray((i - 1) * vocabularySize, i * vocabularySize)
    const top = part.reduce((a, b) => Math.max(a, b))
    let sum = 0
    for (const logit of part) sum += Math.exp(logit - top)
    loss += weight * (Math.log(sum) + top - part[row.tokens[i]!]!)
  }
  return loss
}

/** Central difference of fourth order along a tensor's own gradient, against the gradient's norm. */
async function finiteDifferences(
  model: TrainerModel,
  row: Row,
  step: number,
): Promise<{ name: string; error: number }[]> {
  await model.accumulate(row, 1)
  const errors: { name: string; error: number }[] = []
  for (const [name, gradient] of gradients(model)) {
    const norm = Math.sqrt(gradient.reduce((sum, value) => sum + value * value, 0))
    const start = model.parameters.get(name)
    const at = async (distance: number) => {
      model.parameters.set(
        name,
        start.map((value, i) => value + (distance * gradient[i]!) / norm),
      )
      return exactLoss(model, row)
    }
    const near = (await at(step)) - (await at(-step))
    const far = (await at(2 * step)) - (await at(-2 * step))
    model.parameters.set(name, start)
    errors.push({ name, error: Math.abs((8 * near - far) / (12 * step) - norm) / norm })
  }
  return errors.sort((a, b) => a.error - b.error)
}

for (const { architecture } of FAMILIES) {
  test(`${architecture}: every LoRA tensor's gradient is that of finite differences`, async () => {
    const changes = { buckets: [32], smooth: true, attentionChunk: 12, headRows: 5 }
    await using(modelOf(architecture), changes, async model => {
      const errors = await finiteDifferences(model, randomRow([17, 11], model.vocabularySize, 5), 0.02)
      const worst = errors.at(-1)!
      assert.equal(errors.length, architecture === 'phi3' ? 16 : 28)
      assert.ok(worst.error <= 1e-3, `${worst.name} is off by ${worst.error}`)
      assert.ok(errors[errors.length >> 1]!.error <= 1e-4)
    })
  })

  test(`${architecture}: recomputing layers, cutting attention and cutting the head change nothing`, async () => {
    const path = modelOf(architecture)
    const row = randomRow([40, 19], 200, 6)
    const run = (changes: Partial<OpenOptions>) =>
      using(path, changes, async model => ({ loss: await model.accumulate(row, 1), gradients: gradients(model) }))
    const plain = await run({ checkpoint: false, attentionChunk: 64, headRows: 64 })
    const checkpointed = await run({ checkpoint: true, attentionChunk: 64, headRows: 64 })
    assert.equal(checkpointed.loss, plain.loss)
    assert.deepEqual(checkpointed.gradients, plain.gradients)
    const cut = await run({ checkpoint: true, attentionChunk: 16, headRows: 7 })
    assert.ok(Math.abs(cut.loss - plain.loss) <= 1e-5 * plain.loss)
    const difference = relativeDifference(plain.gradients, cut.gradients)
    assert.ok(difference <= 1e-5, `cut in chunks they differ by ${difference}`)
  })
}

test('a row of many sequences, whose graph leaves out what its masks would, has the gradients that they have one by one', async () => {
  for (const architecture of ['llama', 'gemma3']) {
    const path = join(folder, `${architecture}-layouts.gguf`)
    writeFamilyModel(path, { architecture })
    const options = { buckets: [128], attentionChunk: 16 }
    await using(path, options, async model => {
      // More layouts than graphs are kept, and each of them again.
      const layouts = [[40, 50], [33, 31, 20, 30], [9, 100], [64, 64], [17, 80, 11], [128], [40, 50], [9, 100]]
      for (const lengths of layouts) {
        const row = randomRow(lengths, 200, 6)
        const loss = await model.accumulate(row, 1)
        const packed = gradients(model)
        model.clearGradients()
        let sum = 0
        for (let segment = 0; segment < lengths.length; segment++)
          sum += await model.accumulate(takeSegment(row, segment), 1)
        const difference = relativeDifference(packed, gradients(model))
        model.clearGradients()
        assert.ok(difference <= 1e-5, `${lengths}: they differ by ${difference}`)
        assert.ok(Math.abs(loss - sum) <= 1e-5 * loss)
      }
    })
  }
})

test('sequences packed into one row have the gradients that they have one by one, whatever the row length', async () => {
  for (const architecture of ['llama', 'gemma3']) {
    const path = modelOf(architecture)
    const row = randomRow([23, 9, 30], 200, 7)
    const packed = await using(path, { buckets: [64] }, async model => {
      const loss = await model.accumulate(row, 0.5)
      return { loss, gradients: gradients(model), evaluated: await model.evaluate(row) }
    })
    const single = await using(path, { buckets: [24, 32, 48] }, async model => {
      let loss = 0
      for (const segment of [0, 1, 2]) loss += await model.accumulate(takeSegment(row, segment), 0.5)
      return { loss, gradients: gradients(model) }
    })
    assert.ok(Math.abs(packed.loss - single.loss) <= 1e-5 * packed.loss)
    assert.ok(Math.abs(packed.evaluated.loss - 2 * packed.loss) <= 1e-5 * packed.evaluated.loss)
    assert.equal(
      packed.evaluated.weight,
      row.weights.reduce((sum, weight) => sum + weight, 0),
    )
    const difference = relativeDifference(packed.gradients, single.gradients)
    assert.ok(difference <= 1e-5, `packed they differ by ${difference}`)
  }
})

test('a masked target contributes exactly nothing', async () => {
  const path = modelOf('qwen2')
  const row = randomRow([20], 200, 8)
  // The last token is seen by nobody: only its being a target could matter.
  row.weights.fill(0, 15)
  const run = (changed: Row) =>
    using(path, {}, async model => ({ loss: await model.accumulate(changed, 1), gradients: gradients(model) }))
  const tokens = row.tokens.slice()
  tokens[19] = (tokens[19]! + 1) % 200
  const [one, other] = [await run(row), await run({ ...row, tokens })]
  assert.deepEqual(one, other)
  const target = { ...row, weights: row.weights.slice() }
  target.weights[19] = 1
  assert.notDeepEqual((await run(target)).gradients, one.gradients)
})

test('a row whose targets are all masked has no loss and no gradient', async () => {
  const row = randomRow([10], 200, 8)
  row.weights.fill(0)
  await using(modelOf('llama'), {}, async model => {
    assert.equal(await model.accumulate(row, 1), 0)
    assert.deepEqual(await model.evaluate(row), { loss: 0, weight: 0 })
    for (const gradient of gradients(model).values()) assert.ok(gradient.every(value => value === 0))
  })
})

test('weights of targets scale their share of the gradient', async () => {
  const path = modelOf('llama')
  const row = randomRow([20], 200, 9)
  const run = (changed: Row, lossScale: number) =>
    using(path, {}, async model => {
      await model.accumulate(changed, lossScale)
      return gradients(model)
    })
  const tripled = await run({ ...row, weights: row.weights.map(weight => 3 * weight) }, 1)
  assert.ok(relativeDifference(tripled, await run(row, 3)) <= 1e-6)
})

for (const architecture of ['llama', 'qwen2', 'qwen3', 'gemma2', 'gemma3', 'phi3']) {
  test(`${architecture} in full: every weight's gradient is that of finite differences`, async () => {
    const changes: Partial<OpenOptions> = { buckets: [32], smooth: true, mode: { type: 'full', randomStart: false } }
    await using(modelOf(architecture), changes, async model => {
      const errors = await finiteDifferences(model, randomRow([17, 11], model.vocabularySize, 5), 0.02)
      const worst = errors.at(-1)!
      assert.ok(model.parameters.names.includes('token_embd.weight'))
      assert.ok(model.parameters.names.includes('blk.1.attn_norm.weight'))
      assert.ok(worst.error <= 1e-3, `${worst.name} is off by ${worst.error}`)
      assert.ok(errors[errors.length >> 1]!.error <= 1e-4)
    })
  })
}

test('gradients through a quantised base point where those of the same weights in F32 do', async () => {
  for (const types of [
    ['F16'],
    ['BF16'],
    ['Q8_0'],
    ['Q4_0'],
    ['Q4_K'],
    ['Q5_K'],
    ['Q6_K'],
    ['Q4_K', 'Q6_K'],
  ] as const) {
    const path = join(folder, `${types.join('-')}.gguf`)
    writeFamilyModel(path, { architecture: 'llama', types: [...types] })
    const row = randomRow([30], 200, 10)
    const quantised = await using(path, {}, async model => {
      await model.accumulate(row, 1)
      return gradients(model)
    })
    const exact = join(folder, `${types.join('-')}-exact.gguf`)
    await writeDequantised(path, exact)
    const reference = await using(exact, {}, async model => {
      await model.accumulate(row, 1)
      return gradients(model)
    })
    const cosine = cosineOf(quantised, reference)
    assert.ok(cosine >= (types[0] === 'F16' || types[0] === 'BF16' ? 0.9999 : 0.995), `${types}: cosine ${cosine}`)
  }
})

async function writeDequantised(path: string, target: string): Promise<void> {
  const ggml = loadGgml()
  const file = readGguf(path)
  const tensors = []
  for (const tensor of file.tensors) {
    const values = await readAsF32(ggml, path, tensor)
    tensors.push(floatTensor(tensor.name, tensor.shape, 'F32', () => values))
  }
  writeGguf(target, file.metadata, tensors)
}

function cosineOf(a: Map<string, Float32Array>, b: Map<string, Float32Array>): number {
  let [product, sizeA, sizeB] = [0, 0, 0]
  for (const [name, values] of a) {
    const other = b.get(name)!
    values.forEach((value, i) => {
      product += value * other[i]!
      sizeA += value * value
      sizeB += other[i]! * other[i]!
    })
  }
  return product / Math.sqrt(sizeA * sizeB)
}
