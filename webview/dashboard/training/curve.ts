/** Loss curves as they grow: points by step, put together from what was stored and what comes. */
import type { TrainingCurve, TrainingEventOut } from '../../../server/wire/training.ts'

export type Point = TrainingCurve['points'][number]
export type Measure = 'loss' | 'validation_loss' | 'learning_rate'

/** The point that a line of a job's log tells of; undefined when it tells of none. */
export function pointOf({ type, data }: TrainingEventOut): Point | undefined {
  if (type !== 'metrics' || typeof data?.step !== 'number') return undefined
  const { step, train_loss, valid_loss, learning_rate } = data
  return {
    step,
    ...(typeof train_loss === 'number' && { loss: train_loss }),
    ...(typeof valid_loss === 'number' && { validation_loss: valid_loss }),
    ...(typeof learning_rate === 'number' && { learning_rate }),
  }
}

/** In the order of steps; of a step that was done twice, what came last. */
export function joinPoints(before: readonly Point[], next: readonly Point[]): Point[] {
  if (next.length === 0) return [...before]
  const last = before.at(-1)
  // The usual case is cheap: a run goes on behind what is known.
  if (next.length === 1 && (last === undefined || next[0]!.step > last.step)) return [...before, next[0]!]
  const points = new Map(before.map(point => [point.step, point]))
  for (const point of next) points.set(point.step, { ...points.get(point.step), ...point })
  return [...points.values()].sort((a, b) => a.step - b.step)
}

export type Series = { steps: number[]; values: number[] }

/** The steps at which something was measured, with what. */
export function seriesOf(points: readonly Point[], measure: Measure): Series {
  const steps: number[] = []
  const values: number[] = []
  for (const point of points) {
    const value = point[measure]
    if (value === undefined || !Number.isFinite(value)) continue
    steps.push(point.step)
    values.push(value)
  }
  return { steps, values }
}

/** Several series over one axis of steps; null where one has nothing. */
export function alignSeries(series: readonly Series[]): [number[], ...(number | null)[][]] {
  const steps = [...new Set(series.flatMap(each => each.steps))].sort((a, b) => a - b)
  const columns = series.map(each => {
    const values = new Map(each.steps.map((step, index) => [step, each.values[index]!]))
    return steps.map(step => values.get(step) ?? null)
  })
  return [steps, ...columns]
}

export type Summary = { first: number; last: number; least: number; leastStep: number; lastStep: number }

/** What a curve says in figures; undefined for an empty one. */
export function summarise({ steps, values }: Series): Summary | undefined {
  if (values.length === 0) return undefined
  let best = 0
  values.forEach((value, index) => {
    if (value < values[best]!) best = index
  })
  return {
    first: values[0]!,
    last: values.at(-1)!,
    least: values[best]!,
    leastStep: steps[best]!,
    lastStep: steps.at(-1)!,
  }
}

/** About `count` of the steps, the first and the last among them, for a table that can be read. */
export function someSteps(steps: readonly number[], count: number): number[] {
  if (steps.length <= count) return [...steps]
  return Array.from({ length: count }, (_, index) => steps[Math.round((index * (steps.length - 1)) / (count - 1))]!)
}

/** The mean of the steps around each, which shows where a noisy curve goes. @param share of the steps, 0 to 1 */
export function smooth({ steps, values }: Series, share: number): Series {
  const reach = Math.floor((values.length * share) / 2)
  if (reach < 1) return { steps, values }
  const sums = [0]
  for (const value of values) sums.push(sums.at(-1)! + value)
  return {
    steps,
    values: values.map((_, index) => {
      const from = Math.max(0, index - reach)
      const to = Math.min(values.length, index + reach + 1)
      return (sums[to]! - sums[from]!) / (to - from)
    }),
  }
}
