/** From the model's raw words to the text that is shown behind the cursor: cut where it should end, or not shown at all. */
import { indentOf, type Place } from './place.ts'

/** Text that stands in for the `replace` characters behind the cursor (closing brackets that the editor put there). */
export type Ghost = { text: string; replace: number }

/** Lines of a suggestion that nobody asked for; more is read by nobody. */
const MOST_LINES = 24
const OPENERS: { [closer: string]: string } = { ')': '(', ']': '[', '}': '{' }

/**
 * Whether generation should stop, looking at what it gave so far; what lies behind the stop is cut by `toGhost`.
 * Called with each piece, so it looks at complete lines only.
 */
export function isEnough(raw: string, place: Place): boolean {
  const text = raw.replaceAll('\r', '')
  const lines = text.split('\n')
  if (lines.length < 2) return false
  // Where a line has begun, only that line counts; elsewhere the first one with content.
  if (place.reach === 'line')
    return place.linePrefix.trim() !== '' || lines.slice(0, -1).some(line => line.trim() !== '')
  return cut(text, place, true).length < text.lastIndexOf('\n') || lines.length > MOST_LINES + 1
}

/**
 * @param raw what the model wrote for this place
 * @param complete whether it ended by itself; a last line that was broken off is left out when there are others
 * @returns undefined when nothing worth showing is left
 */
export function toGhost(raw: string, place: Place, complete: boolean): Ghost | undefined {
  let text = raw.replaceAll('\r', '')
  text = withoutRepeatedPrefix(text, place)
  text = cut(text, place, false)
  if (!complete && place.reach === 'block' && text.length === raw.replaceAll('\r', '').length) {
    const lastBreak = text.trimEnd().lastIndexOf('\n')
    if (lastBreak > 0 && text.slice(0, lastBreak).trim() !== '') text = text.slice(0, lastBreak)
  }
  if (place.reach === 'line') {
    const start = /^\s*\n/.exec(text)?.[0] ?? ''
    // Behind an opening bracket or a colon the line that follows is what was asked for; elsewhere the line itself is.
    if (start !== '' && place.linePrefix.trim() !== '') return undefined
    text = text.slice(start.length).split('\n')[0]!
  }
  text = reindent(text, place)
  text = text.replace(/\s+$/, '')
  const closed = closers(text, place)
  if (closed === undefined) return undefined
  const ghost = { text: closed.text, replace: closed.replace }
  if (isWorthless(ghost, place)) return undefined
  if (place.eol === '\r\n') ghost.text = ghost.text.replaceAll('\n', '\r\n')
  return ghost
}

/** Models that are no completion models begin with the line that is there already. */
function withoutRepeatedPrefix(text: string, place: Place): string {
  const { linePrefix } = place
  if (linePrefix.trim().length >= 3) {
    if (text.startsWith(linePrefix)) return text.slice(linePrefix.length)
    if (text.startsWith(linePrefix.trimStart())) return text.slice(linePrefix.trimStart().length)
  } else if (linePrefix !== '' && linePrefix.trim() === '' && text.startsWith(linePrefix)) {
    // The indentation stands there already.
    return text.slice(linePrefix.length)
  }
  if (/\s$/.test(linePrefix) && /^[ \t]+\S/.test(text) && linePrefix.trim() !== '') return text.trimStart()
  return text
}

/** Cuts at the end of the block, where the text behind the cursor begins again, and where it goes in circles. */
function cut(text: string, place: Place, wholeLinesOnly: boolean): string {
  const lines = text.split('\n')
  if (wholeLinesOnly) lines.pop()
  const following = place.after.split('\n').filter(line => line.trim() !== '')
  const opens = /[([{:]\s*$|=>\s*$/.test(place.linePrefix + (lines[0] ?? '').trimEnd())
  const begun = place.linePrefix.trim() !== ''
  let blank = false
  const kept: string[] = []
  for (const [index, line] of lines.entries()) {
    const trimmed = line.trim()
    if (index > 0 && trimmed !== '') {
      const indent = indentOf(line)
      const closesBlock = /^[)\]}]|^(end|fi|done|esac)\b/.test(trimmed)
      const follows = closesBlock || /^([.?:&|+]|(else|catch|finally|elif|except)\b)/.test(trimmed)
      if (indent < place.indent) break
      // A statement that was begun ends with its line, unless it leaves a bracket or a block open.
      if (begun && indent <= place.indent && !follows && !isOpen(place.linePrefix + kept.join('\n').trimEnd())) break
      // Behind a blank line something new begins; a block that the cursor's line opened ends where its indentation ends.
      if (blank && indent <= place.indent && !follows) break
      if (opens && indent === place.indent && !closesBlock && !/^(else|catch|finally|elif|except)\b/.test(trimmed))
        break
      if (isFollowing(lines.slice(index), following, wholeLinesOnly)) break
      if (goesInCircles(kept, line)) break
      if (kept.length >= MOST_LINES) break
      if (opens && indent === place.indent && closesBlock && !/[{([]\s*$/.test(trimmed)) {
        kept.push(line)
        break
      }
    }
    blank = index > 0 && trimmed === ''
    kept.push(line)
  }
  return kept.join('\n')
}

/** Whether lines say what stands behind the cursor anyway: two lines of it, or one that is long enough to be no chance. */
function isFollowing(lines: string[], after: string[], wholeLinesOnly: boolean): boolean {
  const written = lines.map(line => line.trim()).filter(line => line !== '')
  const following = after.map(line => line.trim())
  const first = following[0]
  if (first === undefined || written[0] === undefined) return false
  if (written[0] === first) {
    // A closer of another depth closes another block.
    if (/^[)\]}]+[;,]?$/.test(first) && !isSameDepth(lines[0]!, after[0]!)) return false
    if (first.length >= 8 || written.length === 1) return !(wholeLinesOnly && first.length < 8)
    return written[1] === following[1] || following[1] === undefined
  }
  // A last line that was broken off may be the beginning of what follows.
  return !wholeLinesOnly && written.length === 1 && written[0].length >= 12 && first.startsWith(written[0])
}

