/** Gemma 2: scaled embeddings, GELU, norms after each part, soft caps, a window in every other layer. */
import { alternating, type Family } from './family.ts'

export const gemma2: Family = {
  architecture: 'gemma2',
  rope: 'neox',
  activation: 'gelu',
  postNorms: true,
  tied: true,
  embeddingScale: numbers => Math.sqrt(numbers.width),
  // The 27B (46 layers) divides by the width per head instead of the head's size.
  attentionScale: numbers => 1 / Math.sqrt(numbers.layers === 46 ? numbers.width / numbers.heads : numbers.headSize),
  window: alternating(2, 4096),
  windowRope: numbers => ({ base: numbers.ropeBaseWindow ?? numbers.ropeBase, scale: numbers.ropeScale }),
  attentionCap: numbers => numbers.attentionCap || 50,
  finalCap: numbers => numbers.finalCap || 30,
}
