/** A chart that can be zoomed and read without eyes: a legend with switches, buttons, sentences and a table beside the picture. */
import { type KeyboardEvent, useEffect, useId, useRef, useState } from 'react'
import type { Plot, Range } from './chart_uplot.ts'
import { alignSeries, type Series, someSteps, summarise } from './curve.ts'
import { count, figure } from './figures.ts'
import { Scroll } from './widgets.tsx'
import { useWords } from './words.ts'

export type ChartSeries = Series & {
  key: string
  label: string
  /** From 0: the colour of its run. */
  colour: number
  dashed?: boolean
  points?: boolean
  faint?: boolean
}

const HEIGHT = 260
const COLOURS = 6
/** Rows of the table. */
const ROWS = 25
/** Part of what is shown that a zoom or a shift takes. */
const ZOOM = 0.5
const SHIFT = 0.25

export function Chart(props: {
  title: string
  hint?: string
  series: ChartSeries[]
  logarithmic?: boolean
  range: Range | undefined
  setRange(range: Range | undefined): void
}) {
  const { title, hint, series, logarithmic = false, range, setRange } = props
  const w = useWords()
  const [hidden, setHidden] = useState<readonly string[]>([])
  const heading = useId()
  const shown = series.filter(({ key }) => !hidden.includes(key))
  const steps = alignSeries(series)[0]
  const whole = { min: steps[0] ?? 0, max: steps.at(-1) ?? 1 }
  const now = range ?? whole

  const zoom = (part: number) => {
    const middle = (now.min + now.max) / 2
    const half = Math.max(1, ((now.max - now.min) / 2) * part)
    const next = { min: Math.max(whole.min, middle - half), max: Math.min(whole.max, middle + half) }
    setRange(next.min <= whole.min && next.max >= whole.max ? undefined : next)
  }
  const shift = (part: number) => {
    if (range === undefined) return
    const by = (range.max - range.min) * part
    const most = by < 0 ? Math.max(by, whole.min - range.min) : Math.min(by, whole.max - range.max)
    setRange({ min: range.min + most, max: range.max + most })
  }
  const actions: { keys: string[]; label: string; sign: string; act(): void; off?: boolean }[] = [
    { keys: ['+', '='], label: w.zoomIn, sign: '+', act: () => zoom(ZOOM) },
    { keys: ['-'], label: w.zoomOut, sign: '−', act: () => zoom(1 / ZOOM), off: range === undefined },
    { keys: ['ArrowLeft'], label: w.panLeft, sign: '←', act: () => shift(-SHIFT), off: range === undefined },
    { keys: ['ArrowRight'], label: w.panRight, sign: '→', act: () => shift(SHIFT), off: range === undefined },
    { keys: ['0'], label: w.zoomReset, sign: '⤢', act: () => setRange(undefined), off: range === undefined },
  ]
  const press = (event: KeyboardEvent): void => {
    const action = actions.find(({ keys }) => keys.includes(event.key))
    // The table beside it is scrolled with the same keys.
    const isInTable = event.target instanceof Element && event.target.closest('table, .scroll') !== null
    if (action === undefined || action.off === true || isInTable || event.ctrlKey || event.metaKey || event.altKey)
      return
    event.preventDefault()
    action.act()
  }

  return (
    // biome-ignore lint/a11y/useSemanticElements: a figure with controls is a group, not a fieldset
    <div className="chart" role="group" aria-labelledby={heading} onKeyDown={press}>
      <div className="chart-head">
        <h4 id={heading}>{title}</h4>
        <div className="chart-tools">
          {actions.map(({ label, sign, act, off }) => (
            <button
              key={label}
              type="button"
              className="icon-button"
              title={label}
              aria-label={`${label}: ${title}`}
              aria-disabled={off === true}
              onClick={act}
            >
              <span aria-hidden="true">{sign}</span>
            </button>
          ))}
        </div>
      </div>
      {hint !== undefined && <p className="hint">{hint}</p>}
      <Canvas series={shown} logarithmic={logarithmic} range={range} setRange={setRange} />
      <ul className="legend">
        {series.map(each => (
          <li key={each.key}>
            <label>
              <input
                type="checkbox"
                checked={!hidden.includes(each.key)}
                onChange={event =>
                  setHidden(event.target.checked ? hidden.filter(key => key !== each.key) : [...hidden, each.key])
                }
              />
              <svg className={`swatch series-${each.colour % COLOURS}`} viewBox="0 0 24 8" aria-hidden="true">
                <line
                  x1="0"
                  y1="4"
                  x2="24"
                  y2="4"
                  strokeDasharray={each.dashed ? '6 4' : undefined}
                  opacity={each.faint ? 0.5 : 1}
                />
                {each.points && <circle cx="12" cy="4" r="3" />}
              </svg>
              {each.label}
            </label>
          </li>
        ))}
      </ul>
      <ul className="hidden">
        {shown.map(each => {
          const figures = summarise(each)
          if (figures === undefined) return undefined
          const text = (value: number): string => figure(value, w.locale)
          return (
            <li key={each.key}>
              {w.curveText(
                each.label,
                text(figures.first),
                text(figures.last),
                count(figures.lastStep, w.locale),
                text(figures.least),
                count(figures.leastStep, w.locale),
              )}
            </li>
          )
        })}
      </ul>
      <Table title={title} series={shown} />
    </div>
  )
}

