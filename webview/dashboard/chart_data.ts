/** From the points of the last hour to the lines of a chart, and to the sentence that says the same without a picture. */
import type { Point } from './live.ts'

/** x in Unix seconds; null leaves a gap. */
export type ChartData = [number[], ...(number | null)[][]]

/** The hub was away, or the machine slept: a line over it would tell of what nobody saw. */
const GAP_MS = 30_000

export type Pick = (point: Point) => number | undefined

/** The points of the last `spanMs`, with a gap where there were none. */
export function chartData(points: readonly Point[], spanMs: number, picks: readonly Pick[]): ChartData {
  const shown = lastOf(points, spanMs)
  const times: number[] = []
  const columns: (number | null)[][] = picks.map(() => [])
  let before: Point | undefined
  for (const point of shown) {
    if (before !== undefined && point.atMs - before.atMs > GAP_MS) {
      times.push((before.atMs + 1) / 1000)
      for (const column of columns) column.push(null)
    }
    times.push(point.atMs / 1000)
    for (const [index, pick] of picks.entries()) columns[index]!.push(pick(point) ?? null)
    before = point
  }
  return [times, ...columns]
}

export function lastOf(points: readonly Point[], spanMs: number): Point[] {
  const from = (points.at(-1)?.atMs ?? 0) - spanMs
  return points.filter(({ atMs }) => atMs >= from)
}

export type Summary = { now: number; mean: number; most: number }

/** undefined where nothing is known. The mean is that of the time: points of the past lie further apart. */
export function summary(points: readonly Point[], spanMs: number, pick: Pick): Summary | undefined {
  const known = lastOf(points, spanMs).flatMap(point => {
    const value = pick(point)
    return value === undefined ? [] : [{ atMs: point.atMs, value }]
  })
  const last = known.at(-1)
  if (last === undefined) return undefined
  let sum = 0
  let weights = 0
  for (const [index, { atMs, value }] of known.entries()) {
    const earlier = known[index - 1]
    const weight = earlier === undefined ? 1 : Math.min(GAP_MS, atMs - earlier.atMs)
    sum += value * weight
    weights += weight
  }
  return { now: last.value, mean: sum / weights, most: Math.max(...known.map(({ value }) => value)) }
}
