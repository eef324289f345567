/** Gemma 3 (text): Gemma 2 without the soft caps, with norms on Q and K; five layers with a window and a rope of their own, then one without. */
import { alternating, type Family } from './family.ts'

export const gemma3: Family = {
  architecture: 'gemma3',
  rope: 'neox',
  activation: 'gelu',
  qkNorm: true,
  postNorms: true,
  embeddingScale: numbers => Math.sqrt(numbers.width),
  // The 27B (62 layers) divides by the width per head instead of the head's size.
  attentionScale: numbers => 1 / Math.sqrt(numbers.layers === 62 ? numbers.width / numbers.heads : numbers.headSize),
  window: alternating(6),
  windowRope: numbers => ({ base: numbers.ropeBaseWindow ?? 10000, scale: 1 }),
  finalCap: numbers => numbers.finalCap,
}
