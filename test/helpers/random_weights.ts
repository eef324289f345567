/** Seeded random weights in the tensor types that the tests and benchmarks use. */

export type TensorType = 'F32' | 'F16' | 'Q8_0' | 'Q4_0' | 'Q4_K'

/** `id` in the file, elements and bytes of a block, and the `general.file_type` of a model made of it. */
export const TENSOR_TYPE = {
  F32: { id: 0, block: 1, bytes: 4, fileType: 0 },
  F16: { id: 1, block: 1, bytes: 2, fileType: 1 },
  Q4_0: { id: 2, block: 32, bytes: 18, fileType: 2 },
  Q8_0: { id: 8, block: 32, bytes: 34, fileType: 7 },
  Q4_K: { id: 12, block: 256, bytes: 144, fileType: 15 },
} as const

/** Random weights in chunks of at most about 1 MiB; quantised types get random blocks directly, of either sign. */
export function* randomWeights(
  type: TensorType,
  elements: number,
  std: number,
  mean: number,
  seed: number,
): Generator<Uint8Array> {
  const { block, bytes } = TENSOR_TYPE[type]
  const next = randomWords(seed)
  const weight = (): number => mean + (next() / 2 ** 32 - 0.5) * Math.sqrt(12) * std // uniform, of the wanted deviation
  let left = elements / block
  // The deviation of 8 random bits as int8 is 73.9, of 4 random bits 4.6; of 6 bits x 4 bits less 6 bits x 7.5 it is 256.
  const scale = half(std / (type === 'Q8_0' ? 73.9 : type === 'Q4_0' ? 4.61 : 256))
  const minimum = half((7.5 * std) / 256)
  while (left > 0) {
    const count = Math.min(left, Math.floor(2 ** 20 / bytes))
    const chunk = Buffer.allocUnsafe(count * bytes)
    for (let at = 0; at < chunk.length; at += bytes) {
      if (type === 'F32') chunk.writeFloatLE(weight(), at)
      else if (type === 'F16') chunk.writeUInt16LE(half(weight()), at)
      else {
        const sign = next() & 0x8000
        chunk.writeUInt16LE((scale | sign) >>> 0, at)
        // Q4_K has a second one for what is taken off: with it the mean is zero.
        if (type === 'Q4_K') chunk.writeUInt16LE((minimum | sign) >>> 0, at + 2)
        const first = type === 'Q4_K' ? at + 4 : at + 2
        for (let word = first; word < at + bytes; word += 4) chunk.writeUInt32LE(next(), word)
      }
    }
    left -= count
    yield chunk
  }
}

/** A seeded generator of 32-bit words (xorshift32). */
function randomWords(seed: number): () => number {
  let state = Math.imul(seed + 1, 0x9e3779b1) >>> 0 || 1
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return state >>> 0
  }
}

const floats = new Float32Array(1)
const bits = new Uint32Array(floats.buffer)

/** IEEE half of a number within its normal range; smaller ones become 0. */
function half(value: number): number {
  floats[0] = value
  const [word = 0] = bits
  const exponent = ((word >>> 23) & 0xff) - 112
  if (exponent <= 0) return (word >>> 16) & 0x8000
  return ((word >>> 16) & 0x8000) | ((exponent << 10) + (((word & 0x7fffff) + 0x1000) >>> 13))
}
