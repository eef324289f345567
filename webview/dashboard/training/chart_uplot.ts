/** Draws a chart with uPlot; a file of its own that is read when the first chart is shown. */
import UPlot from 'uplot'

export type Line = { label: string; colour: string; dashed: boolean; points: boolean; faint: boolean }
export type Range = { min: number; max: number }

export type Plot = {
  /** Steps, then the values of each line; null where one has none. */
  setData(data: [number[], ...(number | null)[][]], range: Range | undefined): void
  resize(width: number): void
  destroy(): void
}

export type PlotOptions = {
  lines: Line[]
  width: number
  height: number
  logarithmic: boolean
  /** Of axes and grid. */
  text: string
  grid: string
  format(value: number): string
  /** A part was chosen with the pointer, or with a double click the whole. */
  zoomed(range: Range | undefined): void
}

export function createPlot(place: HTMLElement, options: PlotOptions): Plot {
  const { lines, width, height, logarithmic, text, grid, format, zoomed } = options
  const axis = { stroke: text, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, width: 1 } }
  // What the page sets is no choice of a person.
  let isSetting = false
  const plot = new UPlot(
    {
      width,
      height,
      legend: { show: false },
      cursor: { drag: { x: true, y: false, setScale: false }, points: { size: 7 } },
      scales: { x: { time: false }, y: { distr: logarithmic ? 3 : 1 } },
      axes: [
        { ...axis, values: (_, splits) => splits.map(split => (Number.isInteger(split) ? String(split) : '')) },
        { ...axis, size: 62, values: (_, splits) => splits.map(split => (split === null ? '' : format(split))) },
      ],
      series: [
        {},
        ...lines.map(line => ({
          label: line.label,
          stroke: line.colour,
          width: line.faint ? 1 : 2,
          alpha: line.faint ? 0.45 : 1,
          spanGaps: true,
          ...(line.dashed && { dash: [6, 4] }),
          points: { show: line.points, size: 6, fill: line.colour },
        })),
      ],
      hooks: {
        setSelect: [
          self => {
            if (isSetting || self.select.width < 4) return
            const min = self.posToVal(self.select.left, 'x')
            const max = self.posToVal(self.select.left + self.select.width, 'x')
            self.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false)
            zoomed({ min, max })
          },
        ],
      },
    },
    [[], ...lines.map(() => [])],
    place,
  )
  plot.over.addEventListener('dblclick', () => zoomed(undefined))
  return {
    setData(data, range) {
      isSetting = true
      plot.setData(data, range === undefined)
      if (range !== undefined) plot.setScale('x', range)
      isSetting = false
    },
    resize: newWidth => plot.setSize({ width: newWidth, height }),
    destroy: () => plot.destroy(),
  }
}
