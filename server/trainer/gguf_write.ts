/** Writes GGUF files, version 3, without the native library: metadata as bytes, tensors one after another. */
import { writeAtomically } from './files.ts'

export type WrittenTensor = {
  name: string
  /** In ggml's order: the length of a row first. */
  shape: number[]
  /** ggml's number of the type. */
  type: number
  bytes: number
  /** Exactly `bytes` bytes, in chunks of any size; asked for when the tensor's turn comes. */
  data(): Iterable<Uint8Array>
}

/** ggml's numbers of the types that the trainer writes. */
export const WRITTEN_TYPE = { F32: 0, F16: 1 } as const
const ALIGNMENT = 32
const padding = (bytes: number): number => (ALIGNMENT - (bytes % ALIGNMENT)) % ALIGNMENT

/** Metadata values: the type tag and the value. */
export const stringValue = (value: string): Uint8Array => Buffer.concat([u32(8), text(value)])
export const u32Value = (value: number): Uint8Array => Buffer.concat([u32(4), u32(value)])
export function f32Value(value: number): Uint8Array {
  const bytes = Buffer.alloc(8)
  bytes.writeUInt32LE(6, 0)
  bytes.writeFloatLE(value, 4)
  return bytes
}

/** Replaces the file atomically. @returns bytes of the file @throws HubError as `writeAtomically` */
export function writeGguf(
  path: string,
  metadata: Iterable<[key: string, value: Uint8Array]>,
  tensors: WrittenTensor[],
): number {
  return writeAtomically(path, chunks([...metadata], tensors))
}

function* chunks(metadata: [string, Uint8Array][], tensors: WrittenTensor[]): Generator<Uint8Array> {
  // The tensors are laid out anew, so an alignment copied from another file would be wrong.
  const entries = metadata.filter(([key]) => key !== 'general.alignment')
  const parts: Uint8Array[] = [Buffer.from('GGUF'), u32(3), long(tensors.length), long(entries.length)]
  for (const [key, value] of entries) parts.push(text(key), value)
  let offset = 0
  for (const { name, shape, type, bytes } of tensors) {
    parts.push(text(name), u32(shape.length), ...shape.map(long), u32(type), long(offset))
    offset += bytes + padding(bytes)
  }
  const header = Buffer.concat(parts)
  yield header
  yield new Uint8Array(padding(header.length))
  for (const { name, bytes, data } of tensors) {
    let written = 0
    for (const chunk of data()) {
      written += chunk.length
      yield chunk
    }
    if (written !== bytes) throw new Error(`tensor ${name} gave ${written} bytes instead of ${bytes}`)
    yield new Uint8Array(padding(bytes))
  }
}

/** Values as a tensor of the wanted type. */
export function floatTensor(
  name: string,
  shape: number[],
  type: 'F32' | 'F16',
  get: () => Float32Array,
): WrittenTensor {
  const elements = shape.reduce((product, n) => product * n, 1)
  return {
    name,
    shape,
    type: WRITTEN_TYPE[type],
    bytes: elements * (type === 'F32' ? 4 : 2),
    data() {
      const values = get()
      if (type === 'F32') return [new Uint8Array(values.buffer, values.byteOffset, values.byteLength)]
      return [new Uint8Array(Uint16Array.from(values, toHalf).buffer)]
    },
  }
}

const floats = new Float32Array(1)
const bits = new Uint32Array(floats.buffer)

/** IEEE half of a float, rounded to nearest, ties to even; too large becomes infinity. */
export function toHalf(value: number): number {
  floats[0] = value
  const word = bits[0]!
  const sign = (word >>> 16) & 0x8000
  const magnitude = word & 0x7fff_ffff
  if (magnitude > 0x7f80_0000) return sign | 0x7e00
  if (magnitude >= 0x4780_0000) return sign | 0x7c00
  if (magnitude < 0x3880_0000) {
    // Below the smallest normal half: the addition lets the hardware round to a multiple of 2^-24.
    floats[0] = Math.abs(value) + 0.5
    return sign | (bits[0]! - 0x3f00_0000)
  }
  return sign | ((magnitude - 0x3800_0000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13)
}

/** The float of an IEEE half. */
export function fromHalf(half: number): number {
  const sign = half & 0x8000 ? -1 : 1
  const exponent = (half >>> 10) & 31
  const fraction = half & 0x3ff
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1024 + fraction) * 2 ** (exponent - 25)
}

// Pieces of the file, little endian.

export function text(value: string): Buffer {
  const bytes = Buffer.from(value)
  return Buffer.concat([long(bytes.length), bytes])
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

export function long(value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}
