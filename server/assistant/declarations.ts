/** Declarations in a text, by patterns of its language family: names with their head lines, not their bodies. No parser, so it may miss some. */

export type Declaration = {
  name: string
  /** A type is shown with its members. */
  isType: boolean
  /** The line of its doc comment that says most, and its head. */
  text: string
  /** The type that it is in. */
  owner?: string
  /** From 0. */
  line: number
}

type Family = {
  /** The first group is the name. */
  types: RegExp[]
  others: RegExp[]
  /** Patterns that count within a type only. */
  members: RegExp[]
  /** What ends a head: the line end or a bracket of the body. */
  body: RegExp
}

const NAME = '[\\p{L}_$][\\p{L}\\p{N}_$]*'
const pattern = (source: string): RegExp => new RegExp(source.replaceAll('NAME', NAME), 'u')
const MODIFIERS =
  '(?:(?:public|private|protected|internal|static|final|abstract|sealed|partial|open|data|override|inner|readonly|virtual|async|suspend|inline|export|default|declare|unsafe|extern|get|set)\\s+)*'

const SCRIPT: Family = {
  types: [pattern(`^\\s*${MODIFIERS}(?:class|interface|enum|namespace|type)\\s+(NAME)`)],
  others: [
    pattern(`^${MODIFIERS}function\\s*\\*?\\s*(NAME)`),
    pattern(`^${MODIFIERS}(?:const|let|var)\\s+(NAME)`),
    pattern(`^(?:module\\.)?exports\\.(NAME)\\s*=`),
  ],
  members: [
    pattern(
      `^\\s+${MODIFIERS}(?!(?:if|for|while|switch|catch|return|function|await|throw|new)\\b)(#?NAME)\\s*(?:<[^>]*>)?\\s*[(?!:]`,
    ),
  ],
  body: /\s*\{\s*$/,
}
const PYTHON: Family = {
  types: [pattern('^\\s*class\\s+(NAME)')],
  others: [pattern('^(?:async\\s+)?def\\s+(NAME)'), /^([A-Z][A-Z0-9_]+)\s*(?::[^=]+)?=/],
  members: [pattern('^\\s+(?:async\\s+)?def\\s+(NAME)'), pattern('^\\s+(NAME)\\s*:\\s*[^=\\s]')],
  body: /\s*:\s*$/,
}
const GO: Family = {
  types: [pattern('^type\\s+(NAME)')],
  others: [pattern('^func\\s+(?:\\([^)]*\\)\\s*)?(NAME)'), pattern('^(?:var|const)\\s+(NAME)')],
  members: [pattern('^\\s+(NAME)\\s+[\\p{L}*\\[(]')],
  body: /\s*\{\s*$/,
}
const RUST: Family = {
  types: [
    pattern('^\\s*(?:pub(?:\\([^)]*\\))?\\s+)?(?:struct|enum|trait|union|type|mod)\\s+(NAME)'),
    pattern('^impl(?:<[^>]*>)?\\s+(?:[\\w:<>, ]+\\s+for\\s+)?(NAME)'),
  ],
  others: [
    pattern('^(?:pub(?:\\([^)]*\\))?\\s+)?(?:async\\s+|unsafe\\s+|const\\s+|extern\\s+"[^"]*"\\s+)*fn\\s+(NAME)'),
    pattern('^(?:pub(?:\\([^)]*\\))?\\s+)?(?:const|static)\\s+(NAME)'),
    pattern('^macro_rules!\\s+(NAME)'),
  ],
  members: [
    pattern('^\\s+(?:pub(?:\\([^)]*\\))?\\s+)?(?:async\\s+|unsafe\\s+|const\\s+)*fn\\s+(NAME)'),
    pattern('^\\s+(?:pub(?:\\([^)]*\\))?\\s+)?(NAME)\\s*:'),
  ],
  body: /\s*\{\s*$/,
}
const JAVA: Family = {
  types: [pattern(`^\\s*${MODIFIERS}(?:class|interface|enum|record|struct|object|@interface)\\s+(NAME)`)],
  others: [
    pattern(`^\\s*${MODIFIERS}fun\\s+(?:<[^>]*>\\s*)?(?:NAME\\.)?(NAME)`),
    pattern(`^${MODIFIERS}(?:val|var)\\s+(NAME)`),
  ],
  members: [
    pattern(
      `^\\s+${MODIFIERS}(?!(?:return|new|throw|else|case|await)\\b)(?:<[^>]*>\\s*)?[\\p{L}_][\\p{L}\\p{N}_<>\\[\\],.?]*\\s+(NAME)\\s*[(;={]`,
    ),
    pattern(`^\\s+${MODIFIERS}(?:val|var)\\s+(NAME)`),
  ],
  body: /\s*\{\s*$/,
}
const C: Family = {
  types: [
    pattern(
      '^(?:typedef\\s+)?(?:template\\s*<[^>]*>\\s*)?(?:struct|class|enum(?:\\s+class)?|union|namespace)\\s+(NAME)',
    ),
  ],
  others: [
    pattern(
      '^(?!(?:return|else|if|for|while|switch|case|goto|typedef|using|struct|class|enum|union|namespace)\\b)[\\p{L}_][\\p{L}\\p{N}_:<>*&,\\s]*?[\\s*&](?:NAME::)*(~?NAME)\\s*\\([^;{]*\\)?[^;{=]*[;{]?\\s*$',
    ),
    pattern('^#\\s*define\\s+(NAME)'),
  ],
  members: [
    pattern(
      '^\\s+(?!(?:return|else|if|for|while|switch|case|delete|throw)\\b)[\\p{L}_][\\p{L}\\p{N}_:<>*&,\\s]*?[\\s*&](~?NAME)\\s*[(;={]',
    ),
  ],
  body: /\s*\{\s*$/,
}
const PHP: Family = {
  types: [pattern(`^\\s*${MODIFIERS}(?:class|interface|trait|enum)\\s+(NAME)`)],
  others: [pattern('^function\\s+&?(NAME)')],
  members: [pattern(`^\\s+${MODIFIERS}function\\s+&?(NAME)`)],
  body: /\s*\{\s*$/,
}
const RUBY: Family = {
  types: [pattern('^\\s*(?:class|module)\\s+(?:NAME::)*(NAME)')],
  others: [pattern('^def\\s+(?:self\\.)?(NAME[?!=]?)'), /^([A-Z][A-Z0-9_]+)\s*=/],
  members: [pattern('^\\s+def\\s+(?:self\\.)?(NAME[?!=]?)')],
  body: /$/,
}

const BY_EXTENSION = new Map<string, Family>(
  (
    [
      [SCRIPT, 'ts tsx mts cts js jsx mjs cjs vue svelte'],
      [PYTHON, 'py pyi'],
      [GO, 'go'],
      [RUST, 'rs'],
      [JAVA, 'java cs kt kts scala'],
      [C, 'c h cc cpp cxx hh hpp hxx m mm'],
      [PHP, 'php'],
      [RUBY, 'rb'],
    ] as const
  ).flatMap(([family, names]) => names.split(' ').map(name => [name, family] as const)),
)

const MOST_OF_FILE = 400
const MOST_LINES = 20_000
const LONGEST_LINE = 240
/** A text that the patterns are slow with is left where it is: the event loop has others waiting. */
const MOST_MS = 20
/** Lines that the head of one declaration may take. */
const MOST_HEAD_LINES = 4

/** Whether declarations of a file are known by its name. */
export function isKnownCode(path: string): boolean {
  return BY_EXTENSION.has(extensionOf(path))
}

const extensionOf = (path: string): string => /\.(\w+)$/.exec(path)?.[1]?.toLowerCase() ?? ''

export function declarationsIn(path: string, text: string): Declaration[] {
  const family = BY_EXTENSION.get(extensionOf(path))
  if (family === undefined) return []
  const lines = text.split(/\r?\n/, MOST_LINES)
  const begun = performance.now()
  const found: Declaration[] = []
  /** Types that are open, by the depth at which they began. */
  const open: { name: string; depth: number }[] = []
  for (const [line, whole] of lines.entries()) {
    if (found.length >= MOST_OF_FILE || (line % 128 === 127 && performance.now() - begun > MOST_MS)) break
    if (whole.length > LONGEST_LINE || whole.trim() === '') continue
    const depth = /^\s*/.exec(whole)![0].length
    // A brace on a line of its own belongs to the type above it.
    const closes = /^\s*[{)\]}]/.test(whole)
    while (open.length > 0 && depth <= open.at(-1)!.depth && !(closes && depth === open.at(-1)!.depth)) open.pop()
    const owner = open.at(-1)
    const type = match(family.types, whole)
    // What is deeper than a member of the type is a body.
    const isMember =
      owner !== undefined && depth > owner.depth && depth <= owner.depth + memberDepth(lines, line, owner.depth)
    const name = type ?? (isMember ? match(family.members, whole) : match(family.others, whole))
    if (name === undefined) continue
    const receiver = family === GO ? /^func\s+\(\s*\w*\s*\*?(\w+)/.exec(whole)?.[1] : undefined
    const own = receiver ?? owner?.name
    found.push({
      name,
      isType: type !== undefined,
      text: headOf(lines, line, family),
      line,
      ...(own !== undefined && own !== name && { owner: own }),
    })
    if (type !== undefined) open.push({ name, depth })
  }
  return found
}

function match(patterns: readonly RegExp[], line: string): string | undefined {
  for (const each of patterns) {
    const name = each.exec(line)?.[1]
    if (name !== undefined) return name
  }
  return undefined
}

/** Columns by which the first line in a type is deeper than the type. */
function memberDepth(lines: readonly string[], line: number, depth: number): number {
  for (let above = line; above >= 0 && line - above < 400; above--) {
    const whole = lines[above]!
    if (whole.trim() === '') continue
    const here = /^\s*/.exec(whole)![0].length
    if (here > depth || /^\s*\{\s*$/.test(whole)) continue
    const first = lines.slice(above + 1, line + 1).find(each => each.trim() !== '' && !/^\s*[{)\]}*]/.test(each))
    return first === undefined ? 1 : /^\s*/.exec(first)![0].length - depth
  }
  return 1
}

/** The head of a declaration, with the first words of the comment above it, or of the docstring in it. */
function headOf(lines: readonly string[], line: number, family: Family): string {
  const head: string[] = []
  for (let at = line; at < lines.length && head.length < MOST_HEAD_LINES; at++) {
    head.push(lines[at]!.slice(0, LONGEST_LINE).trimEnd())
    const open = (head.join('').match(/[([]/g)?.length ?? 0) - (head.join('').match(/[)\]]/g)?.length ?? 0)
    if (open <= 0) break
  }
  const last = head.length - 1
  head[last] = head[last]!.replace(family.body, '').replace(/\s*\{.*$/, whole => (whole.length > 80 ? '' : whole))
  const doc = family === PYTHON ? docstringBelow(lines, line + head.length) : commentAbove(lines, line)
  return [...(doc === undefined ? [] : [doc]), ...head].join('\n')
}

function commentAbove(lines: readonly string[], line: number): string | undefined {
  let at = line - 1
  while (at >= 0 && /^\s*(?:@|#\[|\[\w)/.test(lines[at]!)) at--
  if (at < 0 || !/^\s*(?:\/\/|\*\/|\*|\/\*|#|--)|\*\/\s*$/.test(lines[at]!)) return undefined
  let first = at
  while (
    first > 0 &&
    line - first < 40 &&
    /^\s*(?:\/\/|\*|\/\*|#(?!include|define|if|end)|--)/.test(lines[first - 1]!) &&
    !/\*\/\s*$/.test(lines[first - 1]!)
  )
    first--
  for (const each of lines.slice(first, at + 1)) {
    if (/^\s*[/*#-]*\s*@/.test(each)) return undefined
    if (/\p{L}{2}/u.test(each)) return each.slice(0, 160).trimEnd()
  }
  return undefined
}

function docstringBelow(lines: readonly string[], line: number): string | undefined {
  const text = /^\s*[rR]?"""\s*(.+?)\s*(?:""")?\s*$/.exec(lines[line] ?? '')?.[1]
  return text === undefined ? undefined : `# ${text.slice(0, 160)}`
}
