/** The recent requests, as many as the hub remembers, with what they amount to and filters. */
import { useState } from 'react'
import type { RequestOut } from '../../server/wire/requests.ts'
import { useStore } from '../store.ts'
import { Card } from './card.tsx'
import { useFigures } from './figures.ts'
import { MOST_REQUESTS, summarise } from './live.ts'
import type { Parts } from './parts.ts'
import { endpointName, RequestTable } from './request_table.tsx'
import { useDashboardText } from './texts.ts'

type Ending = 'all' | 'done' | 'failed' | 'cancelled'
const ENDINGS: Ending[] = ['all', 'done', 'failed', 'cancelled']
/** Rows that are shown at first, and more at each wish. */
const PAGE = 50

export function RequestsTab({ live, go }: Parts) {
  const d = useDashboardText()
  const figures = useFigures()
  const requests = useStore(live, state => state.requests)
  const [model, setModel] = useState('')
  const [endpoint, setEndpoint] = useState('')
  const [ending, setEnding] = useState<Ending>('all')
  const [rows, setRows] = useState(PAGE)
  const shown = requests.filter(
    request =>
      (model === '' || request.model === model) &&
      (endpoint === '' || request.endpoint === endpoint) &&
      (ending === 'all' || endingOf(request) === ending),
  )
  const { count, failed, cancelled, firstTokenMs, tokensPerSecond, completionTokens } = summarise(shown)
  const values = (pick: (request: RequestOut) => string | undefined): string[] =>
    [...new Set(requests.map(pick).filter(value => value !== undefined))].sort()
  const help = [...new Set(shown.slice(0, rows).map(({ error }) => error))].flatMap(error =>
    error === undefined || d.errorHelp[error] === undefined ? [] : [{ error, help: d.errorHelp[error] }],
  )

  return (
    <>
      <p className="hint intro">{d.requestsIntro(figures.count(MOST_REQUESTS))}</p>
      <dl className="tiles">
        <Tile name={d.requestCount} value={figures.count(count)} />
        <Tile name={d.failedCount} value={figures.count(failed)} bad={failed > 0} />
        <Tile name={d.cancelledCount} value={figures.count(cancelled)} />
        <Tile name={d.medianFirstToken} value={firstTokenMs === undefined ? '–' : figures.duration(firstTokenMs)} />
        <Tile name={d.medianSpeed} value={tokensPerSecond === undefined ? '–' : figures.rate(tokensPerSecond)} />
        <Tile name={d.tokensWritten} value={figures.count(completionTokens)} />
      </dl>
      <div className="bar">
        <Filter name={d.column.model} value={model} values={values(request => request.model)} set={setModel} />
        <Filter
          name={d.column.endpoint}
          value={endpoint}
          values={values(request => request.endpoint)}
          label={value => endpointName(value, d.editor)}
          set={setEndpoint}
        />
        <label className="inline-field">
          {d.column.status}
          <select
            value={ending}
            onChange={event => setEnding(ENDINGS.find(each => each === event.target.value) ?? 'all')}
          >
            {ENDINGS.map(each => (
              <option key={each} value={each}>
                {d.endings[each]}
              </option>
            ))}
          </select>
        </label>
      </div>
      {help.length > 0 && (
        <ul className="problems" aria-label={d.whatHelps}>
          {help.map(({ error, help: { text, tab, button } }) => (
            <li key={error} className="problem-card">
              <div className="card-head">
                <strong>{d.errors[error] ?? error}</strong>
              </div>
              <p>{text}</p>
              <div className="actions">
                <button type="button" className="secondary" onClick={() => go(tab)}>
                  {button}
                </button>
              </div>
            </li>
          ))}
        </ul>
      )}
      <Card title={d.recentRequests}>
        {shown.length === 0 ? (
          <p className="hint">{requests.length === 0 ? d.noRequests : d.noneMatch}</p>
        ) : (
          <RequestTable requests={shown.slice(0, rows)} name={d.recentRequests} />
        )}
        {shown.length > rows && (
          <button type="button" className="secondary" onClick={() => setRows(rows + PAGE)}>
            {d.showMore(figures.count(Math.min(PAGE, shown.length - rows)))}
          </button>
        )}
      </Card>
    </>
  )
}

function endingOf({ cancelled, error }: RequestOut): Ending {
  if (cancelled) return 'cancelled'
  return error === undefined ? 'done' : 'failed'
}

export function Tile({ name, value, bad = false }: { name: string; value: string; bad?: boolean }) {
  return (
    <div className={`tile ${bad ? 'bad' : ''}`}>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  )
}

function Filter(props: {
  name: string
  value: string
  values: string[]
  label?(value: string): string
  set(value: string): void
}) {
  const { name, value, values, label = String, set } = props
  const d = useDashboardText()
  return (
    <label className="inline-field">
      {name}
      <select value={value} onChange={event => set(event.target.value)}>
        <option value="">{d.all}</option>
        {values.map(each => (
          <option key={each} value={each}>
            {label(each)}
          </option>
        ))}
      </select>
    </label>
  )
}
