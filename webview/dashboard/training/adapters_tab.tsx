/** The adapters, the evaluations that judge them, and the A/B tests. */
import { useEffect } from 'react'
import type { AdapterOut } from '../../../server/wire/adapter.ts'
import { useStore } from '../../store.ts'
import { sizeText } from '../../texts.ts'
import { AbTests } from './ab_tests.tsx'
import { AdapterView } from './adapter_view.tsx'
import { EvaluationView } from './evaluation_view.tsx'
import { moment } from './figures.ts'
import { NewEvaluation } from './new_evaluation.tsx'
import type { Parts } from './parts.ts'
import { badgeOf, verdictOf } from './verdict.ts'
import { Empty } from './widgets.tsx'
import { useWords } from './words.ts'

/** Names of no model: a dot never comes first. */
const EVALUATE = '.evaluate'
const EVALUATION = '.evaluation/'

export function AdaptersTab(parts: Parts) {
  const { training, rest, go } = parts
  const w = useWords()
  const adapters = useStore(training.store, state => state.adapters)
  useEffect(() => {
    void training.read('evaluations')
    void training.read('abTests')
  }, [training])

  if (rest.startsWith(EVALUATION)) {
    const id = rest.slice(EVALUATION.length)
    return <EvaluationView key={id} {...parts} id={id} />
  }
  if (rest === EVALUATE || rest.startsWith(`${EVALUATE}/`)) {
    return <NewEvaluation {...parts} candidate={rest.slice(EVALUATE.length + 1)} close={() => go('adapters')} />
  }
  if (rest !== '') return <AdapterView key={rest} {...parts} id={rest} />
  return (
    <>
      <section>
        {adapters === undefined && <p className="hint">{w.loading}</p>}
        {adapters?.length === 0 && (
          <Empty title={w.adaptersNone} hint={w.adaptersNoneHint}>
            <button type="button" onClick={() => go('training', '.new')}>
              {w.trainOne}
            </button>
          </Empty>
        )}
        <ul className="cards">
          {adapters?.map(adapter => (
            <li key={adapter.id}>
              <AdapterCardButton adapter={adapter} open={() => go('adapters', adapter.id)} />
            </li>
          ))}
        </ul>
      </section>
      <Evaluations {...parts} />
      <AbTests {...parts} />
    </>
  )
}

function AdapterCardButton({ adapter, open }: { adapter: AdapterOut; open(): void }) {
  const w = useWords()
  const { id, status, version, versions, bytes, modified_ms, card } = adapter
  const verdict = verdictOf(adapter)
  return (
    <button type="button" className="card" onClick={open}>
      <span className="card-title">{id}</span>
      <span>
        {status === 'broken' && <span className="badge failed">{w.brokenAdapter}</span>}
        {verdict !== undefined && <span className={`badge ${badgeOf(verdict)}`}>{w.verdicts[verdict]}</span>}{' '}
        {card.description}
      </span>
      <span className="hint">
        {versions.length > 0 && `${w.version(version)} · `}
        {sizeText(bytes, w.locale)} · {moment(modified_ms, w.locale)}
      </span>
    </button>
  )
}

function Evaluations({ training, go }: Parts) {
  const w = useWords()
  const evaluations = useStore(training.store, state => state.evaluations)
  return (
    <section>
      <h2>{w.evaluations}</h2>
      <div className="toolbar">
        <button type="button" className="secondary" onClick={() => go('adapters', EVALUATE)}>
          {w.newEvaluation}
        </button>
      </div>
      {evaluations?.length === 0 && <Empty title={w.evaluationsNone} hint={w.evaluationsNoneHint} />}
      <ul className="cards">
        {evaluations?.map(({ id, status, request, report, created_at }) => (
          <li key={id}>
            <button type="button" className="card" onClick={() => go('adapters', `${EVALUATION}${id}`)}>
              <span className="card-title">{request.candidate}</span>
              <span>
                {report === null ? (
                  <span className={`badge ${status}`}>{w.evaluationStatuses[status]}</span>
                ) : (
                  <span className={`badge ${badgeOf(report.verdict)}`}>{w.verdicts[report.verdict]}</span>
                )}{' '}
                {w.compareWith.toLowerCase()} {request.base}
              </span>
              <span className="hint">
                {w.onDataset(request.dataset)} · {moment(created_at * 1000, w.locale)}
              </span>
            </button>
          </li>
        ))}
      </ul>
    </section>
  )
}
