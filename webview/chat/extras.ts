/** Colours of code and typeset formulas, each loaded when the first text needs it. */
import { createStore } from '../store.ts'
import type { Extras, Wants } from './markdown.ts'

/** Longer code is shown without colours: they would cost more than they help. */
const MAX_COLOURED = 50_000
/** The last block of a growing text is drawn again and again; what of it is the same is not worked out again. */
const REMEMBERED = 100

export const extras = createStore<Extras>({})
const asked: Wants = { code: false, math: false }

export function load(needed: Wants): void {
  if (needed.code && !asked.code) {
    asked.code = true
    void import('./extras_code.ts').then(({ highlight }) => {
      const remembered = remember(highlight)
      extras.set({
        highlight: (code, language) => (code.length > MAX_COLOURED ? undefined : remembered(code, language)),
      })
    })
  }
  if (needed.math && !asked.math) {
    asked.math = true
    void import('./extras_math.ts').then(({ typeset }) => extras.set({ typeset: remember(typeset) }))
  }
}

/** The same function, which knows its latest answers. */
function remember<Kind, Result>(work: (text: string, kind: Kind) => Result): (text: string, kind: Kind) => Result {
  const known = new Map<string, Result>()
  return (text, kind) => {
    const key = `${String(kind)}\0${text}`
    const result = known.has(key) ? (known.get(key) as Result) : work(text, kind)
    known.delete(key)
    known.set(key, result)
    if (known.size > REMEMBERED) known.delete(known.keys().next().value!)
    return result
  }
}
