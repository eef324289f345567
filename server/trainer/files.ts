/** Files that are whole or not there: written beside, flushed to the disk, and renamed into place. */
import { createHash } from 'node:crypto'
import {
  closeSync,
  createReadStream,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { HubError } from '../lib/error.ts'

/**
 * Replaces the file by the chunks, in a folder that is made when absent; a crash at any moment leaves the old file or the new one.
 * @returns bytes written
 * @throws HubError insufficient_storage when the disk is full, invalid_request when it may not be written; what making the chunks throws comes through as it is
 */
export function writeAtomically(path: string, chunks: Iterable<Uint8Array>): number {
  // One fixed name beside: what a killed run left there is overwritten, not piled up.
  const beside = `${path}.part`
  let bytes = 0
  try {
    mkdirSync(dirname(path), { recursive: true })
    const file = openSync(beside, 'w')
    try {
      for (const chunk of marked(chunks)) {
        for (let at = 0; at < chunk.length; ) {
          const written = writeSync(file, chunk, at)
          at += written
          bytes += written
        }
      }
      fsyncSync(file)
    } catch (thrown) {
      // A disk that is full needs the room at once.
      try {
        ftruncateSync(file, 0)
      } catch {}
      throw thrown
    } finally {
      closeSync(file)
    }
    replace(beside, path)
  } catch (thrown) {
    try {
      rmSync(beside, { force: true })
    } catch {}
    throw explain(thrown, path)
  }
  return bytes
}

/** A failure of whoever makes the chunks, which says nothing of the file that is written. */
class Foreign extends Error {}

function* marked(chunks: Iterable<Uint8Array>): Generator<Uint8Array> {
  try {
    yield* chunks
  } catch (thrown) {
    throw new Foreign('', { cause: thrown })
  }
}

/** Windows refuses while a virus scanner holds a file open for a moment. */
function patiently(work: () => void): void {
  for (let attempt = 1; ; attempt++) {
    try {
      work()
      return
    } catch (thrown) {
      const busy = ['EPERM', 'EACCES', 'EBUSY'].includes(codeOf(thrown) ?? '')
      if (process.platform !== 'win32' || !busy || attempt === 20) throw thrown
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50)
    }
  }
}

function replace(from: string, to: string): void {
  patiently(() => renameSync(from, to))
  if (process.platform === 'win32') return
  // The rename itself is on the disk only when its folder is. Some file systems cannot flush a folder, or let nobody open it: the
  // file is whole and in its place all the same.
  try {
    const folder = openSync(dirname(to), 'r')
    try {
      fsyncSync(folder)
    } finally {
      closeSync(folder)
    }
  } catch (thrown) {
    if (!['EINVAL', 'EACCES', 'EPERM', 'EISDIR', 'ENOTSUP'].includes(codeOf(thrown) ?? '')) throw thrown
  }
}

const codeOf = (thrown: unknown): string | undefined => (thrown as NodeJS.ErrnoException).code

function explain(thrown: unknown, path: string): unknown {
  if (thrown instanceof Foreign) return thrown.cause
  const code = codeOf(thrown)
  const file = basename(path)
  if (code === 'ENOSPC' || code === 'EDQUOT' || code === 'EFBIG') {
    return new HubError(
      'insufficient_storage',
      `the disk of ${dirname(path)} is full, so ${file} was not written (the file of before, if any, is untouched); free some space and start the job again`,
      { cause: thrown },
    )
  }
  if (code === undefined) return thrown
  return new HubError(
    'invalid_request',
    `${file} cannot be written in ${dirname(path)} (${code}); make that a folder that may be written, or choose another path`,
    { cause: thrown },
  )
}

/** @returns hex @throws HubError not_found */
export async function sha256File(path: string): Promise<string> {
  const hash = createHash('sha256')
  try {
    await pipeline(createReadStream(path, { highWaterMark: 2 ** 20 }), hash)
  } catch (thrown) {
    throw new HubError('not_found', `${path} cannot be read (${codeOf(thrown)}); check the path`, { cause: thrown })
  }
  return hash.digest('hex')
}

/** Removes a file if it is there. */
export function removeFile(path: string): void {
  patiently(() => rmSync(path, { force: true }))
}

/** Whether two paths lead to one file, by links or by letters of another case as well; neither need exist yet. */
export function isSameFile(a: string, b: string, platform: string = process.platform): boolean {
  const [first, second] = [a, b].map(path => statSync(path, { bigint: true, throwIfNoEntry: false }))
  if (first !== undefined && second !== undefined) return first.dev === second.dev && first.ino === second.ino
  const [one, other] = [a, b].map(path => {
    const whole = truePath(resolve(path))
    return platform === 'win32' || platform === 'darwin' ? whole.toLowerCase() : whole
  })
  return one === other
}

/** With the links of those folders followed that exist. */
function truePath(path: string): string {
  try {
    return realpathSync.native(path)
  } catch {
    const folder = dirname(path)
    return folder === path ? path : join(truePath(folder), basename(path))
  }
}

export function fileExists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false
}
