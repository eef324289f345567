/** The least time that the matrix products of a training step could take: each shape alone, by the same library, on the same backend. */
import type { Backend, Ggml } from '../../server/native/ggml.ts'
import { GGML_TYPE } from '../../server/native/ggml_api.ts'
import { projections, type TrainShape } from './train_model.ts'

/** One product a [k, m] x b [k, n], done `times` in a step. */
export type Product = { name: string; type: number; k: number; m: number; n: number; times: number }

/**
 * The products of a step over a row of `length` tokens, all of them targets: the projections and the head forward, once more where
 * layers are recomputed, and backward by their F32 transpose. `attention` counts the causal half only. The small LoRA products are
 * left out, and so is the gradient by the first layer's input, which nobody needs.
 */
export function stepProducts(
  shape: TrainShape,
  type: number,
  length: number,
  recomputed: boolean,
): { projections: Product[]; attention: Product[] } {
  const { width, heads, layers, vocabulary } = shape
  const forward = recomputed ? 2 : 1
  const list: Product[] = []
  for (const [name, [input, output]] of Object.entries(projections(shape))) {
    list.push({ name, type, k: input, m: output, n: length, times: forward * layers })
    const first = ['attn_q', 'attn_k', 'attn_v'].includes(name) ? 1 : 0
    list.push({ name: `${name} back`, type: GGML_TYPE.F32, k: output, m: input, n: length, times: layers - first })
  }
  list.push({ name: 'output', type, k: width, m: vocabulary, n: length, times: 1 })
  list.push({ name: 'output back', type: GGML_TYPE.F32, k: vocabulary, m: width, n: length, times: 1 })
  const head = width / heads
  // Scores and their gradient contract over the head, the other three over positions; half of each lies above the diagonal.
  const half = (layers * heads) / 2
  const attention = [
    { name: 'scores', type: GGML_TYPE.F32, k: head, m: length, n: length, times: half * (forward + 1) },
    { name: 'mix', type: GGML_TYPE.F32, k: length, m: head, n: length, times: half * (forward + 3) },
  ]
  return { projections: list, attention }
}

/** Multiplications and additions. */
export const flops = (products: readonly Product[]): number =>
  products.reduce((sum, { k, m, n, times }) => sum + 2 * k * m * n * times, 0)

/** A product to be measured again and again; `run` gives the milliseconds of one. */
export type Measured = { product: Product; run(clock: () => number): Promise<number>; free(): void }

/** Fills the operands with numbers of ordinary size: zeros and denormals have other speeds. */
export function prepare(ggml: Ggml, backend: Backend, product: Product): Measured {
  const { type, k, m, n } = product
  const inputs = ggml.context(2)
  const a = ggml.new_tensor_2d(inputs, type, k, m)
  const b = ggml.new_tensor_2d(inputs, GGML_TYPE.F32, k, n)
  const buffer = ggml.backend_alloc_ctx_tensors(inputs, backend.pointer)
  if (buffer === null) throw new Error(`no memory for ${product.name}`)
  const values = Float32Array.from({ length: k * Math.max(m, n) }, (_, i) => ((i * 7919) % 2003) / 2003 - 0.5)
  if (type === GGML_TYPE.F32) ggml.set(a, values.subarray(0, k * m))
  else {
    const quantised = new Uint8Array(Number(ggml.nbytes(a)))
    ggml.quantize_chunk(type, values, quantised, 0, m, k, null)
    ggml.set(a, quantised)
  }
  ggml.set(b, values.subarray(0, k * n))
  const context = ggml.context(4, 4)
  const graph = ggml.new_graph_custom(context, 4, false)
  ggml.build_forward_expand(graph, ggml.operations.mul_mat(context, a, b))
  const allocator = ggml.gallocr_new(backend.bufferType)
  ggml.gallocr_alloc_graph(allocator, graph)
  return {
    product,
    async run(clock) {
      const start = clock()
      await ggml.compute(backend, graph)
      return clock() - start
    },
    free() {
      ggml.gallocr_free(allocator)
      ggml.free(context)
      ggml.backend_buffer_free(buffer)
      ggml.free(inputs)
    },
  }
}

/** The least milliseconds of each product over `rounds`, times how often a step does it. */
export async function ceilingMs(
  ggml: Ggml,
  backend: Backend,
  products: readonly Product[],
  clock: () => number,
  rounds: number,
): Promise<number> {
  let total = 0
  for (const product of products) {
    const measured = prepare(ggml, backend, product)
    let best = Number.POSITIVE_INFINITY
    // The first run touches the memory for the first time.
    for (let round = 0; round <= rounds; round++) {
      const ms = await measured.run(clock)
      if (round > 0) best = Math.min(best, ms)
    }
    measured.free()
    total += best * product.times
  }
  return total
}
