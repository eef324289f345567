/** Writes a GGUF tensor by tensor, each made when its turn comes: whole models in little memory, whole on the disk or not there. */
import { type FileHandle, mkdir, open, rename, rm } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { HubError } from '../lib/error.ts'
import { long, text, u32 } from './gguf_write.ts'

export type StreamedTensor = {
  name: string
  /** In ggml's order: the length of a row first. */
  shape: number[]
  /** ggml's number of the type. */
  type: number
  bytes: number
  /** Exactly `bytes` bytes, in chunks; a chunk is written before the next one is asked for. */
  data(): AsyncIterable<Uint8Array> | Iterable<Uint8Array>
}

const ALIGNMENT = 32
const padding = (bytes: number): number => (ALIGNMENT - (bytes % ALIGNMENT)) % ALIGNMENT

/**
 * Replaces the file atomically.
 * @param report the share that is written, 0 to 1
 * @returns bytes of the file
 * @throws HubError insufficient_storage when the disk is full, invalid_request when it may not be written
 */
export function streamGguf(
  path: string,
  metadata: Iterable<[key: string, value: Uint8Array]>,
  tensors: readonly StreamedTensor[],
  report: (fraction: number) => void = () => undefined,
): Promise<number> {
  return writeWhole(path, async write => {
    const header = headerOf(metadata, tensors)
    await write(header)
    await write(new Uint8Array(padding(header.length)))
    const total = tensors.reduce((sum, { bytes }) => sum + bytes, 0)
    let done = 0
    for (const { name, bytes, data } of tensors) {
      const before = done
      for await (const chunk of data()) {
        await write(chunk)
        done += chunk.length
        report(done / total)
      }
      if (done - before !== bytes) throw new Error(`tensor ${name} gave ${done - before} bytes instead of ${bytes}`)
      await write(new Uint8Array(padding(bytes)))
    }
  })
}

/** Writes beside, flushes and renames into place. @returns bytes written @throws HubError as `streamGguf` */
export async function writeWhole(
  path: string,
  fill: (write: (bytes: Uint8Array) => Promise<void>) => Promise<void>,
): Promise<number> {
  const beside = `${path}.part`
  let written = 0
  try {
    await mkdir(dirname(path), { recursive: true })
    const file: FileHandle = await open(beside, 'w')
    try {
      await fill(async bytes => {
        await file.writeFile(bytes)
        written += bytes.length
      })
      await file.sync()
    } finally {
      await file.close()
    }
    await replace(beside, path)
  } catch (thrown) {
    await rm(beside, { force: true }).catch(() => undefined)
    throw explain(thrown, path)
  }
  return written
}

function headerOf(metadata: Iterable<[string, Uint8Array]>, tensors: readonly StreamedTensor[]): Buffer {
  // The tensors are laid out anew, so an alignment copied from another file would be wrong.
  const entries = [...metadata].filter(([key]) => key !== 'general.alignment')
  const parts: Uint8Array[] = [Buffer.from('GGUF'), u32(3), long(tensors.length), long(entries.length)]
  for (const [key, value] of entries) parts.push(text(key), value)
  let offset = 0
  for (const { name, shape, type, bytes } of tensors) {
    parts.push(text(name), u32(shape.length), ...shape.map(long), u32(type), long(offset))
    offset += bytes + padding(bytes)
  }
  return Buffer.concat(parts)
}

/** Windows refuses to replace a file that a virus scanner holds open for a moment. */
async function replace(from: string, to: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await rename(from, to)
    } catch (thrown) {
      const busy = ['EPERM', 'EACCES', 'EBUSY'].includes(codeOf(thrown) ?? '')
      if (process.platform !== 'win32' || !busy || attempt === 20) throw thrown
      await wait(50)
    }
  }
}

const codeOf = (thrown: unknown): string | undefined => (thrown as NodeJS.ErrnoException).code

function explain(thrown: unknown, path: string): unknown {
  const code = codeOf(thrown)
  if (thrown instanceof HubError || code === undefined) return thrown
  if (code === 'ENOSPC' || code === 'EDQUOT' || code === 'EFBIG') {
    return new HubError(
      'insufficient_storage',
      `the disk of ${dirname(path)} is full, so ${basename(path)} was not written; free some space and try again`,
      { cause: thrown },
    )
  }
  return new HubError(
    'invalid_request',
    `${basename(path)} cannot be written in ${dirname(path)} (${code}); choose a folder that may be written`,
    { cause: thrown },
  )
}
