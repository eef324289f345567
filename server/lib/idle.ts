/** Tells when a program that nobody stops by hand has not been used for long enough. */
import { repeat } from './repeat.ts'

export type IdleDeps = {
  /** Minutes without use after which it counts as idle; 0 = never. Read at every look. */
  minutes(): number
  /** Whether someone uses it at this moment. */
  busy(): boolean
  /** Uses so far; a use between two looks is seen by it. */
  uses(): number
  now(): number
  /** Calls the action again and again until the function that it gives is called; setInterval by default. */
  every?(action: () => void, ms: number): () => void
}

const LOOK_MS = 15_000

/** `idle` resolves once; `stop` ends the looking. */
export function watchIdle(deps: IdleDeps): { idle: Promise<void>; stop(): void } {
  const { promise, resolve } = Promise.withResolvers<void>()
  let usedMs = deps.now()
  let uses = deps.uses()
  const stop = (deps.every ?? repeat)(() => {
    if (deps.busy() || deps.uses() !== uses) {
      usedMs = deps.now()
      uses = deps.uses()
      return
    }
    const minutes = deps.minutes()
    if (minutes > 0 && deps.now() - usedMs >= minutes * 60_000) resolve()
  }, LOOK_MS)
  return { idle: promise, stop }
}
