/** The optimizer's step against AdamW computed here in double precision, and what a step leaves behind. */
import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { openModel } from '../../server/trainer/model.ts'
import type { OpenOptions, OptimizerSettings, TrainerModel } from '../../server/trainer/types.ts'
import { randomRow, temporary, writeFamilyModel } from '../helpers/family_models.ts'
import { ADAMW, gradients, openOptions, stir } from '../helpers/trainer.ts'

const folder = temporary('optimizer')
after(() => rmSync(folder, { recursive: true, force: true }))
const path = join(folder, 'model.gguf')
writeFamilyModel(path, { architecture: 'llama' })

async function using<T>(changes: Partial<OpenOptions>, work: (model: TrainerModel) => Promise<T>): Promise<T> {
  const model = await openModel(openOptions(path, { buckets: [32], ...changes }))
  try {
    return await work(model)
  } finally {
    model.free()
  }
}

type State = { value: Float64Array; m: Float64Array; v: Float64Array }

/** Loshchilov and Hutter 2019, algorithm 2. */
function adamw(
  state: State,
  gradient: Float32Array,
  t: number,
  rate: number,
  clip: number,
  options: OptimizerSettings,
): void {
  const { beta1, beta2, epsilon, weightDecay } = options
  state.value.forEach((value, i) => {
    const g = gradient[i]! * clip
    const m = beta1 * state.m[i]! + (1 - beta1) * g
    const v = beta2 * state.v[i]! + (1 - beta2) * g * g
    state.m[i] = m
    state.v[i] = v
    const update = m / (1 - beta1 ** t) / (Math.sqrt(v / (1 - beta2 ** t)) + epsilon)
    state.value[i] = value - rate * (update + weightDecay * value)
  })
}

const settings: { [what: string]: OptimizerSettings } = {
  'plain AdamW': { ...ADAMW, maxGradNorm: 0 },
  'decay, clipping and a faster B': { ...ADAMW, weightDecay: 0.1, maxGradNorm: 0.5, loraPlusRatio: 4 },
}
for (const [what, options] of Object.entries(settings)) {
  test(`${what}: four steps are those of the formula`, async () => {
    await using({}, async model => {
      stir(model)
      const { parameters } = model
      const states = new Map(
        parameters.names.map(name => {
          const value = Float64Array.from(parameters.get(name))
          return [name, { value, m: value.map(() => 0), v: value.map(() => 0) }]
        }),
      )
      for (let t = 1; t <= 4; t++) {
        await model.accumulate(randomRow([20], 200, t), 0.1)
        const now = gradients(model)
        let square = 0
        for (const gradient of now.values()) for (const value of gradient) square += value * value
        const norm = Math.sqrt(square)
        const clip = options.maxGradNorm > 0 ? Math.min(1, options.maxGradNorm / norm) : 1
        const rate = 0.01 / t
        const result = await model.step(rate, options)
        assert.ok(result.finite)
        assert.ok(Math.abs(result.gradientNorm - norm) <= 1e-5 * norm)
        for (const [name, state] of states)
          adamw(state, now.get(name)!, t, name.endsWith('_b') ? rate * options.loraPlusRatio : rate, clip, options)
      }
      for (const [name, state] of states) {
        const values = parameters.get(name)
        const { m, v } = parameters.moments(name)
        values.forEach((value, i) => {
          assert.ok(Math.abs(value - state.value[i]!) <= 2e-6, `${name} ${i}: ${value}, ${state.value[i]}`)
          assert.ok(Math.abs(m[i]! - state.m[i]!) <= 1e-6 + 1e-5 * Math.abs(state.m[i]!))
          assert.ok(Math.abs(v[i]! - state.v[i]!) <= 1e-6 + 1e-5 * Math.abs(state.v[i]!))
        })
      }
      assert.equal(parameters.stepCount, 4)
    })
  })
}

test('a gradient that is not finite changes nothing, and the next step is as if it had not been', async () => {
  await using({}, async model => {
    stir(model)
    const row = randomRow([20], 200, 1)
    const before = new Map(model.parameters.names.map(name => [name, model.parameters.get(name)]))
    await model.accumulate(row, Number.NaN)
    const bad = await model.step(0.01, ADAMW)
    assert.equal(bad.finite, false)
    assert.equal(model.parameters.stepCount, 0)
    for (const [name, values] of before) assert.deepEqual(model.parameters.get(name), values)
    await model.accumulate(row, 1)
    const good = await model.step(0.01, ADAMW)
    assert.ok(good.finite && good.gradientNorm > 0)
  })
})

