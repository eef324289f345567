/** A chart of the last minutes: its lines with their figures of now, the picture, and a sentence that says the same. */
import { useEffect, useRef, useState } from 'react'
import { chartData, type Pick, summary } from './chart_data.ts'
import { useFigures } from './figures.ts'
import type { Point } from './live.ts'
import { useDashboardText } from './texts.ts'
import type { TimePlot } from './time_chart_uplot.ts'

export type ChartLine = { label: string; pick: Pick }

const HEIGHT = 150
/** Over more, seconds on the axis say nothing. */
const SECONDS_MS = 300_000

export function TimeChart(props: {
  title: string
  lines: ChartLine[]
  points: Point[]
  spanMs: number
  /** The least value at the top of the scale. */
  top: number
  format(value: number): string
  /** What there is in all: `24 GB`. */
  limit?: string
}) {
  const { title, lines, points, spanMs, format, limit } = props
  const d = useDashboardText()
  const known = lines.map(({ pick }) => summary(points, spanMs, pick))
  return (
    <figure className="card chart-card">
      <figcaption>
        <h2>
          {title}
          {limit !== undefined && <span className="hint"> {limit}</span>}
        </h2>
        <ul className="chart-lines">
          {lines.map(({ label }, index) => (
            <li key={label}>
              <span className={`swatch line-${index}`} aria-hidden="true" />
              {lines.length > 1 && <span className="hint">{label}</span>}
              <strong>{known[index] === undefined ? '–' : format(known[index].now)}</strong>
            </li>
          ))}
        </ul>
      </figcaption>
      <Picture {...props} />
      {lines.map(({ label }, index) => {
        const figures = known[index]
        return (
          <p key={label} className="hint chart-note">
            {lines.length > 1 && `${label}: `}
            {figures === undefined ? d.nothingYet : d.curve(format(figures.mean), format(figures.most))}
          </p>
        )
      })}
    </figure>
  )
}

function Picture(props: {
  lines: ChartLine[]
  points: Point[]
  spanMs: number
  top: number
  format(value: number): string
}) {
  const { lines, points, spanMs, top, format } = props
  const figures = useFigures()
  const place = useRef<HTMLDivElement>(null)
  const plot = useRef<TimePlot>(undefined)
  const theme = useThemeChange()
  const show = useRef(() => {})
  show.current = () => {
    const data = chartData(
      points,
      spanMs,
      lines.map(({ pick }) => pick),
    )
    const max = (points.at(-1)?.atMs ?? 0) / 1000
    plot.current?.setData(data, { min: max - spanMs / 1000, max })
  }

  // biome-ignore lint/correctness/useExhaustiveDependencies: the picture is made anew for other colours and scales; its points come by the effect below
  useEffect(() => {
    const element = place.current
    if (element === null) return
    let isGone = false
    const watch = new ResizeObserver(() => plot.current?.resize(Math.max(1, element.clientWidth)))
    void import('./time_chart_uplot.ts').then(({ createTimePlot }) => {
      if (isGone) return
      const style = getComputedStyle(element)
      const colour = (name: string): string => style.getPropertyValue(name).trim()
      plot.current = createTimePlot(element, {
        lines: lines.map((_, index) => {
          const line = colour(`--line-${index}`)
          return { colour: line, fill: /^#[\da-f]{6}$/i.test(line) ? `${line}1c` : 'transparent' }
        }),
        width: Math.max(1, element.clientWidth),
        height: HEIGHT,
        text: colour('--chart-text'),
        grid: colour('--chart-grid'),
        font: `11px ${style.fontFamily}`,
        top,
        value: format,
        time: spanMs > SECONDS_MS ? figures.minute : figures.time,
      })
      show.current()
      watch.observe(element)
    })
    return () => {
      isGone = true
      watch.disconnect()
      plot.current?.destroy()
      plot.current = undefined
    }
  }, [lines.length, theme, top, figures, spanMs > SECONDS_MS])

  // biome-ignore lint/correctness/useExhaustiveDependencies: they are what is shown
  useEffect(() => show.current(), [points, spanMs])

  return <div className="picture" ref={place} aria-hidden="true" />
}

/** Another value whenever the colours of the page are others: a picture does not follow them by itself. */
function useThemeChange(): number {
  const [theme, setTheme] = useState(0)
  useEffect(() => {
    const change = (): void => setTheme(before => before + 1)
    const observer = new MutationObserver(change)
    observer.observe(document.documentElement, { attributes: true, attributeFilter: ['data-theme', 'style'] })
    observer.observe(document.body, { attributes: true, attributeFilter: ['class'] })
    const forced = matchMedia('(forced-colors: active)')
    forced.addEventListener('change', change)
    return () => {
      observer.disconnect()
      forced.removeEventListener('change', change)
    }
  }, [])
  return theme
}
