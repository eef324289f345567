/** Fetches one file into its `.part`: goes on where an earlier try ended, tries again while that makes sense, and checks what came. */
import { type FileHandle, open, rm, stat } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { HubError } from '../lib/error.ts'
import { sha256 } from './gguf.ts'
import { readGgufHeader } from './gguf_header.ts'
import { gigabytes } from './pull_choose.ts'
import { broken, failed, Passing, passing, type Remote } from './pull_remote.ts'

export type FileDeps = {
  remote: Pick<Remote, 'open'>
  /** Bytes that may still be written in a folder. */
  freeDisk(folder: string): Promise<number>
  wait(ms: number, signal: AbortSignal): Promise<void>
  /** How long a connection may be silent before it is given up, in ms. */
  silenceMs: number
}

export type WantedFile = {
  url: string
  /** Absolute path of the `.part`. */
  part: string
  bytes?: number | undefined
  sha256?: string | undefined
  /** ETag or date by which the server knows the file that the part is of. */
  validator?: string | undefined
}

export type Watch = {
  /** Bytes of the file that are there now. */
  received(bytes: number): void
  /** What the server said of the file; to be kept before anything is written. */
  known(said: { bytes: number; validator?: string | undefined }): Promise<void>
  /** Why nothing comes; undefined when it goes on. */
  note(why: string | undefined): void
  checking(): void
}

/** Tries without a new byte before it is given up. */
const MOST_TRIES = 8
const LONGEST_WAIT_MS = 60_000
/** A server may ask to wait, but not for hours. */
const LONGEST_ASKED_MS = 5 * 60_000
/** What may wait for a slow disk. */
const MOST_GATHERED_BYTES = 4 * 2 ** 20
/** Space that a download leaves to others. */
export const DISK_RESERVE_BYTES = 256 * 2 ** 20

/**
 * Resolves when the part is whole and checked.
 * @throws HubError cancelled (the part stays), download_failed, not_found, forbidden, insufficient_storage, model_broken
 */
export async function fetchFile(deps: FileDeps, file: WantedFile, watch: Watch, signal: AbortSignal): Promise<void> {
  const state: State = { ...file, isJoined: false }
  let tries = 0
  for (;;) {
    const before = await sizeOf(file.part)
    try {
      await receive(deps, state, watch, signal)
      watch.note(undefined)
      watch.checking()
      await check(state, signal)
      return
    } catch (thrown) {
      if (signal.aborted) throw new HubError('cancelled', 'The download was stopped.')
      const error = HubError.from(thrown)
      const again = passing(error)
      // What is no model is of no use to anyone.
      if (error.code === 'model_broken') await rm(file.part, { force: true })
      if (again === undefined) throw error
      tries = (await sizeOf(file.part)) > before ? 1 : tries + 1
      if (tries >= MOST_TRIES)
        throw new HubError(
          error.code,
          `${error.message} It was tried ${tries} times; what came is kept, and asking again goes on.`,
        )
      const asked = Math.min(again.retryAfterMs ?? 0, LONGEST_ASKED_MS)
      const ms = Math.max(asked, Math.min(LONGEST_WAIT_MS, 1000 * 2 ** (tries - 1)))
      watch.note(`${error.message} Trying again in ${Math.ceil(ms / 1000)} s.`)
      await deps.wait(ms, signal).catch(() => {
        throw new HubError('cancelled', 'The download was stopped.')
      })
    }
  }
}

/** `isJoined`: the part was made by more than one connection. */
type State = WantedFile & { isJoined: boolean }

