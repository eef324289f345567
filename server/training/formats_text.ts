/** Plain text: paragraphs gathered into samples of a size that can be trained on. */
import type { Line } from './formats_bytes.ts'

/** A sample ends at the next empty line once it has so many characters, and at the latest at the second bound. */
const ENOUGH = 8_000
const MOST = 32_000

export type TextPiece = { line: number; text: string } | { line: number; problem: string }

/** Every character but empty lines at the edges is kept, so that a text which grows keeps its earlier pieces. */
export async function* readTextPieces(lines: AsyncIterable<Line>): AsyncGenerator<TextPiece> {
  let held: string[] = []
  let size = 0
  let startLine = 1
  const finish = function* (): Generator<TextPiece> {
    const text = held.join('\n').trimEnd()
    if (text !== '') yield { line: startLine, text }
    held = []
    size = 0
  }
  for await (const each of lines) {
    if ('problem' in each) {
      yield each
      continue
    }
    if (each.text.includes('\0')) {
      yield { line: each.line, problem: 'The line holds zero bytes: this is no text.' }
      continue
    }
    const isEmpty = each.text.trim() === ''
    if (held.length === 0 && isEmpty) continue
    if (isEmpty && size >= ENOUGH) {
      yield* finish()
      continue
    }
    for (const piece of cut(each.text)) {
      if (size > 0 && size + piece.length > MOST) yield* finish()
      if (held.length === 0) startLine = each.line
      held.push(piece)
      size += piece.length + 1
    }
  }
  yield* finish()
}

/** A line longer than a sample, in pieces that do not cut a character in two. */
function cut(text: string): string[] {
  if (text.length <= MOST) return [text]
  const pieces: string[] = []
  for (let start = 0; start < text.length; ) {
    let end = Math.min(text.length, start + MOST)
    const last = text.charCodeAt(end - 1)
    if (end < text.length && last >= 0xd800 && last < 0xdc00) end--
    pieces.push(text.slice(start, end))
    start = end
  }
  return pieces
}
