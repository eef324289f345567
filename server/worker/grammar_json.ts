/** Rules of JSON's own syntax, shared by every grammar that writes JSON. White space is bounded, so that a model cannot write it for ever. */

import { ANY_NUMBER, integerBody } from './grammar_number.ts'
import { type CodePoints, charClass, intersection, literal, type Rules, union } from './grammar_text.ts'

/** Between the marks of an array or object: nothing, one space, or a new line with its indentation. */
export function gap(rules: Rules): string {
  return rules.rule('gap', '| " " | "\\n" [ \\t]{0,20}')
}

/** After a colon: nothing or one space. */
export function space(rules: Rules): string {
  return rules.rule('space', '| " "')
}

/** Characters that stand in a JSON string as they are. */
const PLAIN: CodePoints = [
  [0x20, 0x21],
  [0x23, 0x5b],
  [0x5d, 0xd7ff],
  [0xe000, 0x10ffff],
]
const SHORT: [code: number, escape: string][] = [
  [0x08, 'b'],
  [0x09, 't'],
  [0x0a, 'n'],
  [0x0c, 'f'],
  [0x0d, 'r'],
  [0x22, '"'],
  [0x5c, '\\'],
]

/** One code point of any JSON string, in any spelling; half a surrogate pair is none. */
export function anyCharacter(rules: Rules): string {
  const hex = '[0-9a-fA-F]'
  const escapes = `["\\\\/bfnrt] | "u" ([0-9a-cA-CefEF] ${hex}{3} | [dD] ([0-7] ${hex}{2} | [89abAB] ${hex}{2} "\\\\u" [dD] [c-fC-F] ${hex}{2}))`
  return rules.rule('character', `${charClass(PLAIN)} | "\\\\" (${escapes})`)
}

/** Body of one character of the set as it stands in a JSON string; escaped only where JSON asks for it. */
export function characterBody(rules: Rules, set: CodePoints): string {
  const plain = intersection(set, PLAIN)
  const has = (code: number) => set.some(([a, b]) => a <= code && code <= b)
  const ways = plain.length > 0 ? [charClass(plain)] : []
  const short = SHORT.filter(([code]) => has(code))
  if (short.length > 0) {
    ways.push(
      `"\\\\" ${charClass(
        union(
          ...short.map(([, mark]): CodePoints => {
            const code = mark.codePointAt(0)!
            return [[code, code]]
          }),
        ),
      )}`,
    )
  }
  for (let high = 0; high < 2; high++) {
    const digits: string[] = []
    for (let low = 0; low < 16; low++) {
      const code = high * 16 + low
      if (has(code) && !SHORT.some(([other]) => other === code)) digits.push(low.toString(16))
    }
    if (digits.length > 0) ways.push(`${literal(`\\u00${high}`)} [${digits.join('')}]`)
  }
  if (ways.length === 1 && short.length === 0) return ways[0]!
  return rules.rule('symbol', ways.join(' | '))
}

export function anyString(rules: Rules): string {
  return rules.rule('string', `"\\"" ${anyCharacter(rules)}* "\\""`)
}

export function anyNumber(rules: Rules): string {
  return rules.rule('number', ANY_NUMBER)
}

export function anyInteger(rules: Rules): string {
  return rules.rule('integer', integerBody({})!)
}

/** Names of the rules for any value and any object, which refer to each other. */
export function anyRules(rules: Rules): { value: string; object: string } {
  const [value, object] = [rules.reserve('value'), rules.reserve('object')]
  const [ws, text] = [gap(rules), anyString(rules)]
  const member = rules.rule('member', `${text} ":" ${space(rules)} ${value}`)
  const more = rules.rule('more-members', `"," ${ws} ${member}`)
  rules.define(object, `"{" ${ws} (${member} ${more}* ${ws})? "}"`)
  const next = rules.rule('more-values', `"," ${ws} ${value}`)
  const array = rules.rule('array', `"[" ${ws} (${value} ${next}* ${ws})? "]"`)
  rules.define(value, `${object} | ${array} | ${text} | ${anyNumber(rules)} | "true" | "false" | "null"`)
  return { value, object }
}

/** Body of one JSON value, with the usual freedom of white space in arrays and objects. */
export function valueBody(rules: Rules, value: unknown): string {
  const list = (open: string, items: string[], close: string) => {
    const ws = gap(rules)
    return items.length === 0
      ? literal(open + close)
      : `${literal(open)} ${ws} ${items.join(` "," ${ws} `)} ${ws} ${literal(close)}`
  }
  if (Array.isArray(value))
    return list(
      '[',
      value.map(item => valueBody(rules, item)),
      ']',
    )
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value).map(
      ([name, item]) => `${literal(`${JSON.stringify(name)}:`)} ${space(rules)} ${valueBody(rules, item)}`,
    )
    return list('{', members, '}')
  }
  return literal(JSON.stringify(value))
}
