/** The hub at a glance: what needs attention, the load over time, the models that are loaded, the latest requests. */
import { useStore } from '../store.ts'
import { useText } from '../texts.ts'
import { Card } from './card.tsx'
import { Downloads } from './downloads.tsx'
import { useFigures } from './figures.ts'
import type { Point } from './live.ts'
import { ModelDot, memoryOf } from './model_row.tsx'
import type { Parts } from './parts.ts'
import { Problems } from './problems_panel.tsx'
import { RequestTable } from './request_table.tsx'
import { SetUp } from './set_up.tsx'
import { useDashboardText } from './texts.ts'
import { TimeChart } from './time_chart.tsx'

const SPANS_MS = [300_000, 900_000, 3_600_000]
/** Requests that the overview shows. */
const SOME = 6
const PERCENT_TOP = 1

export function OverviewTab(props: Parts) {
  const { hub, live, known, acting, go } = props
  const d = useDashboardText()
  const t = useText()
  const figures = useFigures()
  const points = useStore(live, state => state.points)
  const requests = useStore(live, state => state.requests)
  const models = useStore(hub, state => state.models)
  const spanMs = useStore(known.store, state => state.spanMs)
  const last = points.at(-1)
  const hasGpuLoad = last?.gpuBusy !== undefined
  const resident = models.filter(
    ({ state, parent }) => parent === undefined && (state === 'ready' || state === 'loading' || state === 'unloading'),
  )

  return (
    <div className="overview">
      <Problems {...props} />
      <Downloads {...props} />
      <SetUp {...props} />
      <div className="bar">
        <label className="inline-field">
          {d.range}
          <select value={spanMs} onChange={event => known.setSpan(Number(event.target.value))}>
            {SPANS_MS.map(each => (
              <option key={each} value={each}>
                {d.lastMinutes(each / 60_000)}
              </option>
            ))}
          </select>
        </label>
      </div>
      <div className="charts">
        <TimeChart
          title={t.processor}
          lines={[
            { label: 'CPU', pick: point => point.cpu },
            ...(hasGpuLoad ? [{ label: 'GPU', pick: (point: Point) => point.gpuBusy }] : []),
          ]}
          points={points}
          spanMs={spanMs}
          top={PERCENT_TOP}
          format={figures.percent}
        />
        <TimeChart
          title={t.memory}
          {...(last !== undefined && { limit: figures.size(last.memoryTotal) })}
          lines={[
            { label: d.memoryAll, pick: point => point.memoryUsed },
            { label: d.memoryModels, pick: point => point.modelBytes },
          ]}
          points={points}
          spanMs={spanMs}
          top={last?.memoryTotal ?? 1e9}
          format={figures.size}
        />
        {last?.gpuTotal !== undefined && (
          <TimeChart
            title={d.gpuMemory}
            lines={[{ label: d.gpuMemory, pick: point => point.gpuUsed }]}
            points={points}
            spanMs={spanMs}
            top={last.gpuTotal}
            format={figures.size}
            limit={figures.size(last.gpuTotal)}
          />
        )}
        <TimeChart
          title={d.tokensPerSecond}
          lines={[{ label: d.tokensPerSecond, pick: point => point.tokensPerSecond }]}
          points={points}
          spanMs={spanMs}
          top={10}
          format={figures.rate}
        />
      </div>
      <div className="halves">
        <Card
          title={d.loadedModels}
          more={
            <button type="button" className="link" onClick={() => go('models')}>
              {d.allModels(models.length)}
            </button>
          }
        >
          {resident.length === 0 ? (
            <p className="hint">{d.noneLoaded}</p>
          ) : (
            <ul className="plain-list">
              {resident.map(model => (
                <li key={model.id} className="line">
                  <span className="line-name">{model.id}</span>
                  <ModelDot model={model} />
                  <span className="grow" />
                  <span className="figure">{memoryOf(model, figures, d)}</span>
                  {model.state === 'ready' && (
                    <button
                      type="button"
                      className="secondary"
                      aria-label={`${t.unload} ${model.id}`}
                      onClick={() => void acting.unload(model.id)}
                    >
                      {t.unload}
                    </button>
                  )}
                </li>
              ))}
            </ul>
          )}
          {last !== undefined && (
            <dl className="facts">
              <dt>{d.running}</dt>
              <dd>{figures.count(last.running)}</dd>
              <dt>{d.waiting}</dt>
              <dd>{figures.count(last.waiting)}</dd>
            </dl>
          )}
        </Card>
        <Card
          title={d.recentRequests}
          more={
            <button type="button" className="link" onClick={() => go('requests')}>
              {d.allRequests}
            </button>
          }
        >
          {requests.length === 0 ? (
            <p className="hint">{d.noRequests}</p>
          ) : (
            <RequestTable requests={requests.slice(0, SOME)} short name={d.recentRequests} />
          )}
        </Card>
      </div>
    </div>
  )
}
