/** A trainer model small enough to check by hand: the logits of the next token are a row of one trained matrix, chosen by the token before. */
import { randomAt } from '../../server/trainer/random.ts'
import type { OptimizerSettings, Row, Trainable, TrainerModel } from '../../server/trainer/types.ts'

const NAME = 'blk.0.attn_q.weight.lora_a'

export type LinearOptions = {
  vocabularySize: number
  contextLength: number
  seed: number
  /** Called before each accumulation, counted from 1; may throw, and `nan` spoils the loss and the gradient. */
  onAccumulate?: (count: number) => 'nan' | undefined
  /** Called before each evaluation, counted from 1; `nan` spoils the loss. */
  onEvaluate?: (count: number) => 'nan' | undefined
  onFree?: () => void
  /** It says that it computes on a GPU. */
  onGpu?: boolean
}

export type LinearModel = TrainerModel & { accumulations: number; evaluations: number; freed: boolean }

export function linearModel(options: LinearOptions): LinearModel {
  const { vocabularySize: size } = options
  const random = randomAt(options.seed)
  const value = Float32Array.from({ length: size * size }, () => (random() - 0.5) * 0.1)
  const gradient = new Float32Array(size * size)
  let m = new Float32Array(size * size)
  let v = new Float32Array(size * size)

  const logProbabilities = (token: number, parameters = value): Float64Array => {
    const logits = Float64Array.from(parameters.subarray(token * size, (token + 1) * size))
    const most = Math.max(...logits)
    const normaliser = most + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - most), 0))
    return logits.map(logit => logit - normaliser)
  }
  /** Sum of weight x -log p; adds its gradient, scaled, when asked. */
  const pass = (row: Row, scale: number | undefined): number => {
    let loss = 0
    for (let i = 1; i < row.tokens.length; i++) {
      const weight = row.weights[i]!
      if (weight === 0 || row.segments[i] !== row.segments[i - 1]) continue
      const before = row.tokens[i - 1]!
      const target = row.tokens[i]!
      const log = logProbabilities(before)
      loss -= weight * log[target]!
      if (scale === undefined) continue
      for (let j = 0; j < size; j++) {
        gradient[before * size + j]! += scale * weight * (Math.exp(log[j]!) - (j === target ? 1 : 0))
      }
    }
    return loss
  }
  const parameters: Trainable = {
    names: [NAME],
    stepCount: 0,
    get: () => value.slice(),
    set: (_, values) => value.set(values),
    moments: () => ({ m: m.slice(), v: v.slice() }),
    setMoments(_, newM, newV) {
      m = newM.slice()
      v = newV.slice()
    },
    gradient: () => gradient.slice(),
    shape: () => [size, size],
  }
  const model: LinearModel = {
    architecture: 'llama',
    device: options.onGpu ? { name: 'Vulkan0', isCpu: false } : { name: 'CPU', isCpu: true },
    vocabularySize: size,
    contextLength: options.contextLength,
    parameters,
    trainableCount: size * size,
    accumulations: 0,
    evaluations: 0,
    freed: false,
    async accumulate(row, lossScale) {
      model.accumulations++
      const spoiled = options.onAccumulate?.(model.accumulations) === 'nan'
      const loss = pass(row, lossScale) * lossScale
      if (spoiled) gradient.fill(Number.NaN)
      return spoiled ? Number.NaN : loss
    },
    async evaluate(row) {
      model.evaluations++
      const spoiled = options.onEvaluate?.(model.evaluations) === 'nan'
      if (spoiled) return { loss: Number.NaN, weight: 1 }
      return { loss: pass(row, undefined), weight: row.weights.reduce((sum, weight) => sum + weight, 0) }
    },
    async evaluatePreference({ chosen, rejected }) {
      model.evaluations++
      const margin = pass(rejected, undefined) - pass(chosen, undefined)
      return { loss: Math.log1p(Math.exp(-margin)), accuracy: margin > 0 ? 1 : 0, margin }
    },
    async accumulatePreference({ chosen, rejected }, { lossScale }) {
      model.accumulations++
      // The gradient of a pair is the real model's own test; the loop only has to carry it.
      const margin = pass(rejected, undefined) - pass(chosen, undefined)
      pass(chosen, lossScale)
      return { loss: Math.log1p(Math.exp(-margin)) * lossScale, accuracy: margin > 0 ? 1 : 0, margin }
    },
    async step(rate: number, settings: OptimizerSettings) {
      const norm = Math.sqrt(gradient.reduce((sum, g) => sum + g * g, 0))
      if (!Number.isFinite(norm)) {
        gradient.fill(0)
        return { gradientNorm: norm, finite: false }
      }
      const clip = norm > settings.maxGradNorm ? settings.maxGradNorm / norm : 1
      const t = ++parameters.stepCount
      for (let i = 0; i < value.length; i++) {
        const g = gradient[i]! * clip
        m[i] = settings.beta1 * m[i]! + (1 - settings.beta1) * g
        v[i] = settings.beta2 * v[i]! + (1 - settings.beta2) * g * g
        const update =
          m[i]! / (1 - settings.beta1 ** t) / (Math.sqrt(v[i]! / (1 - settings.beta2 ** t)) + settings.epsilon)
        value[i] = value[i]! * (1 - rate * settings.weightDecay) - rate * update
      }
      gradient.fill(0)
      return { gradientNorm: norm, finite: true }
    },
    clearGradients: () => gradient.fill(0),
    async logits(row) {
      const logits = new Float32Array(row.tokens.length * size)
      for (const [i, token] of row.tokens.entries())
        logits.set(value.subarray(token * size, (token + 1) * size), i * size)
      return logits
    },
    memory: () => ({ weightsBytes: 0, parameterBytes: size * size * 16, computeBytes: 0 }),
    free() {
      if (model.freed) throw new Error('the model was freed twice')
      model.freed = true
      options.onFree?.()
    },
  }
  return model
}
