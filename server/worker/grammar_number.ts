/** Decimal digits under bounds: GBNF bodies for integers and numbers of an interval. */
import { literal } from './grammar_text.ts'

/** An interval's ends; absent = unbounded on that side. */
export type Bounds = { min?: number; minExclusive?: boolean; max?: number; maxExclusive?: boolean }

/** Most digits of an integer without bounds: whatever has so many fits 64 bits, and a model cannot write digits for ever. */
const INTEGER_DIGITS = 16
const FRACTION_DIGITS = 24
/** Decimals of so many significant digits stay apart as doubles, so that a strict bound holds after the text is parsed, too. */
const EXACT_DIGITS = 15

/** `[1-9]` and so on for digits a to b. */
function digitClass(a: number, b: number): string {
  return a === b ? `"${a}"` : `[${a}-${b}]`
}

function times(item: string, min: number, max = min): string {
  if (max === 0) return ''
  if (min === 1 && max === 1) return item
  return min === max ? `${item}{${min}}` : `${item}{${min},${max}}`
}

function sequence(...parts: string[]): string {
  return parts.filter(part => part !== '').join(' ')
}

/** Digit strings of one length, from a to b. */
function sameLength(a: string, b: string): string {
  if (/^0*$/.test(a) && /^9*$/.test(b)) return times('[0-9]', a.length)
  const low = Number(a[0])
  const high = Number(b[0])
  const rest = a.length - 1
  if (low === high) return sequence(literal(a[0]!), sameLength(a.slice(1), b.slice(1)))
  const lowWhole = /^0*$/.test(a.slice(1))
  const highWhole = /^9*$/.test(b.slice(1))
  const ways: string[] = []
  if (!lowWhole) ways.push(sequence(digitClass(low, low), sameLength(a.slice(1), '9'.repeat(rest))))
  const [from, to] = [lowWhole ? low : low + 1, highWhole ? high : high - 1]
  if (from <= to) ways.push(sequence(digitClass(from, to), times('[0-9]', rest)))
  if (!highWhole) ways.push(sequence(digitClass(high, high), sameLength('0'.repeat(rest), b.slice(1))))
  return ways.length === 1 ? ways[0]! : `(${ways.join(' | ')})`
}

/** Ways to write an integer from a to b, 0 <= a <= b, without leading zeros. */
function naturalWays(a: bigint, b: bigint): string[] {
  const ways: string[] = []
  let wholeFrom: number | undefined
  const flush = (to: number) => {
    if (wholeFrom !== undefined) ways.push(sequence('[1-9]', times('[0-9]', wholeFrom - 1, to - 1)))
    wholeFrom = undefined
  }
  const longest = String(b).length
  for (let length = String(a).length; length <= longest; length++) {
    const least = length === 1 ? 0n : 10n ** BigInt(length - 1)
    const most = 10n ** BigInt(length) - 1n
    const [from, to] = [a > least ? a : least, b < most ? b : most]
    if ((from === least || (length === 1 && from === 1n)) && to === most) {
      if (from === 0n) ways.push('"0"')
      wholeFrom ??= length
    } else {
      flush(length - 1)
      ways.push(sameLength(String(from), String(to)))
    }
  }
  flush(longest)
  return ways
}

function grouped(ways: string[]): string {
  return ways.length === 1 ? ways[0]! : `(${ways.join(' | ')})`
}

/** Body of the integers within bounds, or undefined when there is none. Numbers beyond 16 digits appear only where a bound asks for them. */
export function integerBody(bounds: Bounds): string | undefined {
  let low = bounds.min === undefined ? undefined : BigInt(Math.ceil(bounds.min))
  let high = bounds.max === undefined ? undefined : BigInt(Math.floor(bounds.max))
  if (low !== undefined && bounds.minExclusive === true && Number.isInteger(bounds.min)) low += 1n
  if (high !== undefined && bounds.maxExclusive === true && Number.isInteger(bounds.max)) high -= 1n
  const reach = (near: bigint | undefined): bigint => {
    const digits = near === undefined ? 0 : String(near < 0n ? -near : near).length
    return 10n ** BigInt(digits < INTEGER_DIGITS ? INTEGER_DIGITS : digits + 1) - 1n
  }
  low ??= -reach(high)
  high ??= reach(low)
  if (low > high) return undefined
  const ways: string[] = []
  if (high >= 0n) ways.push(...naturalWays(low > 0n ? low : 0n, high))
  if (low < 0n) ways.push(sequence('"-"', grouped(naturalWays(high < 0n ? -high : 1n, -low))))
  return ways.join(' | ')
}

/** Body of any JSON number; its exponent stays where a double is finite. */
export const ANY_NUMBER = [
  `"-"? ("0" | [1-9] [0-9]{0,20}) ("." [0-9]{1,${FRACTION_DIGITS}})?`,
  '"-"? [0-9] ("." [0-9]{1,20})? [eE] ("-" [0-9]{1,3} | "+"? ([0-9]{1,2} | [12] [0-9]{2} | "30" [0-7]))',
].join(' | ')

type Decimal = { whole: bigint /** digits after the point, no trailing zero */; fraction: string }

/** Magnitude of a finite number, exactly as its shortest decimal text says. */
function decimal(value: number): Decimal {
  const match = /^(\d+)(?:\.(\d+))?(?:e([+-]\d+))?$/.exec(String(Math.abs(value)))!
  const exponent = Number(match[3] ?? 0)
  let digits = match[1]! + (match[2] ?? '')
  let point = match[1]!.length + exponent
  if (point < 0) {
    digits = '0'.repeat(-point) + digits
    point = 0
  }
  digits = digits.padEnd(point, '0')
  return { whole: BigInt(digits.slice(0, point) || '0'), fraction: digits.slice(point).replace(/0+$/, '') }
}

