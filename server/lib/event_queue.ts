/** Events pushed by one side and iterated by the other, in order; ends or fails once. */

export class EventQueue<T> implements AsyncIterable<T> {
  #events: T[] = []
  #ended = false
  #error: Error | undefined
  #wake: (() => void) | undefined

  push(event: T): void {
    if (this.#ended) return
    this.#events.push(event)
    this.#notify()
  }

  end(): void {
    this.#ended = true
    this.#notify()
  }

  fail(error: Error): void {
    if (this.#ended) return
    this.#error = error
    this.end()
  }

  #notify(): void {
    const wake = this.#wake
    this.#wake = undefined
    wake?.()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void> {
    for (;;) {
      // Taken as one batch: a burst of tokens costs one turn of the loop.
      const events = this.#events
      this.#events = []
      yield* events
      if (this.#events.length > 0) continue
      if (this.#error !== undefined) throw this.#error
      if (this.#ended) return
      await new Promise<void>(resolve => {
        this.#wake = resolve
      })
    }
  }
}