async function receive(deps: FileDeps, file: State, watch: Watch, signal: AbortSignal): Promise<void> {
  let have = await sizeOf(file.part)
  // Without a checksum or a validator nothing tells whether the rest belongs to what is there.
  if (file.validator === undefined && file.sha256 === undefined) have = 0
  if (file.bytes !== undefined && have > file.bytes) have = 0
  watch.received(have)
  if (have > 0 && have === file.bytes) {
    file.isJoined = true
    return
  }

  const silent = new AbortController()
  const both = AbortSignal.any([signal, silent.signal])
  const timer = setTimeout(() => silent.abort(), deps.silenceMs)
  const host = new URL(file.url).host
  let response: Response | undefined
  try {
    response = await deps.remote.open(file.url, have === 0 ? {} : rangeOf(have, file), both)
    const said = readAnswer(response, have, file.bytes)
    if (said === undefined) {
      await rm(file.part, { force: true })
      throw failed(`${host} has another file there now, or no longer gives a part of it; starting over`, new Passing(0))
    }
    const bytes = said.bytes ?? file.bytes
    if (bytes === undefined) throw failed(`${host} does not say how large the file is, so it is not fetched`)
    // A size without a checksum was only learned from this server before; a file that has changed is fetched anew.
    if (file.sha256 !== undefined && file.bytes !== undefined && bytes !== file.bytes) {
      throw failed(
        `${host} gives a file of ${bytes} bytes where ${file.bytes} were announced; it has changed or is not the model. Ask for it anew`,
      )
    }
    refuseText(response, host)
    have = said.from
    file.isJoined ||= have > 0
    file.bytes = bytes
    file.validator = validatorOf(response) ?? (have > 0 ? file.validator : undefined)
    const free = await deps.freeDisk(dirname(file.part))
    if (bytes - have > free - DISK_RESERVE_BYTES) throw noSpace(file.part, bytes - have, free)
    await watch.known({ bytes, validator: file.validator })
    watch.note(undefined)
    const handle = await open(file.part, have > 0 ? 'r+' : 'w+')
    try {
      await writeBody(response, handle, have, bytes, at => {
        timer.refresh()
        watch.received(at)
      })
      await handle.sync()
    } finally {
      await handle.close()
    }
  } catch (thrown) {
    if (signal.aborted || thrown instanceof HubError) throw thrown
    if (silent.signal.aborted)
      throw failed(`${host} has sent nothing for ${Math.round(deps.silenceMs / 1000)} s`, new Passing())
    if (!(thrown instanceof Error && 'syscall' in thrown)) throw broken(host, thrown)
    // A call of the file system: the connection is not at fault.
    if ('code' in thrown && thrown.code === 'ENOSPC') {
      throw noSpace(file.part, (file.bytes ?? 0) - (await sizeOf(file.part)), 0)
    }
    throw new HubError(
      'download_failed',
      `${basename(file.part)} cannot be written: ${thrown.message}. Look at the disk and the rights of the folder.`,
    )
  } finally {
    clearTimeout(timer)
    // Whatever is still to come is not wanted.
    silent.abort()
  }
}

/**
 * Writes what comes behind the first `from` bytes; while one piece is being written the next ones gather, so that a slow
 * disk does not hold up the connection piece by piece. Whatever came is written, also when the connection breaks.
 * @throws HubError when it is no GGUF or longer than it should be; a passing one when it ends early
 */
async function writeBody(
  response: Response,
  handle: FileHandle,
  from: number,
  bytes: number,
  received: (at: number) => void,
): Promise<void> {
  let gathered: Uint8Array[] = []
  let gatheredBytes = 0
  let came = from
  let written = from
  let failure: unknown
  let writing: Promise<void> | undefined

  /** Its last look at what has gathered and its end are one step, so that nothing gathers unseen between them. */
  async function drain(): Promise<void> {
    try {
      while (gathered.length > 0) {
        const piece = Buffer.concat(gathered)
        gathered = []
        gatheredBytes = 0
        const before = written
        for (let done = 0; done < piece.length; ) {
          done += (await handle.write(piece, done, piece.length - done, before + done)).bytesWritten
        }
        written += piece.length
        if (before < 4 && written >= 4) await checkMagic(handle)
        received(written)
      }
    } catch (thrown) {
      failure = thrown
    } finally {
      writing = undefined
    }
  }
  try {
    for await (const chunk of response.body ?? []) {
      came += chunk.length
      if (came > bytes) {
        throw new HubError(
          'model_broken',
          'The server sends more than it announced, so this is not the file. Look at the address.',
        )
      }
      gathered.push(chunk)
      gatheredBytes += chunk.length
      writing ??= drain()
      if (gatheredBytes > MOST_GATHERED_BYTES) await writing
      if (failure !== undefined) throw failure
    }
  } finally {
    await writing
  }
  if (failure !== undefined) throw failure
  if (written < bytes) throw failed(`The connection broke off after ${written} of ${bytes} bytes`, new Passing())
}

