/** Merges an adapter into its base: a whole new GGUF, W + scale x B x A computed by ggml and quantised by ggml, in chunks of rows. */
import { basename } from 'node:path'
import { HubError } from '../lib/error.ts'
import { type Backend, type Ggml, loadGgml } from '../native/ggml.ts'
import { GGML_TYPE } from '../native/ggml_api.ts'
import type { ConvertTask, MergeType } from '../wire/adapter.ts'
import { type Adapter, readAdapter } from './adapter.ts'
import { type GgufTensor, readGguf, scalar, type TensorTypes, TRAINED_TYPES, tensorChunks } from './gguf_read.ts'
import { type StreamedTensor, streamGguf } from './gguf_stream.ts'
import { stringValue, u32Value } from './gguf_write.ts'

export type MergeTask = Omit<Extract<ConvertTask, { kind: 'merge' }>, 'kind'>

/** Beside the trained types those that are copied and, except the last ones, made anew. */
export const MERGED_TYPES: TensorTypes = new Map([
  ...TRAINED_TYPES,
  [10, ['Q2_K', 256, 84]],
  [11, ['Q3_K', 256, 110]],
  [20, ['IQ4_NL', 32, 18]],
  [23, ['IQ4_XS', 256, 136]],
  [16, ['IQ2_XXS', 256, 66]],
  [17, ['IQ2_XS', 256, 74]],
  [18, ['IQ3_XXS', 256, 98]],
  [19, ['IQ1_S', 256, 50]],
  [21, ['IQ3_S', 256, 110]],
  [22, ['IQ2_S', 256, 82]],
  [29, ['IQ1_M', 256, 56]],
])
/** These cannot be made well without an importance matrix. */
const NEEDS_IMPORTANCE: readonly number[] = [16, 17, 18, 19, 21, 22, 29]

/** `general.file_type` of each type, by llama.cpp's numbers. */
const FILE_TYPE: { [type in Exclude<MergeType, 'same'>]: number } = {
  F32: 0,
  F16: 1,
  Q4_0: 2,
  Q8_0: 7,
  Q4_K_M: 15,
  Q5_K_M: 17,
  Q6_K: 18,
  BF16: 32,
}
/** Values computed at a time, so that 64 MiB of F32 are the most that one step needs of each kind. */
const CHUNK_VALUES = 2 ** 24

type Pair = { a: Float32Array; b: Float32Array; rank: number; scale: number }
type Source = GgufTensor & { path: string }
type Compute = { ggml: Ggml; cpu: Backend; threads: number }

/** @returns bytes of the new file @throws HubError conflict when adapter and base do not fit, invalid_request, insufficient_storage */
export async function mergeAdapter(
  task: MergeTask,
  report: (fraction: number) => void = () => undefined,
): Promise<number> {
  const parts = task.base.map(path => readGguf(path, MERGED_TYPES))
  const [first] = parts
  if (first === undefined) throw new HubError('invalid_request', 'a merge needs a base')
  if ([...task.base, task.adapter].includes(task.output)) {
    throw new HubError('conflict', `${task.output} is one of the files to be merged; choose another output`)
  }
  const tensors: Source[] = parts.flatMap(part => part.tensors.map(tensor => ({ ...tensor, path: part.path })))
  const adapter = readAdapter(task.adapter)
  const pairs = pairsOf(adapter, first.metadata, tensors, task.scale)
  const layers = 1 + Math.max(-1, ...tensors.map(({ name }) => Number(/^blk\.(\d+)\./.exec(name)?.[1] ?? -1)))
  const tied = !tensors.some(({ name }) => name === 'output.weight')
  const ggml = loadGgml()
  const cpu = ggml.openBackend('CPU', task.threads)
  try {
    const written = tensors.map((tensor): StreamedTensor => {
      const pair = pairs.get(tensor.name)
      const type = typeOf(tensor, task.type, { layers, tied })
      const { name, shape } = tensor
      if (pair === undefined && type === tensor.type) {
        return { name, shape, type, bytes: tensor.bytes, data: () => tensorChunks(tensor.path, tensor) }
      }
      if (NEEDS_IMPORTANCE.includes(type)) {
        throw new HubError(
          'invalid_request',
          `${name} is ${MERGED_TYPES.get(type)?.[0]}, which cannot be made anew without an importance matrix; choose a type such as Q4_K_M`,
          { param: 'type' },
        )
      }
      const rows = shape.slice(1).reduce((product, n) => product * n, 1)
      const bytes = rows * Number(ggml.row_size(type, shape[0]!))
      return { name, shape, type, bytes, data: () => merged({ ggml, cpu, threads: task.threads }, tensor, type, pair) }
    })
    const metadata = new Map(first.metadata)
    for (const key of [...metadata.keys()]) if (key.startsWith('split.')) metadata.delete(key)
    metadata.set('general.finetune', stringValue(basename(task.adapter).replace(/\.gguf$/i, '')))
    if (task.type !== 'same') {
      metadata.set('general.file_type', u32Value(FILE_TYPE[task.type]))
      if (['F32', 'F16', 'BF16'].includes(task.type)) metadata.delete('general.quantization_version')
      else metadata.set('general.quantization_version', u32Value(2))
    }
    return await streamGguf(task.output, metadata, written, report)
  } finally {
    ggml.backend_free(cpu.pointer)
  }
}

