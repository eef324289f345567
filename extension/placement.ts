/** Where a piece of code belongs in a text: over the selection, over the declarations of the same names, over the whole, or at the cursor. */

/** Lines from `first` up to, not with, `end`, count from 0. */
export type LineRange = { first: number; end: number }

/**
 * The text with the code in it. Line ends are \n on both sides.
 * @param selected lines that the user selected; an empty range is the cursor's line
 */
export function placeCode(text: string, code: string, selected: LineRange): string {
  const lines = text.split('\n')
  const given = dedent(code.replace(/\n+$/, '').split('\n'))
  if (selected.end > selected.first) return replace(lines, [{ range: selected, lines: given }])
  if (text.trim() === '') return `${given.join('\n')}\n`
  if (isWhole(lines, given)) return `${given.join('\n')}${text.endsWith('\n') ? '\n' : ''}`

  const changes: Change[] = []
  const loose: string[][] = []
  for (const block of blocksOf(given)) {
    const range = block.name === undefined ? undefined : find(lines, block.name)
    if (range === undefined || changes.some(({ range: other }) => overlap(range, other))) loose.push(block.lines)
    else changes.push({ range, lines: block.lines })
  }
  if (loose.length > 0) {
    // What belongs nowhere comes behind what was found, else to the cursor.
    const at = changes.length > 0 ? Math.max(...changes.map(({ range }) => range.end)) : selected.first
    const rest = loose.flatMap((block, index) => (index === 0 && changes.length === 0 ? block : ['', ...block]))
    changes.push({ range: { first: at, end: at }, lines: rest })
  }
  return replace(lines, changes)
}

/** The code for a cursor behind `before` in its line: code that stands by itself is indented as that line is. */
export function indentLike(code: string, before: string): string {
  if (before.trim() !== '') return code
  return dedent(code.split('\n'))
    .map((line, index) => (index === 0 || line === '' ? line : before + line))
    .join('\n')
}

/** The lines that differ, so that marks and cursors elsewhere stay where they are: those of `before` from `first` up to `end` become the text. */
export function lineChange(before: string, after: string): { first: number; end: number; text: string } {
  const old = before.split('\n')
  const made = after.split('\n')
  let first = 0
  while (first < old.length - 1 && first < made.length - 1 && old[first] === made[first]) first++
  let tail = 0
  while (tail < old.length - first && tail < made.length - first && old.at(-1 - tail) === made.at(-1 - tail)) tail++
  const lines = made.slice(first, made.length - tail)
  // A range that ends with the text has no line end behind it.
  const text = tail === 0 ? lines.join('\n') : lines.map(line => `${line}\n`).join('')
  return { first, end: old.length - tail, text }
}

type Change = { range: LineRange; lines: string[] }
type Block = { name: string | undefined; lines: string[] }

const DECLARATION =
  /^(?:(?:export|default|async|public|private|protected|internal|static|abstract|final|unsafe|declare|override|inline|virtual|pub(?:\([^)]*\))?)\s+)*(?:function\*?|class|interface|type|enum|struct|trait|def|fn|func(?:\s*\([^)]*\))?|fun|module|namespace|record|const|let|var|val)\s+([\p{L}_$][\p{L}\p{N}_$]*)/u
/** A function of C and its relatives: a type, a name, a bracket, and no end of a statement. */
const TYPED =
  /^(?!return\b|else\b|new\b|throw\b|await\b|import\b)[\p{L}_][\p{L}\p{N}_<>,:*&[\]\s]*[\s*&]([\p{L}_~][\p{L}\p{N}_]*)\s*\([^;=]*$/u
/** Comments and decorators, which belong to what follows them. */
const ABOVE = /^(\/\/|\/\*|\*|#(?!include|define|if|endif)|@|"""|--|%)/
const CLOSER = /^([}\])]|end\b|else\b|elif\b|elsif\b|except\b|catch\b|finally\b|rescue\b)/

function nameOf(line: string): string | undefined {
  const bare = line.trim()
  return DECLARATION.exec(bare)?.[1] ?? TYPED.exec(bare)?.[1]
}

/** The code at its declarations; what comes before the first one is a block without a name. */
function blocksOf(lines: string[]): Block[] {
  const blocks: Block[] = []
  let current: Block = { name: undefined, lines: [] }
  for (const line of lines) {
    const name = /^\S/.test(line) ? nameOf(line) : undefined
    if (name !== undefined) {
      const own = current.lines.length - above(current.lines, current.lines.length)
      const before = current.lines.splice(current.lines.length - own)
      if (current.lines.some(each => each.trim() !== '')) blocks.push(current)
      current = { name, lines: before }
    }
    current.lines.push(line)
  }
  blocks.push(current)
  return blocks.map(({ name, lines: own }) => ({ name, lines: trimmed(own) }))
}

/** The only declaration of that name, with what stands above it and all that is indented below it. */
function find(lines: string[], name: string): LineRange | undefined {
  const found = [...lines.keys()].filter(index => nameOf(lines[index]!) === name)
  const [at] = found
  if (at === undefined || found.length > 1) return undefined
  const indent = indentOf(lines[at]!)
  let last = at
  let ended = false
  for (let index = at + 1; index < lines.length && !ended; index++) {
    const line = lines[index]!
    if (line.trim() === '') continue
    const depth = indentOf(line)
    const bare = line.trim()
    const isBrace = bare === '{' && last === at
    if (depth < indent || (depth === indent && !CLOSER.test(bare) && !isBrace)) break
    last = index
    // A closing line that opens again, such as `): number {`, does not end it.
    ended = depth === indent && /^([}\])]|end\b)/.test(bare) && !/[{([:]$/.test(bare)
  }
  return { first: above(lines, at), end: last + 1 }
}

/** The first of the lines of comments and decorators right above a line. */
function above(lines: string[], at: number): number {
  let first = at
  while (first > 0 && ABOVE.test(lines[first - 1]!.trim())) first--
  return first
}

/** Whether the code is the text as a whole, changed: most of what the text says is in it. */
function isWhole(lines: string[], code: string[]): boolean {
  const there = new Set(code.map(line => line.trim()))
  const said = lines.map(line => line.trim()).filter(line => /[\p{L}\p{N}]/u.test(line))
  return said.length > 1 && said.filter(line => there.has(line)).length >= said.length * 0.6
}

/** From the end on, so that the earlier lines keep their numbers. */
function replace(lines: string[], changes: Change[]): string {
  const made = [...lines]
  for (const { range, lines: given } of changes.toSorted((a, b) => b.range.first - a.range.first)) {
    const model = lines.slice(range.first, Math.max(range.end, range.first + 1)).find(line => line.trim() !== '') ?? ''
    const indent = /^\s*/.exec(model)![0]
    made.splice(
      range.first,
      range.end - range.first,
      ...given.map(line => (line === '' || /^\s/.test(given[0] ?? '') ? line : indent + line)),
    )
  }
  return made.join('\n')
}

function dedent(lines: string[]): string[] {
  const depths = lines.filter(line => line.trim() !== '').map(indentOf)
  const least = Math.min(...depths, Number.POSITIVE_INFINITY)
  return lines.map(line => (line.trim() === '' ? '' : line.slice(least)))
}

function trimmed(lines: string[]): string[] {
  const first = lines.findIndex(line => line.trim() !== '')
  const last = lines.findLastIndex(line => line.trim() !== '')
  return first < 0 ? [] : lines.slice(first, last + 1)
}

function overlap(a: LineRange, b: LineRange): boolean {
  return a.first < b.end && b.first < a.end
}

function indentOf(line: string): number {
  return /^\s*/.exec(line)![0].length
}
