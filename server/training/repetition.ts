/** Tells whether an answer repeats itself like a model in a loop, and whether it was cut off. */
import { fingerprint } from './duplicates.ts'
import { languageOf } from './languages.ts'

/** Why the answer counts as repeating, or undefined. Tables, code and lists of different things don't. */
export function findRepetition(text: string): string | undefined {
  if (text.length < 60) return undefined
  const lines = repeatedLine(text)
  if (lines !== undefined) return lines
  const prose = withoutCode(text)
  if (!mayRepeat(fingerprint([prose]).words.subarray(-WINDOW))) return undefined
  const words = prose.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? []
  if (words.length < 24) return undefined
  const last = words.slice(-WINDOW)
  return loopAtEnd(last) ?? (languageOf(text) === 'code' ? undefined : fewDistinct(last))
}

/** Words that are looked at, from the end: a loop has no end of its own, and long texts repeat phrases without one. */
const WINDOW = 1000

/** A quick look at the hashes of the words, which nearly every text passes. */
function mayRepeat(words: Uint32Array): boolean {
  if (words.length < 20) return false
  if (repeatedAtEnd(words) !== undefined) return true
  const different = new Set<number>()
  for (const word of words) different.add(word | 0)
  return different.size * 3 <= words.length
}

/** A line with words in it that stands at least five times and fills half of the text. */
function repeatedLine(text: string): string | undefined {
  if (!text.includes('\n')) return undefined
  const counts = new Map<string, number>()
  for (const line of text.split('\n')) {
    const bare = line.trim()
    if (bare.length < 12 || (bare.match(/\p{L}{2,}/gu)?.length ?? 0) < 2) continue
    counts.set(bare, (counts.get(bare) ?? 0) + 1)
  }
  for (const [line, count] of counts)
    if (count >= 5 && count * line.length * 2 > text.length) return `a line stands ${count} times`
  return undefined
}

const MAX_PERIOD = 40

/** The last words are the same phrase over and over, and it has letters. */
function loopAtEnd(words: string[]): string | undefined {
  const loop = repeatedAtEnd(words)
  if (loop === undefined || !words.slice(-loop.period).some(word => /\p{L}/u.test(word))) return undefined
  return `the last ${loop.period} words stand ${loop.repeats} times in a row`
}

/** A phrase that stands at the end at least four times and has twelve words then; a single word twelve times. */
function repeatedAtEnd(words: ArrayLike<string | number>): { period: number; repeats: number } | undefined {
  const end = words.length
  for (let period = 1; period <= Math.min(MAX_PERIOD, end >> 2); period++) {
    let same = 0
    while (same + period < end && words[end - 1 - same] === words[end - 1 - same - period]) same++
    const repeats = Math.floor(same / period) + 1
    if (repeats >= 4 && repeats * period >= 12) return { period, repeats }
  }
  return undefined
}

/** Of all sequences of four words, fewer than a third are different. */
function fewDistinct(words: string[]): string | undefined {
  // A text has about as many different sequences as different words, or more.
  if (words.length < 60 || new Set(words).size * 3 > words.length) return undefined
  const seen = new Set<string>()
  let total = 0
  for (let i = 0; i + 4 <= words.length; i++) {
    // Rows of numbers repeat in tables of data; only words count.
    if (!/\p{L}{2}/u.test(words[i]!)) continue
    total++
    seen.add(`${words[i]} ${words[i + 1]} ${words[i + 2]} ${words[i + 3]}`)
  }
  if (total < 50 || seen.size * 3 >= total) return undefined
  return `only ${Math.round((100 * seen.size) / total)}% of its four-word sequences differ`
}

export function withoutCode(text: string): string {
  return text.includes('```') ? text.replace(/```[\s\S]*?(?:```|$)/g, '\n') : text
}

/** Words that no sentence of English or Vietnamese ends with. */
const NEVER_LAST =
  /(?:^|\s)(?:the|a|an|and|or|of|to|with|for|from|by|in|is|are|that|which|because|và|của|là|để|với|những|các|một|trong|bởi|nhưng|hoặc|từ|bằng)$/iu

/** Why the answer counts as cut off, or undefined. */
export function findTruncation(text: string): string | undefined {
  const end = text.trimEnd()
  if (end === '') return undefined
  const fences = end.match(/^[ \t]{0,3}```/gm)?.length ?? 0
  if (fences % 2 === 1) return 'a code block is not closed'
  const block = /```[^\n]*\n([\s\S]*?)\n?[ \t]*```$/.exec(end)
  const code = block?.[1] ?? (looksLikeCode(end) ? end : undefined)
  if (code !== undefined) {
    const open = openBrackets(code)
    return open > 0 && fences === 0 ? `${open} brackets are not closed` : undefined
  }
  const line = end.slice(end.lastIndexOf('\n') + 1)
  if (/^\s*(?:[|>#]|https?:)|[`|]$/.test(line)) return undefined
  if (/[,(]$/.test(line) || NEVER_LAST.test(line)) return 'it ends in the middle of a sentence'
  const isItem = /^\s*(?:[-*•+]|\d+[.)])\s/.test(line)
  // A last line without a full stop is usual in titles, items and short answers; after several whole sentences it is not.
  const sentences = end.match(/[.!?。](?=\s|$)/g)?.length ?? 0
  if (!isItem && sentences >= 2 && line.split(/\s+/).length >= 6 && /[\p{Ll}]$/u.test(line))
    return 'its last sentence has no end'
  return undefined
}

function looksLikeCode(text: string): boolean {
  const lines = text.split('\n').filter(line => line.trim() !== '')
  return (
    lines.length > 1 &&
    lines.filter(line => /[{};)\]]\s*$|^\s*(?:def|class|import|from|const|let|if|for|return)\b/.test(line)).length * 2 >
      lines.length
  )
}

/** Brackets that are open at the end, outside of strings and comments as far as that can be told without a parser. */
function openBrackets(code: string): number {
  const bare = code.replace(
    /\/\*[\s\S]*?\*\/|\/\/.*|#.*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`/g,
    '',
  )
  let open = 0
  for (const char of bare) {
    if (char === '(' || char === '[' || char === '{') open++
    else if (char === ')' || char === ']' || char === '}') open = Math.max(0, open - 1)
  }
  return open
}