/** Everything that a step depends on, read out of one model and written into another. */
function move(from: TrainerModel, to: TrainerModel): void {
  for (const name of from.parameters.names) {
    to.parameters.set(name, from.parameters.get(name))
    const { m, v } = from.parameters.moments(name)
    to.parameters.setMoments(name, m, v)
  }
  to.parameters.stepCount = from.parameters.stepCount
}

for (const dropout of [0, 0.3]) {
  test(`a run that moves to another process goes on bit for bit, with dropout ${dropout}`, async () => {
    const lora = { rank: 4, alpha: 8, rsLora: true, targets: ['attn_q', 'ffn_down'], dropout }
    const changes: Partial<OpenOptions> = { mode: { type: 'lora', lora } }
    const train = async (model: TrainerModel, from: number, to: number) => {
      const losses: number[] = []
      for (let t = from; t < to; t++) {
        for (const seed of [2 * t, 2 * t + 1]) losses.push(await model.accumulate(randomRow([20], 200, seed), 0.05))
        await model.step(0.01, ADAMW)
      }
      return losses
    }
    const read = (model: TrainerModel) => model.parameters.names.map(name => model.parameters.get(name))
    const whole = await using(changes, async model => ({ losses: await train(model, 0, 6), values: read(model) }))
    await using(changes, async first => {
      await train(first, 0, 3)
      await using(changes, async second => {
        move(first, second)
        // Validation in between draws nothing.
        await second.evaluate(randomRow([20], 200, 1))
        assert.deepEqual(await train(second, 3, 6), whole.losses.slice(6))
        assert.deepEqual(read(second), whole.values)
      })
    })
  })
}

test('dropout zeroes inputs of A while training, never when evaluating, and its gradient is that of what ran', async () => {
  const lora = { rank: 4, alpha: 8, rsLora: false, targets: ['attn_v', 'ffn_up'], dropout: 0.5 }
  await using({ mode: { type: 'lora', lora } }, async model => {
    stir(model)
    const row = randomRow([20], 200, 3)
    const trained = await model.accumulate(row, 1)
    const all = gradients(model)
    model.clearGradients()
    assert.equal(await model.accumulate(row, 1), trained, 'the same place in the run draws the same')
    assert.notEqual(await model.accumulate(row, 1), trained, 'the next row draws anew')
    const { loss } = await model.evaluate(row)
    assert.equal((await model.evaluate(row)).loss, loss)
    assert.notEqual(loss, trained)
    for (const name of ['blk.0.ffn_up.weight.lora_a', 'blk.0.attn_v.weight.lora_b']) {
      const gradient = all.get(name)!
      const norm = Math.sqrt(gradient.reduce((sum, value) => sum + value * value, 0))
      const start = model.parameters.get(name)
      const at = async (distance: number) => {
        model.parameters.set(
          name,
          start.map((value, i) => value + (distance * gradient[i]!) / norm),
        )
        model.clearGradients()
        return model.accumulate(row, 1)
      }
      const slope = ((await at(0.05)) - (await at(-0.05))) / 0.1
      model.parameters.set(name, start)
      assert.ok(Math.abs(slope - norm) <= 5e-3 * norm, `${name}: ${slope} instead of ${norm}`)
    }
  })
})

test('an adapter starts without an effect, and the same seed starts the same', async () => {
  const row = randomRow([20], 200, 4)
  const start = (seed: number) =>
    using({ seed }, async model => ({
      a: model.parameters.get('blk.0.attn_q.weight.lora_a'),
      b: model.parameters.get('blk.0.attn_q.weight.lora_b'),
      logits: await model.logits(row),
    }))
  const [one, same, other] = [await start(1), await start(1), await start(2)]
  assert.deepEqual(one, same)
  assert.notDeepEqual(one.a, other.a)
  assert.ok(one.b.every(value => value === 0))
  assert.deepEqual(one.logits, other.logits)
})
