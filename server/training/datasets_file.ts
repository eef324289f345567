/** Sample files, one sample on each line: read one by one, and written so that they are on the disk for certain before they count. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { HubError } from '../lib/error.ts'
import type { Part } from '../wire/dataset.ts'
import type { Sample } from '../wire/sample.ts'
import { MAX_RECORD_BYTES, readLines } from './formats_bytes.ts'

/** JSON writes some characters as six, so that a record may grow; beside it stands its origin. */
const MAX_LINE_BYTES = 8 * MAX_RECORD_BYTES

/** Samples of a part as they were read, before they are cleaned. */
export const rawFile = (part: Part): string => `${part}.raw.jsonl`

export type SampleFile = {
  /** Resolves when the next line may come; a promise only when the disk has to be waited for. */
  add(value: unknown): Promise<void> | undefined
  /** Ends the file, durably. */
  close(): Promise<{ bytes: number; sha256: string; lines: number }>
  /** Lets go of the file without a word. */
  abandon(): Promise<void>
}

const BUFFER_CHARACTERS = 256 * 1024

/** @throws HubError insufficient_storage when the disk is full */
export async function createSampleFile(path: string): Promise<SampleFile> {
  const file = await open(path, 'wx')
  const hash = createHash('sha256')
  let held: string[] = []
  let size = 0
  let bytes = 0
  let lines = 0
  const flush = async (): Promise<void> => {
    const buffer = Buffer.from(held.join(''))
    held = []
    size = 0
    hash.update(buffer)
    bytes += buffer.length
    await fullDisk(path, () => file.writeFile(buffer))
  }
  return {
    add(value) {
      const line = `${JSON.stringify(value)}\n`
      held.push(line)
      size += line.length
      lines++
      return size > BUFFER_CHARACTERS ? flush() : undefined
    },
    async close() {
      await flush()
      await fullDisk(path, () => file.sync())
      await file.close()
      return { bytes, sha256: hash.digest('hex'), lines }
    },
    abandon: () => file.close().catch(() => {}),
  }
}

/** Writes a JSON file, durably. */
export async function writeJson(path: string, value: unknown): Promise<void> {
  const file = await open(path, 'w')
  try {
    await fullDisk(path, () => file.writeFile(`${JSON.stringify(value, undefined, 2)}\n`))
    await fullDisk(path, () => file.sync())
  } finally {
    await file.close()
  }
}

/** Makes what was renamed into a folder last; Windows has no such call and does not need it. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r').catch(() => undefined)
  await folder?.sync().catch(() => {})
  await folder?.close()
}

async function fullDisk<T>(path: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act()
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? cause.code : undefined
    if (code !== 'ENOSPC' && code !== 'EDQUOT') throw cause
    throw new HubError('insufficient_storage', `The disk is full while ${path} is written. Nothing of it is kept.`, {
      cause,
    })
  }
}

/** Samples that this program wrote. @throws HubError conflict for a damaged line */
export async function* readSampleFile(path: string): AsyncGenerator<Sample> {
  const stream = createReadStream(path, { highWaterMark: 256 * 1024 })
  try {
    for await (const each of readLines(stream as AsyncIterable<Buffer>, MAX_LINE_BYTES)) {
      const sample = 'text' in each ? sampleOf(each.text) : undefined
      if (sample === undefined) {
        throw new HubError('conflict', `${path} is damaged in line ${each.line}. Import the dataset again.`)
      }
      yield sample
    }
  } finally {
    stream.destroy()
  }
}

/** The file was written by this program, so that a line which is JSON with a kind is a sample. */
function sampleOf(text: string): Sample | undefined {
  try {
    const value = JSON.parse(text) as Sample | null
    return typeof value === 'object' && typeof value?.kind === 'string' ? value : undefined
  } catch {
    return undefined
  }
}
