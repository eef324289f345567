/** Drawing at the pace of the screen: once a frame at most, and more seldom while a drawing takes long. */

/** A drawing that takes no longer leaves the frame its time. */
const LIGHT_MS = 8
/** Behind a heavier one, so many times what it took are left to everything else. */
const REST = 2

export type Screen = { now(): number; nextFrame(then: () => void): void; after(ms: number, then: () => void): void }

/** @returns asks for `draw`; however often it is asked for, what was not drawn yet is drawn together */
export function paced(draw: () => void, { now, nextFrame, after }: Screen): () => void {
  let busy = false
  let asked = false
  function frame(): void {
    const begun = now()
    asked = false
    draw()
    // Behind the frame: its styles and layout are counted as well.
    after(0, () => {
      const tookMs = now() - begun
      if (tookMs <= LIGHT_MS) next()
      else after(tookMs * REST, next)
    })
  }
  function next(): void {
    busy = asked
    if (asked) nextFrame(frame)
  }
  return () => {
    asked = true
    if (busy) return
    busy = true
    nextFrame(frame)
  }
}
