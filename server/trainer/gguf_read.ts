/** Reads the header of a GGUF file: its metadata as it stands there, and where each tensor lies. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { basename } from 'node:path'
import { HubError } from '../lib/error.ts'

export type GgufTensor = {
  name: string
  /** In ggml's order: the length of a row first. */
  shape: number[]
  /** ggml's number of the type. */
  type: number
  /** Place in the file, in bytes. */
  offset: number
  bytes: number
}

/** The same of up to four dimensions. */
export const dimensions = ({
  shape: [n0 = 1, n1 = 1, n2 = 1, n3 = 1],
}: Pick<GgufTensor, 'shape'>): [number, number, number, number] => [n0, n1, n2, n3]

/** Metadata values as numbers, texts, booleans and arrays of numbers; text arrays are given by their length only. */
export type GgufMetadata = { [key: string]: number | string | boolean | number[] | { texts: number } }

export type Gguf = {
  path: string
  /** Type tag and value of each key, byte for byte, in the file's order. */
  metadata: Map<string, Uint8Array>
  tensors: GgufTensor[]
}

/** Tensor types by ggml's number. */
export type TensorTypes = ReadonlyMap<number, readonly [name: string, block: number, bytes: number]>

/** Types of which every backend can train, as [name, elements of a block, bytes of a block] by ggml's number. */
export const TRAINED_TYPES: TensorTypes = new Map([
  [0, ['F32', 1, 4]],
  [1, ['F16', 1, 2]],
  [2, ['Q4_0', 32, 18]],
  [3, ['Q4_1', 32, 20]],
  [6, ['Q5_0', 32, 22]],
  [7, ['Q5_1', 32, 24]],
  [8, ['Q8_0', 32, 34]],
  [12, ['Q4_K', 256, 144]],
  [13, ['Q5_K', 256, 176]],
  [14, ['Q6_K', 256, 210]],
  [30, ['BF16', 1, 2]],
])

const TAG = { u32: 4, f32: 6, bool: 7, string: 8, array: 9 } as const
/** Bytes of a value by its tag; strings and arrays say their own length. */
const TAG_BYTES = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8]
const FIRST_READ_BYTES = 2 ** 20
const MAX_HEADER_BYTES = 2 ** 28
const DEFAULT_ALIGNMENT = 32
const MAX_DIMENSIONS = 4

/** The bytes read so far do not hold the whole header. */
class Short extends Error {}

/**
 * @param types the tensor types that may occur
 * @throws HubError not_found, model_broken when the file is not a GGUF or ends too early,
 *   invalid_request for a tensor type that cannot be trained on
 */
export function readGguf(path: string, types: TensorTypes = TRAINED_TYPES): Gguf {
  const file = openToRead(path)
  try {
    const size = fstatSync(file).size
    for (let want = FIRST_READ_BYTES; ; want *= 4) {
      const bytes = Buffer.alloc(Math.min(want, size))
      for (let at = 0; at < bytes.length; ) {
        const got = readSome(path, file, bytes, at, at)
        if (got === 0) throw truncated(path, size)
        at += got
      }
      try {
        return parse(path, bytes, size, types)
      } catch (thrown) {
        if (!(thrown instanceof Short)) throw thrown
        if (bytes.length === size || want >= MAX_HEADER_BYTES) throw truncated(path, size)
      }
    }
  } finally {
    closeSync(file)
  }
}

function parse(path: string, bytes: Buffer, size: number, types: TensorTypes): Gguf {
  const name = basename(path)
  const broken = (what: string) => new HubError('model_broken', `${name} ${what}; get the file again`)
  if (bytes.toString('latin1', 0, 4) !== 'GGUF') throw broken('is not a GGUF file')
  let at = 4
  const need = (count: number): number => {
    // A length that reaches beyond the file is no reason to read on.
    if (at + count > size) throw truncated(path, size)
    if (at + count > bytes.length) throw new Short()
    at += count
    return at - count
  }
  const u32 = () => bytes.readUInt32LE(need(4))
  const long = () => Number(bytes.readBigUInt64LE(need(8)))
  const text = () => {
    const length = long()
    const start = need(length)
    return bytes.toString('utf8', start, start + length)
  }
  const skip = (tag: number, depth = 0): void => {
    const fixed = TAG_BYTES[tag]
    if (fixed === undefined || depth > 2) throw broken(`has a metadata value of unknown type ${tag}`)
    if (tag === TAG.string) need(long())
    else if (tag === TAG.array) {
      const of = u32()
      const count = long()
      const each = TAG_BYTES[of] ?? 0
      if (each > 0) need(count * each)
      else for (let i = 0; i < count; i++) skip(of, depth + 1)
    } else need(fixed)
  }
  const version = u32()
  if (version < 2 || version > 3) throw broken(`is of GGUF version ${version}; versions 2 and 3 are read`)
  const tensorCount = long()
  const keyCount = long()
  const metadata = new Map<string, Uint8Array>()
  for (let i = 0; i < keyCount; i++) {
    const key = text()
    const start = at
    skip(u32())
    metadata.set(key, Uint8Array.from(bytes.subarray(start, at)))
  }
  const tensors: GgufTensor[] = []
  const names = new Set<string>()
  for (let i = 0; i < tensorCount; i++) {
    const tensor = text()
    const shape = Array.from({ length: Math.min(u32(), MAX_DIMENSIONS + 1) }, long)
    if (shape.length > MAX_DIMENSIONS || shape.some(n => n < 1))
      throw broken(`has a tensor ${tensor} of shape ${shape.join(' x ')}`)
    const type = u32()
    const offset = long()
    const known = types.get(type)
    if (known === undefined) {
      const usable = [...types.values()].map(([typeName]) => typeName).join(', ')
      throw new HubError(
        'invalid_request',
        `${name}: tensor ${tensor} is of type ${type}, which cannot be trained on; use a file of ${usable}, like Q4_K_M`,
        { param: 'base' },
      )
    }
    const elements = shape.reduce((product, n) => product * n, 1)
    if ((shape[0] ?? 1) % known[1] !== 0)
      throw broken(`has a tensor ${tensor} with rows of ${shape[0]}, which ${known[0]} cannot hold`)
    if (names.has(tensor)) throw broken(`has two tensors ${tensor}`)
    names.add(tensor)
    tensors.push({ name: tensor, shape, type, offset, bytes: (elements / known[1]) * known[2] })
  }
  const alignmentValue = scalar(metadata.get('general.alignment'))
  const alignment = typeof alignmentValue === 'number' ? alignmentValue : DEFAULT_ALIGNMENT
  if (!Number.isInteger(Math.log2(alignment))) throw broken(`has an alignment of ${alignment}`)
  const start = Math.ceil(at / alignment) * alignment
  for (const tensor of tensors) {
    tensor.offset += start
    if (tensor.offset + tensor.bytes > size) throw truncated(path, size, tensor.offset + tensor.bytes)
  }
  return { path, metadata, tensors }
}

