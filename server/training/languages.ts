/** Tells in which language a text is written, and which part of it is code. */
import { fold, isSyllable, VIETNAMESE_ONLY } from './vietnamese.ts'

/** Characters per language: ISO 639-1 codes, `vi-plain` (Vietnamese without diacritics), `code` or `unknown`. */
export type LanguageCounts = Map<string, number>

/** Frequent short words of languages in the Latin script, those that are frequent in one of them only as far as possible. */
const WORDS: { [language: string]: string } = {
  en: 'the a of and to in is that for it with as was on are be this by from or an have you not which can your how what write function we he she they will has its',
  'vi-plain':
    'khong duoc cua nhung nguoi trong mot cac voi cho nay la co va de khi thi den nhu cung vao ra tu hay ham viet chuoi tinh bang neu phai ban toi lam gi the nao roi so danh sach tra ve',
  fr: 'la de à un en au aux ce se le les des est dans que une pour qui sur pas plus avec sont vous nous cette mais ou du et il',
  de: 'der die das und ist nicht ein eine den mit von zu auf für sich dem auch als werden wird oder sie ich',
  es: 'la de no un ha el los las que en una por con para es del se como pero más este su al lo y muy',
  pt: 'a o de no na os um uma não que em para com do da dos das por mais como mas ao pela você isso são',
  it: 'la le il di che è un una per non sono con del della gli nel anche come più questo alla si',
  id: 'yang dan di dengan untuk ini itu dari pada adalah tidak dalam akan ke atau sebuah juga bisa anda',
  nl: 'de het een van en dat niet zijn voor met op aan ook als maar wordt deze naar bij hij',
}

const LANGUAGES_OF = new Map<string, string[]>()
for (const [language, list] of Object.entries(WORDS))
  for (const word of list.split(' ')) LANGUAGES_OF.set(word, [...(LANGUAGES_OF.get(word) ?? []), language])

/** Longest piece that is looked at: the language of a text doesn't change with its length. */
const LOOK = 600

/** Languages of the text by characters (without white space at the ends of its parts). */
export function countLanguages(text: string, counts: LanguageCounts = new Map()): LanguageCounts {
  if (!text.includes('```')) {
    addPart(text, counts)
    return counts
  }
  for (const [i, part] of text.split('```').entries()) {
    if (i % 2 === 1) count(counts, 'code', part.trim().length)
    else addPart(part, counts)
  }
  return counts
}

function addPart(part: string, counts: LanguageCounts): void {
  const text = part.trim()
  if (text !== '') count(counts, languageOf(text), text.length)
}

function count(counts: LanguageCounts, language: string, characters: number): void {
  if (characters > 0) counts.set(language, (counts.get(language) ?? 0) + characters)
}

/** The language of a text that is of one language. */
export function languageOf(text: string): string {
  const piece = text.length > LOOK ? text.slice(0, LOOK) : text
  if (isCode(piece)) return 'code'
  const script = scriptOf(piece)
  if (script !== 'latin') return script
  const list = piece.toLowerCase().match(/\p{L}+/gu) ?? []
  if (VIETNAMESE_ONLY.test(piece)) {
    const special = list.filter(word => VIETNAMESE_ONLY.test(word))
    const syllables = special.filter(isSyllable).length
    // A Vietnamese name in an English text has few such words.
    if (syllables * 2 > special.length && special.length * 8 >= list.length) return 'vi'
  }
  const hits = new Map<string, number>()
  for (const word of list) {
    for (const language of LANGUAGES_OF.get(word) ?? []) count(hits, language, 1)
    // The accents of "tôi có" are those of other languages as well; the words are not.
    if (!/^[a-z]+$/.test(word) && LANGUAGES_OF.get(fold(word))?.includes('vi-plain') && isSyllable(word))
      count(hits, 'vi-plain', 1)
  }
  let best = 'unknown'
  let most = 0
  for (const [language, n] of hits) {
    if (n <= most) continue
    best = language
    most = n
  }
  // Plain Vietnamese consists of syllables, nearly all of it; a sentence of another language has a few words of that form.
  const syllables = list.filter(word => /^[a-z]+$/.test(word) && couldBeFolded(word)).length
  if (best === 'vi-plain' ? syllables * 10 >= list.length * 7 : list.length > 4 && syllables * 10 >= list.length * 9) {
    if (best === 'vi-plain' || most * 4 < list.length) return list.some(word => word !== fold(word)) ? 'vi' : 'vi-plain'
  }
  if (best === 'vi-plain' || most * 12 < list.length || (most < 2 && list.length > 6)) return 'unknown'
  return best
}

/** Whether a word of plain letters can be a Vietnamese syllable without its accents. */
function couldBeFolded(word: string): boolean {
  return /^(?:ngh|[cgknpt]h|gi|ng|qu|tr|[bcdghklmnprstvx])?[aeiouy]{1,3}(?:ch|ng|nh|[cmnpt])?$/.test(word)
}

const SCRIPTS: [language: string, pattern: RegExp][] = [
  ['ja', /[\u3040-\u30ff]/g],
  ['ko', /[\uac00-\ud7af]/g],
  ['zh', /[\u4e00-\u9fff]/g],
  ['ru', /[\u0400-\u04ff]/g],
  ['th', /[\u0e00-\u0e7f]/g],
  ['lo', /[\u0e80-\u0eff]/g],
  ['km', /[\u1780-\u17ff]/g],
  ['ar', /[\u0600-\u06ff]/g],
  ['he', /[\u0590-\u05ff]/g],
  ['hi', /[\u0900-\u097f]/g],
  ['el', /[\u0370-\u03ff]/g],
]

function scriptOf(text: string): string {
  if (!/[\u0370-\u1dff\u3040-\ud7af]/.test(text))
    return /[a-z\u00c0-\u024f\u1ea0-\u1ef9]/i.test(text) ? 'latin' : 'unknown'
  const latin = text.match(/[a-z\u00c0-\u024f\u1ea0-\u1ef9]/gi)?.length ?? 0
  for (const [language, pattern] of SCRIPTS) {
    const letters = text.match(pattern)?.length ?? 0
    // One sign of these scripts says as much as three letters.
    if (letters > 0 && letters * 3 > latin) return language
  }
  return latin === 0 ? 'unknown' : 'latin'
}

const CODE_LINE =
  /[{};]\s*$|^\s*(?:import|from|def|class|function|const|let|var|return|if|for|while|elif|else|try|except|public|private|static|#include|package|fn|func|async|await|export|SELECT|INSERT|UPDATE|CREATE|@\w+|<\/?\w+)\b.*[\w)(:;{}>"'*,\]]\s*$|^\s*[\w.]+\s*(?:=|\+=)\s*\S|^\s*[\w.]+\(.*\)\s*$|^\s*(?:\/\/|#!|\/\*|\*)|=>|<\/\w+>/

/** Code: most of its lines look like it, and it has the signs that prose lacks. */
function isCode(text: string): boolean {
  const signs = text.match(/[{}()[\];=<>_]/g)?.length ?? 0
  if (signs * 40 < text.length) return false
  const lines = text.split('\n').filter(line => line.trim() !== '')
  return lines.length > 0 && lines.filter(line => CODE_LINE.test(line)).length * 2 >= lines.length
}
