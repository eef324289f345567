/** Finds text that was decoded with the wrong character set and repairs it where the repair is certain. */
import { fromLegacy } from './legacy_vietnamese.ts'

export type TextRepair = {
  text: string
  /** What was repaired: `utf8_as_windows-1252`, `tcvn3`, `vni`, `not_nfc`, `control`, `surrogate`…, each once per layer. */
  repaired: string[]
  /** Looks decoded wrongly, but the repair would be a guess. */
  uncertain: boolean
}

/** Which repairs are made; what is not made is still found. */
export type RepairChoice = { mojibake: boolean; not_nfc: boolean; control_characters: boolean }
export const ALL_REPAIRS: RepairChoice = { mojibake: true, not_nfc: true, control_characters: true }

const NOT_PLAIN = /[^\t\n\r\f\x20-\x7e]/
/** One repair can uncover another (a doubly decoded text), so that they are made until nothing changes; this deep at most. */
const MAX_LAYERS = 6

/**
 * Repairs one text: wrong decoding, then composition (NFC), then control characters. Clean text comes back unchanged, and
 * repairing a repaired text changes nothing.
 */
export function repairText(text: string, choice: RepairChoice = ALL_REPAIRS): TextRepair {
  if (!NOT_PLAIN.test(text)) return { text, repaired: [], uncertain: false }
  const repaired: string[] = []
  let now = text
  for (let layer = 0; layer < MAX_LAYERS; layer++) {
    const before = now
    const decoded = repairDecoding(now)
    if (decoded !== undefined) {
      repaired.push(decoded.how)
      if (choice.mojibake) now = decoded.text
    }
    const composed = compose(now)
    if (composed !== now) {
      repaired.push('not_nfc')
      if (choice.not_nfc) now = composed
    }
    // Control characters of a text that is perhaps to be decoded again are parts of its letters.
    const visible = removeControls(now, !LOOKS_WRONG.test(now))
    if (visible.text !== now) {
      repaired.push(...visible.removed)
      if (choice.control_characters) now = visible.text
    }
    if (now === before) break
  }
  return { text: now, repaired: [...new Set(repaired)], uncertain: !repaired.some(isDecoding) && LOOKS_WRONG.test(now) }
}

/** Whether a repair is one of a wrong decoding, not of composition or of control characters. */
export function isDecoding(repair: string): boolean {
  return repair.startsWith('utf8_as_') || repair === 'tcvn3' || repair === 'vni'
}

// --- UTF-8 that was read as a character set of one byte per character ---

type Codec = { name: string; bytes: Map<number, number>; chars: string[] }

/** As browsers decode: bytes without a character become the control character of the same number. */
function codec(name: 'windows-1252' | 'windows-1258' | 'latin1'): Codec {
  const all = Uint8Array.from({ length: 256 }, (_, byte) => byte)
  const decoded = name === 'latin1' ? String.fromCharCode(...all) : new TextDecoder(name).decode(all)
  const chars = [...decoded]
  return { name, chars, bytes: new Map(chars.map((char, byte) => [char.charCodeAt(0), byte])) }
}
const CODECS = [codec('windows-1252'), codec('latin1'), codec('windows-1258')]

/** Two characters outside ASCII in a row: without them there is no sequence of UTF-8 to be found. */
const TWO_HIGH = /[\u0080-\u{10ffff}]{2}/u
/** What UTF-8 read as windows-1252 mostly looks like. */
const LOOKS_WRONG =
  /[ÃÂÄÅÆ][\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013-\u203a\u20ac\u2122]|áº|á»|â€|ðŸ|ï¿½|ï»¿/
/** A text that speaks of encodings may show broken text on purpose. */
const SPEAKS_OF_ENCODING =
  /mojibake|encod|decod|utf-?8|latin-?1|windows-125|cp125|iso-8859|charset|garbled|unicode|bảng mã|mã hóa|mã hoá|font/i

type Decoded = { text: string; how: string }

function repairDecoding(text: string): Decoded | undefined {
  if (TWO_HIGH.test(text)) {
    for (const codec of CODECS) {
      const decoded = decodeLayers(text, codec, MAX_LAYERS)
      if (decoded !== undefined) return { text: decoded, how: `utf8_as_${codec.name}` }
    }
    const lines = repairLines(text)
    if (lines !== undefined) return lines
  }
  const legacy = fromLegacy(text)
  if (legacy === undefined || SPEAKS_OF_ENCODING.test(legacy.text)) return undefined
  return { text: legacy.text, how: legacy.name }
}

/**
 * A clean text with broken lines in it, as when two sources were joined. Only where several lines decode whole, each with
 * evidence of its own, and nothing says that they are an example.
 */
