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

/** @param typeset of what a text is drawn with; undefined while it is not there: the source is shown */
export function mathRules<Env>(markdown: MarkdownIt, typeset: (env: Env) => Typeset | undefined): void {
  const render = (env: Env, formula: string, display: boolean): string => {
    const html = typeset(env)?.(formula, display)
    if (html !== undefined) return display ? `<div class="formula" tabindex="0">${html}</div>` : html
    const source = `<code>${markdown.utils.escapeHtml(formula)}</code>`
    return display ? `<div class="formula">${source}</div>` : source
  }
  /** Marks that a line does not have any more: looked for once, not again from each place where a formula could begin. */
  const gone = new WeakMap<object, Set<string>>()

  // Before escapes: `\(` would be an escaped bracket.
  markdown.inline.ruler.before('escape', 'math', (state, silent) => {
    for (const [open, close, display] of INLINE) {
      if (!state.src.startsWith(open, state.pos) || gone.get(state)?.has(close)) continue
      const begin = state.pos + open.length
      const end = state.src.indexOf(close, begin)
      if (end < 0 || end > state.posMax) {
        const known = gone.get(state) ?? new Set()
        gone.set(state, known.add(close))
        continue
      }
      if (end === begin) continue
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
    if (silent) return true
    let end = first + 1
    // Like a fence, one without an end goes to the end of what it stands in: the end is still to be written.
    const isInside = (index: number): boolean => state.sCount[index]! >= state.blkIndent || line(index) === ''
    while (end < last && isInside(end) && line(end).trim() !== close) end++
    const closed = end < last && line(end).trim() === close
    const token = state.push('math_block', 'math', 0)
    token.content = state.getLines(first + 1, end, state.tShift[first]!, false)
    token.map = [first, closed ? end + 1 : end]
    token.meta = { closed }
    token.block = true
    state.line = closed ? end + 1 : end
    return true
  })

  markdown.renderer.rules.math_inline = (tokens, index, _options, env) => {
    const { content, meta } = tokens[index]!
    return render(env as Env, content, (meta as { display: boolean }).display)
  }
  markdown.renderer.rules.math_block = (tokens, index, _options, env) => {
    const { content, meta } = tokens[index]!
    if ((meta as { closed: boolean }).closed) return render(env as Env, content, true)
    return `<div class="formula"><code>${markdown.utils.escapeHtml(content)}</code></div>`
  }
}
