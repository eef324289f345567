/** The memory of a run, known before the weights are read: the real allocator on the real graphs, with tensors that have a place but no memory. */
import { HubError } from '../lib/error.ts'
import { type Backend, type Ggml, loadGgml } from '../native/ggml.ts'
import type { Pointer } from '../native/structs.ts'
import { assembleBase, describeBase, type Header, readHeader } from './base.ts'
import { buildGraph, type GraphOptions } from './graph.ts'
import { Optimizer } from './optimizer.ts'
import { Parameters } from './parameters.ts'
import type { OpenOptions } from './types.ts'
import { declareWeights } from './weights.ts'

export type PlanOptions = Pick<
  OpenOptions,
  'library' | 'device' | 'mode' | 'buckets' | 'checkpoint' | 'attentionChunk' | 'headRows' | 'logitsTokens'
>

/** Bytes on the device, as `TrainerModel.memory()` gives them after the longest row. */
export type Plan = {
  weightsBytes: number
  /** Trained tensors, their gradients and both moments. */
  parameterBytes: number
  /** The largest graph with its inputs, and the optimizer's step. */
  computeBytes: number
  totalBytes: number
}

/**
 * @param source path of a GGUF, or its header
 * @throws HubError invalid_request for a base or settings that cannot be trained, not_found for the device
 */
export function planMemory(source: string | Header, options: PlanOptions): Plan {
  const ggml = loadGgml(options.library)
  const header = typeof source === 'string' ? readHeader(source) : source
  const backend = ggml.openBackend(options.device, 1)
  const planner = new Planner(ggml)
  try {
    return plan(planner, backend, header, options)
  } finally {
    planner.free()
    ggml.backend_free(backend.pointer)
  }
}

/** What fits, in the order of preference: nothing recomputed, layers recomputed, then shorter rows. */
export type Fit = { plan: Plan; buckets: number[]; checkpoint: boolean }

/**
 * The fastest settings that fit into `freeBytes`: `options.checkpoint` is kept when true and tried without when false, and the
 * longest rows are left out as long as `shortest` allows (samples longer than a row must be cut or dropped).
 * @throws HubError insufficient_memory with the figures when nothing fits
 */
export function fitMemory(
  source: string | Header,
  options: PlanOptions,
  limits: { freeBytes: number; shortest: number },
): Fit {
  const sorted = [...options.buckets].sort((a, b) => a - b)
  let least: Plan | undefined
  for (let count = sorted.length; count > 0; count--) {
    const buckets = sorted.slice(0, count)
    if (count < sorted.length && buckets.at(-1)! < limits.shortest) break
    for (const checkpoint of options.checkpoint ? [true] : [false, true]) {
      const plan = planMemory(source, { ...options, buckets, checkpoint })
      if (plan.totalBytes <= limits.freeBytes) return { plan, buckets, checkpoint }
      least = plan
    }
  }
  const needed = least === undefined ? 'at least one row length' : describePlan(least)
  throw new HubError(
    'insufficient_memory',
    `training needs ${needed}, but ${mebibytes(limits.freeBytes)} MiB are free; take shorter rows, a smaller rank, fewer targets or a smaller base`,
  )
}

/** For messages and progress: `6534 MiB (weights 4692, adapter and optimizer 640, computing 1202)`. */
export function describePlan({ weightsBytes, parameterBytes, computeBytes, totalBytes }: Plan): string {
  const [weights, parameters, compute] = [weightsBytes, parameterBytes, computeBytes].map(mebibytes)
  return `${mebibytes(totalBytes)} MiB (weights ${weights}, trained numbers and optimizer ${parameters}, computing ${compute})`
}

const mebibytes = (bytes: number): number => Math.ceil(bytes / 2 ** 20)