function Canvas(props: {
  series: ChartSeries[]
  logarithmic: boolean
  range: Range | undefined
  setRange(range: Range | undefined): void
}) {
  const { series, logarithmic, range, setRange } = props
  const w = useWords()
  const place = useRef<HTMLDivElement>(null)
  const plot = useRef<Plot>(undefined)
  const theme = useTheme()
  const newest = useRef({ series, range, setRange })
  newest.current = { series, range, setRange }
  const lines = JSON.stringify(
    series.map(({ label, colour, dashed, points, faint }) => [label, colour, dashed, points, faint]),
  )

  // biome-ignore lint/correctness/useExhaustiveDependencies: lines and theme stand for what the picture is made of
  useEffect(() => {
    const element = place.current
    if (element === null) return
    let isGone = false
    const observer = new ResizeObserver(() => plot.current?.resize(Math.max(1, element.clientWidth)))
    void import('./chart_uplot.ts').then(({ createPlot }) => {
      if (isGone) return
      const colour = (name: string): string => getComputedStyle(element).getPropertyValue(name).trim()
      plot.current = createPlot(element, {
        lines: newest.current.series.map(each => ({
          label: each.label,
          colour: colour(`--series-${each.colour % COLOURS}`),
          dashed: each.dashed === true,
          points: each.points === true,
          faint: each.faint === true,
        })),
        width: Math.max(1, element.clientWidth),
        height: HEIGHT,
        logarithmic,
        text: colour('--vscode-foreground'),
        grid: colour('--vscode-panel-border'),
        format: value => figure(value, w.locale),
        zoomed: chosen => newest.current.setRange(chosen),
      })
      plot.current.setData(alignSeries(newest.current.series), newest.current.range)
      observer.observe(element)
    })
    return () => {
      isGone = true
      observer.disconnect()
      plot.current?.destroy()
      plot.current = undefined
    }
  }, [lines, logarithmic, theme, w.locale])

  useEffect(() => {
    plot.current?.setData(alignSeries(series), range)
  }, [series, range])

  return <div className="canvas" ref={place} aria-hidden="true" />
}

/** Another value whenever the colours of the page are others: a picture does not follow them by itself. */
function useTheme(): number {
  const [theme, setTheme] = useState(0)
  useEffect(() => {
    const observer = new MutationObserver(() => setTheme(before => before + 1))
    observer.observe(document.documentElement, { attributes: true, attributeFilter: ['data-theme', 'style'] })
    observer.observe(document.body, { attributes: true, attributeFilter: ['class'] })
    return () => observer.disconnect()
  }, [])
  return theme
}

function Table({ title, series }: { title: string; series: ChartSeries[] }) {
  const w = useWords()
  const [isOpen, setIsOpen] = useState(false)
  return (
    <details className="more" onToggle={event => setIsOpen(event.currentTarget.open)}>
      <summary>{w.curveTable}</summary>
      {isOpen && <TableRows title={title} series={series} />}
    </details>
  )
}

function TableRows({ title, series }: { title: string; series: ChartSeries[] }) {
  const w = useWords()
  const [steps, ...columns] = alignSeries(series)
  // What is measured seldom is what one looks for.
  const seldom = columns.filter(values => values.filter(value => value !== null).length <= ROWS)
  const rows = [...steps.keys()]
  const some = [
    ...new Set([...someSteps(rows, ROWS), ...rows.filter(row => seldom.some(values => values[row] !== null))]),
  ].sort((a, b) => a - b)
  return (
    <Scroll name={title}>
      <table>
        <thead>
          <tr>
            <th scope="col">{w.stepHead}</th>
            {series.map(({ key, label }) => (
              <th key={key} scope="col">
                {label}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {some.map(index => (
            <tr key={index}>
              <th scope="row">{count(steps[index]!, w.locale)}</th>
              {columns.map((values, column) => {
                const value = values[index]
                return (
                  <td key={series[column]!.key} className="number">
                    {value == null ? '' : figure(value, w.locale)}
                  </td>
                )
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  )
}
