/** The base model's tensors: declared from the GGUF header, allocated on the device, then read piece by piece from the file. */
import { open, stat } from 'node:fs/promises'
import { basename } from 'node:path'
import { HubError } from '../lib/error.ts'
import type { Backend, Ggml } from '../native/ggml.ts'
import { GGML_TYPE } from '../native/ggml_api.ts'
import type { Pointer } from '../native/structs.ts'
import { brokenBlock } from './finite.ts'
import { dimensions, type GgufTensor, TRAINED_TYPES } from './gguf_read.ts'
import type { Value } from './tape.ts'

/** Bytes read at once, or somewhat less: whole blocks. */
const PIECE = 16 * 2 ** 20

export type Weights = {
  values: Map<string, Value>
  bytes: number
  free(): void
}

/** Tensors without memory. @throws HubError invalid_request for a type that cannot be trained on */
export function declareWeights(
  ggml: Ggml,
  tensors: readonly GgufTensor[],
): { context: Pointer; values: Map<string, Value> } {
  const odd = tensors.find(tensor => !TRAINED_TYPES.has(tensor.type))
  if (odd !== undefined) {
    const type = ggml.type_name(odd.type) ?? odd.type
    throw new HubError(
      'invalid_request',
      `${odd.name} is of type ${type}, which cannot be trained on; take a base in ${[...TRAINED_TYPES.values()].map(([name]) => name).join(', ')}`,
    )
  }
  const context = ggml.context(tensors.length)
  const values = new Map<string, Value>()
  for (const each of tensors) {
    const { name, type } = each
    const shape = dimensions(each)
    const tensor = ggml.new_tensor_4d(context, type, ...shape)
    ggml.set_name(tensor, name)
    values.set(name, { tensor, shape, type, needs: false })
  }
  return { context, values }
}

/** @throws HubError insufficient_memory, or invalid_request when the file is shorter than its header says */
export async function loadWeights(
  ggml: Ggml,
  backend: Backend,
  path: string,
  tensors: readonly GgufTensor[],
): Promise<Weights> {
  await checkLength(path, tensors)
  const { context, values } = declareWeights(ggml, tensors)
  const buffer = tensors.length === 0 ? null : ggml.backend_alloc_ctx_tensors(context, backend.pointer)
  if (buffer === null && tensors.length > 0) {
    ggml.free(context)
    const mebibytes = Math.ceil(tensors.reduce((sum, tensor) => sum + tensor.bytes, 0) / 2 ** 20)
    throw new HubError(
      'insufficient_memory',
      `${backend.device.name} has no ${mebibytes} MiB for the weights of ${path}`,
    )
  }
  const free = () => {
    if (buffer !== null) ggml.backend_buffer_free(buffer)
    ggml.free(context)
  }
  try {
    // Usage 1: weights.
    if (buffer !== null) ggml.backend_buffer_set_usage(buffer, 1)
    for await (const { tensor, bytes, at } of readTensors(path, tensors))
      ggml.set(values.get(tensor.name)!.tensor, bytes, at)
  } catch (error) {
    free()
    throw error
  }
  return { values, bytes: buffer === null ? 0 : Number(ggml.backend_buffer_get_size(buffer)), free }
}

/** Pieces of every tensor, in order, checked for values that are not finite; a piece is valid until the next one. */
async function* readTensors(path: string, tensors: readonly GgufTensor[]) {
  const file = await open(path)
  try {
    const piece = Buffer.allocUnsafe(PIECE)
    for (const tensor of tensors) {
      const [, blockElements, blockBytes] = TRAINED_TYPES.get(tensor.type)!
      const most = PIECE - (PIECE % blockBytes)
      for (let at = 0; at < tensor.bytes; ) {
        const wanted = Math.min(most, tensor.bytes - at)
        for (let done = 0; done < wanted; ) {
          const { bytesRead } = await file.read(piece, done, wanted - done, tensor.offset + at + done)
          if (bytesRead === 0)
            throw new HubError('invalid_request', `${path} ends within ${tensor.name}; download it again`)
          done += bytesRead
        }
        const bytes = piece.subarray(0, wanted)
        const broken = brokenBlock(tensor.type, bytes)
        if (broken !== undefined) {
          const place = (at / blockBytes + broken) * blockElements
          throw new HubError(
            'model_broken',
            `${basename(path)}: ${tensor.name} holds values that are not finite (from number ${place} on); get the file again`,
          )
        }
        yield { tensor, bytes, at }
        at += wanted
      }
    }
  } finally {
    await file.close()
  }
}

async function checkLength(path: string, tensors: readonly GgufTensor[]): Promise<void> {
  const needed = Math.max(0, ...tensors.map(tensor => tensor.offset + tensor.bytes))
  const { size } = await stat(path)
  if (size < needed) {
    throw new HubError(
      'invalid_request',
      `${path} is truncated: it has ${size} bytes, its tensors need ${needed}; download it again`,
    )
  }
}

/** A tensor of the file as F32 in the host's memory, whatever its type. */
export async function readAsF32(ggml: Ggml, path: string, tensor: GgufTensor): Promise<Float32Array> {
  await checkLength(path, [tensor])
  const raw = Buffer.alloc(tensor.bytes)
  for await (const { bytes, at } of readTensors(path, [tensor])) bytes.copy(raw, at)
  const elements = tensor.shape.reduce((product, n) => product * n, 1)
  if (tensor.type === GGML_TYPE.F32) return new Float32Array(raw.buffer, raw.byteOffset, elements)
  const values = new Float32Array(elements)
  const cpu = ggml.openBackend('CPU', 1)
  const { context, values: declared } = declareWeights(ggml, [tensor])
  const work = ggml.context(8, 8)
  const source = declared.get(tensor.name)!.tensor
  const buffer = ggml.backend_alloc_ctx_tensors(context, cpu.pointer)
  const allocator = ggml.gallocr_new(cpu.bufferType)
  try {
    if (buffer === null) throw new HubError('insufficient_memory', `no memory for ${tensor.name} as F32`)
    ggml.set(source, raw)
    const graph = ggml.new_graph_custom(work, 8, false)
    const result = ggml.operations.cast(work, source, GGML_TYPE.F32)
    ggml.build_forward_expand(graph, result)
    ggml.gallocr_alloc_graph(allocator, graph)
    await ggml.compute(cpu, graph)
    return ggml.get(result, values)
  } finally {
    ggml.gallocr_free(allocator)
    if (buffer !== null) ggml.backend_buffer_free(buffer)
    ggml.free(work)
    ggml.free(context)
    ggml.backend_free(cpu.pointer)
  }
}
