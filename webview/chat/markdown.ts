/** Markdown of a model to HTML that nothing can run in: no raw HTML, no images from elsewhere, and a sanitizer behind it all. */
import MarkdownIt from 'markdown-it'
import { mathRules, type Typeset } from './markdown_math.ts'

/** What is loaded only when a text needs it. Absent = not there yet: the source is shown as it is. */
export type Extras = {
  /** HTML of the coloured code; undefined for a language that is not known. */
  highlight?: ((code: string, language: string) => string | undefined) | undefined
  typeset?: Typeset | undefined
}
export type Words = { copy: string; insert?: string; apply?: string }

/** One block of a text: a paragraph, a list, a fence. While an answer streams in, only the last one changes. */
export type Block = { key: string; html: string }

export function createMarkdown(extras: () => Extras, words: () => Words): (text: string) => Block[] {
  const markdown = new MarkdownIt({ html: false, linkify: false, breaks: false })
  mathRules(markdown, () => extras().typeset)
  const { escapeHtml } = markdown.utils
  // A picture from elsewhere would tell that place what was read here; it becomes a link that nobody follows but the reader.
  markdown.renderer.rules.image = (tokens, index) => {
    const token = tokens[index]!
    const source = String(token.attrGet('src') ?? '')
    const label = escapeHtml(token.content || source)
    if (/^data:image\/(png|jpeg|gif|webp);/i.test(source)) return `<img alt="${label}" src="${escapeHtml(source)}">`
    return `<a href="${escapeHtml(source)}">${label}</a>`
  }
  markdown.renderer.rules.fence = (tokens, index) => {
    const { info, content } = tokens[index]!
    const code = content.replace(/\n$/, '')
    const { language, file } = readFence(info, code)
    const coloured = language === '' ? undefined : extras().highlight?.(code, language)
    const { copy, insert, apply } = words()
    const button = (action: string, label: string | undefined): string =>
      label === undefined ? '' : `<button type="button" data-code="${action}">${escapeHtml(label)}</button>`
    return (
      `<div class="code"><div class="code-head"><span>${escapeHtml(language)}</span>` +
      `${button('insert', insert)}${button('apply', apply)}${button('copy', copy)}</div>` +
      `<pre tabindex="0"><code data-language="${escapeHtml(language)}"${file === undefined ? '' : ` data-file="${escapeHtml(file)}"`}>${coloured ?? escapeHtml(code)}</code></pre></div>`
    )
  }
  markdown.renderer.rules.table_open = () => '<div class="table" tabindex="0"><table>'
  markdown.renderer.rules.table_close = () => '</table></div>'

  return text => {
    const lines = text.split('\n')
    const env = {}
    const tokens = markdown.parse(text, env)
    const blocks: Block[] = []
    let start = 0
    let depth = 0
    for (const [index, token] of tokens.entries()) {
      depth += token.nesting
      if (depth > 0 || token.nesting > 0) continue
      const group = tokens.slice(start, index + 1)
      start = index + 1
      const [from, to] = group[0]?.map ?? [0, 0]
      blocks.push({
        key: `${blocks.length}:${lines.slice(from, to).join('\n')}`,
        html: markdown.renderer.render(group, markdown.options, env),
      })
    }
    return blocks
  }
}

const PATH = /^(?:[\w.@-]+[/\\])*[\w.@-]+\.\w{1,10}$/

/** What stands at a block of code: its language, and its file where that is named there or in a comment of the first line. */
export function readFence(info: string, code: string): { language: string; file?: string } {
  const [first = '', ...rest] = info.trim().split(/\s+/)
  // `ts:src/a.ts`
  const [, language = first, joined] = /^([\w+#-]+):(.+)$/.exec(first) ?? []
  const named = rest.map(word => word.replace(/^(?:file|filename|path|title)=/, '').replace(/^["'`]|["'`]$/g, ''))
  const comment = /^\s*(?:\/\/|#|--|<!--|\/\*)\s*(?:file(?:name)?:\s*)?(\S+)\s*(?:-->|\*\/)?\s*$/i.exec(
    code.split('\n', 1)[0]!,
  )?.[1]
  const file = [joined, ...named, comment].find(each => each !== undefined && PATH.test(each))
  return { language, ...(file !== undefined && { file }) }
}

/** Whether a text has code or formulas that are worth loading their parts for. */
export function needs(text: string): { code: boolean; math: boolean } {
  return { code: /(^|\n)\s*(```|~~~)\s*\w/.test(text), math: /\$[^\s$]|\\\(|\\\[|\$\$/.test(text) }
}
