/** Figures of repeated measurements: medians and percentiles, paired ratios, and the printed table. */
import { cpus, loadavg, totalmem } from 'node:os'

/** @throws RangeError for no values */
export function percentile(values: readonly number[], fraction: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  if (sorted.length === 0) throw new RangeError('there is no measurement')
  const place = (sorted.length - 1) * fraction
  const low = sorted[Math.floor(place)] ?? 0
  const high = sorted[Math.ceil(place)] ?? 0
  return low + (high - low) * (place - Math.floor(place))
}

export const median = (values: readonly number[]): number => percentile(values, 0.5)

/** Ratios ours / peer of the rounds that both have: a round's noise meets both servers, so it cancels better than in a ratio of medians. */
export function pairedRatios(ours: readonly number[], peer: readonly number[]): number[] {
  return ours.slice(0, peer.length).map((value, round) => value / (peer[round] ?? Number.NaN))
}

export function formatNumber(value: number): string {
  return Math.abs(value) >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)
}

/** The machine and how busy it is: a figure without it says little. */
export function describeMachine(): string {
  const load = loadavg()
    .map(value => value.toFixed(2))
    .join(' ')
  const processors = cpus()
  return `${processors[0]?.model.trim()}, ${processors.length} logical processors, ${Math.round(totalmem() / 2 ** 30)} GiB; load ${load} (1, 5, 15 minutes); Node ${process.version}`
}
