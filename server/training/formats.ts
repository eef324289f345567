/** Reads training samples from any file: finds out what it is and gives samples and problems one by one, never the whole. */
import { createReadStream } from 'node:fs'
import { basename, extname } from 'node:path'
import { HubError } from '../lib/error.ts'
import { CodeOptions, type FormatName } from '../wire/dataset.ts'
import type { Sample } from '../wire/sample.ts'
import { type Encoding, readLines, toUtf8 } from './formats_bytes.ts'
import { RecordError } from './formats_chat.ts'
import { readRows } from './formats_csv.ts'
import { type JsonValue, parseJsonText, readJsonValues } from './formats_json.ts'
import { toSamples } from './formats_records.ts'
import { readTextPieces } from './formats_text.ts'
import { codeSamples } from './sources_infill.ts'

/** A sample with the format its record was in, or a problem at a line (from 1). */
export type Read = { sample: Sample; format: FormatName } | { problem: { line: number; message: string } }

export type ReadOptions = {
  /** Records of another format are problems; found out for each record when absent. */
  format?: FormatName
  /** What stands as the source in the samples; the file's name when absent. */
  name?: string
  code?: CodeOptions
  /** Told once, before the first sample. */
  onFound?(found: { container: Container; encoding: Encoding }): void
  /** Sees all bytes of the file as they pass, for a hash. */
  onBytes?(bytes: Uint8Array): void
}

/** How a file is cut into records. */
export type Container = 'jsonl' | 'json' | 'csv' | 'text' | 'code' | 'binary'

const HEAD_BYTES = 64 * 1024
/** A code file above this is data or was made by a program. */
const MAX_CODE_BYTES = 2 ** 20
/** Lists that a file may wrap its samples into. */
const WRAPPERS = ['data', 'train', 'samples', 'examples', 'rows', 'items', 'instances']

const CODE_EXTENSIONS = new Set(
  'bash bat c cc cjs clj cmake cpp cs css cts cu cxx dart ex exs f90 fs go gradle graphql groovy h hpp hs html java jl js jsx kt kts less lua m mjs ml mm mts nim php pl proto ps1 py r rb rs sass scala scss sh sol sql svelte swift tf ts tsx v vb vue zig'.split(
    ' ',
  ),
)
export const isCodePath = (path: string): boolean => CODE_EXTENSIONS.has(extname(path).slice(1).toLowerCase())

/** @throws HubError not_found or invalid_request when the file cannot be read at all */
export async function* readSamples(path: string, options: ReadOptions = {}): AsyncGenerator<Read> {
  const stream = createReadStream(path, { highWaterMark: 256 * 1024 })
  // An upload is kept under its id; the name it was given says more.
  const called = options.name !== undefined && extname(options.name) !== '' ? options.name : path
  try {
    yield* readStream(stream, { name: basename(path), ...options }, called)
  } catch (thrown) {
    throw unreadable(path, thrown)
  } finally {
    stream.destroy()
  }
}

/** Likewise of any bytes. @param path only its ending counts, where the content leaves a choice */
export async function* readStream(
  bytes: AsyncIterable<Uint8Array>,
  options: ReadOptions = {},
  path = '',
): AsyncGenerator<Read> {
  const { name = basename(path), onBytes } = options
  let encoding: Encoding = 'utf-8'
  const chunks = toUtf8(onBytes === undefined ? bytes : watched(bytes, onBytes), found => {
    encoding = found
  })
  const head: Buffer[] = []
  let size = 0
  while (size < HEAD_BYTES) {
    const { value, done } = await chunks.next()
    if (done === true) break
    head.push(value)
    size += value.length
  }
  const container = containerOf(Buffer.concat(head).subarray(0, HEAD_BYTES), path, options.format)
  options.onFound?.({ container, encoding })
  const whole = replay(head, chunks)
  switch (container) {
    case 'binary':
      for await (const _ of whole); // Read to the end all the same, so that the hash is that of the file.
      yield {
        problem: { line: 1, message: 'The file is binary. Text in UTF-8, or UTF-16 with a byte order mark, is read.' },
      }
      return
    case 'text':
      for await (const piece of readTextPieces(readLines(whole))) {
        if ('problem' in piece) yield problem(piece.line, piece.problem)
        else {
          const origin = { source: name, line: piece.line }
          yield { sample: { kind: 'text', text: piece.text, origin }, format: 'plain_text' }
        }
      }
      return
    case 'code':
      yield* readCode(whole, name, options.code)
      return
    case 'jsonl':
      yield* records(unwrapped(jsonLines(whole)), name, options.format)
      return
    case 'json':
      yield* records(unwrapped(readJsonValues(whole)), name, options.format)
      return
    case 'csv':
      yield* records(csvRecords(whole), name, options.format)
  }
}

