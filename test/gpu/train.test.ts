/** Training on a GPU: no operation is left to the CPU, and gradients and steps are the CPU's. `npm run test:vulkan` runs it on a software driver. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { VARIANTS } from '../../server/native/bins.ts'
import { FAMILIES } from '../../server/trainer/families/all.ts'
import { planMemory } from '../../server/trainer/memory.ts'
import { openModel } from '../../server/trainer/model.ts'
import type { OpenOptions, TrainerModel } from '../../server/trainer/types.ts'
import { randomRow, temporary } from '../helpers/family_models.ts'
import { ADAMW, gradients, openOptions, stir } from '../helpers/trainer.ts'
import { QUANTISED } from './types.ts'

const [library, device] = (process.env.AI_HUB_TEST_GPU ?? '').split(':')
const variant = VARIANTS.find(each => each === library)
const folder = temporary('gpu')
const row = randomRow([20, 11], 200, 3)

async function using<T>(
  name: string,
  on: 'gpu' | 'cpu',
  work: (model: TrainerModel) => Promise<T>,
  changes: Partial<OpenOptions> = {},
): Promise<T> {
  // The GPU's libraries have a CPU device too, so that one process can compare them.
  const options = openOptions(join(folder, name), { library: variant!, buckets: [32], ...changes })
  const model = await openModel({ ...options, device: on === 'gpu' ? device! : 'CPU' })
  try {
    stir(model)
    return await work(model)
  } finally {
    model.free()
  }
}

const lossAndGradients = async (model: TrainerModel) => ({
  loss: await model.accumulate(row, 1 / 10),
  gradients: gradients(model),
})

function cosine(a: Map<string, Float32Array>, b: Map<string, Float32Array>): number {
  let [product, first, second] = [0, 0, 0]
  for (const [name, values] of a) {
    const others = b.get(name)!
    values.forEach((value, i) => {
      product += value * others[i]!
      first += value * value
      second += others[i]! * others[i]!
    })
  }
  return product / Math.sqrt(first * second)
}

const skip = variant === undefined || device === undefined ? 'run by npm run test:vulkan or npm run test:gpu' : false
describe('training on a GPU', { skip }, () => {
  before(() => {
    execFileSync(process.execPath, [join(import.meta.dirname, 'models.ts'), folder], { stdio: 'inherit' })
  })
  after(() => rmSync(folder, { recursive: true, force: true }))

  // Opening a model checks every operation of its graph: one that the device lacks is refused by its name.
  for (const { architecture } of FAMILIES) {
    test(`${architecture}: every operation runs on the device, loss and gradients are the CPU's`, async () => {
      const own = await using(`${architecture}.gguf`, 'gpu', lossAndGradients)
      const cpu = await using(`${architecture}.gguf`, 'cpu', lossAndGradients)
      assert.ok(Math.abs(own.loss / cpu.loss - 1) < 1e-3, `loss ${own.loss}, on the CPU ${cpu.loss}`)
      const same = cosine(own.gradients, cpu.gradients)
      assert.ok(same >= 0.999, `cosine ${same}`)
    })
  }

  for (const type of QUANTISED) {
    test(`${type}: gradients point where those of the same weights in F32 on the CPU do`, async () => {
      const own = await using(`${type}.gguf`, 'gpu', lossAndGradients)
      const exact = await using(`${type}-exact.gguf`, 'cpu', lossAndGradients)
      const same = cosine(own.gradients, exact.gradients)
      // Where the device rounds activations to 8 bits, as the CPU does, 0.998 is what is left.
      assert.ok(same >= (type === 'F16' ? 0.999 : 0.995), `cosine ${same}`)
    })
  }

  test('an optimizer step moves the adapter as on the CPU', async () => {
    const step = async (model: TrainerModel) => {
      await model.accumulate(row, 1 / 10)
      const { gradientNorm, finite } = await model.step(1e-3, ADAMW)
      assert.ok(finite)
      const values = new Map(model.parameters.names.map(name => [name, model.parameters.get(name)]))
      return { gradientNorm, values, loss: await model.accumulate(row, 1 / 10) }
    }
    const own = await using('llama.gguf', 'gpu', step)
    const cpu = await using('llama.gguf', 'cpu', step)
    assert.ok(Math.abs(own.gradientNorm / cpu.gradientNorm - 1) < 1e-2)
    assert.ok(cosine(own.values, cpu.values) >= 0.9999)
    assert.ok(Math.abs(own.loss / cpu.loss - 1) < 1e-3, `loss ${own.loss}, on the CPU ${cpu.loss}`)
  })

  test('chunks of attention and head give the same gradients as the whole', async () => {
    const whole = await using('llama.gguf', 'gpu', lossAndGradients)
    const chunked = await using('llama.gguf', 'gpu', lossAndGradients, { attentionChunk: 8, headRows: 8 })
    assert.ok(cosine(whole.gradients, chunked.gradients) >= 0.9999)
  })

  test('all weights can be trained', async () => {
    const full = { mode: { type: 'full', randomStart: false } } as const
    const own = await using('llama.gguf', 'gpu', lossAndGradients, full)
    const cpu = await using('llama.gguf', 'cpu', lossAndGradients, full)
    assert.ok(cosine(own.gradients, cpu.gradients) >= 0.999)
  })

  test('the memory plan agrees with what is allocated on the device', async () => {
    const options = openOptions(join(folder, 'Q4_K.gguf'), { library: variant!, device: device!, buckets: [128] })
    const plan = planMemory(options.path, options)
    const real = await using('Q4_K.gguf', 'gpu', async model => model.memory(), { buckets: [128] })
    const total = real.weightsBytes + real.parameterBytes + real.computeBytes
    assert.ok(Math.abs(plan.totalBytes / total - 1) <= 0.02, `planned ${plan.totalBytes}, allocated ${total}`)
  })
})
