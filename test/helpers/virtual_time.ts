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

/** Lets time pass in small steps until the condition holds. @throws when it does not within a thousand of them */
export async function until(time: VirtualTime, condition: () => boolean, stepMs = 20): Promise<void> {
  for (let step = 0; step < 1000; step++) {
    if (condition()) return
    await time.advance(stepMs)
  }
  throw new Error('What was waited for did not happen.')
}

/** Lets time pass until a promise is settled, and gives its value. */
export async function settled<T>(time: VirtualTime, promise: Promise<T>): Promise<T> {
  let isSettled = false
  promise.then(
    () => {
      isSettled = true
    },
    () => {
      isSettled = true
    },
  )
  await until(time, () => isSettled)
  return promise
}

/** Lets everything run that waits for no timer. */
function settle(): Promise<void> {
  return new Promise(resolve => setImmediate(resolve))
}
