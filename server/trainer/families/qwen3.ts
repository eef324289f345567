/** Qwen 3 (dense): a norm on each head of Q and K. */
import type { Family } from './family.ts'

export const qwen3: Family = { architecture: 'qwen3', rope: 'neox', qkNorm: true }
