/** Phi 3 and 3.5: one tensor for Q, K and V, one for gate and up. Its sliding window is left out, as llama.cpp does. */
import type { Family } from './family.ts'

export const phi3: Family = {
  architecture: 'phi3',
  rope: 'neox',
  fused: true,
  refuses: (_, metadata) =>
    Number(metadata['phi3.expert_count'] ?? 0) === 0 ? undefined : 'it is a mixture of experts',
}
