/** Bytes of a file to lines of text: encodings by their mark, invalid UTF-8 and endless lines told by line number. */
import { isUtf8 } from 'node:buffer'
import { TextDecoder } from 'node:util'

/** A line, JSON value or row above this is a problem of its own: it bounds the memory, and nobody trains on it. */
export const MAX_RECORD_BYTES = 16 * 2 ** 20

export type Encoding = 'utf-8' | 'utf-16le' | 'utf-16be'
/** `line` counts from 1. */
export type Line = { line: number; text: string } | { line: number; problem: string }

const MARKS: [Encoding, number[]][] = [
  ['utf-8', [0xef, 0xbb, 0xbf]],
  ['utf-16le', [0xff, 0xfe]],
  ['utf-16be', [0xfe, 0xff]],
]

/** The encoding that a byte order mark names, and the bytes of the mark; UTF-8 without one. */
export function encodingOf(head: Uint8Array): { encoding: Encoding; mark: number } {
  const found = MARKS.find(([, mark]) => mark.every((byte, index) => head[index] === byte))
  return found === undefined ? { encoding: 'utf-8', mark: 0 } : { encoding: found[0], mark: found[1].length }
}

/** The same text in UTF-8 without a mark. UTF-8 itself is passed on unjudged. */
export async function* toUtf8(
  bytes: AsyncIterable<Uint8Array>,
  onEncoding: (encoding: Encoding) => void = () => {},
): AsyncGenerator<Buffer> {
  let head: Buffer | undefined = Buffer.alloc(0)
  let decoder: TextDecoder | undefined
  const start = (whole: Buffer): Buffer => {
    const { encoding, mark } = encodingOf(whole)
    onEncoding(encoding)
    if (encoding !== 'utf-8') decoder = new TextDecoder(encoding, { ignoreBOM: true })
    return whole.subarray(mark)
  }
  const decode = (chunk: Buffer): Buffer =>
    decoder === undefined ? chunk : Buffer.from(decoder.decode(chunk, { stream: true }))
  for await (const piece of bytes) {
    let chunk = Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength)
    if (head !== undefined) {
      head = Buffer.concat([head, chunk])
      if (head.length < 3) continue
      chunk = start(head)
      head = undefined
    }
    if (chunk.length > 0) yield decode(chunk)
  }
  if (head !== undefined) {
    const rest = start(head)
    if (rest.length > 0) yield decode(rest)
  }
  // Half a character at the end becomes the replacement character.
  const last = decoder?.decode() ?? ''
  if (last !== '') yield Buffer.from(last)
}

/** Lines of UTF-8 bytes without their line ends, empty ones included. */
export async function* readLines(
  chunks: AsyncIterable<Buffer>,
  mostBytes: number = MAX_RECORD_BYTES,
): AsyncGenerator<Line> {
  let rest: Buffer[] = []
  let size = 0
  let line = 1
  const take = (piece: Buffer): void => {
    size += piece.length
    if (size <= mostBytes) rest.push(piece)
    else rest = []
  }
  const finish = (): Line => {
    const bytes = rest.length === 1 ? rest[0]! : Buffer.concat(rest)
    const result: Line =
      size > mostBytes
        ? { line, problem: `The line is longer than ${mostBytes / 2 ** 20} MiB.` }
        : isUtf8(bytes)
          ? { line, text: bytes.toString('utf8', 0, bytes.length - (bytes.at(-1) === 0x0d ? 1 : 0)) }
          : {
              line,
              problem: 'The line is not valid UTF-8. Save the file as UTF-8, or as UTF-16 with a byte order mark.',
            }
    rest = []
    size = 0
    line++
    return result
  }
  for await (const chunk of chunks) {
    let start = 0
    for (let end = chunk.indexOf(0x0a); end >= 0; end = chunk.indexOf(0x0a, start)) {
      take(chunk.subarray(start, end))
      start = end + 1
      yield finish()
    }
    if (start < chunk.length) take(chunk.subarray(start))
  }
  if (size > 0) yield finish()
}
