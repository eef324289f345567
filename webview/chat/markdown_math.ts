/** Formulas in Markdown: $x$, $$x$$, \(x\) and \[x\]. */
import type { MarkdownIt } from 'markdown-it'

/** HTML of a formula. */
export type Typeset = (formula: string, display: boolean) => string

/** Marks in a line, the longer ones first. */
const INLINE: [open: string, close: string, display: boolean][] = [
  ['$$', '$$', true],
  ['\\[', '\\]', true],
  ['\\(', '\\)', false],
  ['$', '$', false],
]

export function mathRules(markdown: MarkdownIt, typeset: () => Typeset | undefined): void {
  const render = (formula: string, display: boolean): string => {
    const html = typeset()?.(formula, display)
    if (html !== undefined) return display ? `<div class="formula" tabindex="0">${html}</div>` : html
    const source = `<code>${markdown.utils.escapeHtml(formula)}</code>`
    return display ? `<div class="formula">${source}</div>` : source
  }

  // Before escapes: `\(` would be an escaped bracket.
  markdown.inline.ruler.before('escape', 'math', (state, silent) => {
    for (const [open, close, display] of INLINE) {
      if (!state.src.startsWith(open, state.pos)) continue
      const begin = state.pos + open.length
      const end = state.src.indexOf(close, begin)
      if (end < 0 || end === begin || end > state.posMax) continue
      const formula = state.src.slice(begin, end)
      // Sums of money are no formulas: no space inside the marks, no digit behind them.
      if (open === '$' && (/^\s|\s$|\n/.test(formula) || /\d/.test(state.src[end + 1] ?? ''))) continue
      if (!silent) {
        const token = state.push('math_inline', 'math', 0)
        token.content = formula
        token.meta = { display }
      }
      state.pos = end + close.length
      return true
    }
    return false
  })

  markdown.block.ruler.before('fence', 'math_block', (state, first, last, silent) => {
    const line = (index: number): string =>
      state.src.slice(state.bMarks[index]! + state.tShift[index]!, state.eMarks[index]!)
    const open = line(first).trim()
    const close = open === '$$' ? '$$' : open === '\\[' ? '\\]' : undefined
    if (close === undefined) return false
    let end = first + 1
    while (end < last && line(end).trim() !== close) end++
    if (end >= last) return false
    if (silent) return true
    const token = state.push('math_block', 'math', 0)
    token.content = state.getLines(first + 1, end, state.tShift[first]!, false)
    token.map = [first, end + 1]
    token.block = true
    state.line = end + 1
    return true
  })

  markdown.renderer.rules.math_inline = (tokens, index) => {
    const { content, meta } = tokens[index]!
    return render(content, (meta as { display: boolean }).display)
  }
  markdown.renderer.rules.math_block = (tokens, index) => render(tokens[index]!.content, true)
}
