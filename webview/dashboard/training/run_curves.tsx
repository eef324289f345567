/** The curves of a run, alone or with other runs in one picture. */
import { useEffect, useMemo, useState } from 'react'
import type { TrainingJobOut } from '../../../server/wire/training.ts'
import { useStore } from '../../store.ts'
import { Chart, type ChartSeries } from './chart.tsx'
import type { Range } from './chart_uplot.ts'
import { type Point, seriesOf, smooth } from './curve.ts'
import type { Parts } from './parts.ts'
import { useWords } from './words.ts'

/** A curve of more points is noise to the eye. */
const NOISY = 60
const SMOOTHING = 0.05
const NO_POINTS: Point[] = []

export function RunCurves({ training, job }: Parts & { job: TrainingJobOut }) {
  const w = useWords()
  const curves = useStore(training.store, state => state.curves)
  const jobs = useStore(training.store, state => state.jobs)
  const [others, setOthers] = useState<readonly string[]>([])
  const [isSmoothed, setIsSmoothed] = useState(true)
  const [logarithmic, setLogarithmic] = useState(false)
  const [range, setRange] = useState<Range>()
  const { id } = job

  useEffect(() => {
    for (const each of [id, ...others]) {
      if (training.store.get().curves[each] === undefined) training.readCurve(each).catch(() => undefined)
    }
  }, [training, id, others])

  const runs = useMemo(
    () => [
      { id, name: job.name },
      ...others.map(each => ({ id: each, name: nameOf(jobs?.find(other => other.id === each)) })),
    ],
    [id, job.name, others, jobs],
  )
  const lossSeries = useMemo(
    () => runs.flatMap((run, colour) => lossLines(run, curves[run.id] ?? NO_POINTS, colour, isSmoothed, w)),
    [runs, curves, isSmoothed, w],
  )
  const rateSeries = useMemo(
    () =>
      runs.map((run, colour): ChartSeries => {
        const key = `${run.id}-rate`
        return { key, label: run.name, colour, ...seriesOf(curves[run.id] ?? NO_POINTS, 'learning_rate') }
      }),
    [runs, curves],
  )
  const isEmpty = lossSeries.every(({ values }) => values.length === 0)
  const comparable = (jobs ?? []).filter(other => other.id !== id && other.progress !== undefined)

  return (
    <section>
      <h3>{w.curves}</h3>
      {isEmpty ? (
        <p className="hint">{w.curvesWait}</p>
      ) : (
        <>
          <p className="hint">{w.zoomHint}</p>
          <div className="checks">
            <label>
              <input type="checkbox" checked={isSmoothed} onChange={event => setIsSmoothed(event.target.checked)} />
              {w.smoothing}
            </label>
            <label>
              <input type="checkbox" checked={logarithmic} onChange={event => setLogarithmic(event.target.checked)} />
              {w.logarithmic}
            </label>
          </div>
          <Chart
            title={w.lossChart}
            hint={w.lossChartHint}
            series={lossSeries}
            logarithmic={logarithmic}
            range={range}
            setRange={setRange}
          />
          <Chart title={w.rateChart} series={rateSeries} range={range} setRange={setRange} />
        </>
      )}
      <details className="more">
        <summary>{w.addRuns}</summary>
        {comparable.length === 0 && <p className="hint">{w.addRunsNone}</p>}
        <div className="checks">
          {comparable.map(other => (
            <label key={other.id}>
              <input
                type="checkbox"
                checked={others.includes(other.id)}
                onChange={event =>
                  setOthers(event.target.checked ? [...others, other.id] : others.filter(each => each !== other.id))
                }
              />
              {nameOf(other)} <span className="hint">{w.statuses[other.status]}</span>
            </label>
          ))}
        </div>
      </details>
    </section>
  )
}

const nameOf = (job: TrainingJobOut | undefined): string =>
  job === undefined ? '?' : `${job.name} (${job.id.slice(-4)})`

function lossLines(
  run: { id: string; name: string },
  points: Point[],
  colour: number,
  isSmoothed: boolean,
  w: ReturnType<typeof useWords>,
): ChartSeries[] {
  const loss = seriesOf(points, 'loss')
  const validation = seriesOf(points, 'validation_loss')
  const isNoisy = isSmoothed && loss.values.length > NOISY
  const label = w.curveOf(w.loss, run.name)
  return [
    ...(isNoisy ? [{ key: `${run.id}-raw`, label: w.everyStep(label), colour, faint: true, ...loss }] : []),
    { key: `${run.id}-loss`, label, colour, ...(isNoisy ? smooth(loss, SMOOTHING) : loss) },
    ...(validation.values.length === 0
      ? []
      : [
          {
            key: `${run.id}-validation`,
            label: w.curveOf(w.validationLoss, run.name),
            colour,
            dashed: true,
            points: true,
            ...validation,
          },
        ]),
  ]
}