/** Lines that are indented in different ways cannot be compared, and count as the same. */
function isSameDepth(line: string, other: string): boolean {
  const [a, b] = [line, other].map(each => /^[ \t]*/.exec(each)![0]) as [string, string]
  return a === b || (a.includes('\t') !== b.includes('\t') && a !== '' && b !== '')
}

/** Whether a line repeats the two before it, or a pair of lines the pair before. */
function goesInCircles(kept: readonly string[], line: string): boolean {
  const at = kept.length
  const same = (a: string | undefined, b: string | undefined) =>
    a !== undefined && b !== undefined && a.trim() !== '' && a.trim() === b.trim()
  if (/^\s*[)\]}]+[;,]?\s*$/.test(line)) return false
  if (same(kept[at - 1], line) && (same(kept[at - 2], line) || line.trim().length > 12)) return true
  return same(kept[at - 2], line) && same(kept[at - 3], kept[at - 1]) && same(kept[at - 4], line)
}

/** Indentation in the file's own way, for models that write the other one. */
function reindent(text: string, place: Place): string {
  const { indentUnit } = place
  const [first, ...rest] = text.split('\n')
  if (rest.length === 0) return text
  return [
    first,
    ...rest.map(line => {
      const space = /^[ \t]*/.exec(line)![0]
      if (indentUnit === '\t' && space.includes(' ')) {
        const width = space.includes('\t') ? 4 : rest.some(each => /^ {2}(?! {2})\S/.test(each)) ? 2 : 4
        return space.replaceAll(' '.repeat(width), '\t').replace(/ +/g, '') + line.slice(space.length)
      }
      if (indentUnit !== '\t' && space.includes('\t'))
        return space.replaceAll('\t', indentUnit) + line.slice(space.length)
      return line
    }),
  ].join('\n')
}

/**
 * Makes brackets and quotes fit those behind the cursor: closers that stand there already are taken over, one that nothing opened
 * ends the text before it.
 */
