/** A measured difference with its interval, drawn and in words: what crosses the line of no difference may be chance. */
import type { Metric } from '../../../server/wire/evaluation.ts'
import { figure, percent, signed } from './figures.ts'
import { badgeOf } from './verdict.ts'
import { useWords } from './words.ts'

const WIDTH = 200
const HEIGHT = 28

export function MetricRow({ metric }: { metric: Metric }) {
  const w = useWords()
  const { name, goodIs, base, candidate, difference, interval, p, verdict, samples } = metric
  return (
    <li>
      <div className="finding-head">
        <span className="finding-title">{w.metrics[name]}</span>
        <span className={`badge ${badgeOf(verdict)}`}>{w.verdicts[verdict]}</span>
        <span>{w.baseToCandidate(figure(base, w.locale), figure(candidate, w.locale))}</span>
      </div>
      <p className="hint">
        {w.metricMeanings[name]}; {goodIs === 'lower' ? w.lowerBetter : w.higherBetter}
      </p>
      <IntervalBar difference={difference} low={interval.low} high={interval.high} verdict={verdict} />
      <p>
        {w.intervalText(
          signed(difference, w.locale),
          signed(interval.low, w.locale),
          signed(interval.high, w.locale),
          percent(interval.level, w.locale),
        )}
        <span className="hint">
          {' '}
          {w.chance(figure(p, w.locale))} · {w.samples(String(samples))}
        </span>
      </p>
    </li>
  )
}

/** The words beside it say the same. */
export function IntervalBar(props: {
  difference: number
  low: number
  high: number
  verdict: 'better' | 'worse' | 'not yet known'
}) {
  const { difference, low, high, verdict } = props
  const w = useWords()
  const reach = Math.max(Math.abs(low), Math.abs(high), Math.abs(difference)) * 1.1 || 1
  const x = (value: number): number => ((value + reach) / (2 * reach)) * WIDTH
  return (
    <svg className={`interval ${badgeOf(verdict)}`} viewBox={`0 0 ${WIDTH} ${HEIGHT}`} aria-hidden="true">
      <line className="axis" x1="0" x2={WIDTH} y1="14" y2="14" />
      <line className="zero" x1={WIDTH / 2} x2={WIDTH / 2} y1="2" y2={HEIGHT - 2} />
      <rect x={x(low)} y="9" width={Math.max(1.5, x(high) - x(low))} height="10" rx="2" />
      <circle cx={x(difference)} cy="14" r="4" />
      <title>{w.same}</title>
    </svg>
  )
}
