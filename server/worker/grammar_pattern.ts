/** Patterns and formats of JSON strings: JavaScript regular expressions and named formats as languages. */
import type { Language, RegexAlgebra } from './grammar_regex.ts'
import { ALL, type CodePoints, complement, union } from './grammar_text.ts'

/** Says, in words that follow "the pattern uses", why an expression is refused. */
export class PatternRefused extends Error {}

type Atom =
  | { type: 'set'; set: CodePoints }
  | { type: 'start' | 'end' }
  | { type: 'look'; negative: boolean; of: Atom[][] }
  | { type: 'group'; of: Atom[][] }
  | { type: 'repeat'; of: Atom; min: number; max: number }

const one = (code: number): CodePoints => [[code, code]]
const DIGIT: CodePoints = [[0x30, 0x39]]
const WORD: CodePoints = [
  [0x30, 0x39],
  [0x41, 0x5a],
  [0x5f, 0x5f],
  [0x61, 0x7a],
]
const LINE_ENDS: CodePoints = [
  [0x0a, 0x0a],
  [0x0d, 0x0d],
  [0x2028, 0x2029],
]

const properties = new Map<string, CodePoints>()

/** Every character that the one-character expression matches, by asking the expression itself. */
function matching(expression: string): CodePoints {
  const known = properties.get(expression)
  if (known !== undefined) return known
  const test = new RegExp(`^${expression}$`, 'u')
  const out: [number, number][] = []
  for (const [a, b] of ALL) {
    for (let code = a; code <= b; code++) {
      if (!test.test(String.fromCodePoint(code))) continue
      const last = out.at(-1)
      if (last !== undefined && last[1] === code - 1) last[1] = code
      else out.push([code, code])
    }
  }
  if (properties.size > 64) properties.clear()
  properties.set(expression, out)
  return out
}

class Parser {
  readonly #text: string[]
  #at = 0

  constructor(pattern: string) {
    this.#text = [...pattern]
  }

  parse(): Atom[][] {
    const ways = this.#ways()
    if (this.#at < this.#text.length) throw new PatternRefused(`an unmatched "${this.#text[this.#at]}"`)
    return ways
  }

  #take(expected: string): boolean {
    if (
      !this.#text
        .slice(this.#at, this.#at + expected.length)
        .join('')
        .startsWith(expected)
    )
      return false
    this.#at += expected.length
    return true
  }

  #next(): string {
    const character = this.#text[this.#at++]
    if (character === undefined) throw new PatternRefused('an unfinished expression')
    return character
  }

