/** A verdict as the badges show it. */
import type { AdapterOut } from '../../../server/wire/adapter.ts'
import type { Verdict } from '../../../server/wire/evaluation.ts'

/** What the last evaluation said, as it stands on the card. */
export function verdictOf({ card }: Pick<AdapterOut, 'card'>): Verdict | undefined {
  const verdict = card.evaluation?.verdict
  return verdict === 'better' || verdict === 'worse' || verdict === 'not yet known' ? verdict : undefined
}

export const badgeOf = (verdict: Verdict): string =>
  verdict === 'better' ? 'succeeded' : verdict === 'worse' ? 'failed' : 'unknown'
