/** The learning rate of each step: a linear warm-up, then cosine, linear or constant. */

export type Schedule = {
  rate: number
  schedule: 'cosine' | 'linear' | 'constant'
  /** Share of all steps in which the rate rises to its full height. */
  warmupShare: number
  /** Share of the rate that is left at the end. */
  finalShare: number
}

/** @param step from 0 @param total steps of the run */
export function rateAt(step: number, total: number, settings: Schedule): number {
  const warmup = Math.ceil(total * settings.warmupShare)
  if (step < warmup) return (settings.rate * (step + 1)) / warmup
  if (settings.schedule === 'constant') return settings.rate
  // The first full step and the last step are the two ends of the curve.
  const progress = total - 1 <= warmup ? 0 : Math.min(1, (step - warmup) / (total - 1 - warmup))
  const height = settings.schedule === 'cosine' ? (1 + Math.cos(Math.PI * progress)) / 2 : 1 - progress
  return settings.rate * (settings.finalShare + (1 - settings.finalShare) * height)
}
