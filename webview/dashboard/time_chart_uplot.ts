/** Draws lines over time with uPlot; a file of its own that is read when the first chart is shown. */
import UPlot from 'uplot'
import type { ChartData } from './chart_data.ts'

export type Line = { colour: string; fill: string }

export type TimePlot = {
  /** @param range of x, in Unix seconds */
  setData(data: ChartData, range: { min: number; max: number }): void
  resize(width: number): void
  destroy(): void
}

export type TimePlotOptions = {
  lines: Line[]
  width: number
  height: number
  text: string
  grid: string
  font: string
  /** The least value at the top of the scale. */
  top: number
  value(value: number): string
  time(atMs: number): string
}

export function createTimePlot(place: HTMLElement, options: TimePlotOptions): TimePlot {
  const { lines, width, height, text, grid, font, top, value, time } = options
  const axis = { stroke: text, font, ticks: { show: false } }
  const plot = new UPlot(
    {
      width,
      height,
      legend: { show: false },
      cursor: { show: false },
      padding: [8, 8, 0, 0],
      scales: { x: { time: true }, y: { range: (_, _least, most) => [0, Math.max(top, most || 0)] } },
      axes: [
        {
          ...axis,
          grid: { show: false },
          space: 80,
          size: 26,
          values: (_, splits) => splits.map(split => time(split * 1000)),
        },
        {
          ...axis,
          grid: { stroke: grid, width: 1 },
          size: 58,
          space: 36,
          values: (_, splits) => splits.map(value),
        },
      ],
      series: [{}, ...lines.map(({ colour, fill }) => ({ stroke: colour, fill, width: 1.5, points: { show: false } }))],
    },
    [[], ...lines.map(() => [])],
    place,
  )
  return {
    setData(data, range) {
      plot.batch(() => {
        plot.setData(data, false)
        plot.setScale('x', range)
      })
    },
    resize: newWidth => plot.setSize({ width: newWidth, height }),
    destroy: () => plot.destroy(),
  }
}