function closers(text: string, place: Place): Ghost | undefined {
  const { linePrefix, lineSuffix } = place
  const behind = lineSuffix.trimEnd()
  const closing = /^[)\]}"'`;,>\s]*/.exec(lineSuffix)![0].trimEnd()
  // Text that ends with the very rest of the line: it stands there already.
  if (behind !== '' && closing !== behind) {
    const firstLine = text.split('\n')[0]!
    const rest = behind.trimStart()
    for (let length = rest.length; length >= 3; length--) {
      if (!firstLine.endsWith(rest.slice(0, length))) continue
      return { text: firstLine.slice(0, firstLine.length - length).trimEnd(), replace: 0 }
    }
  }
  const { quote } = scanBrackets(linePrefix, undefined)
  const scan = scanBrackets(text, quote?.quote)
  const open = countOpen(place.before + linePrefix)
  for (const closer of closing.match(/[)\]}]/g) ?? []) open.set(OPENERS[closer]!, (open.get(OPENERS[closer]!) ?? 0) - 1)
  let taken = 0
  let end = text.length
  for (const { at, closer } of scan.unmatched) {
    const space = /^\s*/.exec(closing.slice(taken))![0]
    // Editors show a replacement only where all that is replaced comes back in the new text.
    if (closing[taken + space.length] === closer && text.slice(0, at).endsWith(space)) {
      taken += space.length + 1
      // What stands behind a closer in both, like `;`, is taken over with it.
      for (
        let next = at + 1;
        taken < closing.length && /[;,]/.test(closing[taken]!) && text[next] === closing[taken];
        next++
      )
        taken++
      continue
    }
    const opener = OPENERS[closer]
    const left = opener === undefined ? 1 : (open.get(opener) ?? 0)
    if (left > 0) {
      if (opener !== undefined) open.set(opener, left - 1)
      continue
    }
    end = at
    break
  }
  let cutText = text.slice(0, end)
  if (end < text.length) cutText = cutText.replace(/[ \t]+$/, '')
  const own = scan.quote
  if (
    own !== undefined &&
    own.at >= 0 &&
    own.quote !== '`' &&
    !lineSuffix.includes(own.quote) &&
    own.at < cutText.length
  ) {
    // A string that is never closed on its line is cut off with what leads to it.
    cutText = cutText.slice(0, own.at).replace(/[\s(,[{:+=]+$/, '')
  }
  return { text: cutText, replace: taken }
}

/** Whether a line leaves a bracket open or ends where something must follow. */
function isOpen(line: string): boolean {
  if (/[,+\-*/%&|?=<>\\.]\s*$/.test(line) && !/(\+\+|--|\*\/|\/>|[\w"')\]]>)\s*$/.test(line)) return true
  const open = countOpen(line)
  return [...open.values()].some(count => count > 0)
}

type Unmatched = { at: number; closer: string }
type Scan = {
  unmatched: Unmatched[] /** Brackets opened and not closed. */
  open: number
  quote?: { at: number; quote: string }
}

/**
 * Brackets, and the quote that was open before, closed without an opener in the text; and a quote that is open at its end. Strings,
 * escapes and line comments are skipped.
 * @param inside the quote that is open where the text begins; it has place -1
 */
function scanBrackets(text: string, inside: string | undefined): Scan {
  const stack: string[] = []
  const unmatched: Unmatched[] = []
  let quote: { at: number; quote: string } | undefined = inside === undefined ? undefined : { at: -1, quote: inside }
  for (let at = 0; at < text.length; at++) {
    const character = text[at]!
    if (quote !== undefined) {
      if (character === '\\') at++
      else if (character === quote.quote) {
        if (quote.at < 0) unmatched.push({ at, closer: character })
        quote = undefined
      } else if (character === '\n' && quote.quote !== '`') quote = undefined
      continue
    }
    if (character === '"' || character === '`') quote = { at, quote: character }
    // An apostrophe within a word is no quote.
    else if (character === "'" && !/[\p{L}\p{N}]/u.test(text[at - 1] ?? '')) quote = { at, quote: character }
    else if (character === '/' && text[at + 1] === '/' && text[at - 1] !== ':') {
      const lineEnd = text.indexOf('\n', at)
      at = lineEnd < 0 ? text.length : lineEnd
    } else if ('([{'.includes(character)) stack.push(character)
    else if (character in OPENERS) {
      if (stack.at(-1) === OPENERS[character]) stack.pop()
      else unmatched.push({ at, closer: character })
    }
  }
  return { unmatched, open: stack.length, ...(quote !== undefined && { quote }) }
}

/** Brackets left open before the cursor, by opener. Strings are skipped roughly: a wrong count shows a closer too many or too few. */
function countOpen(text: string): Map<string, number> {
  const open = new Map<string, number>()
  const plain = text.slice(-6000).replace(/"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|\/\/[^\n]*/g, '')
  for (const character of plain) {
    if ('([{'.includes(character)) open.set(character, (open.get(character) ?? 0) + 1)
    const opener = OPENERS[character]
    if (opener !== undefined) open.set(opener, Math.max(0, (open.get(opener) ?? 0) - 1))
  }
  return open
}

function isWorthless({ text, replace }: Ghost, place: Place): boolean {
  const trimmed = text.trim()
  if (trimmed === '') return true
  // Nothing but what the editor closed already.
  if (replace > 0 && trimmed.length <= replace && place.lineSuffix.startsWith(trimmed)) return true
  const line = (place.linePrefix + text).trim()
  const above = place.before
    .split('\n')
    .findLast(each => each.trim() !== '')
    ?.trim()
  if (!text.includes('\n') && line === above && line.length > 1 && !/^[)\]}]+[;,]?$/.test(line)) return true
  const below = place.after
    .split('\n')
    .find(each => each.trim() !== '')
    ?.trim()
  if (!text.includes('\n') && below !== undefined && line.length > 3) {
    if (line === below || (line.length >= 12 && below.startsWith(line))) return true
  }
  if (!text.includes('\n') && isTorn(place.linePrefix + text + place.lineSuffix.slice(replace), place.language))
    return true
  // One character or word over and over.
  if (/^(.)\1{15,}/.test(trimmed) || /^(\S+)(?:\s+\1){4,}/.test(trimmed)) return true
  return /\uFFFD/.test(text)
}

/** Languages in which quotes and brackets are text, or a single quote is no string. */
const LOOSE = new Set(['markdown', 'plaintext', 'html', 'xml', 'latex', 'yaml', 'rust', 'git-commit', 'scminput'])

/** Whether a line leaves a string open, or a bracket without a reason: behind an opener, a comma or an operator code goes on. */
function isTorn(line: string, language: string): boolean {
  if (LOOSE.has(language)) return false
  const { open, quote } = scanBrackets(line, undefined)
  if (quote !== undefined) return quote.quote !== '`'
  return open > 0 && !/([([{,=+\-*&|?:<>.]|=>)\s*$/.test(line.replace(/\s*\/\/.*$/, ''))
}