type End = { at: Decimal; exclusive: boolean }

/** The fraction of a number whose whole part equals that of an end which is given; an absent end no longer binds. */
function fractionBody(low: End | undefined, high: End | undefined, room: number): string | undefined {
  const rest = (a: string | undefined, b: string | undefined, left: number, first: boolean): string | undefined => {
    const mayEnd =
      (a === undefined || (a === '' && !low!.exclusive)) && (b === undefined || b !== '' || !high!.exclusive)
    const open = (body: string): string =>
      mayEnd ? (first ? `("." ${body})?` : `(${body})?`) : first ? `"." ${body}` : body
    if (left === 0) return mayEnd ? '' : undefined
    const freeBelow = a === undefined || (a === '' && !low!.exclusive)
    if (freeBelow && b === undefined) return first ? `("." ${times('[0-9]', 1, left)})?` : times('[0-9]', 0, left)
    if (freeBelow && b === '') {
      if (!mayEnd) return undefined
      return first ? `("." ${times('"0"', 1, left)})?` : times('"0"', 0, left)
    }
    const from = a === undefined ? 0 : Number(a[0] ?? 0)
    const to = b === undefined ? 9 : Number(b[0] ?? 0)
    const ways: string[] = []
    const way = (x: number, y: number, nextA: string | undefined, nextB: string | undefined) => {
      const tail = x > y ? undefined : rest(nextA, nextB, left - 1, false)
      if (tail !== undefined) ways.push(sequence(digitClass(x, y), tail))
    }
    if (from === to && a !== undefined && b !== undefined) way(from, to, a.slice(1), b.slice(1))
    else {
      if (a !== undefined) way(from, from, a.slice(1), undefined)
      way(a === undefined ? from : from + 1, b === undefined ? to : to - 1, undefined, undefined)
      if (b !== undefined) way(to, to, undefined, b.slice(1))
    }
    if (ways.length === 0) return mayEnd ? '' : undefined
    return open(grouped(ways))
  }
  return rest(low?.at.fraction, high?.at.fraction, room, true)
}

/** Ways to write a number from `low` to `high`, both not negative. */
function positiveWays(low: End, high: End, room: number): string[] {
  const [a, b] = [low.at, high.at]
  if (a.whole > b.whole) return []
  const ways: string[] = []
  const way = (from: bigint, to: bigint, below: End | undefined, above: End | undefined) => {
    if (from > to) return
    const fraction = fractionBody(below, above, room)
    if (fraction !== undefined) ways.push(sequence(grouped(naturalWays(from, to)), fraction))
  }
  if (a.whole === b.whole) {
    const width = Math.max(a.fraction.length, b.fraction.length)
    const order = a.fraction.padEnd(width, '0').localeCompare(b.fraction.padEnd(width, '0'), 'en')
    if (order > 0 || (order === 0 && (low.exclusive || high.exclusive))) return []
    way(a.whole, a.whole, low, high)
    return ways
  }
  way(a.whole, a.whole, low, undefined)
  way(a.whole + 1n, b.whole - 1n, undefined, undefined)
  way(b.whole, b.whole, undefined, high)
  return ways
}

/**
 * Body of the numbers within bounds, without exponent; undefined when there is none.
 * @throws RangeError for a bound that decimal digits cannot hold apart from its neighbours: a strict one with more than 14 digits,
 * a magnitude of 1e16 or more, more than 20 digits after the point.
 */
export function numberBody(bounds: Bounds): string | undefined {
  if (bounds.min === undefined && bounds.max === undefined) return ANY_NUMBER
  const zero: Decimal = { whole: 0n, fraction: '' }
  const far: End = { at: { whole: 10n ** BigInt(INTEGER_DIGITS) - 1n, fraction: '' }, exclusive: false }
  const end = (value: number | undefined, exclusive: boolean | undefined): End | undefined =>
    value === undefined ? undefined : { at: decimal(value), exclusive: exclusive === true }
  const low = end(bounds.min, bounds.minExclusive)
  const high = end(bounds.max, bounds.maxExclusive)
  let room = 20
  for (const bound of [low, high]) {
    if (bound === undefined) continue
    const [whole, fraction] = [String(bound.at.whole).length, bound.at.fraction.length]
    if (whole > INTEGER_DIGITS) throw new RangeError('a magnitude of 1e16 or more')
    if (fraction > 20) throw new RangeError('more than 20 digits after the point')
    if (!bound.exclusive) continue
    if (whole + fraction >= EXACT_DIGITS) throw new RangeError('a strict bound of more than 14 digits')
    room = Math.min(room, EXACT_DIGITS - whole)
  }
  const [min, max] = [bounds.min ?? Number.NEGATIVE_INFINITY, bounds.max ?? Number.POSITIVE_INFINITY]
  if (min > max) return undefined
  const ways: string[] = []
  if (max >= 0) {
    ways.push(...positiveWays(low !== undefined && min >= 0 ? low : { at: zero, exclusive: false }, high ?? far, room))
  }
  if (min < 0) {
    // Zero is written without a sign, so the magnitudes of the negative part begin above it.
    const near = high !== undefined && max < 0 ? high : { at: zero, exclusive: true }
    const magnitudes = positiveWays(near, low ?? far, room)
    if (magnitudes.length > 0) ways.push(`"-" ${grouped(magnitudes)}`)
  }
  return ways.length === 0 ? undefined : ways.join(' | ')
}
