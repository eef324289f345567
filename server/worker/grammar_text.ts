/** The small vocabulary of GBNF that every part of the converter writes with: literals, character classes, bounded repetition. */

/** Where rules are collected. A reserved name must be defined before the grammar is built. */
export type Rules = {
  rule(name: string, body: string): string
  reserve(name: string): string
  define(name: string, body: string): void
}

/** Code points, sorted, disjoint, not adjacent: `[first, last]`, both included. */
export type CodePoints = readonly (readonly [first: number, last: number])[]

/** Every Unicode scalar value. The engine reads NUL as the end of a token, so that one never matches as a raw character. */
export const ALL: CodePoints = [
  [0, 0xd7ff],
  [0xe000, 0x10ffff],
]

/** GBNF literal of a text, escaped: `"..."`. */
export function literal(text: string): string {
  let out = ''
  for (const character of text) {
    const code = character.codePointAt(0)!
    if (character === '"' || character === '\\') out += `\\${character}`
    else if (character === '\n') out += '\\n'
    else if (code < 0x20 || code === 0x7f) out += `\\x${code.toString(16).padStart(2, '0')}`
    else out += character
  }
  return `"${out}"`
}

/**
 * GBNF class of a non-empty set. Always positive: the engine refuses a half-read multi-byte character as soon as a negated class
 * excludes any character that it could become, and a negated class also lets surrogates and values above U+10FFFF through.
 */
export function charClass(set: CodePoints): string {
  return `[${set.map(([a, b]) => (a === b ? classChar(a) : `${classChar(a)}-${classChar(b)}`)).join('')}]`
}

function classChar(code: number): string {
  const character = String.fromCodePoint(code)
  if (/[0-9A-Za-z]/.test(character)) return character
  if (code < 0x100) return `\\x${code.toString(16).padStart(2, '0')}`
  if (code < 0x10000) return `\\u${code.toString(16).padStart(4, '0')}`
  return `\\U${code.toString(16).padStart(8, '0')}`
}

/** Sorts and joins ranges. */
export function union(...sets: CodePoints[]): CodePoints {
  const out: [number, number][] = []
  for (const [a, b] of sets.flat().sort((x, y) => x[0] - y[0])) {
    const last = out.at(-1)
    if (last !== undefined && a <= last[1] + 1) last[1] = Math.max(last[1], b)
    else out.push([a, b])
  }
  return out
}

export function intersection(x: CodePoints, y: CodePoints): CodePoints {
  const out: [number, number][] = []
  for (const [a, b] of x) {
    for (const [c, d] of y) {
      if (Math.max(a, c) <= Math.min(b, d)) out.push([Math.max(a, c), Math.min(b, d)])
    }
  }
  return out.sort((p, q) => p[0] - q[0])
}

/** What is in `ALL` and not in the set. */
export function complement(set: CodePoints): CodePoints {
  const gaps: [number, number][] = []
  let from = 0
  for (const [a, b] of union(set)) {
    if (a > from) gaps.push([from, a - 1])
    from = b + 1
  }
  if (from <= 0x10ffff) gaps.push([from, 0x10ffff])
  return intersection(gaps, ALL)
}

/** Highest bound of any repetition. */
export const MAX_REPEAT = 1_000_000

/** The engine writes `{m,n}` out as n rules and refuses 2000 of them, so that large bounds are counted in blocks of so many. */
const BLOCK = 256

/**
 * Body that matches `item` (a rule name or one class) from `min` to `max` times; `max` may be Infinity, at most MAX_REPEAT otherwise.
 * `item` must not match the empty text.
 */
export function repeat(rules: Rules, item: string, min: number, max: number): string {
  if (max === 0) return '""'
  const exactly = (count: number): string => {
    const rest = count % BLOCK
    const parts: string[] = []
    if (count >= BLOCK) parts.push(blocks(rules, item, Math.floor(count / BLOCK)))
    if (rest > 0) parts.push(rest === 1 ? item : `${item}{${rest}}`)
    return parts.join(' ')
  }
  if (max === Number.POSITIVE_INFINITY) return min < 2 ? `${item}${min === 0 ? '*' : '+'}` : `${exactly(min)} ${item}*`
  if (min === max) return exactly(min)
  if (max <= BLOCK) return `${item}${min === 0 && max === 1 ? '?' : `{${min},${max}}`}`
  // A count over `min` is full blocks and a rest; each is either short of the last block or in it, so at most three readings are open.
  const over = max - min
  const full = Math.floor(over / BLOCK)
  const tail = `${item}{0,${BLOCK - 1}}`
  const last = over % BLOCK
  const most = `${blocks(rules, item, full)}${last > 0 ? ` ${item}{0,${last}}` : ''}`
  const ways =
    full === 0 ? `${item}{0,${over}}` : `(${full > 1 ? `${blocks(rules, item, 0, full - 1)} ` : ''}${tail} | ${most})`
  return min === 0 ? ways : `${exactly(min)} ${ways}`
}

/** `min` to `max` blocks of `item`, themselves counted in blocks when they are many. */
function blocks(rules: Rules, item: string, min: number, max = min): string {
  return repeat(rules, rules.rule(`${/^[a-z0-9-]+$/.test(item) ? item : 'run'}-block`, `${item}{${BLOCK}}`), min, max)
}
