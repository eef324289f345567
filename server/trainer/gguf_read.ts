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

export type Gguf = {
  path: string
  /** Type tag and value of each key, byte for byte, in the file's order. */
  metadata: Map<string, Uint8Array>
  tensors: GgufTensor[]
}

/** Types of which every backend can train, as [name, elements of a block, bytes of a block] by ggml's number. */
export const TRAINED_TYPES: ReadonlyMap<number, readonly [name: string, block: number, bytes: number]> = new Map([
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

/** The bytes read so far do not hold the whole header. */
class Short extends Error {}

/**
 * @throws HubError not_found, model_broken when the file is not a GGUF or ends too early,
 *   invalid_request for a tensor type that cannot be trained on
 */
export function readGguf(path: string): Gguf {
  let file: number
  try {
    file = openSync(path, 'r')
  } catch (thrown) {
    throw new HubError('not_found', `${path} cannot be opened (${(thrown as NodeJS.ErrnoException).code})`, {
      cause: thrown,
    })
  }
  try {
    const size = fstatSync(file).size
    for (let want = FIRST_READ_BYTES; ; want *= 4) {
      const bytes = Buffer.alloc(Math.min(want, size))
      for (let at = 0; at < bytes.length; ) {
        const got = readSync(file, bytes, at, bytes.length - at, at)
        if (got === 0) throw truncated(path, size)
        at += got
      }
      try {
        return parse(path, bytes, size)
      } catch (thrown) {
        if (!(thrown instanceof Short)) throw thrown
        if (bytes.length === size || want >= MAX_HEADER_BYTES) throw truncated(path, size)
      }
    }
  } finally {
    closeSync(file)
  }
}

function parse(path: string, bytes: Buffer, size: number): Gguf {
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
  for (let i = 0; i < tensorCount; i++) {
    const tensor = text()
    const shape = Array.from({ length: u32() }, long)
    const type = u32()
    const offset = long()
    const known = TRAINED_TYPES.get(type)
    if (known === undefined) {
      const types = [...TRAINED_TYPES.values()].map(([typeName]) => typeName).join(', ')
      throw new HubError(
        'invalid_request',
        `${name}: tensor ${tensor} is of type ${type}, which cannot be trained on; use a file of ${types}, like Q4_K_M`,
        { param: 'base' },
      )
    }
    const elements = shape.reduce((product, n) => product * n, 1)
    tensors.push({ name: tensor, shape, type, offset, bytes: (elements / known[1]) * known[2] })
  }
  const alignmentValue = scalar(metadata.get('general.alignment'))
  const alignment = typeof alignmentValue === 'number' ? alignmentValue : DEFAULT_ALIGNMENT
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
  switch (view.getUint32(0, true)) {
    case 0:
      return view.getUint8(4)
    case 2:
      return view.getUint16(4, true)
    case TAG.u32:
      return view.getUint32(4, true)
    case 5:
      return view.getInt32(4, true)
    case TAG.f32:
      return view.getFloat32(4, true)
    case TAG.bool:
      return view.getUint8(4) !== 0
    case TAG.string:
      return Buffer.from(value.subarray(12)).toString('utf8')
    case 10:
      return Number(view.getBigUint64(4, true))
    default:
      return undefined
  }
}

/** The bytes of a tensor, in chunks. */
export function* tensorChunks(path: string, tensor: GgufTensor): Generator<Uint8Array> {
  const file = openSync(path, 'r')
  try {
    for (let done = 0; done < tensor.bytes; ) {
      const chunk = Buffer.allocUnsafe(Math.min(2 ** 24, tensor.bytes - done))
      const got = readSync(file, chunk, 0, chunk.length, tensor.offset + done)
      if (got === 0) throw truncated(path, tensor.offset + done)
      done += got
      yield chunk.subarray(0, got)
    }
  } finally {
    closeSync(file)
  }
}
