/** How fast a download is at the moment, from the bytes that have come. */

/** Sooner than this after the last one, a sample says little, in ms. */
const APART_MS = 100
/** What lies further back does not count, in ms. */
const WINDOW_MS = 5000

export class Speed {
  #samples: { at: number; bytes: number }[] = []

  add(at: number, bytes: number): void {
    const last = this.#samples.at(-1)
    // A file that was started over counts from there.
    if (last !== undefined && bytes < last.bytes) this.#samples = []
    if (last !== undefined && at - last.at < APART_MS) return
    this.#samples.push({ at, bytes })
    while (this.#samples.length > 2 && at - this.#samples[0]!.at > WINDOW_MS) this.#samples.shift()
  }

  /** Bytes per second; 0 while nothing is known. */
  rate(now: number): number {
    const first = this.#samples[0]
    const last = this.#samples.at(-1)
    if (first === undefined || last === undefined || now <= first.at) return 0
    return ((last.bytes - first.bytes) * 1000) / (now - first.at)
  }
}