function plan(planner: Planner, backend: Backend, header: Header, options: PlanOptions): Plan {
  const { ggml } = planner
  const { mode, buckets, checkpoint, attentionChunk, headRows, logitsTokens } = options
  const length = Math.max(...buckets)
  const described = describeBase(header, mode)
  const { context, values } = declareWeights(ggml, described.frozen)
  planner.own(context)
  const weights = described.frozen.length === 0 ? null : ggml.backend_alloc_ctx_tensors(context, backend.pointer)
  const parameters = new Parameters(ggml, backend, described.trained)
  const optimizer = new Optimizer(ggml, backend, parameters)
  const base = assembleBase(ggml, backend, described, mode, values, parameters)
  // All graphs of a run lie in the memory of the largest one.
  const largest = (wanted: Pick<GraphOptions, 'kind' | 'length'>): number => {
    const graph = buildGraph(base, {
      ...wanted,
      supervised: wanted.length,
      checkpoint,
      dropout: mode.type === 'lora' ? mode.lora.dropout : 0,
      ...(attentionChunk !== undefined && { attentionChunk }),
      ...(headRows !== undefined && { headRows }),
    })
    graph.tape.checkOperations()
    const allocator = ggml.gallocr_new(backend.bufferType)
    ggml.gallocr_alloc_graph(allocator, graph.tape.graph)
    const bytes = Number(ggml.gallocr_get_buffer_size(allocator, 0))
    ggml.gallocr_free(allocator)
    graph.tape.free()
    return bytes
  }
  const parity = Math.min(length, logitsTokens ?? 0)
  const graphBytes = Math.max(
    largest({ kind: 'train', length }),
    parity === 0 ? 0 : largest({ kind: 'logits', length: parity }),
  )
  const weightsBytes = weights === null ? 0 : Number(ggml.backend_buffer_get_size(weights))
  const parameterBytes = parameters.bytes
  const computeBytes = graphBytes + optimizer.bytes
  optimizer.free()
  parameters.free()
  return { weightsBytes, parameterBytes, computeBytes, totalBytes: weightsBytes + parameterBytes + computeBytes }
}

/** Where tensors without memory seem to lie; nobody reads or writes there. */
const PLACE = 2 ** 16
const ENDLESS = 2 ** 46

/** A ggml whose buffers and graph memory are only counted. All that is built with it must be freed with it. */
class Planner {
  readonly ggml: Ggml
  readonly #real: Ggml
  readonly #contexts: Pointer[] = []
  readonly #bytes = new Map<Pointer, number>()

  constructor(real: Ggml) {
    this.#real = real
    const ignore = () => {}
    this.ggml = {
      ...real,
      backend_alloc_ctx_tensors: (context, backend) =>
        this.#place(context, real.backend_get_default_buffer_type(backend)),
      backend_buffer_get_size: buffer => this.#bytes.get(buffer) ?? 0,
      backend_buffer_free: buffer => real.backend_buffer_free(buffer),
      backend_buffer_clear: ignore,
      backend_buffer_set_usage: ignore,
      backend_tensor_set: ignore,
      set: ignore,
      gallocr_alloc_graph: (allocator, graph) => {
        const sizes = new BigUint64Array(16)
        real.gallocr_reserve_n_size(allocator, graph, null, null, sizes)
        this.#bytes.set(allocator, Number(sizes[0]))
        return true
      },
      gallocr_get_buffer_size: allocator => this.#bytes.get(allocator) ?? 0,
    }
  }

  own(context: Pointer): void {
    this.#contexts.push(context)
  }

  free(): void {
    for (const context of this.#contexts) this.#real.free(context)
  }

  /** Counts the tensors of a context and gives each a place, so that the allocator takes them for allocated. */
  #place(context: Pointer, bufferType: Pointer): Pointer {
    const ggml = this.#real
    const buffer = ggml.backend_cpu_buffer_from_ptr(PLACE, ENDLESS)
    this.#bytes.set(buffer, Number(ggml.backend_alloc_ctx_tensors_from_buft_size(context, bufferType)))
    for (let tensor = ggml.get_first_tensor(context); tensor !== null; tensor = ggml.get_next_tensor(context, tensor))
      ggml.backend_tensor_alloc(buffer, tensor, PLACE)
    return buffer
  }
}
