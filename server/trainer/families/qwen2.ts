/** Qwen 2 and 2.5: biases on Q, K and V, which the file brings as tensors. */
import type { Family } from './family.ts'

export const qwen2: Family = { architecture: 'qwen2', rope: 'neox' }
