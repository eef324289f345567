/** The least time that the matrix products of a training step could take: each shape alone, by the same library, on the same backend. */
import type { Backend, Ggml } from '../../server/native/ggml.ts'
import { GGML_TYPE } from '../../server/native/ggml_api.ts'
import type { Pointer } from '../../server/native/structs.ts'
import { projections, type TrainShape } from './train_model.ts'

/** One product a [k, m] x b [k, n] -> [m, n], done `times` in a step. */
export type Product = { name: string; type: number; k: number; m: number; n: number; times: number }
/** Of equal length in the row that is measured; each attends to itself alone. */
export const SEQUENCES = 2
export type Products = { projections: Product[]; attention: Product[]; adapter: Product[] }

/**
 * The products that a step over a row of `length` tokens cannot do without, all tokens being targets: projections and head, again
 * in as many layers as are `recomputed`, and their gradients by the F32 transpose; the causal half of each sequence's attention; the adapter of `rank`
 * on every projection. Nobody needs the gradient by the first layer's input, nor the last projection of a recomputed layer.
 */
export function stepProducts(
  shape: TrainShape,
  type: number,
  length: number,
  rank: number,
  recomputed: number,
): Products {
  const { width, heads, layers, vocabulary } = shape
  const { F32 } = GGML_TYPE
  const forwards = layers + recomputed
  const list: Product[] = []
  const adapter: Product[] = []
  for (const [name, [input, output]] of Object.entries(projections(shape))) {
    const forward = name === 'ffn_down' ? layers : forwards
    const backward = layers - (['attn_q', 'attn_k', 'attn_v'].includes(name) ? 1 : 0)
    list.push({ name, type, k: input, m: output, n: length, times: forward })
    list.push({ name: `${name} back`, type: F32, k: output, m: input, n: length, times: backward })
    adapter.push(
      { name: `${name} A`, type: F32, k: input, m: rank, n: length, times: forwards },
      { name: `${name} B`, type: F32, k: rank, m: output, n: length, times: forward },
      { name: `${name} B back`, type: F32, k: output, m: rank, n: length, times: layers },
      { name: `${name} A back`, type: F32, k: rank, m: input, n: length, times: backward },
      { name: `${name} gradient of A`, type: F32, k: length, m: input, n: rank, times: layers },
      { name: `${name} gradient of B`, type: F32, k: length, m: output, n: rank, times: layers },
    )
  }
  list.push({ name: 'output', type, k: width, m: vocabulary, n: length, times: 1 })
  list.push({ name: 'output back', type: F32, k: vocabulary, m: width, n: length, times: 1 })
  const size = width / heads
  // Scores and their gradient contract over the head, the other three over positions; half of each lies above the diagonal.
  const half = (heads / 2) * SEQUENCES
  const seen = length / SEQUENCES
  const attention = [
    { name: 'scores', type: F32, k: size, m: seen, n: seen, times: half * (forwards + layers) },
    { name: 'mix', type: F32, k: seen, m: size, n: seen, times: half * (forwards + 3 * layers) },
  ]
  return { projections: list, attention, adapter }
}

/** A product to be measured again and again; `run` gives the milliseconds of one. */
export type Measured = { run(clock: () => number): Promise<number>; free(): void }

/** A product is thin when one of its sides is; the library's other kernel (OUT_PROD) may then be the faster one and counts. */
const THIN = 64

/** Fills the operands with numbers of ordinary size: zeros and denormals have other speeds. */
export function prepare(ggml: Ggml, backend: Backend, product: Product): Measured {
  const { type, k, m, n } = product
  const inputs = ggml.context(4)
  const thin = type === GGML_TYPE.F32 && Math.min(k, m, n) <= THIN
  const a = ggml.new_tensor_2d(inputs, type, k, m)
  const b = ggml.new_tensor_2d(inputs, GGML_TYPE.F32, k, n)
  const columns = thin ? [ggml.new_tensor_2d(inputs, type, m, k), ggml.new_tensor_2d(inputs, type, n, k)] : []
  const buffer = ggml.backend_alloc_ctx_tensors(inputs, backend.pointer)
  if (buffer === null) throw new Error(`no memory for ${product.name}`)
  const values = Float32Array.from({ length: k * Math.max(m, n) }, (_, i) => ((i * 7919) % 2003) / 2003 - 0.5)
  if (type === GGML_TYPE.F32) {
    for (const tensor of [a, ...columns.slice(0, 1)]) ggml.set(tensor, values.subarray(0, k * m))
  } else {
    const quantised = new Uint8Array(Number(ggml.nbytes(a)))
    ggml.quantize_chunk(type, values, quantised, 0, m, k, null)
    ggml.set(a, quantised)
  }
  for (const tensor of [b, ...columns.slice(1)]) ggml.set(tensor, values.subarray(0, k * n))
  const { mul_mat, out_prod } = ggml.operations
  const kernels = [graphOf(ggml, backend, context => mul_mat(context, a, b))]
  const [left, right] = columns
  if (left !== undefined && right !== undefined)
    kernels.push(graphOf(ggml, backend, context => out_prod(context, left, right)))
  return {
    async run(clock) {
      const times: number[] = []
      for (const { graph } of kernels) {
        const start = clock()
        await ggml.compute(backend, graph)
        times.push(clock() - start)
      }
      return Math.min(...times)
    },
    free() {
      for (const kernel of kernels) kernel.free()
      ggml.backend_buffer_free(buffer)
      ggml.free(inputs)
    },
  }
}

/** A graph of one node. */
function graphOf(ggml: Ggml, backend: Backend, make: (context: Pointer) => Pointer) {
  const context = ggml.context(4, 4)
  const graph = ggml.new_graph_custom(context, 4, false)
  ggml.build_forward_expand(graph, make(context))
  const allocator = ggml.gallocr_new(backend.bufferType)
  ggml.gallocr_alloc_graph(allocator, graph)
  return {
    graph,
    free() {
      ggml.gallocr_free(allocator)
      ggml.free(context)
    },
  }
}
