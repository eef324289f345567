/** A stream of JSON values: the elements of a list, or values one after the other; only one is in memory at a time. */
import { isUtf8 } from 'node:buffer'
import { MAX_RECORD_BYTES } from './formats_bytes.ts'

/** `line` is where the value starts, or for a problem where it is, from 1. */
export type JsonValue = { line: number; value: unknown } | { line: number; problem: string }

const [LINE_END, QUOTE, BACKSLASH, COMMA] = [0x0a, 0x22, 0x5c, 0x2c]
const [OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT] = [0x5b, 0x5d, 0x7b, 0x7d]
const isSpace = (byte: number): boolean => byte === 0x20 || byte === LINE_END || byte === 0x0d || byte === 0x09

/**
 * A list at the top gives its elements. A broken element is a problem and the next one is read, as long as brackets and
 * quotes still balance; where they do not, what is swallowed is told with the line where it began.
 */
export async function* readJsonValues(chunks: AsyncIterable<Buffer>): AsyncGenerator<JsonValue> {
  let line = 1
  /** Line on which the list at the top was opened, 0 outside of one. */
  let list = 0
  let depth = 0
  let kind: 'none' | 'text' | 'nested' | 'scalar' = 'none'
  let quoted = false
  let escaped = false
  let startLine = 1
  let held: Buffer[] = []
  let size = 0
  const hold = (piece: Buffer): void => {
    size += piece.length
    if (size <= MAX_RECORD_BYTES) held.push(piece)
    else held = []
  }
  const finish = (): JsonValue => {
    const result: JsonValue =
      size > MAX_RECORD_BYTES
        ? {
            line: startLine,
            problem: `The value is longer than ${MAX_RECORD_BYTES / 2 ** 20} MiB. Put the samples into a list at the top of the file, or one on each line.`,
          }
        : parseJson(Buffer.concat(held), startLine)
    held = []
    size = 0
    depth = 0
    quoted = false
    escaped = false
    kind = 'none'
    return result
  }

  for await (const chunk of chunks) {
    let start = 0
    for (let index = 0; index < chunk.length; index++) {
      const byte = chunk[index]!
      if (byte === LINE_END) line++
      if (kind === 'none') {
        if (isSpace(byte) || byte === COMMA) continue
        if (byte === CLOSE_LIST && list > 0) {
          list = 0
          continue
        }
        if (byte === OPEN_LIST && list === 0) {
          list = line
          continue
        }
        start = index
        startLine = line
        quoted = byte === QUOTE
        depth = byte === OPEN_OBJECT || byte === OPEN_LIST ? 1 : 0
        kind = quoted ? 'text' : depth > 0 ? 'nested' : 'scalar'
        continue
      }
      if (quoted) {
        if (escaped) escaped = false
        else if (byte === BACKSLASH) escaped = true
        else if (byte === QUOTE) {
          quoted = false
          if (kind === 'text') {
            hold(chunk.subarray(start, index + 1))
            yield finish()
          }
        }
        continue
      }
      if (kind === 'scalar') {
        if (byte !== COMMA && byte !== CLOSE_LIST && !isSpace(byte)) continue
        hold(chunk.subarray(start, index))
        yield finish()
        if (byte === CLOSE_LIST) list = 0
        continue
      }
      if (byte === QUOTE) quoted = true
      else if (byte === OPEN_OBJECT || byte === OPEN_LIST) depth++
      else if (byte === CLOSE_OBJECT || byte === CLOSE_LIST) {
        depth--
        if (depth === 0) {
          hold(chunk.subarray(start, index + 1))
          yield finish()
        }
      }
    }
    if (kind !== 'none') hold(chunk.subarray(start))
    start = 0
  }
  if (kind === 'scalar') yield finish()
  else if (kind !== 'none') {
    yield {
      line: startLine,
      problem: `The value that starts here is never closed: a ${quoted ? 'quote' : 'bracket'} is missing, and the rest of the file was not read.`,
    }
  } else if (list > 0)
    yield { line, problem: `The list that starts in line ${list} is never closed: the file is cut off.` }
}

/** One value; a mistake is told by its line, without quoting the user's text. */
export function parseJson(bytes: Buffer, line: number): JsonValue {
  if (!isUtf8(bytes)) {
    return { line, problem: 'This is not valid UTF-8. Save the file as UTF-8, or as UTF-16 with a byte order mark.' }
  }
  return parseJsonText(bytes.toString('utf8'), line)
}

/** Likewise for text; `line` is that of its beginning. */
export function parseJsonText(text: string, line: number): JsonValue {
  try {
    return { line, value: JSON.parse(text) as unknown }
  } catch (thrown) {
    if (!(thrown instanceof SyntaxError)) return { line, problem: 'The JSON is nested too deep.' }
    const position = /position (\d+)/.exec(thrown.message)?.[1]
    if (position === undefined) {
      const early = /end of JSON/i.test(thrown.message)
      return { line, problem: early ? 'The JSON ends too early.' : 'This is not JSON.' }
    }
    const before = text.slice(0, Number(position))
    const lastEnd = before.lastIndexOf('\n')
    return {
      line: line + before.split('\n').length - 1,
      problem: `Wrong JSON: unexpected character at column ${before.length - lastEnd}.`,
    }
  }
}
