/** Vietnamese of the time before Unicode, TCVN3 (.VnTime) and VNI fonts, as it looks when its bytes are read as Latin. */
import { isSyllable, VIETNAMESE_ONLY } from './vietnamese.ts'

/** TCVN3 has one byte per letter; upper-case letters with a tone were the font's matter and come out in lower case. */
const TCVN3 = table(
  `¡ Ă ¢ Â £ Ê ¤ Ô ¥ Ơ ¦ Ư § Đ ¨ ă © â ª ê « ô ¬ ơ \u00ad ư ® đ µ à ¶ ả · ã ¸ á ¹ ạ » ằ ¼ ẳ ½ ẵ ¾ ắ Æ ặ Ç ầ È ẩ É ẫ Ê ấ Ë ậ
  Ì è Î ẻ Ï ẽ Ð é Ñ ẹ Ò ề Ó ể Ô ễ Õ ế Ö ệ × ì Ø ỉ Ü ĩ Ý í Þ ị ß ò á ỏ â õ ã ó ä ọ å ồ æ ổ ç ỗ è ố é ộ ê ờ ë ở ì ỡ í ớ î ợ
  ï ù ñ ủ ò ũ ó ú ô ụ õ ừ ö ử ÷ ữ ø ứ ù ự ú ỳ û ỷ ü ỹ ý ý þ ỵ`,
)

/** VNI writes the accent as a second character behind the letter. */
const VNI = vniTable()

function table(text: string): Map<string, string> {
  const items = text.trim().split(/[ \n]+/)
  const map = new Map<string, string>()
  for (let i = 0; i < items.length; i += 2) map.set(items[i]!, items[i + 1]!)
  return map
}

function vniTable(): Map<string, string> {
  const map = table('ñ đ ô ơ ö ư í í ì ì æ ỉ ó ĩ ò ị î ỵ')
  const add = (letters: string, marks: string, accents: string[]) => {
    for (const letter of letters) {
      const unicode = map.get(letter) ?? letter
      for (const [i, mark] of [...marks].entries()) map.set(letter + mark, (unicode + accents[i]).normalize('NFC'))
    }
  }
  const acute = '\u0301'
  const grave = '\u0300'
  const hook = '\u0309'
  const tilde = '\u0303'
  const dot = '\u0323'
  add('aeouyôö', 'ùøûõï', [acute, grave, hook, tilde, dot])
  const circumflex = '\u0302'
  add('aeo', 'âáàåãä', [circumflex, ...[acute, grave, hook, tilde, dot].map(tone => circumflex + tone)])
  const breve = '\u0306'
  add('a', 'êéèúüë', [breve, ...[acute, grave, hook, tilde, dot].map(tone => breve + tone)])
  for (const [from, to] of [...map]) map.set(from.toUpperCase(), to.toUpperCase())
  return map
}

type Legacy = {
  name: 'tcvn3' | 'vni'
  pattern: RegExp
  to: Map<string, string>
  backPattern: RegExp
  from: Map<string, string>
}

function legacy(name: Legacy['name'], to: Map<string, string>): Legacy {
  const longestFirst = (items: Iterable<string>) => [...items].sort((a, b) => b.length - a.length).join('|')
  const from = new Map([...to].map(([key, value]) => [value, key]))
  const backPattern = new RegExp(longestFirst(from.keys()), 'g')
  return { name, pattern: new RegExp(longestFirst(to.keys()), 'g'), to, backPattern, from }
}
const LEGACY = [legacy('tcvn3', TCVN3), legacy('vni', VNI)]

/** Words with a letter outside ASCII that a repair must explain, and how many different ones. */
const MIN_WORDS = 5
const MIN_DISTINCT = 4

/**
 * The text in Unicode, or undefined where that is not certain. Certain means: of the words with accents at most two thirds
 * are Vietnamese syllables as they stand (real Vietnamese has all), all of them are after the conversion, and converting back gives the same text.
 */
export function fromLegacy(text: string): { name: 'tcvn3' | 'vni'; text: string } | undefined {
  // A letter that Latin-1 lacks shows that the text is Unicode already.
  if (!/[\u00a1-\u00ff]/.test(text) || /[\u0100-\u024f\u0370-\u1fff\u3040-\ufaff]/.test(text)) return undefined
  const before = accented(text)
  if (before.filter(isSyllable).length * 3 > before.length * 2) return undefined
  for (const { name, pattern, to, backPattern, from } of LEGACY) {
    const converted = text.replace(pattern, piece => to.get(piece)!)
    const words = accented(converted)
    if (words.length < MIN_WORDS || new Set(words).size < MIN_DISTINCT) continue
    if (!words.every(isSyllable) || !VIETNAMESE_ONLY.test(converted)) continue
    if (converted.replace(backPattern, letter => from.get(letter)!) === text) return { name, text: converted }
  }
  return undefined
}

function accented(text: string): string[] {
  return (text.match(/\p{L}+/gu) ?? []).filter(word => /[\u0080-\uffff]/.test(word)).map(word => word.toLowerCase())
}
