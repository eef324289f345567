/** Reads and writes safetensors files: a JSON header with the place of each tensor, then their bytes. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { basename } from 'node:path'
import { HubError } from '../lib/error.ts'
import { writeWhole } from './gguf_stream.ts'
import { fromHalf } from './gguf_write.ts'

export type SafeTensor = {
  name: string
  dtype: string
  /** As torch has it: the length of a row last. */
  shape: number[]
  /** Place in the file, in bytes. */
  offset: number
  bytes: number
}
export type SafeTensors = { path: string; tensors: SafeTensor[]; metadata: { [key: string]: string } }

const DTYPE_BYTES: { [dtype: string]: number } = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
  F8_E4M3: 1,
  F8_E5M2: 1,
}
const MOST_HEADER_BYTES = 100_000_000

/** @throws HubError not_found, or invalid_request when the file is damaged or none */
export function readSafeTensors(path: string): SafeTensors {
  const name = basename(path)
  const broken = (what: string) => new HubError('invalid_request', `${name} ${what}; get the file again`)
  let file: number
  try {
    file = openSync(path, 'r')
  } catch (thrown) {
    throw new HubError('not_found', `${path} cannot be opened (${(thrown as NodeJS.ErrnoException).code})`)
  }
  try {
    const { size } = fstatSync(file)
    if (size < 8) throw broken('is no safetensors file')
    const length = Number(readAt(file, 0, 8).readBigUInt64LE())
    if (length < 2 || length > Math.min(size - 8, MOST_HEADER_BYTES))
      throw broken('is no safetensors file, or is cut off')
    let header: unknown
    try {
      header = JSON.parse(readAt(file, 8, length).toString('utf8'))
    } catch {
      throw broken('is no safetensors file: its header is not JSON')
    }
    if (typeof header !== 'object' || header === null || Array.isArray(header))
      throw broken('has a header that is no object')
    const { __metadata__: metadata = {}, ...rest } = header as { [key: string]: unknown }
    const tensors = Object.entries(rest).map(([key, value]): SafeTensor => {
      const { dtype, shape, data_offsets: offsets } = (value ?? {}) as { [key: string]: unknown }
      if (typeof dtype !== 'string' || !isCounts(shape) || !isCounts(offsets) || offsets.length !== 2) {
        throw broken(`has no dtype, shape and place for ${key}`)
      }
      const [from, to] = [offsets[0]!, offsets[1]!]
      const each = DTYPE_BYTES[dtype]
      if (each === undefined) throw broken(`holds ${key} as ${dtype}, which is not known`)
      const bytes = shape.reduce((product, n) => product * n, each)
      if (to - from !== bytes || 8 + length + to > size) throw broken(`does not hold all of ${key}`)
      return { name: key, dtype, shape, offset: 8 + length + from, bytes }
    })
    return { path, tensors, metadata: metadata as { [key: string]: string } }
  } finally {
    closeSync(file)
  }
}

/** The values of a tensor. @throws HubError invalid_request for a dtype that is no F64, F32, F16 or BF16 */
export function readValues(path: string, tensor: SafeTensor): Float32Array {
  const file = openSync(path, 'r')
  let raw: Buffer
  try {
    raw = readAt(file, tensor.offset, tensor.bytes)
  } finally {
    closeSync(file)
  }
  // A copy begins at an address that typed arrays accept.
  const { buffer } = Uint8Array.from(raw)
  switch (tensor.dtype) {
    case 'F32':
      return new Float32Array(buffer)
    case 'F64':
      return Float32Array.from(new Float64Array(buffer))
    case 'F16':
      return Float32Array.from(new Uint16Array(buffer), fromHalf)
    case 'BF16':
      return new Float32Array(Uint32Array.from(new Uint16Array(buffer), half => half << 16).buffer)
    default:
      throw new HubError(
        'invalid_request',
        `${basename(path)} holds ${tensor.name} as ${tensor.dtype}; adapters in F32, F16 and BF16 are read`,
      )
  }
}

export type WrittenSafeTensor = { name: string; shape: number[]; values(): Float32Array }

/** Writes tensors as F32, whole or not at all. @returns bytes of the file @throws HubError insufficient_storage, invalid_request */
export function writeSafeTensors(path: string, tensors: readonly WrittenSafeTensor[]): Promise<number> {
  let at = 0
  const header: { [name: string]: unknown } = { __metadata__: { format: 'pt' } }
  for (const { name, shape } of tensors) {
    const bytes = shape.reduce((product, n) => product * n, 4)
    header[name] = { dtype: 'F32', shape, data_offsets: [at, at + bytes] }
    at += bytes
  }
  // Spaces at the end put the first tensor on a multiple of 8 bytes.
  const text = Buffer.from(JSON.stringify(header))
  const padded = Buffer.concat([text, Buffer.alloc((8 - (text.length % 8)) % 8, ' ')])
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(padded.length))
  return writeWhole(path, async write => {
    await write(length)
    await write(padded)
    for (const { name, shape, values } of tensors) {
      const numbers = values()
      if (numbers.length !== shape.reduce((product, n) => product * n, 1)) throw new Error(`${name} has another size`)
      await write(new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength))
    }
  })
}

const isCounts = (value: unknown): value is number[] =>
  Array.isArray(value) && value.every(n => typeof n === 'number' && Number.isSafeInteger(n) && n >= 0)

function readAt(file: number, offset: number, length: number): Buffer {
  const bytes = Buffer.alloc(length)
  for (let at = 0; at < length; ) {
    const got = readSync(file, bytes, at, length - at, offset + at)
    if (got === 0) throw new HubError('invalid_request', 'the file ends too early; get it again')
    at += got
  }
  return bytes
}