async function checkMagic(handle: FileHandle): Promise<void> {
  const head = Buffer.alloc(4)
  await handle.read(head, 0, 4, 0)
  if (head.toString('latin1') !== 'GGUF') throw noGguf()
}

/** Size, kind and checksum. What does not pass is deleted: nobody can mend it. */
async function check(file: State, signal: AbortSignal): Promise<void> {
  const name = basename(file.part).replace(/\.part$/, '')
  try {
    // Shorter than four bytes it was not looked at while it came.
    const handle = await open(file.part, 'r')
    await checkMagic(handle).finally(() => handle.close())
    if (file.sha256 !== undefined && (await sha256(file.part, signal)) !== file.sha256) {
      const what = `${name} has another checksum than the one that was announced`
      if (file.isJoined) throw failed(`${what}; starting over`, new Passing(0))
      throw failed(`${what}, so it was deleted. Ask for it again; should that happen twice, the file there is damaged`)
    }
    await readGgufHeader(file.part)
  } catch (thrown) {
    if (!signal.aborted) {
      await rm(file.part, { force: true })
      file.isJoined = false
      file.validator = undefined
    }
    throw thrown
  }
}

/** A checksum tells in the end whether the pieces belong together; without one the server has to, before it gives the rest. */
function rangeOf(have: number, { sha256: sum, validator }: WantedFile): { [name: string]: string } {
  return { range: `bytes=${have}-`, ...(sum === undefined && validator !== undefined && { 'if-range': validator }) }
}

/** Where the body begins and how long the whole file is; undefined when what is there cannot be gone on with. */
function readAnswer(
  response: Response,
  have: number,
  expected: number | undefined,
): { from: number; bytes: number | undefined } | undefined {
  if (response.status === 416) return undefined
  if (response.status === 200) {
    const length = response.headers.get('content-length')
    return { from: 0, bytes: length === null ? undefined : Number(length) }
  }
  const [, from, total] = /^bytes (\d+)-\d+\/(\d+)$/.exec(response.headers.get('content-range') ?? '') ?? []
  if (from === undefined || total === undefined || Number(from) !== have) return undefined
  if (expected !== undefined && Number(total) !== expected) return undefined
  return { from: have, bytes: Number(total) }
}

/** A weak ETag says that two files mean the same, not that they are byte for byte the same. */
function validatorOf({ headers }: Response): string | undefined {
  const etag = headers.get('etag')
  if (etag !== null && !etag.startsWith('W/')) return etag
  return headers.get('last-modified') ?? undefined
}

function refuseText({ headers }: Response, host: string): void {
  const type = headers.get('content-type') ?? ''
  if (/^text\/html|^application\/(?:json|xhtml)/i.test(type)) {
    throw failed(
      `${host} sends a page (${type.split(';')[0]}) and no model; the address is not that of the file itself`,
    )
  }
}

function noGguf(): HubError {
  return new HubError('model_broken', 'What the server sends is no GGUF file. Look for a file that ends in .gguf.', {
    param: 'model',
  })
}

function noSpace(part: string, needed: number, free: number): HubError {
  return new HubError(
    'insufficient_storage',
    `${basename(part).replace(/\.part$/, '')} needs ${gigabytes(needed)} more on the disk of ${dirname(part)}, and ${gigabytes(free)} are free. Make room there and ask for it again.`,
  )
}

export async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size
  } catch {
    return 0
  }
}
