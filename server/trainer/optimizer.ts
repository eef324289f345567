/** AdamW with decoupled decay (Loshchilov and Hutter 2019) after clipping by the global norm, on the device. */
import { HubError } from '../lib/error.ts'
import { type Backend, emitter, type Ggml } from '../native/ggml.ts'
import { GGML_TYPE } from '../native/ggml_api.ts'
import type { Pointer } from '../native/structs.ts'
import type { Kind, Parameters } from './parameters.ts'
import type { OptimizerSettings } from './types.ts'

const KINDS: readonly Kind[] = ['a', 'b', 'matrix', 'vector']

export class Optimizer {
  readonly #ggml: Ggml
  readonly #backend: Backend
  readonly #parameters: Parameters
  readonly #contexts: Pointer[]
  readonly #allocators: Pointer[]
  readonly #inputs: Pointer
  readonly #normGraph: Pointer
  readonly #stepGraph: Pointer
  readonly #squares: Pointer
  readonly #clip: Pointer
  readonly #settings: { [kind in Kind]: Pointer }

  constructor(ggml: Ggml, backend: Backend, parameters: Parameters) {
    this.#ggml = ggml
    this.#backend = backend
    this.#parameters = parameters
    const nodes = parameters.all.length * 4 + 16
    const inputs = ggml.context(8)
    const normContext = ggml.context(nodes, nodes)
    const stepContext = ggml.context(nodes, nodes)
    this.#contexts = [inputs, normContext, stepContext]
    this.#clip = ggml.new_tensor_1d(inputs, GGML_TYPE.F32, 1)
    this.#settings = Object.fromEntries(KINDS.map(kind => [kind, ggml.new_tensor_1d(inputs, GGML_TYPE.F32, 7)])) as {
      [kind in Kind]: Pointer
    }
    this.#inputs = ggml.backend_alloc_ctx_tensors(inputs, backend.pointer) ?? this.#full()

    this.#normGraph = ggml.new_graph_custom(normContext, nodes, false)
    const norm = emitter(ggml, normContext, this.#normGraph)
    this.#squares = parameters.all
      .map(({ gradient }) => norm.sum(norm.sqr(gradient)))
      .reduce((sum, squares) => norm.add(sum, squares))
    ggml.set_output(this.#squares)

    this.#stepGraph = ggml.new_graph_custom(stepContext, nodes, false)
    const step = emitter(ggml, stepContext, this.#stepGraph)
    for (const { value, gradient, m, v, kind } of parameters.all)
      step.opt_step_adamw(value.tensor, step.mul(gradient, this.#clip), m, v, this.#settings[kind])

    this.#allocators = [this.#normGraph, this.#stepGraph].map(graph => {
      const allocator = ggml.gallocr_new(backend.bufferType)
      if (!ggml.gallocr_alloc_graph(allocator, graph)) this.#full()
      return allocator
    })
  }

  get bytes(): number {
    const inputs = Number(this.#ggml.backend_buffer_get_size(this.#inputs))
    return this.#allocators.reduce((sum, each) => sum + Number(this.#ggml.gallocr_get_buffer_size(each, 0)), inputs)
  }

  /** One step with the gradients as accumulated; they are zero afterwards. With a norm that is not finite only they change. */
  async step(rate: number, options: OptimizerSettings): Promise<{ gradientNorm: number; finite: boolean }> {
    const { beta1, beta2, epsilon, weightDecay, maxGradNorm, loraPlusRatio } = options
    await this.#ggml.compute(this.#backend, this.#normGraph)
    const gradientNorm = Math.sqrt(this.#ggml.get(this.#squares, new Float32Array(1))[0]!)
    const finite = Number.isFinite(gradientNorm)
    if (finite) {
      this.#parameters.stepCount++
      const t = this.#parameters.stepCount
      const clip = maxGradNorm > 0 && gradientNorm > maxGradNorm ? maxGradNorm / gradientNorm : 1
      this.#ggml.set(this.#clip, Float32Array.of(clip))
      for (const kind of KINDS) {
        // LoRA+ (Hayou et al. 2024): B learns faster than A. Norms and biases do not decay.
        const alpha = kind === 'b' ? rate * loraPlusRatio : rate
        const decay = kind === 'vector' ? 0 : weightDecay
        const corrections = [1 / (1 - beta1 ** t), 1 / (1 - beta2 ** t)]
        this.#ggml.set(this.#settings[kind], Float32Array.of(alpha, beta1, beta2, epsilon, decay, ...corrections))
      }
      await this.#ggml.compute(this.#backend, this.#stepGraph)
    }
    this.#parameters.clearGradients()
    return { gradientNorm, finite }
  }

  free(): void {
    for (const allocator of this.#allocators) this.#ggml.gallocr_free(allocator)
    this.#ggml.backend_buffer_free(this.#inputs)
    for (const context of this.#contexts) this.#ggml.free(context)
  }

  #full(): never {
    throw new HubError('insufficient_memory', `${this.#backend.device.name} has no memory for the optimizer's step`)
  }
}
