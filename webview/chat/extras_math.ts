/** Formulas as MathML, which browsers draw themselves: no fonts, no styles, and readable for screen readers. */
import katex from 'katex'

/** A formula that is not right is shown as its source, in the colour of errors. */
export function typeset(formula: string, display: boolean): string {
  return katex.renderToString(formula, {
    output: 'mathml',
    displayMode: display,
    throwOnError: false,
    trust: false,
    strict: 'ignore',
    maxExpand: 200,
    maxSize: 20,
  })
}
