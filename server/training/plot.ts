/** Curves and bars for a terminal of any width, and curves as SVG: the losses of a run and the trials of a search. */

/** Points in any order of x; those that are not finite are left out. */
export type Curve = { name: string; points: readonly (readonly [x: number, y: number])[] }

export type PlotOptions = {
  /** Columns and lines of the whole picture. */
  width: number
  height: number
  /** Logarithmic x, as for learning rates. */
  logX?: boolean
  xName?: string
  /** ANSI colours, one per curve. */
  color?: boolean
}

type Range = { least: number; most: number }

const BRAILLE = 0x2800
/** Bit of a dot by its row and column within a character. */
const DOTS = [
  [0x01, 0x08],
  [0x02, 0x10],
  [0x04, 0x20],
  [0x40, 0x80],
] as const
const COLORS = [36, 33, 35, 32, 34, 31]
const SVG_COLORS = ['#1f77b4', '#ff7f0e', '#9467bd', '#2ca02c', '#17becf', '#d62728']
const LEAST_COLUMNS = 10
/** Beyond it, differences of values are not finite either. */
const MOST = 1e150

/** The curves in braille dots with axes, a line of text per line; a legend below when there are several. */
export function drawCurves(curves: readonly Curve[], options: PlotOptions): string {
  const finite = finiteCurves(curves, options.logX === true)
  const all = finite.flatMap(({ points }) => points)
  if (all.length === 0) return 'no values yet'
  const xs = rangeOf(all.map(([x]) => x))
  const ys = rangeOf(all.map(([, y]) => y))
  const labels = [ys.most, (ys.most + ys.least) / 2, ys.least].map(short)
  const margin = Math.max(...labels.map(label => label.length)) + 2
  const columns = Math.max(LEAST_COLUMNS, options.width - margin)
  const lines = Math.max(3, options.height - 2 - (curves.length > 1 ? 1 : 0))
  const dots = new Uint8Array(columns * lines)
  const owner = new Int8Array(columns * lines).fill(-1)
  const place = (value: number, { least, most }: Range, size: number): number =>
    Math.round(((value - least) / (most - least)) * (size - 1))

  for (const [index, { points }] of finite.entries()) {
    const set = (column: number, row: number): void => {
      const at = Math.floor(row / 4) * columns + Math.floor(column / 2)
      dots[at]! |= DOTS[(row % 4) as 0][(column % 2) as 0]
      owner[at] = index
    }
    let last: [number, number] | undefined
    for (const [x, y] of points) {
      const next: [number, number] = [place(x, xs, columns * 2), lines * 4 - 1 - place(y, ys, lines * 4)]
      line(last ?? next, next, set)
      last = next
    }
  }

  const paint = (text: string, index: number): string =>
    options.color === true && index >= 0 ? `\x1b[${COLORS[index % COLORS.length]}m${text}\x1b[0m` : text
  const rows = Array.from({ length: lines }, (_, row) => {
    const label = row === 0 ? labels[0]! : row === lines - 1 ? labels[2]! : row === (lines - 1) >> 1 ? labels[1]! : ''
    let text = ''
    for (let column = 0; column < columns; column++) {
      const at = row * columns + column
      text += paint(dots[at] === 0 ? ' ' : String.fromCharCode(BRAILLE + dots[at]!), owner[at]!)
    }
    return `${label.padStart(margin - 2)} ${label === '' ? '│' : '┤'}${text}`.trimEnd()
  })
  const unscale = (x: number): number => (options.logX === true ? 10 ** x : x)
  const [from, to] = [short(unscale(xs.least)), short(unscale(xs.most))]
  const name = options.xName === undefined ? '' : ` ${options.xName}`
  const axis = `${' '.repeat(margin - 1)}└${'─'.repeat(columns)}`
  const below = `${' '.repeat(margin)}${from}${`${to}${name}`.padStart(columns - from.length)}`
  const legend = curves.map(({ name }, index) => paint(`━ ${name}`, index)).join('  ')
  return [...rows, axis, below, ...(curves.length > 1 ? [`${' '.repeat(margin)}${legend}`] : [])].join('\n')
}

