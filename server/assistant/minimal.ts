/** An edit as the few edits that really change something, so that a preview shows what is new and cursors and findings keep their place. */
import type { Edit } from './code.ts'

/** Longer texts are only cut at their ends: comparing lines takes their product in time. */
const MOST_LINES = 600

/** Edits of the same outcome, in order, line by line; within a line that stays one only its changed part. */
export function minimal(text: string, edit: Edit): Edit[] {
  const old = linesOf(text.slice(edit.start, edit.end))
  const now = linesOf(edit.text)
  let head = 0
  while (head < old.length && head < now.length && old[head] === now[head]) head++
  let tail = 0
  while (tail < old.length - head && tail < now.length - head && old.at(-1 - tail) === now.at(-1 - tail)) tail++
  const before = old.slice(head, old.length - tail)
  const after = now.slice(head, now.length - tail)
  const start = edit.start + old.slice(0, head).join('').length
  const changes =
    before.length * after.length > MOST_LINES ** 2
      ? [{ from: 0, to: before.length, lines: after }]
      : diff(before, after)
  const offsets = [start]
  for (const line of before) offsets.push(offsets.at(-1)! + line.length)
  return changes.flatMap(({ from, to, lines }) => {
    if (to - from === lines.length) {
      // As many lines as before: each is most likely a change of its own.
      return lines.flatMap((line, index) => withinLine(before[from + index]!, line, offsets[from + index]!))
    }
    return [{ start: offsets[from]!, end: offsets[to]!, text: lines.join('') }]
  })
}

/** Lines with their ends. */
function linesOf(text: string): string[] {
  return text.match(/[^\n]*\n|[^\n]+$/g) ?? []
}

/** Runs of lines that differ, by the longest common subsequence. */
function diff(old: readonly string[], now: readonly string[]): { from: number; to: number; lines: string[] }[] {
  const width = now.length + 1
  /** length[i * width + j]: lines that old from i and now from j have in common. */
  const length = new Uint32Array((old.length + 1) * width)
  for (let i = old.length - 1; i >= 0; i--) {
    for (let j = now.length - 1; j >= 0; j--) {
      const at = i * width + j
      length[at] = old[i] === now[j] ? length[at + width + 1]! + 1 : Math.max(length[at + width]!, length[at + 1]!)
    }
  }
  const changes: { from: number; to: number; lines: string[] }[] = []
  let open: { from: number; to: number; lines: string[] } | undefined
  for (let i = 0, j = 0; i < old.length || j < now.length; ) {
    if (i < old.length && j < now.length && old[i] === now[j]) {
      open = undefined
      i++
      j++
      continue
    }
    if (open === undefined) {
      open = { from: i, to: i, lines: [] }
      changes.push(open)
    }
    const down = i < old.length ? length[(i + 1) * width + j]! : -1
    const right = j < now.length ? length[i * width + j + 1]! : -1
    if (down >= right) open.to = ++i
    else open.lines.push(now[j++]!)
  }
  return changes
}

const WORD = /[\p{L}\p{N}\p{M}_$]/u
/** Half of a surrogate pair, a combining mark, what joins pictures. */
const GLUED = /[\uDC00-\uDFFF]|\p{M}|\u200D|\uFE0F/u

/** What changed in a line, by whole words. */
function withinLine(old: string, now: string, offset: number): Edit[] {
  if (old === now) return []
  let head = 0
  while (head < old.length && head < now.length && old[head] === now[head]) head++
  let tail = 0
  while (tail < old.length - head && tail < now.length - head && old.at(-1 - tail) === now.at(-1 - tail)) tail++
  // A word is changed whole, and so is what is one character to the eye.
  const joins = (text: string, at: number): boolean =>
    GLUED.test(text[at] ?? '') || (WORD.test(text[at] ?? '') && WORD.test(text[at - 1] ?? ''))
  while (head > 0 && (joins(old, head) || joins(now, head))) head--
  while (tail > 0 && (joins(old, old.length - tail) || joins(now, now.length - tail))) tail--
  // Half of a line end is no place.
  if (head > 0 && old[head - 1] === '\r') head--
  if (tail > 0 && old[old.length - tail] === '\n' && old[old.length - tail - 1] === '\r') {
    if (now[now.length - tail - 1] === '\r' && old.length - tail - 1 >= head && now.length - tail - 1 >= head) tail++
    else tail = 0
  }
  return [{ start: offset + head, end: offset + old.length - tail, text: now.slice(head, now.length - tail) }]
}