function truncated(path: string, size: number, needed?: number): HubError {
  const has = needed === undefined ? `ends after ${size} bytes` : `has ${size} of at least ${needed} bytes`
  return new HubError('model_broken', `${basename(path)} is truncated: it ${has}; get the file again`)
}

/** A number, text or truth value of the metadata; undefined for arrays and absent keys. */
export function scalar(value: Uint8Array | undefined): string | number | boolean | undefined {
  if (value === undefined) return undefined
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength)
  const tag = view.getUint32(0, true)
  if (tag === TAG.string) return Buffer.from(value.subarray(12)).toString('utf8')
  const number = numberOf(view, tag, 4)
  return tag === TAG.bool && number !== undefined ? number !== 0 : number
}

/** Of a tag that is no number: undefined. */
function numberOf(view: DataView, tag: number, at: number): number | undefined {
  switch (tag) {
    case 0:
    case TAG.bool:
      return view.getUint8(at)
    case 1:
      return view.getInt8(at)
    case 2:
      return view.getUint16(at, true)
    case 3:
      return view.getInt16(at, true)
    case TAG.u32:
      return view.getUint32(at, true)
    case 5:
      return view.getInt32(at, true)
    case TAG.f32:
      return view.getFloat32(at, true)
    case 10:
      return Number(view.getBigUint64(at, true))
    case 11:
      return Number(view.getBigInt64(at, true))
    case 12:
      return view.getFloat64(at, true)
    default:
      return undefined
  }
}

/** All that a model's numbers are taken from. */
export function decodeMetadata({ metadata }: Gguf): GgufMetadata {
  const decoded: GgufMetadata = {}
  for (const [key, value] of metadata) {
    const view = new DataView(value.buffer, value.byteOffset, value.byteLength)
    if (view.getUint32(0, true) !== TAG.array) {
      const single = scalar(value)
      if (single !== undefined) decoded[key] = single
      continue
    }
    const of = view.getUint32(4, true)
    const length = Number(view.getBigUint64(8, true))
    const bytes = TAG_BYTES[of] ?? 0
    decoded[key] =
      bytes === 0 ? { texts: length } : Array.from({ length }, (_, i) => numberOf(view, of, 16 + i * bytes)!)
  }
  return decoded
}

/** The bytes of a tensor, in chunks. @throws HubError not_found, model_broken */
export function* tensorChunks(path: string, tensor: GgufTensor): Generator<Uint8Array> {
  const file = openToRead(path)
  try {
    for (let done = 0; done < tensor.bytes; ) {
      const chunk = Buffer.allocUnsafe(Math.min(2 ** 24, tensor.bytes - done))
      const got = readSome(path, file, chunk, 0, tensor.offset + done)
      if (got === 0) throw truncated(path, tensor.offset + done)
      done += got
      yield chunk.subarray(0, got)
    }
  } finally {
    closeSync(file)
  }
}

function openToRead(path: string): number {
  try {
    return openSync(path, 'r')
  } catch (thrown) {
    throw new HubError('not_found', `${path} cannot be opened (${(thrown as NodeJS.ErrnoException).code})`, {
      cause: thrown,
    })
  }
}

/** @returns bytes read, into the buffer from `at` on */
function readSome(path: string, file: number, buffer: Buffer, at: number, place: number): number {
  try {
    return readSync(file, buffer, at, buffer.length - at, place)
  } catch (thrown) {
    const code = (thrown as NodeJS.ErrnoException).code
    throw new HubError('model_broken', `${path} cannot be read (${code}); check the disk`, { cause: thrown })
  }
}
