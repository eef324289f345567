/** Colours of code and typeset formulas, each loaded when the first text needs it. */
import { createStore } from '../store.ts'
import type { Extras } from './markdown.ts'

/** Longer code is shown without colours: they would cost more than they help. */
const MAX_COLOURED = 50_000

export const extras = createStore<Extras>({})
const asked = { code: false, math: false }

export function load(needed: { code: boolean; math: boolean }): void {
  if (needed.code && !asked.code) {
    asked.code = true
    void import('./extras_code.ts').then(({ highlight }) => {
      extras.set({
        highlight: (code, language) => (code.length > MAX_COLOURED ? undefined : highlight(code, language)),
      })
    })
  }
  if (needed.math && !asked.math) {
    asked.math = true
    void import('./extras_math.ts').then(({ typeset }) => extras.set({ typeset }))
  }
}
