/**
 * Writes the token file that the trainer reads (its layout is described in server/trainer/data.ts), sequence by sequence, so that
 * a file of any size needs little memory.
 */
import { mkdir, open, rename, rm } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { HubError } from './error.ts'

export type TokenFileKind = 'samples' | 'preferences'

/** The layout, little endian: the header, then each sequence as length u32, tokens i32[length], weights f32[length]. */
export const TOKEN_FILE = {
  magic: 'HUBT',
  version: 1,
  /** magic, version u32, kind u32 (its place in `kinds`), vocabulary size u32, sequences u64, tokens u64 */
  headerBytes: 32,
  kinds: ['samples', 'preferences'],
  /** The trainer reads a file into one buffer: this is 250 million tokens. */
  maxBytes: 2 ** 31 - 1,
} as const

type FileHandle = Awaited<ReturnType<typeof open>>

/** What is collected before it is written. */
const CHUNK_BYTES = 2 ** 20
const RENAME_ATTEMPTS = 20
const RENAME_WAIT_MS = 50

/** A token file that is being written; it appears under its name when `close` has returned, and never in part. */
export class TokenFileWriter {
  readonly path: string
  readonly kind: TokenFileKind
  readonly vocabularySize: number
  readonly #beside: string
  readonly #file: FileHandle
  #chunks: Buffer[] = []
  #pendingBytes = 0
  #bytes: number = TOKEN_FILE.headerBytes
  #sequences = 0
  #tokens = 0

  private constructor(path: string, kind: TokenFileKind, vocabularySize: number, beside: string, file: FileHandle) {
    this.path = path
    this.kind = kind
    this.vocabularySize = vocabularySize
    this.#beside = beside
    this.#file = file
    this.#chunks.push(Buffer.alloc(TOKEN_FILE.headerBytes))
  }

  /** @throws HubError invalid_request when the folder may not be written */
  static async create(
    path: string,
    options: { kind: TokenFileKind; vocabularySize: number },
  ): Promise<TokenFileWriter> {
    // One fixed name beside: what a killed run left there is overwritten, not piled up.
    const beside = `${path}.part`
    try {
      await mkdir(dirname(path), { recursive: true })
      const file = await open(beside, 'w')
      return new TokenFileWriter(path, options.kind, options.vocabularySize, beside, file)
    } catch (thrown) {
      throw explain(thrown, path)
    }
  }

  get sequences(): number {
    return this.#sequences
  }

  get tokens(): number {
    return this.#tokens
  }

