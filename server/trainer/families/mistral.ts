/** Mistral: llama with a sliding window in every layer, where the file gives one; `mistral3` is the later files' name. */
import type { Family } from './family.ts'

export const mistral: Family = {
  architecture: 'mistral',
  rope: 'normal',
  window: numbers => numbers.window,
}

export const mistral3: Family = {
  architecture: 'mistral3',
  rope: 'normal',
  refuses: (_, metadata) => {
    const odd = ['attention.temperature_scale', 'rope.scaling.yarn_log_multiplier'].find(
      key => Number(metadata[`mistral3.${key}`] ?? 0) !== 0,
    )
    return odd && `it uses ${odd}`
  },
}