  #ways(): Atom[][] {
    const ways: Atom[][] = [[]]
    while (this.#at < this.#text.length && this.#text[this.#at] !== ')') {
      if (this.#take('|')) ways.push([])
      else ways.at(-1)!.push(this.#quantified(this.#atom()))
    }
    return ways
  }

  #quantified(atom: Atom): Atom {
    const rest = this.#text.slice(this.#at, this.#at + 24).join('')
    const match = /^(?:[*+?]|\{(\d+)(,?)(\d*)\})/.exec(rest)
    if (match === null) return atom
    this.#at += match[0].length
    // Lazy or greedy, the language is the same.
    if (!this.#take('?') && this.#take('+')) throw new PatternRefused('a possessive quantifier')
    if (atom.type === 'start' || atom.type === 'end' || atom.type === 'look') {
      throw new PatternRefused('a repeated anchor or look-ahead')
    }
    const [sign] = match[0]
    if (sign === '*') return { type: 'repeat', of: atom, min: 0, max: Number.POSITIVE_INFINITY }
    if (sign === '+') return { type: 'repeat', of: atom, min: 1, max: Number.POSITIVE_INFINITY }
    if (sign === '?') return { type: 'repeat', of: atom, min: 0, max: 1 }
    const min = Number(match[1])
    const max = match[2] === '' ? min : match[3] === '' ? Number.POSITIVE_INFINITY : Number(match[3])
    return { type: 'repeat', of: atom, min, max }
  }

  #atom(): Atom {
    const character = this.#next()
    switch (character) {
      case '^':
        return { type: 'start' }
      case '$':
        return { type: 'end' }
      case '.':
        return { type: 'set', set: complement(LINE_ENDS) }
      case '[':
        return { type: 'set', set: this.#class() }
      case '(':
        return this.#group()
      case '\\':
        return { type: 'set', set: this.#escape(false) }
      default:
        return { type: 'set', set: one(character.codePointAt(0)!) }
    }
  }

  #group(): Atom {
    let make = (of: Atom[][]): Atom => ({ type: 'group', of })
    if (this.#take('?=')) make = of => ({ type: 'look', negative: false, of })
    else if (this.#take('?!')) make = of => ({ type: 'look', negative: true, of })
    else if (this.#take('?<=') || this.#take('?<!')) throw new PatternRefused('a look-behind')
    else if (this.#take('?<')) while (this.#next() !== '>');
    else if (this.#take('?:')) make = of => ({ type: 'group', of })
    else if (this.#take('?')) throw new PatternRefused(`the group "(?${this.#text[this.#at] ?? ''}"`)
    const group = make(this.#ways())
    if (!this.#take(')')) throw new PatternRefused('an unmatched "("')
    return group
  }

  #class(): CodePoints {
    const negative = this.#take('^')
    const parts: CodePoints[] = []
    while (!this.#take(']')) {
      const from = this.#classAtom()
      if (this.#text[this.#at] === '-' && this.#text[this.#at + 1] !== ']') {
        this.#at++
        const to = this.#classAtom()
        const [a, b] = [from[0]?.[0], to[0]?.[1]]
        const single = (set: CodePoints) => set.length === 1 && set[0]![0] === set[0]![1]
        if (single(from) && single(to) && a! <= b!) parts.push([[a!, b!]])
        else parts.push(from, one(0x2d), to)
      } else parts.push(from)
    }
    const set = union(...parts)
    return negative ? complement(set) : complement(complement(set))
  }

  #classAtom(): CodePoints {
    const character = this.#next()
    return character === '\\' ? this.#escape(true) : one(character.codePointAt(0)!)
  }

  #escape(inClass: boolean): CodePoints {
    const character = this.#next()
    const hex = (digits: number): number => {
      const text = Array.from({ length: digits }, () => this.#next()).join('')
      if (!/^[0-9a-f]+$/i.test(text)) throw new PatternRefused(`the escape "\\${character}${text}"`)
      return Number.parseInt(text, 16)
    }
    switch (character) {
      case 'd':
        return DIGIT
      case 'D':
        return complement(DIGIT)
      case 'w':
        return WORD
      case 'W':
        return complement(WORD)
      case 's':
        return matching('\\s')
      case 'S':
        return complement(matching('\\s'))
      case 't':
        return one(9)
      case 'n':
        return one(10)
      case 'v':
        return one(11)
      case 'f':
        return one(12)
      case 'r':
        return one(13)
      case 'x':
        return one(hex(2))
      case 'u': {
        if (!this.#take('{')) {
          const first = hex(4)
          if (first < 0xd800 || first > 0xdbff || !this.#take('\\u')) return one(first)
          return one(0x10000 + (first - 0xd800) * 0x400 + hex(4) - 0xdc00)
        }
        let text = ''
        for (let next = this.#next(); next !== '}'; next = this.#next()) text += next
        return one(Number.parseInt(text, 16))
      }
      case 'p':
      case 'P': {
        if (!this.#take('{')) throw new PatternRefused(`the escape "\\${character}" without braces`)
        let name = ''
        for (let next = this.#next(); next !== '}'; next = this.#next()) name += next
        return matching(`\\${character}{${name}}`)
      }
      case 'b':
        if (inClass) return one(8)
        throw new PatternRefused('the word boundary "\\b"')
      case 'B':
        throw new PatternRefused('the word boundary "\\B"')
      default:
        if (character === '0' && !/\d/.test(this.#text[this.#at] ?? '')) return one(0)
        if (/[1-9]/.test(character) || character === 'k') throw new PatternRefused('a back-reference')
        if (/[a-z0-9]/i.test(character)) throw new PatternRefused(`the escape "\\${character}"`)
        return one(character.codePointAt(0)!)
    }
  }
}

/** Whether the text so far is surely empty, surely not, or perhaps. */
type Begun = 'no' | 'yes' | 'perhaps'

class Builder {
  readonly #regex: RegexAlgebra

  constructor(regex: RegexAlgebra) {
    this.#regex = regex
  }

  /** The texts that `ways` match at this place, when `rest` is what may follow. */
  ways(ways: Atom[][], rest: Language, begun: Begun): Language {
    return this.#regex.either(...ways.map(atoms => this.#atoms(atoms, rest, begun)))
  }

  #atoms(atoms: Atom[], rest: Language, begun: Begun): Language {
    const starts: Begun[] = []
    let now = begun
    for (const atom of atoms) {
      starts.push(now)
      if (now !== 'yes') {
        const [least, most] = this.#width(atom)
        if (least > 0) now = 'yes'
        else if (most > 0) now = 'perhaps'
      }
    }
    return atoms.reduceRight((after, atom, index) => this.#atom(atom, after, starts[index]!), rest)
  }

  #atom(atom: Atom, rest: Language, begun: Begun): Language {
    const regex = this.#regex
    switch (atom.type) {
      case 'set':
        return regex.sequence(regex.set(atom.set), rest)
      case 'end':
        return regex.both(regex.empty, rest)
      case 'start':
        if (begun === 'perhaps') throw new PatternRefused('a "^" after something that may be empty')
        return begun === 'no' ? rest : regex.nothing
      case 'group':
        return this.ways(atom.of, rest, begun)
      case 'look': {
        const seen = this.ways(atom.of, regex.anyText, begun)
        return regex.both(atom.negative ? regex.not(seen) : seen, rest)
      }
      case 'repeat':
        if (atom.min === 0 && atom.max === 1) return regex.either(this.#atom(atom.of, rest, begun), rest)
        return regex.sequence(regex.repeat(this.#plain(atom.of), atom.min, atom.max), rest)
    }
  }

  /** What is repeated must not look at what surrounds it. */
  #plain(atom: Atom): Language {
    const check = (inner: Atom): void => {
      if (inner.type === 'group') inner.of.flat().forEach(check)
      else if (inner.type === 'repeat') check(inner.of)
      else if (inner.type !== 'set') throw new PatternRefused('an anchor or look-ahead inside a repeated group')
    }
    check(atom)
    return this.#atom(atom, this.#regex.empty, 'yes')
  }

  #width(atom: Atom): [least: number, most: number] {
    if (atom.type === 'set') return [1, 1]
    if (atom.type === 'group') {
      const widths = atom.of.map(atoms => atoms.map(inner => this.#width(inner)))
      const sums = widths.map(list => list.reduce<[number, number]>(([a, b], [c, d]) => [a + c, b + d], [0, 0]))
      return [Math.min(...sums.map(sum => sum[0])), Math.max(...sums.map(sum => sum[1]))]
    }
    if (atom.type !== 'repeat') return [0, 0]
    const [least, most] = this.#width(atom.of)
    return [least * atom.min, most === 0 ? 0 : most * atom.max]
  }
}

/**
 * The texts that contain a match of the pattern (anchors say where), as JSON Schema means it.
 * @throws PatternRefused for what has no automaton here: look-behind, back-references, word boundaries, flags
 */
export function patternLanguage(regex: RegexAlgebra, pattern: string): Language {
  try {
    new RegExp(pattern, 'u')
  } catch {
    try {
      // Patterns from other languages escape more than the strict mode allows.
      new RegExp(pattern)
    } catch (error) {
      throw new PatternRefused(`no valid syntax (${error instanceof Error ? error.message : String(error)})`)
    }
  }
  const ways = new Parser(pattern).parse()
  const builder = new Builder(regex)
  const later = regex.sequence(
    regex.repeat(regex.set(ALL), 1, Number.POSITIVE_INFINITY),
    builder.ways(ways, regex.anyText, 'yes'),
  )
  return regex.either(builder.ways(ways, regex.anyText, 'no'), later)
}

const DAY = [
  '(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])',
  '(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)',
  '02-(?:0[1-9]|1\\d|2[0-8])',
].join('|')
const LEAP_YEAR = '(?:\\d\\d(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)'
const DATE = `(?:\\d{4}-(?:${DAY})|${LEAP_YEAR}-02-29)`
const TIME = '(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(?:\\.\\d{1,9})?(?:Z|[+-](?:[01]\\d|2[0-3]):[0-5]\\d)'
const BYTE = '(?:\\d|[1-9]\\d|1\\d\\d|2[0-4]\\d|25[0-5])'
const IPV4 = `${BYTE}(?:\\.${BYTE}){3}`
const GROUP = '[0-9A-Fa-f]{1,4}'
const IPV6 = [
  `${GROUP}(?::${GROUP}){7}`,
  ...Array.from({ length: 8 }, (_, before) => {
    const left = before === 0 ? '' : `${GROUP}(?::${GROUP}){${before - 1}}`
    const after = 6 - before
    if (after < 0) return `${left}::`
    return `${left}::${after === 0 ? `(?:${GROUP})?` : `(?:${GROUP}(?::${GROUP}){0,${after}})?`}`
  }),
].join('|')
// Eight labels of 30 keep a host name below 253 characters without counting it a second time.
const LABEL = '[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,28}[a-zA-Z0-9])?'
const HOST = `${LABEL}(?:\\.${LABEL}){0,7}`
const URL_CHARACTER = "(?:[A-Za-z0-9\\-._~!$&'()*+,;=:@]|%[0-9A-Fa-f]{2})"
const TAIL = `(?:/${URL_CHARACTER}*)*(?:\\?(?:${URL_CHARACTER}|[/?])*)?(?:#(?:${URL_CHARACTER}|[/?])*)?`

/** What is generated for a format: a language inside the one that its specification describes. */
const FORMATS: { [name: string]: string | undefined } = {
  date: DATE,
  time: TIME,
  'date-time': `${DATE}T${TIME}`,
  duration:
    'P(?:\\d{1,9}W|(?=[\\dT])(?:\\d{1,9}Y)?(?:\\d{1,9}M)?(?:\\d{1,9}D)?(?:T(?=\\d)(?:\\d{1,9}H)?(?:\\d{1,9}M)?(?:\\d{1,9}S)?)?)',
  uuid: '[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}',
  email: `(?=[^@]{1,64}@)[A-Za-z0-9_+-]+(?:\\.[A-Za-z0-9_+-]+)*@(?:${LABEL}\\.){1,7}[A-Za-z]{2,24}`,
  hostname: HOST,
  ipv4: IPV4,
  ipv6: IPV6,
  uri: `[A-Za-z][A-Za-z0-9+.-]{0,15}://${HOST}(?::\\d{1,5})?${TAIL}`,
  'uri-reference': `(?:[A-Za-z][A-Za-z0-9+.-]{0,15}://${HOST}(?::\\d{1,5})?)?${TAIL}`,
  byte: '(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?',
  base64: '(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?',
  'json-pointer': '(?:/(?:[^~/]|~[01])*)*',
}
// Numbers that are written as texts, as API descriptions do with what a double cannot hold.
for (const name of ['int8', 'int16', 'int32', 'int64', 'int']) FORMATS[name] = '0|-?[1-9]\\d{0,18}'
for (const name of ['uint8', 'uint16', 'uint32', 'uint64', 'uint']) FORMATS[name] = '0|[1-9]\\d{0,18}'
for (const name of ['float', 'double', 'decimal']) FORMATS[name] = '-?(?:0|[1-9]\\d{0,20})(?:\\.\\d{1,24})?'
FORMATS['iso-date-time'] = FORMATS['date-time']
FORMATS.url = FORMATS.uri

export const FORMAT_NAMES: readonly string[] = Object.keys(FORMATS)

/** The language of a named string format, or undefined when the name is not known. */
export function formatLanguage(regex: RegexAlgebra, name: string): Language | undefined {
  const pattern = Object.hasOwn(FORMATS, name) ? FORMATS[name] : undefined
  return pattern === undefined ? undefined : patternLanguage(regex, `^(?:${pattern})$`)
}
