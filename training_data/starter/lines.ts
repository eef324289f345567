/** Places in held-out code where a line is completed, and whether a completed line is well-formed. */
import { randomAt } from '../../server/trainer/random.ts'

export type Place = {
  /** All before the cursor, and all behind the end of its line. */
  before: string
  after: string
  /** The line up to the cursor, and what its author wrote behind it. */
  start: string
  rest: string
}

/** Cursors behind the first half of lines of code and a whole word, drawn from all texts, the same for the same texts. */
export function choosePlaces(texts: readonly string[], count: number, seed: number): Place[] {
  const all: Place[] = []
  for (const text of texts) {
    let at = 0
    let inComment = false
    for (const line of text.split('\n')) {
      const trimmed = line.trim()
      if (trimmed.startsWith('/*')) inComment = true
      const code = !inComment && !trimmed.startsWith('//') && !trimmed.startsWith('*')
      if (trimmed.includes('*/')) inComment = false
      if (code && at > 0 && trimmed.length >= 12 && trimmed.length <= 100) {
        const indent = line.length - line.trimStart().length
        const half = indent + Math.ceil(trimmed.length / 2)
        // A word that was begun is written to its end: tokenizers have no token for the rest of one.
        const cursor = half + /^[\w$]*/.exec(line.slice(half))![0].length
        const [start, rest] = [line.slice(0, cursor), line.slice(cursor)]
        if (rest.trim() !== '')
          all.push({ before: text.slice(0, at + cursor), after: text.slice(at + line.length), start, rest })
      }
      at += line.length + 1
    }
  }
  const chosen: Place[] = []
  const random = randomAt(seed, 4711)
  while (chosen.length < count && all.length > 0) chosen.push(...all.splice(Math.floor(random() * all.length), 1))
  return chosen
}

const CLOSES: { [opener: string]: string } = { '(': ')', '[': ']', '{': '}' }

/**
 * Quotes are closed, no bracket is closed by one of another kind, and what stays open stays so for a reason: the line ends with an
 * opening bracket, a comma or an operator, behind which code goes on. Closing what an earlier line opened is right as well.
 */
export function isWellFormed(line: string): boolean {
  const open: string[] = []
  let last = ''
  for (let at = 0; at < line.length; at++) {
    const character = line[at]!
    if (character === '/' && line[at + 1] === '/') break
    if (character === '"' || character === "'" || character === '`') {
      const end = closingQuote(line, at)
      // Only a template may go on in the next line.
      if (end < 0) return character === '`'
      at = end
    } else if (character === '/' && /[=(,:!&|?]$/.test(last)) {
      const end = closingSlash(line, at)
      if (end > 0) at = end
    } else if (character in CLOSES) open.push(character)
    else if (character === ')' || character === ']' || character === '}') {
      const opener = open.pop()
      if (opener !== undefined && CLOSES[opener] !== character) return false
    }
    if (character !== ' ') last = character
  }
  return open.length === 0 || /([({[,=+\-*&|?:<>.]|=>)$/.test(line.replace(/\s*\/\/.*$/, '').trimEnd())
}

function closingQuote(line: string, from: number): number {
  for (let at = from + 1; at < line.length; at++) {
    if (line[at] === '\\') at++
    else if (line[at] === line[from]) return at
  }
  return -1
}

/** End of a regular expression. */
function closingSlash(line: string, from: number): number {
  let inClass = false
  for (let at = from + 1; at < line.length; at++) {
    const character = line[at]
    if (character === '\\') at++
    else if (character === '[') inClass = true
    else if (character === ']') inClass = false
    else if (character === '/' && !inClass) return at
  }
  return -1
}
