/** The plan of a training run in a few lines, as the user sees it before anything is trained. */
import type { Plan } from './api.ts'
import { formatBytes, formatDuration } from './text.ts'

export type PlanLine = { label: string; value: string; reason?: string }

/** @param t translates a text with its places */
export function planLines(
  { samples, stats, plan: { settings, reasons, expected, warnings }, notes }: Plan,
  t: (text: string, ...values: (string | number)[]) => string,
): { lines: PlanLine[]; warnings: string[] } {
  const { mode } = settings
  const line = (label: string, value: string, reason?: string): PlanLine => {
    return { label, value, ...(reason !== undefined && { reason }) }
  }
  return {
    lines: [
      line(
        t('Samples'),
        samples.validation === 0
          ? t('{0} to learn from', samples.training)
          : t('{0} to learn from, {1} to check with', samples.training, samples.validation),
      ),
      line(t('Tokens'), t('{0}, {1} of them learned', stats.tokens, stats.targetTokens)),
      line(t('Time'), t('about {0}, {1} steps', formatDuration(expected.seconds), expected.steps), expected.basis),
      line(t('Memory'), t('{0} of {1} free', formatBytes(expected.memoryBytes), formatBytes(expected.freeBytes))),
      line(t('Learning rate'), String(settings.rate), reasons.learning_rate),
      ...(mode.type === 'lora' ? [line(t('Rank'), String(mode.rank), reasons.rank)] : []),
    ],
    warnings: [...warnings, ...notes],
  }
}