function repairLines(text: string): Decoded | undefined {
  if (!LOOKS_WRONG.test(text) || !text.includes('\n') || SPEAKS_OF_ENCODING.test(text)) return undefined
  let broken = 0
  const lines = text.split('\n').map(line => {
    if (!TWO_HIGH.test(line)) return line
    const decoded = decodeWhole(line, CODECS[0]!)
    if (decoded === undefined || sequences(decoded).long === 0 || !isCertain(line, decoded)) return line
    broken++
    return decoded
  })
  return broken >= 3 ? { text: lines.join('\n'), how: 'utf8_as_windows-1252' } : undefined
}

/**
 * Takes off as many wrong decodings as there are. What is between two of them may hold control characters and prove
 * nothing; the last text is the one that has to be certain.
 */
function decodeLayers(text: string, codec: Codec, layers: number): string | undefined {
  const decoded = decodeWhole(text, codec)
  if (decoded === undefined || decoded === text) return undefined
  const deeper = layers > 1 && TWO_HIGH.test(decoded) ? decodeLayers(decoded, codec, layers - 1) : undefined
  return deeper ?? (isCertain(text, decoded) ? decoded : undefined)
}

const STRICT = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** The text that was decoded wrongly with `codec`: undefined unless every character of it takes part and the way back gives the same. */
function decodeWhole(text: string, codec: Codec): string | undefined {
  const bytes = new Uint8Array(text.length)
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    const byte = unit < 0x80 ? unit : codec.bytes.get(unit)
    if (byte === undefined) return undefined
    bytes[i] = byte
  }
  try {
    const decoded = STRICT.decode(bytes)
    return encodeWrongly(decoded, codec) === text ? decoded : undefined
  } catch {
    return undefined
  }
}

function encodeWrongly(text: string, codec: Codec): string {
  let out = ''
  for (const byte of new TextEncoder().encode(text)) out += codec.chars[byte]
  return out
}

const LATIN_LETTER = /[\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u017f\u01a0\u01a1\u01af\u01b0]/
const IMPLAUSIBLE = /[\u0080-\u009f\ufffd\p{Co}\p{Cn}\p{Cs}]/u

/** Characters outside ASCII in a decoded text, by the length of their UTF-8: the longer, the less they come about by chance. */
function sequences(decoded: string): { short: string[]; long: number } {
  const high = decoded.match(/[\u0080-\u{10ffff}]/gu) ?? []
  const short = high.filter(char => char.codePointAt(0)! < 0x800)
  return { short, long: high.length - short.length }
}

/**
 * The evidence. All of the text is valid UTF-8 after the step back, which Latin text is only by chance: for a sequence of
 * three bytes that chance is nil; two bytes need company, or a place inside of a lower-case word ("cafÃ©").
 */
function isCertain(text: string, decoded: string): boolean {
  if (IMPLAUSIBLE.test(decoded)) return false
  const { short, long } = sequences(decoded)
  if (short.length + long === 0) return false
  if (SPEAKS_OF_ENCODING.test(text) || SPEAKS_OF_ENCODING.test(decoded)) {
    // An example inside of an explanation is few words among many; a broken document is broken throughout.
    const words = decoded.split(/\s+/).filter(word => /\p{L}/u.test(word))
    if (words.filter(word => /[\u0080-\uffff]/.test(word)).length < 0.3 * words.length) return false
  }
  if (long > 0) return true
  const letters = short.filter(char => LATIN_LETTER.test(char))
  const inWord = /[a-z][\u00e0-\u017f\u01a1\u01b0]|[\u00e0-\u017f\u01a1\u01b0][a-z]/.test(decoded)
  if (short.length === 1) return letters.length === 1 && inWord
  if (letters.length > 0) return inWord && letters.length * 2 >= short.length
  return short.length >= 4 && (short.every(isGreek) || short.every(isCyrillic))
}

const isGreek = (char: string) => /\p{Script=Greek}/u.test(char)
const isCyrillic = (char: string) => /\p{Script=Cyrillic}/u.test(char)

// --- Composition and control characters ---

/** Letters with combining accents composed. Signs such as the kelvin, which NFC would replace by letters, stay. */
function compose(text: string): string {
  if (!/[\u0300-\u036f]/.test(text)) return text
  return text.replace(/\p{L}[\u0300-\u036f]+/gu, letter => letter.normalize('NFC'))
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what this is about.
const TERMINAL_COLOUR = /\x1b\[[0-9;?]*[ -/]*[@-~]/g
/** Control characters but tab, line ends and form feed; byte order marks, zero-width spaces, direction overrides, non-characters. */
const CONTROL =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what this is about.
  /[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff]/g
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what this is about.
const FIRST_CONTROL = /[\x00-\x08\x0b\x0e-\x1f\x7f]/g
const LONE_SURROGATE = /\p{Surrogate}/gu

function removeControls(text: string, all: boolean): { text: string; removed: string[] } {
  const removed: string[] = []
  let now = text.replace(TERMINAL_COLOUR, '').replace(all ? CONTROL : FIRST_CONTROL, '')
  if (now !== text) removed.push('control')
  if (!now.isWellFormed()) {
    now = now.replace(LONE_SURROGATE, '')
    removed.push('surrogate')
  }
  return { text: now, removed }
}
