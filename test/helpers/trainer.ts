/** Opens tiny models for the trainer's tests: on the CPU, one thread, every projection adapted. */
import type { OpenOptions, OptimizerSettings, TrainerModel } from '../../server/trainer/types.ts'
import { LoraTarget } from '../../server/wire/trainer.ts'

export function openOptions(path: string, changes: Partial<OpenOptions> = {}): OpenOptions {
  return {
    path,
    library: 'cpu',
    device: 'CPU',
    threads: 1,
    mode: { type: 'lora', lora: { rank: 4, alpha: 8, rsLora: false, targets: LoraTarget.options, dropout: 0 } },
    seed: 1,
    buckets: [64],
    checkpoint: true,
    ...changes,
  }
}

export const ADAMW: OptimizerSettings = {
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  weightDecay: 0,
  maxGradNorm: 1,
  loraPlusRatio: 1,
}

/** Gives B values too, so that A has gradients; small and the same in every run. */
export function stir(model: TrainerModel): void {
  const { parameters } = model
  for (const name of parameters.names) {
    if (!name.endsWith('lora_b')) continue
    parameters.set(
      name,
      parameters.get(name).map((_, i) => 0.05 * Math.sin(1 + i * 12.9898 + name.length)),
    )
  }
}

/** Gradients by name, as accumulated so far. */
export function gradients(model: TrainerModel): Map<string, Float32Array> {
  return new Map(model.parameters.names.map(name => [name, model.parameters.gradient(name)]))
}

/** Norm of the difference over norm of the first, over all tensors together. */
export function relativeDifference(a: Map<string, Float32Array>, b: Map<string, Float32Array>): number {
  let difference = 0
  let size = 0
  for (const [name, values] of a) {
    const other = b.get(name)
    if (other === undefined || other.length !== values.length) return Number.POSITIVE_INFINITY
    values.forEach((value, i) => {
      difference += (value - other[i]!) ** 2
      size += value ** 2
    })
  }
  return Math.sqrt(difference / size)
}
