/** How many requests a caller may make in any minute. */

const MINUTE_MS = 60_000

export type RateLimit = {
  /** Counts a request, or gives the milliseconds after which there is room for one. */
  take(caller: string, perMinute: number): number
  forget(caller: string): void
}

/** @param now Unix milliseconds; a clock that is set back frees what stands in its future */
export function createRateLimit(now: () => number): RateLimit {
  /** When each caller's requests of the last minute came, the oldest first. */
  const seen = new Map<string, number[]>()
  return {
    take(caller, perMinute) {
      const at = now()
      const times = (seen.get(caller) ?? []).filter(time => time <= at && time > at - MINUTE_MS)
      seen.set(caller, times)
      // A limit that was lowered waits for the requests that it would not have let in.
      const oldest = times[times.length - perMinute]
      if (oldest !== undefined) return oldest + MINUTE_MS - at
      times.push(at)
      return 0
    },
    forget: caller => void seen.delete(caller),
  }
}