/** What a file is, by its beginning; its name decides only where the content leaves a choice. */
export function containerOf(head: Buffer, path: string, format?: FormatName): Container {
  const extension = extname(path).slice(1).toLowerCase()
  if (head.includes(0)) return 'binary'
  if (format === 'code') return 'code'
  if (format === 'plain_text') return 'text'
  const text = head.toString('utf8')
  const lines = text.split('\n')
  // The last line may be cut by the end of the beginning.
  const whole = head.length < HEAD_BYTES ? lines : lines.slice(0, -1)
  if (extension === 'jsonl' || extension === 'ndjson')
    return /^\s*\[/.test(text) && !isJson(whole[0]) ? 'json' : 'jsonl'
  if (extension === 'json') return /^\s*\[/.test(text) || !areObjectLines(whole) ? 'json' : 'jsonl'
  if (extension === 'csv' || extension === 'tsv') return 'csv'
  if (isCodePath(path)) return 'code'
  if (/^\s*\[\s*[{\]]/.test(text)) return 'json'
  if (/^\s*\{/.test(text)) return areObjectLines(whole) ? 'jsonl' : 'json'
  if (['', 'dat'].includes(extension) && isHeading(whole[0] ?? '')) return 'csv'
  return 'text'
}

const isJson = (line = ''): boolean => {
  try {
    JSON.parse(line)
    return true
  } catch {
    return false
  }
}
const isObjectLine = (line: string): boolean => /^\s*\{.*\}\s*$/.test(line) && isJson(line)
/** Some lines may be broken; and the last element of a list looks like a line too. */
function areObjectLines(lines: string[]): boolean {
  const filled = lines.filter(line => line.trim() !== '').slice(0, 50)
  return filled.length > 0 && filled.filter(isObjectLine).length * 2 >= filled.length
}
const isHeading = (line: string): boolean =>
  /[,;\t]/.test(line) && /\b(instruction|prompt|question|text|chosen|prefix)\b/.test(line) && !/[.!?]/.test(line)

async function* replay(head: Buffer[], rest: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  for (let first = head.shift(); first !== undefined; first = head.shift()) yield first
  yield* rest
}

async function* watched(
  bytes: AsyncIterable<Uint8Array>,
  onBytes: (bytes: Uint8Array) => void,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of bytes) {
    onBytes(chunk)
    yield chunk
  }
}

async function* records(values: AsyncIterable<JsonValue>, source: string, wanted?: FormatName): AsyncGenerator<Read> {
  for await (const each of values) {
    if ('problem' in each) {
      yield problem(each.line, each.problem)
      continue
    }
    let found: ReturnType<typeof toSamples>
    try {
      found = toSamples(each.value, wanted)
    } catch (thrown) {
      if (!(thrown instanceof RecordError)) throw thrown
      yield problem(each.line, thrown.message)
      continue
    }
    for (const sample of found.samples) {
      yield { sample: { ...sample, origin: { source, line: each.line } }, format: found.format }
    }
  }
}

async function* jsonLines(chunks: AsyncIterable<Buffer>): AsyncGenerator<JsonValue> {
  for await (const each of readLines(chunks)) {
    if ('problem' in each) yield each
    else if (each.text.trim() !== '') yield parseJsonText(each.text, each.line)
  }
}

/** An object that only wraps a list stands for the list's elements; the line is that of the object. */
async function* unwrapped(values: AsyncIterable<JsonValue>): AsyncGenerator<JsonValue> {
  for await (const each of values) {
    const { value } = 'value' in each ? each : { value: undefined }
    const fields = typeof value === 'object' && value !== null ? (value as { [key: string]: unknown }) : {}
    const key = WRAPPERS.find(name => {
      const list = fields[name]
      return Array.isArray(list) && list.length > 0 && list.every(item => typeof item === 'object' && item !== null)
    })
    if (key === undefined) yield each
    else for (const item of fields[key] as unknown[]) yield { line: each.line, value: item }
  }
}

async function* csvRecords(chunks: AsyncIterable<Buffer>): AsyncGenerator<JsonValue> {
  let names: string[] | undefined
  for await (const row of readRows(readLines(chunks))) {
    if ('problem' in row) yield row
    else if (names === undefined) names = row.cells.map(name => name.trim().toLowerCase())
    else if (row.cells.length !== names.length) {
      yield { line: row.line, problem: `The row has ${row.cells.length} fields, the heading ${names.length}.` }
    } else {
      const { cells } = row
      yield { line: row.line, value: Object.fromEntries(names.map((name, index) => [name, cells[index]])) }
    }
  }
}

async function* readCode(chunks: AsyncIterable<Buffer>, name: string, options?: CodeOptions): AsyncGenerator<Read> {
  const lines: string[] = []
  let size = 0
  let bad: { line: number; message: string } | undefined
  for await (const each of readLines(chunks)) {
    if ('problem' in each) bad ??= { line: each.line, message: each.problem }
    else if (size <= MAX_CODE_BYTES) {
      size += each.text.length + 1
      lines.push(each.text)
    }
  }
  if (size > MAX_CODE_BYTES)
    bad ??= { line: 1, message: `The code file is larger than ${MAX_CODE_BYTES / 2 ** 20} MiB.` }
  if (bad !== undefined) {
    yield { problem: bad }
    return
  }
  for (const sample of codeSamples(lines.join('\n'), { path: name, options: options ?? CodeOptions.parse({}) })) {
    yield { sample: { ...sample, origin: { source: name } }, format: 'code' }
  }
}

const problem = (line: number, message: string): Read => ({ problem: { line, message } })

function unreadable(path: string, thrown: unknown): unknown {
  const code = thrown instanceof Error && 'code' in thrown ? thrown.code : undefined
  if (code === 'ENOENT') return new HubError('not_found', `There is no file ${path}.`, { cause: thrown })
  if (code === 'EISDIR') return new HubError('invalid_request', `${path} is a folder, not a file.`, { cause: thrown })
  if (code === 'EACCES' || code === 'EPERM') {
    return new HubError('invalid_request', `${path} may not be read. Check its permissions.`, { cause: thrown })
  }
  return thrown
}
