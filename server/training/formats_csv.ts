/** CSV rows as RFC 4180 has them, one at a time: quoted fields over several lines, with comma, semicolon or tab between. */
import { type Line, MAX_RECORD_BYTES } from './formats_bytes.ts'

/** `line` is where the row starts, from 1. */
export type Row = { line: number; cells: string[] } | { line: number; problem: string }

/** The character between the fields: the one that the heading has most of. */
export function delimiterOf(heading: string): string {
  const counts = [',', ';', '\t'].map(mark => ({ mark, count: heading.split(mark).length }))
  return counts.reduce((best, each) => (each.count > best.count ? each : best)).mark
}

/** Rows; empty lines between them are left out. The first line decides about the delimiter. */
export async function* readRows(lines: AsyncIterable<Line>): AsyncGenerator<Row> {
  let delimiter: string | undefined
  let cells: string[] = []
  let startLine = 1
  let size = 0
  /** The field of an open quote, whose row goes on in the next line. */
  let open: string[] | undefined
  let broken: string | undefined
  for await (const each of lines) {
    if ('problem' in each) {
      yield each
      // A line that cannot be read ends the row it lies in as well.
      open = undefined
      cells = []
      size = 0
      continue
    }
    const { text } = each
    if (open === undefined) {
      if (text.trim() === '') continue
      startLine = each.line
      broken = undefined
      delimiter ??= delimiterOf(text)
    }
    size += text.length + 1
    if (size > MAX_RECORD_BYTES) {
      yield { line: startLine, problem: 'The row is too long: a closing quote is missing. The rest was read anew.' }
      open = undefined
      cells = []
      size = 0
      continue
    }
    let at = 0
    if (open !== undefined) open.push('\n')
    for (;;) {
      if (open === undefined && text[at] === '"') {
        open = []
        at++
      }
      if (open !== undefined) {
        const quote = text.indexOf('"', at)
        if (quote < 0) {
          open.push(text.slice(at))
          break
        }
        open.push(text.slice(at, quote))
        if (text[quote + 1] === '"') {
          open.push('"')
          at = quote + 2
          continue
        }
        cells.push(open.join(''))
        open = undefined
        at = quote + 1
        if (at < text.length && text[at] !== delimiter) broken ??= 'There is text behind a closing quote.'
        // A lenient end of the field: what follows the quote belongs to nothing.
        const next = text.indexOf(delimiter!, at)
        if (next < 0) break
        at = next + 1
      } else {
        const next = text.indexOf(delimiter!, at)
        cells.push(text.slice(at, next < 0 ? undefined : next))
        if (next < 0) break
        at = next + 1
      }
    }
    if (open !== undefined) continue
    yield broken === undefined ? { line: startLine, cells } : { line: startLine, problem: broken }
    cells = []
    size = 0
  }
  if (open !== undefined) {
    yield { line: startLine, problem: 'A closing quote is missing: the row goes on to the end of the file.' }
  }
}
