/** The trained tensors of a run and their start: LoRA pairs beside the frozen weights, or all the weights themselves. */
import { HubError } from '../lib/error.ts'
import { LoraTarget } from '../wire/trainer.ts'
import type { Kind, Parameters } from './parameters.ts'
import { randomAt } from './random.ts'
import type { Shape } from './tape.ts'
import { type Expected, isConstant } from './tensors.ts'
import type { LoraSettings } from './types.ts'

export type Trained = { name: string; kind: Kind; shape: [number, number] }

/** Projections that some families keep in one tensor; the adapter goes to that one. */
const FUSED: readonly { tensor: string; parts: readonly string[] }[] = [
  { tensor: 'attn_qkv', parts: ['attn_q', 'attn_k', 'attn_v'] },
  { tensor: 'ffn_up', parts: ['ffn_gate', 'ffn_up'] },
]
/** A [in, rank] and B [rank, out] for each chosen projection of each layer (Hu et al. 2021). @throws HubError invalid_request for settings that make no adapter */
export function loraTensors(
  weights: ReadonlyMap<string, { shape: Shape }>,
  layers: number,
  settings: LoraSettings,
): Trained[] {
  const { rank, targets, dropout } = settings
  if (!Number.isInteger(rank) || rank < 1) throw new HubError('invalid_request', `a rank is 1 or more, not ${rank}`)
  if (!(dropout >= 0 && dropout < 1)) throw new HubError('invalid_request', `dropout is 0 to below 1, not ${dropout}`)
  const unknown = targets.find(target => !LoraTarget.safeParse(target).success)
  if (unknown !== undefined || targets.length === 0) {
    const what = unknown === undefined ? 'no target was given' : `${unknown} is no target`
    throw new HubError('invalid_request', `${what}; the targets are ${LoraTarget.options.join(', ')}`)
  }
  const trained: Trained[] = []
  for (let layer = 0; layer < layers; layer++) {
    const full = (part: string) => `blk.${layer}.${part}.weight`
    const fused = FUSED.filter(
      ({ tensor, parts }) => weights.has(full(tensor)) && !parts.every(part => weights.has(full(part))),
    )
    for (const { tensor, parts } of fused) {
      const chosen = parts.filter(part => targets.includes(part))
      if (chosen.length === 0 || chosen.length === parts.length) continue
      throw new HubError(
        'invalid_request',
        `the base model keeps ${parts.join(', ')} in one tensor (${full(tensor)}), so they carry one adapter together; choose all of them or none, not just ${chosen.join(', ')}`,
        { param: 'mode.targets' },
      )
    }
    const names = targets.map(target => full(fused.find(({ parts }) => parts.includes(target))?.tensor ?? target))
    for (const name of new Set(names)) {
      const weight = weights.get(name)
      if (weight === undefined) throw new HubError('invalid_request', `the base model has no ${name} to adapt`)
      const [n0, n1] = weight.shape
      trained.push({ name: `${name}.lora_a`, kind: 'a', shape: [n0, rank] })
      trained.push({ name: `${name}.lora_b`, kind: 'b', shape: [rank, n1] })
    }
  }
  return trained
}

/** alpha / rank, or alpha / sqrt(rank) (rank-stabilised, Kalajdzievski 2023). */
export const loraScale = ({ alpha, rank, rsLora }: LoraSettings): number => alpha / (rsLora ? Math.sqrt(rank) : rank)

/** A is uniform within 1 / sqrt(in), B is zero, as peft starts them: the adapter changes nothing at first. */
export function startLora(parameters: Parameters, seed: number): void {
  parameters.all.forEach(({ name, kind, value, elements }, index) => {
    if (kind !== 'a') return
    const random = randomAt(seed, 1, index)
    const bound = 1 / Math.sqrt(value.shape[0])
    parameters.set(
      name,
      Float32Array.from({ length: elements }, () => (2 * random() - 1) * bound),
    )
  })
}

/** All weights as trained tensors. */
export function fullTensors(tensors: readonly Expected[]): Trained[] {
  return tensors
    .filter(({ name }) => !isConstant(name))
    .map(({ name, shape }) => ({ name, shape, kind: shape[1] === 1 ? 'vector' : 'matrix' }))
}

/** Norms are 1, biases 0, matrices normal with deviation 0.02, those that write to the residual smaller by sqrt(2 layers) (as GPT-2). */
export function startFull(parameters: Parameters, layers: number, seed: number): void {
  parameters.all.forEach(({ name, kind, elements }, index) => {
    if (kind === 'vector') {
      parameters.set(name, new Float32Array(elements).fill(name.endsWith('.bias') ? 0 : 1))
      return
    }
    const random = randomAt(seed, 1, index)
    const residual = name.includes('attn_output') || name.includes('ffn_down')
    const deviation = 0.02 / (residual ? Math.sqrt(2 * layers) : 1)
    // Box and Muller; 1 - random() is never 0.
    const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
    parameters.set(
      name,
      Float32Array.from({ length: elements }, () => normal() * deviation),
    )
  })
}
