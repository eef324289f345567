/** Markdown of a model to HTML that nothing can run in: no raw HTML, no images from elsewhere, and a sanitizer behind it all. */
import MarkdownIt, { type MarkdownIt as Parser, type Env as ParserEnv, type Token } from 'markdown-it'
import { mathRules, type Typeset } from './markdown_math.ts'

/** What is loaded only when a text needs it. Absent = not there yet: the source is shown as it is. */
export type Extras = {
  /** HTML of the coloured code; undefined for a language that is not known. */
  highlight?: ((code: string, language: string) => string | undefined) | undefined
  typeset?: Typeset | undefined
}
export type Words = { copy: string; insert?: string; apply?: string }
/** What a text would be drawn better with. */
export type Wants = { code: boolean; math: boolean }

/** One block of a text: a paragraph, a list; code that stands by itself is drawn in pieces while it grows. */
export type Block = { html: string } | { code: string; language: string; file?: string; closed: boolean }

type Env = { extras: Extras; words: Words; wants: Wants }
/** Where a block begins in the text, and what can still be joined with what is before it. */
type Place = { offset: number; type: string; apart: boolean }

const markdown = createMarkdown()

/**
 * Draws a text that grows. What is whole is not read again: with each piece of text, only the last block is, or the last two
 * where they may become one. So a piece costs what its block costs, however long the text is.
 * @returns a function of the whole text so far; `wants` of it may be set meanwhile
 */
export function createDrawer(extras: Extras, words: Words): { draw(text: string): Block[]; wants: Wants } {
  const wants: Wants = { code: false, math: false }
  let before = ''
  let blocks: Block[] = []
  let places: Place[] = []
  /** A text with link references is read as a whole: a later line says what an earlier one means. */
  let hasReferences = false

  function draw(given: string): Block[] {
    const text = given.includes('\r') ? given.replace(/\r\n?/g, '\n') : given
    if (text === before) return blocks
    const kept = !hasReferences && text.startsWith(before) ? lastSafe(places) : 0
    read(text, kept)
    if (hasReferences && kept > 0) read(text, 0)
    before = text
    return blocks
  }

  function read(text: string, kept: number): void {
    const from = kept === 0 ? 0 : places[kept]!.offset
    const env: Env & ParserEnv = { extras, words, wants }
    const source = text.slice(from)
    const lines = lineStarts(source)
    const tokens = markdown.parse(source, env)
    const newBlocks: Block[] = []
    const newPlaces: Place[] = []
    for (const group of topLevel(tokens)) {
      const first = group[0]!
      const [line, end] = first.map ?? [0, 0]
      const offset = lines[line]!
      newPlaces.push({
        offset: from + offset,
        type: first.type,
        apart: line === 0 ? kept > 0 : source.slice(lines[line - 1]!, offset).trim() === '',
      })
      newBlocks.push(
        first.type === 'fence'
          ? codeBlock(first, source.slice(lines[end - 1], lines[end]), end - line > 1, extras, wants)
          : { html: markdown.renderer.render(group, markdown.options, env) },
      )
    }
    hasReferences = env.references !== undefined && Object.keys(env.references).length > 0
    blocks = [...blocks.slice(0, kept), ...newBlocks]
    places = [...places.slice(0, kept), ...newPlaces]
  }

  return { draw, wants }
}

/**
 * How many blocks stay as they are, whatever is written behind. A block that interrupts the one before it may turn out to be
 * part of it (a fence with a backtick in its first line), and what stands behind a list its next item (a number without its dot).
 */
function lastSafe(places: Place[]): number {
  for (let index = places.length - 1; index > 0; index--) {
    const { apart, type } = places[index]!
    if (apart && (type === 'fence' || !places[index - 1]!.type.endsWith('list_open'))) return index
  }
  return 0
}

function codeBlock(token: Token, lastLine: string, hasBody: boolean, extras: Extras, wants: Wants): Block {
  const code = token.content.replace(/\n$/, '')
  const fence = readFence(token.info, code)
  if (fence.language !== '' && extras.highlight === undefined) wants.code = true
  return { code, ...fence, closed: hasBody && isClosing(lastLine, token.markup) }
}

function isClosing(line: string, markup: string): boolean {
  const mark = line.trim()
  return mark.length >= markup.length && mark === markup[0]!.repeat(mark.length)
}

/** Tokens of one block after another. */
function* topLevel(tokens: Token[]): Generator<Token[]> {
  let start = 0
  let depth = 0
  for (const [index, token] of tokens.entries()) {
    depth += token.nesting
    if (depth > 0 || token.nesting > 0) continue
    yield tokens.slice(start, index + 1)
    start = index + 1
  }
}

function lineStarts(text: string): number[] {
  const starts = [0]
  for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', end + 1)) starts.push(end + 1)
  return starts
}

function createMarkdown(): Parser {
  const made = new MarkdownIt({ html: false, linkify: false, breaks: false })
  const { escapeHtml } = made.utils
  mathRules(made, (env: Env) => {
    if (env.extras.typeset === undefined) env.wants.math = true
    return env.extras.typeset
  })
  // A picture from elsewhere would tell that place what was read here; it becomes a link that nobody follows but the reader.
  made.renderer.rules.image = (tokens, index) => {
    const token = tokens[index]!
    const source = String(token.attrGet('src') ?? '')
    const label = escapeHtml(token.content || source)
    if (/^data:image\/(png|jpeg|gif|webp);/i.test(source)) return `<img alt="${label}" src="${escapeHtml(source)}">`
    return `<a href="${escapeHtml(source)}">${label}</a>`
  }
  // Of code inside of lists and quotes.
  made.renderer.rules.fence = (tokens, index, _options, env) => {
    const token = tokens[index]!
    const { extras, words, wants } = env as Env
    const code = token.content.replace(/\n$/, '')
    const { language, file } = readFence(token.info, code)
    if (language !== '' && extras.highlight === undefined) wants.code = true
    const coloured = language === '' ? undefined : extras.highlight?.(code, language)
    const button = ([action, label]: [string, string | undefined]): string =>
      label === undefined ? '' : `<button type="button" data-code="${action}">${escapeHtml(label)}</button>`
    return (
      `<div class="code"><div class="code-head"><span>${escapeHtml(language)}</span>` +
      `${codeButtons(words).map(button).join('')}</div>` +
      `<pre tabindex="0"><code data-language="${escapeHtml(language)}"${file === undefined ? '' : ` data-file="${escapeHtml(file)}"`}>${coloured ?? escapeHtml(code)}</code></pre></div>`
    )
  }
  // A style would be cut away by the sanitizer and refused by the page's policy.
  for (const cell of ['th_open', 'td_open']) {
    made.renderer.rules[cell] = (tokens, index) => {
      const token = tokens[index]!
      const side = /text-align:\s*(right|center)/.exec(String(token.attrGet('style')))?.[1]
      return `<${token.tag}${side === undefined ? '' : ` class="${side}"`}>`
    }
  }
  made.renderer.rules.table_open = () => '<div class="table" tabindex="0"><table>'
  made.renderer.rules.table_close = () => '</table></div>'
  return made
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

/** The buttons of code: what each does, and its name where it is there. */
export function codeButtons({ copy, insert, apply }: Words): [action: string, label: string | undefined][] {
  return [
    ['insert', insert],
    ['apply', apply],
    ['copy', copy],
  ]
}
