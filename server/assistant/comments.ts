/** Where the comments of a file are, by the marks of its language; strings are told apart, nothing else is parsed. */

/** A comment with its marks, in UTF-16 units. */
export type Comment = { start: number; end: number; open: string; close: string }

type Marks = { line: string[]; block: [open: string, close: string][]; strings: string[]; long: string[] }

const C: Marks = { line: ['//'], block: [['/*', '*/']], strings: ['"', "'"], long: [] }
const SCRIPT: Marks = { ...C, long: ['`'] }
/** Script, markup and styles in one file. */
const PAGE: Marks = { ...SCRIPT, block: [...SCRIPT.block, ['<!--', '-->']] }
const HASH: Marks = { line: ['#'], block: [], strings: ['"', "'"], long: [] }

const MARKS: { [language: string]: Marks } = {
  javascript: SCRIPT,
  typescript: SCRIPT,
  javascriptreact: SCRIPT,
  typescriptreact: SCRIPT,
  vue: PAGE,
  svelte: PAGE,
  astro: PAGE,
  go: SCRIPT,
  // A quote begins a lifetime as well.
  rust: { ...C, strings: ['"'] },
  php: { ...C, line: ['//', '#'] },
  css: { ...C, line: [] },
  python: { ...HASH, long: ['"""', "'''"] },
  ruby: HASH,
  shellscript: HASH,
  perl: HASH,
  r: HASH,
  yaml: HASH,
  toml: HASH,
  makefile: HASH,
  dockerfile: HASH,
  elixir: { ...HASH, long: ['"""'] },
  powershell: { ...HASH, block: [['<#', '#>']] },
  lua: { line: ['--'], block: [['--[[', ']]']], strings: ['"', "'"], long: [] },
  sql: { line: ['--'], block: [['/*', '*/']], strings: ["'", '"'], long: [] },
  haskell: { line: ['--'], block: [['{-', '-}']], strings: ['"'], long: [] },
  html: { line: [], block: [['<!--', '-->']], strings: [], long: [] },
  xml: { line: [], block: [['<!--', '-->']], strings: [], long: [] },
  markdown: { line: [], block: [['<!--', '-->']], strings: [], long: [] },
  jsonc: C,
  scss: C,
  less: C,
  c: C,
  cpp: C,
  csharp: C,
  java: C,
  kotlin: { ...C, long: ['"""'] },
  swift: { ...C, long: ['"""'] },
  scala: { ...C, long: ['"""'] },
  dart: { ...C, long: ['"""', "'''"] },
  'objective-c': C,
  groovy: C,
}

/** Longer files are not searched. */
const MOST_CHARACTERS = 1_000_000

/** The comments in order; none where the language is unknown. */
export function commentsOf(text: string, language: string): Comment[] {
  return scan(text, language).filter(({ kind }) => kind === 'comment')
}

/** Comments and strings in order. */
export function notCode(text: string, language: string): Comment[] {
  return scan(text, language)
}

function scan(text: string, language: string): (Comment & { kind: 'comment' | 'string' })[] {
  const marks = MARKS[language]
  if (marks === undefined || text.length > MOST_CHARACTERS) return []
  const found: (Comment & { kind: 'comment' | 'string' })[] = []
  let at = 0
  while (at < text.length) {
    const block = marks.block.find(([open]) => text.startsWith(open, at))
    const long = marks.long.find(quote => text.startsWith(quote, at))
    const line = marks.line.find(mark => text.startsWith(mark, at))
    const quote = marks.strings.find(each => text[at] === each)
    if (block !== undefined) {
      const [open, close] = block
      const end = text.indexOf(close, at + open.length)
      found.push({ kind: 'comment', start: at, end: end < 0 ? text.length : end + close.length, open, close })
    } else if (long !== undefined) {
      const end = endOfString(text, at, long, true)
      // A Python string that stands alone is its documentation.
      const alone = language === 'python' && /(^|\n)[ \t]*$/.test(text.slice(Math.max(0, at - 200), at))
      found.push({ kind: alone ? 'comment' : 'string', start: at, end, open: long, close: long })
    } else if (line !== undefined && startsComment(text, at, line)) {
      let end = text.indexOf('\n', at)
      if (end < 0) end = text.length
      if (text[end - 1] === '\r') end--
      found.push({ kind: 'comment', start: at, end, open: line, close: '' })
    } else if (quote !== undefined) {
      found.push({ kind: 'string', start: at, end: endOfString(text, at, quote, false), open: quote, close: quote })
    } else {
      at++
      continue
    }
    at = found.at(-1)!.end
  }
  return found
}

/** A hash begins a comment at the start or behind white space only: elsewhere it is a length, a colour or an anchor. */
function startsComment(text: string, at: number, mark: string): boolean {
  if (mark !== '#') return true
  return (at === 0 || /\s/.test(text[at - 1]!)) && !(at === 0 && text[1] === '!')
}

/** Behind a string's end; one that may not span lines ends with its line. */
function endOfString(text: string, start: number, quote: string, spans: boolean): number {
  let at = start + quote.length
  while (at < text.length) {
    if (text[at] === '\\') at += 2
    else if (text.startsWith(quote, at)) return at + quote.length
    else if (!spans && text[at] === '\n') return at
    else at++
  }
  return text.length
}
