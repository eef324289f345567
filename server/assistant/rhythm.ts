/** How long to wait after a keystroke before the model is asked: as long as another one is to be expected, and no longer. */
import type { Place } from './place.ts'

const MOST_INTERVALS = 50
const LEAST_MS = 10
const MOST_MS = 400
/** Until the model has answered once. */
const UNKNOWN_MS = 100
/** Part of the time between two keys within which an answer costs nobody anything. */
const QUICK = 0.3
/** A pause of thought says nothing about the speed of typing. */
const PAUSE_MS = 1500

export class Rhythm {
  readonly #intervals: number[] = []
  #lastMs: number | undefined
  #latencyMs = 0

  /** A character was typed or deleted. */
  keystroke(nowMs: number): void {
    const interval = this.#lastMs === undefined ? undefined : nowMs - this.#lastMs
    this.#lastMs = nowMs
    if (interval === undefined || interval <= 0 || interval > PAUSE_MS) return
    this.#intervals.push(interval)
    if (this.#intervals.length > MOST_INTERVALS) this.#intervals.shift()
  }

  /** A suggestion took so long from request to text. */
  answered(tookMs: number): void {
    this.#latencyMs = this.#latencyMs === 0 ? tookMs : this.#latencyMs * 0.8 + tookMs * 0.2
  }

  get latencyMs(): number {
    return this.#latencyMs
  }

  /**
   * Milliseconds to wait, counted from the last keystroke. A model that answers long before the next key is asked at once.
   * Else someone who types fast is waited for, since a request that is outdated at once only takes the model's time; at places
   * where people stop to think the wait is shorter; and it is never longer than the answer takes, which is all that it can save.
   */
  delayMs(place: Place, nowMs: number): number {
    const { linePrefix, lineSuffix } = place
    const sorted = [...this.#intervals].sort((a, b) => a - b)
    const typical = sorted[Math.floor(sorted.length / 2)] ?? 150
    const trigger = /[.([{=,:>\s]$/.test(linePrefix) || linePrefix.trim() === ''
    const atEnd = lineSuffix.trim() === ''
    const factor = 1.3 - (trigger ? 0.5 : 0) - (atEnd ? 0.3 : 0)
    const latency = this.#latencyMs === 0 ? UNKNOWN_MS : this.#latencyMs
    if (latency < typical * QUICK) return 0
    const wait = Math.min(MOST_MS, latency, Math.max(LEAST_MS, typical * factor - latency * 0.25))
    const passed = this.#lastMs === undefined ? 0 : Math.max(0, nowMs - this.#lastMs)
    return Math.max(0, wait - passed)
  }
}
