/** Time that passes only when a test says so. */

export class VirtualTime {
  #nowMs = 0
  #timers: { atMs: number; resolve: () => void }[] = []

  readonly now = (): number => this.#nowMs

  readonly wait = (ms: number, signal: AbortSignal): Promise<void> =>
    new Promise(resolve => {
      if (signal.aborted) return resolve()
      const timer = { atMs: this.#nowMs + ms, resolve }
      this.#timers.push(timer)
      signal.addEventListener(
        'abort',
        () => {
          this.#timers = this.#timers.filter(each => each !== timer)
          resolve()
        },
        { once: true },
      )
    })

  /** Lets so many ms pass, with all that is due in them in its order. */
  async advance(ms: number): Promise<void> {
    const end = this.#nowMs + ms
    for (;;) {
      await settle()
      this.#timers.sort((a, b) => a.atMs - b.atMs)
      const next = this.#timers[0]
      if (next === undefined || next.atMs > end) break
      this.#timers.shift()
      this.#nowMs = next.atMs
      next.resolve()
    }
    this.#nowMs = end
    await settle()
  }
}

/** Lets everything run that waits for no timer. */
function settle(): Promise<void> {
  return new Promise(resolve => setImmediate(resolve))
}
