/** Finds weights that are not finite in the bytes of a tensor: one of them in a base spoils every step that meets it. */
import { GGML_TYPE } from '../native/ggml_api.ts'
import { TRAINED_TYPES } from './gguf_read.ts'

/** The half floats of a block, by their place in bytes; whatever else a block holds is whole numbers. */
const HALVES: { [type: number]: readonly number[] } = {
  [GGML_TYPE.F16]: [0],
  [GGML_TYPE.Q4_0]: [0],
  [GGML_TYPE.Q4_1]: [0, 2],
  [GGML_TYPE.Q5_0]: [0],
  [GGML_TYPE.Q5_1]: [0, 2],
  [GGML_TYPE.Q8_0]: [0],
  [GGML_TYPE.Q4_K]: [0, 2],
  [GGML_TYPE.Q5_K]: [0, 2],
  [GGML_TYPE.Q6_K]: [208],
}

/** @param bytes whole blocks, at an even place in memory @returns the first block with a value that is not finite */
export function brokenBlock(type: number, bytes: Uint8Array): number | undefined {
  const words = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2)
  // What is infinite or no number has an exponent of ones alone; of F32 and BF16 it lies in the upper half.
  const upper = type === GGML_TYPE.F32 || type === GGML_TYPE.BF16
  const exponent = upper ? 0x7f80 : 0x7c00
  const places = type === GGML_TYPE.F32 ? [2] : type === GGML_TYPE.BF16 ? [0] : (HALVES[type] ?? [])
  const stride = TRAINED_TYPES.get(type)![2] / 2
  for (const place of places) {
    for (let at = place / 2; at < words.length; at += stride)
      if ((words[at]! & exponent) === exponent) return Math.floor(at / stride)
  }
  return undefined
}
