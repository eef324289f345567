/** Suggestions made before, found again when the user has typed part of one or comes back to where it was made. */
import type { Place } from './place.ts'

/** What the model wrote at a place, before it is fitted to what stands around the cursor now. */
export type Made = {
  raw: string
  /** Whether it ended by itself rather than by a limit. */
  complete: boolean
}

const PREFIX_KEY = 240
const SUFFIX_KEY = 80
/** Characters of a suggestion that may have been typed since. */
const WALK_BACK = 256

/** Least recently used entries fall out; reading and writing take microseconds. */
export class CompletionCache {
  readonly #entries = new Map<string, Made>()
  readonly #size: number

  constructor(size = 300) {
    this.#size = size
  }

  get size(): number {
    return this.#entries.size
  }

  put(place: Place, made: Made): void {
    const key = keyAt(place, textBefore(place).length)
    this.#entries.delete(key)
    this.#entries.set(key, made)
    if (this.#entries.size > this.#size) this.#entries.delete(this.#entries.keys().next().value!)
  }

  /** What is left of a suggestion whose beginning stands before the cursor now; the one made nearest is taken. */
  find(place: Place): Made | undefined {
    const before = textBefore(place)
    for (let typed = 0; typed <= Math.min(WALK_BACK, before.length); typed++) {
      const key = keyAt(place, before.length - typed, before)
      const made = this.#entries.get(key)
      if (made === undefined) continue
      const rest = afterTyped(made.raw, before.slice(before.length - typed))
      if (rest === undefined || (rest.trim() === '' && typed > 0)) continue
      this.#entries.delete(key)
      this.#entries.set(key, made)
      return { raw: rest, complete: made.complete }
    }
    return undefined
  }
}

/** What is left of `raw` behind what was typed; undefined when something else was typed. Indentation that the editor put in counts as typed. */
export function afterTyped(raw: string, typed: string): string | undefined {
  const text = raw.replaceAll('\r', '')
  if (text.startsWith(typed)) return text.slice(typed.length)
  // After Enter the editor indents by itself, perhaps otherwise than the model did.
  const line = /^([^\n]*\n)[ \t]*$/.exec(typed)
  if (line !== null && text.startsWith(line[1]!)) {
    const rest = text.slice(line[1]!.length)
    const indent = typed.length - line[1]!.length
    const space = /^[ \t]*/.exec(rest)![0].length
    return space >= indent ? rest.slice(indent) : undefined
  }
  return undefined
}

/** Text before the cursor, as far as the place knows it, with plain line ends. */
function textBefore(place: Place): string {
  return (place.before.slice(-(PREFIX_KEY + WALK_BACK)) + place.linePrefix).replaceAll('\r', '')
}

/** Closers that the editor puts behind the cursor come and go with typing, so the key is made without those. */
function keyAt(place: Place, end: number, before = textBefore(place)): string {
  const suffix = (place.lineSuffix.replace(/^[\s)\]}"'`;,]+/, '') + place.after).trimStart().slice(0, SUFFIX_KEY)
  return `${place.uri}\0${before.slice(Math.max(0, end - PREFIX_KEY), end)}\0${suffix}`
}