  /**
   * Adds a sequence; of a preference pair the chosen one first, then the rejected one. The weight of the first token is written as 0,
   * since nothing predicts it.
   * @throws HubError invalid_request for a sequence that the trainer would refuse, insufficient_storage when the disk is full
   */
  async append(tokens: ArrayLike<number>, weights: ArrayLike<number>): Promise<void> {
    const { length } = tokens
    const name = `sequence ${this.#sequences} of ${basename(this.path)}`
    if (length < 2) throw new HubError('invalid_request', `${name} has ${length} tokens; at least 2 are needed`)
    if (weights.length !== length) {
      throw new HubError('invalid_request', `${name} has ${length} tokens and ${weights.length} weights`)
    }
    const bytes = Buffer.allocUnsafe(4 + length * 8)
    let at = bytes.writeUInt32LE(length)
    for (let index = 0; index < length; index++) {
      const token = tokens[index]!
      if (!Number.isInteger(token) || token < 0 || token >= this.vocabularySize) {
        throw new HubError('invalid_request', `${name}: ${token} is no token of a vocabulary of ${this.vocabularySize}`)
      }
      at = bytes.writeInt32LE(token, at)
    }
    for (let index = 0; index < length; index++) {
      const weight = weights[index]!
      if (!(weight >= 0 && weight < Number.POSITIVE_INFINITY)) {
        throw new HubError('invalid_request', `${name}: token ${index} has the weight ${weight}`)
      }
      at = bytes.writeFloatLE(index === 0 ? 0 : weight, at)
    }
    if (this.#bytes + bytes.length > TOKEN_FILE.maxBytes) {
      throw new HubError(
        'payload_too_large',
        `the training data is above ${Math.floor(TOKEN_FILE.maxBytes / 8e6)} million tokens, more than the trainer reads at once; train on a part of it`,
      )
    }
    this.#chunks.push(bytes)
    this.#bytes += bytes.length
    this.#pendingBytes += bytes.length
    this.#sequences++
    this.#tokens += length
    if (this.#pendingBytes >= CHUNK_BYTES) await this.#flush()
  }

  /** Completes the header and puts the file into place. @throws HubError as append does */
  async close(): Promise<{ sequences: number; tokens: number; bytes: number }> {
    try {
      if (this.kind === 'preferences' && this.#sequences % 2 !== 0) {
        throw new HubError('invalid_request', `${basename(this.path)} has a chosen answer without its rejected one`)
      }
      await this.#flush()
      const header = Buffer.alloc(TOKEN_FILE.headerBytes)
      header.write(TOKEN_FILE.magic, 'latin1')
      header.writeUInt32LE(TOKEN_FILE.version, 4)
      header.writeUInt32LE(TOKEN_FILE.kinds.indexOf(this.kind), 8)
      header.writeUInt32LE(this.vocabularySize, 12)
      header.writeBigUInt64LE(BigInt(this.#sequences), 16)
      header.writeBigUInt64LE(BigInt(this.#tokens), 24)
      await writeAll(this.#file, header, 0)
      await this.#file.sync()
      await this.#file.close()
      await replace(this.#beside, this.path)
    } catch (thrown) {
      await this.abandon()
      throw explain(thrown, this.path)
    }
    return { sequences: this.#sequences, tokens: this.#tokens, bytes: this.#bytes }
  }

  /** Leaves the file of before, if any, as it was. */
  async abandon(): Promise<void> {
    this.#chunks = []
    // Closed already after a failed rename.
    await this.#file.close().catch(() => undefined)
    await rm(this.#beside, { force: true }).catch(() => undefined)
  }

  async #flush(): Promise<void> {
    const bytes = Buffer.concat(this.#chunks)
    this.#chunks = []
    this.#pendingBytes = 0
    try {
      await writeAll(this.#file, bytes, null)
    } catch (thrown) {
      throw explain(thrown, this.path)
    }
  }
}

/** @param position null to go on from where the last write ended */
async function writeAll(file: FileHandle, bytes: Buffer, position: number | null): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, at, bytes.length - at, position === null ? null : position + at)
    at += bytesWritten
  }
}

/** Windows refuses to replace a file that a virus scanner holds open for a moment. */
async function replace(from: string, to: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await rename(from, to)
      break
    } catch (thrown) {
      const busy = ['EPERM', 'EACCES', 'EBUSY'].includes(codeOf(thrown) ?? '')
      if (process.platform !== 'win32' || !busy || attempt === RENAME_ATTEMPTS) throw thrown
      await wait(RENAME_WAIT_MS)
    }
  }
  if (process.platform === 'win32') return
  // The rename itself is on the disk only when its folder is.
  const folder = await open(dirname(to), 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

const codeOf = (thrown: unknown): string | undefined => (thrown as NodeJS.ErrnoException).code

function explain(thrown: unknown, path: string): unknown {
  if (thrown instanceof HubError) return thrown
  const code = codeOf(thrown)
  if (code === 'ENOSPC' || code === 'EDQUOT' || code === 'EFBIG') {
    return new HubError(
      'insufficient_storage',
      `the disk of ${dirname(path)} is full, so ${basename(path)} was not written; free some space and start again`,
      { cause: thrown },
    )
  }
  if (code === undefined) return thrown
  return new HubError(
    'invalid_request',
    `${basename(path)} cannot be written in ${dirname(path)} (${code}); make that a folder that may be written`,
    { cause: thrown },
  )
}