/** The curves as an SVG document of 640 by 360. */
export function svgCurves(
  curves: readonly Curve[],
  options: { title: string; xName: string; yName: string; logX?: boolean },
): string {
  const [width, height, left, right, top, bottom] = [640, 360, 64, 16, 32, 48]
  const finite = finiteCurves(curves, options.logX === true)
  const all = finite.flatMap(({ points }) => points)
  const xs = rangeOf(all.map(([x]) => x))
  const ys = rangeOf(all.map(([, y]) => y))
  const x = (value: number): string =>
    (left + ((value - xs.least) / (xs.most - xs.least)) * (width - left - right)).toFixed(1)
  const y = (value: number): string =>
    (height - bottom - ((value - ys.least) / (ys.most - ys.least)) * (height - top - bottom)).toFixed(1)
  const ticks = ({ least, most }: Range): number[] =>
    [0, 0.25, 0.5, 0.75, 1].map(share => least + share * (most - least))
  const text = (at: string, anchor: string, said: string): string =>
    `<text ${at} text-anchor="${anchor}">${escapeXml(said)}</text>`
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="sans-serif" font-size="11">`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    text(`x="${width / 2}" y="18" font-size="13"`, 'middle', options.title),
    text(`x="${width / 2}" y="${height - 10}"`, 'middle', options.xName),
    text(`x="14" y="${height / 2}" transform="rotate(-90 14 ${height / 2})"`, 'middle', options.yName),
    ...ticks(ys).flatMap(value => [
      `<line x1="${left}" x2="${width - right}" y1="${y(value)}" y2="${y(value)}" stroke="#ddd"/>`,
      text(`x="${left - 6}" y="${y(value)}" dy="4"`, 'end', short(value)),
    ]),
    ...ticks(xs).map(value =>
      text(`x="${x(value)}" y="${height - bottom + 16}"`, 'middle', short(options.logX === true ? 10 ** value : value)),
    ),
  ]
  for (const [index, { name, points }] of finite.entries()) {
    const color = SVG_COLORS[index % SVG_COLORS.length]!
    const path = points.map(([a, b]) => `${x(a)},${y(b)}`).join(' ')
    parts.push(`<polyline points="${path}" fill="none" stroke="${color}" stroke-width="1.5"/>`)
    for (const [a, b] of points.length > 40 ? [] : points) {
      parts.push(`<circle cx="${x(a)}" cy="${y(b)}" r="3" fill="${color}"/>`)
    }
    parts.push(text(`x="${width - right}" y="${top + 12 + index * 14}" fill="${color}"`, 'end', name))
  }
  return `${parts.join('\n')}\n</svg>\n`
}

/** `━━━━━╸     42 %  step 84 of 200`: a bar over the whole width, with the text behind it cut where it must be. */
export function progressBar(share: number, text: string, width: number): string {
  const done = Math.min(1, Math.max(0, Number.isFinite(share) ? share : 0))
  const percent = `${Math.floor(done * 100)} %`.padStart(5)
  const room = Math.max(0, width - percent.length - 3)
  const said = text.length > room - LEAST_COLUMNS ? text.slice(0, Math.max(0, room - LEAST_COLUMNS - 1)) : text
  const columns = Math.max(0, room - said.length)
  const halves = Math.round(done * columns * 2)
  const bar = '━'.repeat(halves >> 1) + (halves % 2 === 1 ? '╸' : '')
  return `${bar.padEnd(columns)} ${percent}  ${said}`.slice(0, width)
}

/** Sorted by x, on the axis as it is drawn. */
function finiteCurves(curves: readonly Curve[], logX: boolean): { name: string; points: [number, number][] }[] {
  return curves.map(({ name, points }) => ({
    name,
    points: points
      .map(([x, y]): [number, number] => [logX ? Math.log10(x) : x, y])
      .filter(([x, y]) => Math.abs(x) < MOST && Math.abs(y) < MOST)
      .sort(([a], [b]) => a - b),
  }))
}

function rangeOf(values: readonly number[]): Range {
  let least = Number.POSITIVE_INFINITY
  let most = Number.NEGATIVE_INFINITY
  for (const value of values) {
    least = Math.min(least, value)
    most = Math.max(most, value)
  }
  if (least > most) return { least: 0, most: 1 }
  // A flat line lies in the middle.
  const room = least === most ? Math.abs(least) * 0.1 || 1 : 0
  return { least: least - room, most: most + room }
}

/** Every dot from one place to the other (Bresenham). */
function line(
  [fromX, fromY]: [number, number],
  [toX, toY]: [number, number],
  set: (x: number, y: number) => void,
): void {
  const [width, height] = [Math.abs(toX - fromX), Math.abs(toY - fromY)]
  const [right, down] = [fromX < toX ? 1 : -1, fromY < toY ? 1 : -1]
  let [x, y, error] = [fromX, fromY, width - height]
  for (;;) {
    set(x, y)
    if (x === toX && y === toY) return
    const twice = 2 * error
    if (twice > -height) {
      error -= height
      x += right
    }
    if (twice < width) {
      error += width
      y += down
    }
  }
}

/** Three or four digits, as axes have them. */
function short(value: number): string {
  const size = Math.abs(value)
  if (size !== 0 && (size < 0.001 || size >= 1e6)) return value.toExponential(1)
  if (size >= 100) return value.toFixed(0)
  return String(Number(value.toPrecision(3)))
}

const escapeXml = (text: string): string =>
  text.replace(/[&<>"]/g, found => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[found] ?? found)
