/** A/B tests: votes and suggestions taken, with an interval that holds whenever one looks. */
import { useState } from 'react'
import type { AbTestOut } from '../../../server/wire/evaluation.ts'
import { toHubFailure } from '../../failure.ts'
import { PageLink } from '../../page_link.tsx'
import { useStore } from '../../store.ts'
import { count, moment, percent, signed } from './figures.ts'
import { IntervalBar } from './interval.tsx'
import type { Parts } from './parts.ts'
import { badgeOf } from './verdict.ts'
import { Confirm, Empty, Failure } from './widgets.tsx'
import { useWords } from './words.ts'

export function AbTests(parts: Parts) {
  const { bridge, training } = parts
  const w = useWords()
  const tests = useStore(training.store, state => state.abTests)
  const [failure, setFailure] = useState<string>()
  const stop = async (id: string): Promise<void> => {
    try {
      await bridge.request('POST', `/v1/ab_tests/${encodeURIComponent(id)}/stop`)
      setFailure(undefined)
      await training.read('abTests')
    } catch (thrown) {
      setFailure(toHubFailure(thrown).message)
    }
  }
  return (
    <section>
      <h2>{w.abTests}</h2>
      {tests?.length === 0 && (
        <Empty title={w.abNone} hint={w.abNoneHint}>
          <PageLink bridge={bridge} to="chat">
            {w.compareIt}
          </PageLink>
        </Empty>
      )}
      {tests !== undefined && tests.length > 0 && <p className="hint">{w.abInterval}</p>}
      <Failure text={failure} />
      <ul className="metrics">
        {tests?.map(test => (
          <AbTest key={test.id} test={test} stop={() => void stop(test.id)} />
        ))}
      </ul>
    </section>
  )
}

function AbTest({ test, stop }: { test: AbTestOut; stop(): void }) {
  const w = useWords()
  const { base, candidate, status, verdict } = test
  // Of what nobody asked for and nobody said there is nothing to show.
  const comparisons = test.comparisons.filter(({ metric, difference }) => metric === test.metric || difference !== null)
  return (
    <li>
      <div className="finding-head">
        <span className="finding-title">
          {candidate.model} / {base.model}
        </span>
        <span className={`badge ${badgeOf(verdict)}`}>{w.verdicts[verdict]}</span>
        <span className="hint">
          {w.abStatuses[status]} · {moment(test.created_at * 1000, w.locale)}
        </span>
      </div>
      {comparisons.map(comparison => (
        <div key={comparison.metric}>
          <p>
            <strong>{w.abMetrics[comparison.metric]}</strong> · {candidate.model}:{' '}
            {w.abVotes(count(comparison.candidate.good, w.locale), count(comparison.candidate.bad, w.locale))} ·{' '}
            {base.model}: {w.abVotes(count(comparison.base.good, w.locale), count(comparison.base.bad, w.locale))}
          </p>
          {comparison.difference === null ? (
            <p className="hint">{w.abNoVotes}</p>
          ) : (
            <>
              <IntervalBar
                difference={comparison.difference}
                low={comparison.interval.low}
                high={comparison.interval.high}
                verdict={comparison.verdict}
              />
              <p>
                {w.intervalText(
                  signed(comparison.difference, w.locale),
                  signed(comparison.interval.low, w.locale),
                  signed(comparison.interval.high, w.locale),
                  percent(comparison.interval.level, w.locale),
                )}
              </p>
            </>
          )}
        </div>
      ))}
      {status === 'running' && (
        <Confirm
          label={w.abStop}
          name={`${w.abStop}: ${candidate.model} / ${base.model}`}
          question={w.abInterval}
          danger={false}
          act={stop}
        />
      )}
    </li>
  )
}