/** The halves of the adapter by the tensor that they change. @throws HubError conflict naming what does not fit */
function pairsOf(
  adapter: Adapter,
  metadata: Map<string, Uint8Array>,
  tensors: readonly Source[],
  scale: number,
): Map<string, Pair> {
  const unfit = (what: string) => new HubError('conflict', `${adapter.name} does not fit this base: ${what}`)
  const architecture = String(scalar(metadata.get('general.architecture')))
  if (adapter.architecture !== architecture) {
    throw unfit(`it is for ${adapter.architecture}, and the base is ${architecture}`)
  }
  const pairs = new Map<string, Pair>()
  for (const [name, a] of adapter.tensors) {
    if (!name.endsWith('.lora_a')) continue
    const of = name.slice(0, -'.lora_a'.length)
    const b = adapter.tensors.get(`${of}.lora_b`)
    const base = tensors.find(tensor => tensor.name === of)
    if (b === undefined) throw unfit(`it has no ${of}.lora_b`)
    if (base === undefined) throw unfit(`the base has no ${of}`)
    if (of === 'token_embd.weight') throw unfit('adapters of the embedding cannot be merged')
    const [rank = 1, rows = 1] = b.shape
    if (a.shape[0] !== base.shape[0] || rows !== base.shape[1] || (a.shape[1] ?? 1) !== rank || base.shape.length > 2) {
      throw unfit(
        `${of} is ${base.shape.join(' x ')}, and its halves are ${a.shape.join(' x ')} and ${b.shape.join(' x ')}`,
      )
    }
    if (a.values.some(value => !Number.isFinite(value)) || b.values.some(value => !Number.isFinite(value))) {
      throw unfit(`${of} of the adapter holds values that are not finite`)
    }
    // As the engine scales it: by alpha / rank, or not at all where alpha is 0.
    pairs.set(of, {
      a: a.values,
      b: b.values,
      rank,
      scale: adapter.alpha === 0 ? scale : (scale * adapter.alpha) / rank,
    })
  }
  if (pairs.size * 2 !== adapter.tensors.size) throw unfit('it holds tensors that are no halves of a LoRA')
  return pairs
}

/** The type that a tensor gets: vectors stay as they are, and the mixtures give more bits where llama.cpp's do. */
function typeOf(tensor: Source, wanted: MergeType, model: { layers: number; tied: boolean }): number {
  const { name, shape } = tensor
  if (wanted === 'same' || shape.length < 2 || !name.endsWith('.weight') || name.startsWith('rope_')) return tensor.type
  const mixture = wanted === 'Q4_K_M' || wanted === 'Q5_K_M'
  const plain = mixture ? GGML_TYPE[wanted === 'Q4_K_M' ? 'Q4_K' : 'Q5_K'] : GGML_TYPE[wanted]
  const type = mixture && isSensitive(name, model) ? GGML_TYPE.Q6_K : plain
  const [, block] = MERGED_TYPES.get(type)!
  if (shape[0]! % block === 0) return type
  // Rows that no block divides get the next finer type with smaller blocks.
  return shape[0]! % 32 === 0 ? GGML_TYPE.Q8_0 : GGML_TYPE.F16
}

/** The output, and the value and down projections of the outer layers and of every third one between. */
function isSensitive(name: string, { layers, tied }: { layers: number; tied: boolean }): boolean {
  if (name === 'output.weight' || (tied && name === 'token_embd.weight')) return true
  const [, layer] = /^blk\.(\d+)\.(?:attn_v|ffn_down)\./.exec(name) ?? []
  if (layer === undefined) return false
  const [at, eighth] = [Number(layer), Math.floor(layers / 8)]
  return at < eighth || at >= Math.floor((7 * layers) / 8) || (at - eighth) % 3 === 2
}

