/** Doc comments in the form of each language: where a declaration is, what it takes, and how its description is written down. */
import { type Code, type Edit, lineEnd, lineStart } from './code.ts'
import { indentUnit } from './place.ts'

export type Description = { summary: string; parameters: { name: string; description: string }[]; returns: string }

/** The lines of a declaration up to where its body begins, in UTF-16 units. */
export type Declaration = { start: number; end: number }

type Form = (description: Description, context: { indent: string; unit: string; name: string }) => string[]
type Language = { declaration: RegExp; form: Form /** The comment stands in the body. */; inside?: true }

const JS =
  /^\s*(?:export\s+)?(?:default\s+)?(?:declare\s+)?(?:(?:abstract\s+|async\s+)*(?:function\b|class\b)|interface\s|type\s+\w|enum\s|(?:const|let|var)\s+[\w$]+|(?:(?:public|private|protected|static|readonly|async|override|get|set)\s+)*[\w$#]+\s*(?:<[^>]*>)?\([^;]*\)\s*(?::[^{;=]*)?\{)/
const BRACED =
  /^\s*(?!return\b|else\b|new\b|throw\b|if\b|for\b|while\b|switch\b|catch\b|using\b|import\b|package\b)(?:(?:public|private|protected|internal|static|final|abstract|sealed|virtual|override|async|inline|constexpr|const|unsafe|open|data|suspend|partial|export)\s+)*(?:(?:class|interface|enum|struct|record|namespace|trait|object|fun|func|function|extension|protocol|init)\b|[\w:<>[\],?*&\s.~]+[\w~]\s*\([^;]*\)?[^;]*\{?\s*$)/

const marked =
  (open: string, middle: string, close: string, tags: { parameter: string; returns: string }): Form =>
  ({ summary, parameters, returns }) => {
    const safe = (text: string): string => text.replaceAll('*/', '* /')
    const details = [
      ...parameters.map(({ name, description }) => `${tags.parameter.replace('$', () => name)} ${safe(description)}`),
      ...(returns === '' ? [] : [`${tags.returns} ${safe(returns)}`]),
    ]
    const lines = wrap(safe(summary), 96)
    if (details.length === 0 && lines.length === 1) return [`${open} ${lines[0]}${close === '' ? '' : ` ${close}`}`]
    const body = [...lines, ...(details.length > 0 ? ['', ...details] : [])].map(line => `${middle} ${line}`.trimEnd())
    if (close === '') return body
    return [open, ...body, ` ${close}`]
  }

const jsdoc = marked('/**', ' *', '*/', { parameter: '@param $', returns: '@returns' })
const javadoc = marked('/**', ' *', '*/', { parameter: '@param $', returns: '@return' })
const phpdoc = marked('/**', ' *', '*/', { parameter: '@param $', returns: '@return' })
const rustdoc = marked('///', '///', '', { parameter: '* `$` -', returns: 'Returns:' })
const swiftdoc = marked('///', '///', '', { parameter: '- Parameter $:', returns: '- Returns:' })
const hashdoc = marked('#', '#', '', { parameter: '@param $', returns: '@return' })
const luadoc = marked('---', '---', '', { parameter: '@param $', returns: '@return' })

const godoc: Form = (description, { name }) => {
  const { summary } = description
  const named = summary.toLowerCase().startsWith(`${name.toLowerCase()} `)
  const text = named ? name + summary.slice(name.length) : `${name} ${lowerFirst(summary)}`
  return wrap(text, 96).map(line => `// ${line}`)
}

const csharpdoc: Form = ({ summary, parameters, returns }) => {
  const safe = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
  return [
    '/// <summary>',
    ...wrap(safe(summary), 96).map(line => `/// ${line}`),
    '/// </summary>',
    ...parameters.map(({ name, description }) => `/// <param name="${name}">${safe(description)}</param>`),
    ...(returns === '' ? [] : [`/// <returns>${safe(returns)}</returns>`]),
  ]
}

const docstring: Form = ({ summary, parameters, returns }, { unit }) => {
  const safe = (text: string): string => text.replaceAll('\\', '\\\\').replaceAll('"""', "'''")
  const details = [
    ...(parameters.length === 0
      ? []
      : ['', 'Args:', ...parameters.map(each => `${unit}${each.name}: ${safe(each.description)}`)]),
    ...(returns === '' ? [] : ['', 'Returns:', `${unit}${safe(returns)}`]),
  ]
  const lines = wrap(safe(summary), 88)
  if (details.length === 0 && lines.length === 1) return [`"""${lines[0]!.replace(/"$/, '" ')}"""`]
  return [`"""${lines[0]}`, ...lines.slice(1), ...details, '"""']
}

const javascript: Language = { declaration: JS, form: jsdoc }
const LANGUAGES: { [language: string]: Language } = {
  javascript,
  typescript: javascript,
  javascriptreact: javascript,
  typescriptreact: javascript,
  vue: javascript,
  svelte: javascript,
  astro: javascript,
  python: { declaration: /^\s*(?:async\s+def|def|class)\s+\w/, form: docstring, inside: true },
  rust: {
    declaration:
      /^\s*(?:pub(?:\([^)]*\))?\s+)?(?:(?:async|unsafe|const|extern(?:\s+"[^"]*")?)\s+)*(?:fn|struct|enum|trait|mod|type|static|const|union)\s+\w/,
    form: rustdoc,
  },
  go: { declaration: /^\s*(?:func\b|type\s+\w|var\s+\w|const\s+\w)/, form: godoc },
  java: { declaration: BRACED, form: javadoc },
  kotlin: { declaration: BRACED, form: javadoc },
  scala: { declaration: /^\s*(?:\w+\s+)*(?:def|class|object|trait)\s+\w/, form: javadoc },
  csharp: { declaration: BRACED, form: csharpdoc },
  c: { declaration: BRACED, form: javadoc },
  cpp: { declaration: BRACED, form: javadoc },
  php: { declaration: /^\s*(?:\w+\s+)*(?:function|class|interface|trait|enum)\s+&?\w/, form: phpdoc },
  swift: { declaration: BRACED, form: swiftdoc },
  ruby: { declaration: /^\s*(?:def|class|module)\s+\w/, form: hashdoc },
  lua: { declaration: /^\s*(?:local\s+)?(?:function\b|[\w.]+\s*=\s*function\b)/, form: luadoc },
  shellscript: { declaration: /^\s*(?:function\s+[\w-]+|[\w-]+\s*\(\))/, form: hashdoc },
}

const MOST_LINES_UP = 200
const MOST_SIGNATURE_LINES = 12
const ATTRIBUTE = /^\s*(@\w|#\[|\[\w[^\]]*\]\s*$|template\s*<)/

/** The declaration that a place is at or in; undefined where there is none, or the language has no known form. */
export function declarationAt({ text, start, language }: Code): Declaration | undefined {
  const known = LANGUAGES[language]
  if (known === undefined) return undefined
  let at = belowAttributes(text, lineStart(text, start))
  let depth = Number.POSITIVE_INFINITY
  for (let count = 0; count < MOST_LINES_UP; count++) {
    const line = text.slice(at, lineEnd(text, at))
    if (line.length > 500) return undefined
    const indent = /^[ \t]*/.exec(line)![0].length
    if (line.trim() !== '' && indent < depth) {
      if (known.declaration.test(line)) return { start: at, end: signatureEnd(text, at) }
      // What stands on its own line of code is part of what holds it, so only lines less deep can declare that.
      // A closing bracket ends what began at its own depth.
      if (/^\s*[)\]}]/.test(line)) depth = indent + 1
      else if (!/^\s*(@|#\[|\/\/|\/?\*|#)/.test(line)) depth = indent
      if (depth === 0) return undefined
    }
    if (at === 0) return undefined
    at = lineStart(text, at - 1)
  }
  return undefined
}

/** The first name that is declared. */
export function declaredName(signature: string): string {
  const words = signature.replace(/^\s*func\s*\([^)]*\)/, 'func').replace(/[(<=:{][\s\S]*$/, '')
  return words.match(/[\p{L}_$][\p{L}\p{N}_$]*/gu)?.at(-1) ?? ''
}

/** The edit that puts a description where the language wants it, over one that is there already. */
export function docEdit(code: Code, declaration: Declaration, description: Description): Edit {
  const { text, language } = code
  const { form, inside } = LANGUAGES[language]!
  const unit = indentUnit(text)
  const outer = /^[ \t]*/.exec(text.slice(declaration.start, declaration.end))![0]
  const indent = inside ? outer + unit : outer
  const eol = text.includes('\r\n') ? '\r\n' : '\n'
  const name = declaredName(text.slice(declaration.start, declaration.end))
  const lines = form(description, { indent, unit, name }).map(line => (line === '' ? '' : indent + line))
  if (inside) {
    const old = docstringBelow(text, declaration.end)
    if (old !== undefined) return { ...old, text: lines.join(eol).slice(indent.length) }
    return { start: declaration.end, end: declaration.end, text: eol + lines.join(eol) }
  }
  const { start, end } = docAbove(text, aboveAttributes(text, declaration.start), lines[0]!.trim())
  return { start, end, text: lines.join(eol) + eol }
}

/** Where the body begins: behind the line with the opening brace or colon. */
function signatureEnd(text: string, start: number): number {
  let end = lineEnd(text, start)
  let depth = 0
  let at = start
  for (let count = 0; count < MOST_SIGNATURE_LINES; count++) {
    for (const each of text.slice(at, end)) depth += '([<'.includes(each) ? 1 : ')]>'.includes(each) ? -1 : 0
    const line = text.slice(at, end)
    if (/[{:;]\s*(#.*|\/\/.*)?$/.test(line) || (depth <= 0 && !/[,(]\s*$/.test(line))) return end
    const following = text.indexOf('\n', end)
    if (following < 0) return end
    at = following + 1
    end = lineEnd(text, at)
  }
  return end
}

/** The line below the decorators, attributes and annotations that a place is in. */
function belowAttributes(text: string, start: number): number {
  let at = start
  for (let count = 0; count < MOST_SIGNATURE_LINES; count++) {
    const end = text.indexOf('\n', at)
    if (end < 0 || !ATTRIBUTE.test(text.slice(at, lineEnd(text, at)))) return at
    at = end + 1
  }
  return at
}

/** Decorators, attributes and annotations belong to what stands below them. */
function aboveAttributes(text: string, start: number): number {
  let at = start
  while (at > 0) {
    const above = lineStart(text, at - 1)
    if (!ATTRIBUTE.test(text.slice(above, lineEnd(text, above)))) return at
    at = above
  }
  return at
}

/** The doc comment that ends right above a line, else the empty place there. */
function docAbove(text: string, start: number, first: string): { start: number; end: number } {
  const none = { start, end: start }
  if (start === 0) return none
  const lineOf = (at: number): string => text.slice(at, lineEnd(text, at)).trim()
  let at = lineStart(text, start - 1)
  if (first.startsWith('/**')) {
    if (!lineOf(at).endsWith('*/')) return none
    for (let count = 0; count < 200; count++) {
      if (lineOf(at).startsWith('/**')) return { start: at, end: start }
      if (at === 0 || lineOf(at).startsWith('/*')) return none
      at = lineStart(text, at - 1)
    }
    return none
  }
  const mark = first.startsWith('///') ? '///' : first.startsWith('---') ? '---' : undefined
  // Lines of `//` and `#` are not documentation alone; they stay.
  if (mark === undefined || !lineOf(at).startsWith(mark)) return none
  while (at > 0 && lineOf(lineStart(text, at - 1)).startsWith(mark)) at = lineStart(text, at - 1)
  return { start: at, end: start }
}

function docstringBelow(text: string, end: number): { start: number; end: number } | undefined {
  const found = /^\s*\n[ \t]*((?:[rRuU]?)("""|''')[\s\S]*?\2)[ \t]*(?=\r?\n|$)/.exec(text.slice(end, end + 20_000))
  if (found === null) return undefined
  const close = end + found[0].trimEnd().length
  return { start: close - found[1]!.length, end: close }
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = []
  for (const word of text.split(' ')) {
    const line = lines.at(-1)
    if (line !== undefined && line.length + 1 + word.length <= width) lines[lines.length - 1] = `${line} ${word}`
    else lines.push(word)
  }
  return lines
}

/** `HTTP` stays as it is. */
function lowerFirst(text: string): string {
  return /^\p{Lu}\p{Ll}/u.test(text) ? text[0]!.toLowerCase() + text.slice(1) : text
}
