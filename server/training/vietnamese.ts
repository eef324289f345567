/** Tells whether a word is a possible Vietnamese syllable: onset, rhyme and tone by the rules of the spelling. */

const ONSETS = 'ngh,ch,gh,gi,kh,ng,nh,ph,qu,th,tr,b,c,d,đ,g,h,k,l,m,n,p,r,s,t,v,x,'.split(',')
const RHYMES = new Set(
  `a ac ach ai am an ang anh ao ap at au ay ăc ăm ăn ăng ăp ăt âc âm ân âng âp ât âu ây e ec em en eng eo ep et
  ê êch êm ên ênh êp êt êu i ia ich im in inh ip it iu iêc iêm iên iêng iêp iêt iêu o oa oac oach oai oam oan oang oanh
  oao oap oat oay oăc oăm oăn oăng oăt oc oe oen oeo oet oi om on ong ooc oong op ot ô ôc ôi ôm ôn ông ôp ôt ơ ơi ơm ơn
  ơp ơt u ua uc ui um un ung up ut uân uâng uât uây uê uêch uênh uy uya uych uyên uyêt uynh uyt uyu uôc uôi uôm uôn uông
  uôt uơ ư ưa ưc ưi ưm ưn ưng ưt ưu ươc ươi ươm ươn ương ươp ươt ươu y yêm yên yêng yêt yêu yt ynh ych`.split(/\s+/),
)
/** Grave, acute, tilde, hook above, dot below. */
const TONES = /[\u0300\u0301\u0303\u0309\u0323]/g

/** A language has few syllables and texts have many words, so that answers are kept; so many at most. */
const MOST_KNOWN = 20_000
const known = new Map<string, boolean>()

/** Whether `word` (one word, any case, composed or not) can be a Vietnamese syllable. */
export function isSyllable(word: string): boolean {
  if (word.length > 16) return false
  let answer = known.get(word)
  if (answer === undefined) {
    if (known.size >= MOST_KNOWN) known.clear()
    answer = spellsSyllable(word)
    known.set(word, answer)
  }
  return answer
}

function spellsSyllable(word: string): boolean {
  const parts = word.toLowerCase().normalize('NFD')
  // A tone stands on a vowel, behind its circumflex, breve or horn.
  if (/(?<!a|e|i|o|u|y|\u0302|\u0306|\u031b)(?:\u0300|\u0301|\u0303|\u0309|\u0323)/.test(parts)) return false
  const tones = parts.match(TONES)
  if (tones !== null && tones.length > 1) return false
  const plain = parts.replace(TONES, '').normalize('NFC')
  const tone = tones?.[0] ?? ''
  // A syllable that ends in a stop has the acute or the dot below.
  if (/(?:c|ch|p|t)$/.test(plain) && tone !== '\u0301' && tone !== '\u0323') return false
  // ngh, gh and k stand before e, ê and i; ng, g and c before the others.
  if (/^(?:ng|c)[eêiy]|^g[eê]|^(?:ngh|gh|k)[aăâoôơuư]/.test(plain)) return false
  // "gì" is the onset gi with nothing behind it.
  if (plain === 'gi') return true
  return ONSETS.some(onset => plain.startsWith(onset) && RHYMES.has(plain.slice(onset.length)))
}

/** Letters that no other language of the Latin script has: horns, hooks, dots below, and the double accents of ấ or ề. */
export const VIETNAMESE_ONLY = /[ăđơưĂĐƠƯ\u1ea0-\u1ef9]/

/** The text without Vietnamese accents: `Đường` becomes `Duong`. */
export function fold(text: string): string {
  return text
    .normalize('NFD')
    .replace(/[\u0300-\u036f]/g, '')
    .replace(/đ/g, 'd')
    .replace(/Đ/g, 'D')
}