/** The tensor anew in the wanted type, some rows at a time. */
async function* merged(
  compute: Compute,
  tensor: Source,
  type: number,
  pair: Pair | undefined,
): AsyncGenerator<Uint8Array> {
  const columns = tensor.shape[0]!
  const rows = tensor.shape.slice(1).reduce((product, n) => product * n, 1)
  const rowBytes = tensor.bytes / rows
  const step = Math.max(1, Math.min(rows, Math.floor(CHUNK_VALUES / columns)))
  let at = 0
  let rest = Buffer.alloc(0)
  for (const chunk of tensorChunks(tensor.path, tensor)) {
    rest = Buffer.concat([rest, chunk])
    while (at < rows && rest.length >= Math.min(step, rows - at) * rowBytes) {
      const count = Math.min(step, rows - at)
      const raw = rest.subarray(0, count * rowBytes)
      const values = await addPair(compute, { type: tensor.type, columns, rows: count, raw }, pair, at)
      rest = rest.subarray(count * rowBytes)
      at += count
      if (type === GGML_TYPE.F32) {
        yield new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
        continue
      }
      yield await quantise(compute, values, type, columns, count)
    }
  }
}

/** Rows in the wanted type; each thread makes its share of them. */
async function quantise(
  { ggml, threads }: Compute,
  values: Float32Array,
  type: number,
  columns: number,
  rows: number,
): Promise<Uint8Array> {
  const rowBytes = Number(ggml.row_size(type, columns))
  const target = new Uint8Array(rowBytes * rows)
  const share = Math.ceil(rows / threads)
  const shares = Array.from({ length: Math.ceil(rows / share) }, async (_, index) => {
    const [from, to] = [index * share, Math.min(rows, (index + 1) * share)]
    const source = values.subarray(from * columns, to * columns)
    const into = target.subarray(from * rowBytes, to * rowBytes)
    return new Promise<void>((resolve, reject) => {
      ggml.quantize_chunk.async(type, source, into, 0, to - from, columns, null, error =>
        error ? reject(error) : resolve(),
      )
    })
  })
  await Promise.all(shares)
  return target
}

/** Some rows of a tensor as F32, with scale x B x A added. */
async function addPair(
  { ggml, cpu }: Compute,
  part: { type: number; columns: number; rows: number; raw: Uint8Array },
  pair: Pair | undefined,
  firstRow: number,
): Promise<Float32Array> {
  const { type, columns, rows, raw } = part
  const inputs = ggml.context(3)
  const work = ggml.context(16, 16)
  const allocator = ggml.gallocr_new(cpu.bufferType)
  let buffer: bigint | null = null
  try {
    const weights = ggml.new_tensor_2d(inputs, type, columns, rows)
    const a = pair && ggml.new_tensor_2d(inputs, GGML_TYPE.F32, columns, pair.rank)
    const b = pair && ggml.new_tensor_2d(inputs, GGML_TYPE.F32, pair.rank, rows)
    buffer = ggml.backend_alloc_ctx_tensors(inputs, cpu.pointer)
    if (buffer === null) throw new HubError('insufficient_memory', 'there is no memory for a part of a tensor')
    ggml.set(weights, raw)
    const { operations } = ggml
    let result = type === GGML_TYPE.F32 ? weights : operations.cast(work, weights, GGML_TYPE.F32)
    if (pair !== undefined && a !== undefined && b !== undefined) {
      ggml.set(a, pair.a)
      ggml.set(b, pair.b.subarray(firstRow * pair.rank, (firstRow + rows) * pair.rank))
      // [rank, columns] x [rank, rows] -> [columns, rows]
      const turned = operations.cont(work, operations.transpose(work, a))
      const delta = operations.scale(work, operations.mul_mat(work, turned, b), pair.scale)
      result = operations.add(work, result, delta)
    }
    if (result === weights) return ggml.get(weights, new Float32Array(columns * rows))
    const graph = ggml.new_graph_custom(work, 16, false)
    ggml.build_forward_expand(graph, result)
    ggml.set_output(result)
    ggml.gallocr_alloc_graph(allocator, graph)
    await ggml.compute(cpu, graph)
    return ggml.get(result, new Float32Array(columns * rows))
  } finally {
    ggml.gallocr_free(allocator)
    if (buffer !== null) ggml.backend_buffer_free(buffer)
    ggml.free(work)
    ggml.free(inputs)
  }
}
