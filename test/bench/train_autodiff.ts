/** The same LoRA step as ggml's own reverse mode builds it (ggml_build_backward_expand): the yardstick for the hand-written tape. */
import { closeSync, openSync, readSync } from 'node:fs'
import { type Backend, emitter, type Ggml } from '../../server/native/ggml.ts'
import { GGML_TYPE, type RopeParameters } from '../../server/native/ggml_api.ts'
import type { Pointer } from '../../server/native/structs.ts'
import { readHeader } from '../../server/trainer/base.ts'
import { dimensions } from '../../server/trainer/gguf_read.ts'
import { projections, type TrainShape } from './train_model.ts'

const { F32, I32 } = GGML_TYPE

/** Milliseconds of one step over `length` tokens that are all targets, without the optimizer; the loss shows that it is the same one. */
export type AutodiffStep = { run(clock: () => number): Promise<{ ms: number; loss: number }>; free(): void }

/** Loads the weights of a model of `train_model.ts` and builds forward, loss and backward; nothing is recomputed, as ggml cannot. */
export function autodiffStep(
  ggml: Ggml,
  backend: Backend,
  path: string,
  shape: TrainShape,
  tokens: Int32Array,
  rank: number,
): AutodiffStep {
  const { width, heads, kvHeads, layers, vocabulary } = shape
  const length = tokens.length - 1
  const size = width / heads
  const frees: (() => void)[] = []
  const allocate = (context: Pointer): Pointer => {
    const buffer = ggml.backend_alloc_ctx_tensors(context, backend.pointer)
    if (buffer === null) throw new Error('no memory for the autodiff step')
    frees.push(() => ggml.backend_buffer_free(buffer))
    return buffer
  }

  const { tensors } = readHeader(path)
  const weightContext = ggml.context(tensors.length)
  const weights = new Map<string, Pointer>()
  for (const tensor of tensors)
    weights.set(tensor.name, ggml.new_tensor_4d(weightContext, tensor.type, ...dimensions(tensor)))
  allocate(weightContext)
  const file = openSync(path, 'r')
  for (const { name, bytes, offset } of tensors) {
    const data = new Uint8Array(bytes)
    readSync(file, data, 0, bytes, offset)
    ggml.set(weight(name), data)
  }
  closeSync(file)

  const parts = projections(shape)
  const parameterContext = ggml.context(2 * layers * Object.keys(parts).length)
  const pairs = new Map<string, { a: Pointer; b: Pointer }>()
  for (let layer = 0; layer < layers; layer++) {
    for (const [part, [input, output]] of Object.entries(parts)) {
      const a = ggml.new_tensor_2d(parameterContext, F32, input, rank)
      const b = ggml.new_tensor_2d(parameterContext, F32, rank, output)
      for (const tensor of [a, b]) ggml.set_param(tensor)
      pairs.set(`blk.${layer}.${part}`, { a, b })
    }
  }
  ggml.backend_buffer_clear(allocate(parameterContext), 0)

  const inputContext = ggml.context(4)
  const ids = ggml.new_tensor_1d(inputContext, I32, length)
  const positions = ggml.new_tensor_1d(inputContext, I32, length)
  const mask = ggml.new_tensor_2d(inputContext, F32, length, length)
  const labels = ggml.new_tensor_2d(inputContext, F32, vocabulary, length)
  allocate(inputContext)
  ggml.set(ids, tokens.slice(0, length))
  ggml.set(
    positions,
    Int32Array.from({ length }, (_, i) => i),
  )
  ggml.set(
    mask,
    Float32Array.from({ length: length * length }, (_, i) => (i % length > Math.floor(i / length) ? -Infinity : 0)),
  )
  const oneHot = new Float32Array(vocabulary * length)
  for (let i = 0; i < length; i++) oneHot[i * vocabulary + tokens[i + 1]!] = 1
  ggml.set(labels, oneHot)

  // A graph that holds gradients takes more room than `context` reckons with: the further tensors make up for it.
  const nodes = 400 * layers + 400
  const context = ggml.context(6 * nodes, 4 * nodes)
  const graph = ggml.new_graph_custom(context, nodes, true)
  const op = emitter(ggml, context, graph)
  const rope: RopeParameters = [size, 0, 8192, 1e4, 1, 0, 1, 32, 1]
  const linear = (x: Pointer, name: string): Pointer => {
    const { a, b } = pairs.get(name)!
    return op.add(op.mul_mat(weight(`${name}.weight`), x), op.scale(op.mul_mat(b, op.mul_mat(a, x)), 2))
  }
  const norm = (x: Pointer, name: string): Pointer => op.mul(op.rms_norm(x, 1e-5), weight(`${name}.weight`))
  let x = op.get_rows(weight('token_embd.weight'), ids)
  for (let layer = 0; layer < layers; layer++) {
    const name = (part: string): string => `blk.${layer}.${part}`
    const input = norm(x, name('attn_norm'))
    const head = (part: string, count: number): Pointer => op.reshape_3d(linear(input, name(part)), size, count, length)
    const turned = (part: string, count: number): Pointer =>
      op.permute(op.rope_ext(head(part, count), positions, null, ...rope), 0, 2, 1, 3)
    const scores = op.mul_mat(turned('attn_k', kvHeads), turned('attn_q', heads))
    const values = op.cont(op.permute(head('attn_v', kvHeads), 1, 2, 0, 3))
    const mixed = op.mul_mat(values, op.soft_max_ext(scores, mask, 1 / Math.sqrt(size), 0))
    const joined = op.reshape_2d(op.cont(op.permute(mixed, 0, 2, 1, 3)), width, length)
    x = op.add(x, linear(joined, name('attn_output')))
    const middle = norm(x, name('ffn_norm'))
    const activated = op.swiglu_split(linear(middle, name('ffn_gate')), linear(middle, name('ffn_up')))
    x = op.add(x, linear(activated, name('ffn_down')))
  }
  const loss = op.cross_entropy_loss(op.mul_mat(weight('output.weight'), norm(x, 'output_norm')), labels)
  ggml.set_loss(loss)
  ggml.set_output(loss)
  ggml.build_backward_expand(context, graph, null)
  for (const { a, b } of pairs.values()) {
    for (const tensor of [a, b]) {
      const gradient = ggml.graph_get_grad(graph, tensor)
      if (gradient !== null) ggml.set_output(gradient)
    }
  }
  const allocator = ggml.gallocr_new(backend.bufferType)
  if (!ggml.gallocr_alloc_graph(allocator, graph)) throw new Error('no memory for the autodiff step')

  function weight(name: string): Pointer {
    const tensor = weights.get(name)
    if (tensor === undefined) throw new Error(`${path} has no ${name}`)
    return tensor
  }
  return {
    async run(clock) {
      ggml.graph_reset(graph)
      const start = clock()
      await ggml.compute(backend, graph)
      const ms = clock() - start
      return { ms, loss: ggml.get(loss, new Float32Array(1))[0]! }
    },
    free() {
      ggml.gallocr_free(allocator)
      for (const free of frees) free()
      for (const each of [context, weightContext, parameterContext, inputContext]) ggml.free(each)
    },
  }
}
