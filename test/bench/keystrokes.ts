/** Someone typing: pieces of this repository's own files, key by key, with the pauses of a person, the same for every client. */
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

export type Key = {
  /** One character typed at `offset`. */
  character: string
  offset: number
  /** Until the next key. */
  pauseMs: number
}
export type Trace = { path: string; language: string; text: string; keys: Key[] }

const ROOT = resolve(import.meta.dirname, '..', '..')
/** Where a stretch of each file is taken out and typed again. */
const FILES: [path: string, from: RegExp, characters: number][] = [
  ['server/lib/idle.ts', /let usedMs/, 220],
  ['server/assistant/rhythm.ts', /if \(interval === undefined/, 200],
  ['server/lib/event_queue.ts', /export class/, 220],
  ['server/http/system.ts', /path: '\/v1\/system\/status'/, 180],
]
/** A key after which so much time passes counts as one after which the user looks up. */
export const LOOK_UP_MS = 700

export function traces(seed: number): Trace[] {
  const random = mulberry(seed)
  return FILES.map(([path, from, characters]) => {
    const whole = readFileSync(join(ROOT, path), 'utf8')
    const start = whole.search(from)
    if (start < 0) throw new Error(`${path} has no ${from}; choose another place for the trace`)
    // Up to a line's end, so that nothing stands behind the cursor.
    const end = whole.indexOf('\n', start + characters)
    const typed = whole.slice(start, end)
    const keys: Key[] = []
    for (let at = 0; at < typed.length; at++) {
      const character = typed[at]!
      // Indentation is the editor's work, which puts it in with the line end.
      const isIndent = character === ' ' && /\n *$/.test(typed.slice(0, at))
      const isThought = /[\n(={.,]/.test(character) ? random() < 0.45 : random() < 0.04
      const pauseMs = isIndent ? 0 : isThought ? LOOK_UP_MS + random() * 800 : 70 + random() * 130
      keys.push({ character, offset: start + at, pauseMs })
    }
    return { path, language: 'typescript', text: whole.slice(0, start) + whole.slice(end), keys }
  })
}

function mulberry(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let value = Math.imul(state ^ (state >>> 15), state | 1)
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61)
    return ((value ^ (value >>> 14)) >>> 0) / 4294967296
  }
}
