/** A forward-only window on a file that never holds more of it than a chunk, and never trusts a length. */
import type { FileHandle } from 'node:fs/promises'
import { HubError } from '../lib/error.ts'

export type Limits = {
  /** Longest header that is read, in bytes. */
  headerBytes: number
  /** Most metadata keys, and most tensors. */
  keys: number
  tensors: number
  /** Most bytes of keys, strings and tensor names that are kept in memory. */
  keptBytes: number
}
export const LIMITS: Limits = { headerBytes: 256 * 2 ** 20, keys: 100_000, tensors: 100_000, keptBytes: 16 * 2 ** 20 }

const CHUNK_BYTES = 64 * 2 ** 10

/** The cause of an error that says the file ends too early. */
export class Shortfall {
  /** At least so many bytes are needed, as far as was read. */
  readonly neededBytes: number
  constructor(neededBytes: number) {
    this.neededBytes = neededBytes
  }
}

/** A forward-only window on the file. Reading past its end is a shortfall. */
export class Reader {
  readonly name: string
  readonly fileBytes: number
  readonly limits: Limits
  private readonly file: FileHandle
  private buffer: Buffer = Buffer.alloc(0)
  private start = 0
  /** Position in the file of the buffer's end. */
  private end = 0
  private kept = 0

  constructor(file: FileHandle, name: string, fileBytes: number, limits: Limits) {
    this.file = file
    this.name = name
    this.fileBytes = fileBytes
    this.limits = limits
  }

  get position(): number {
    return this.end - (this.buffer.length - this.start)
  }

  broken(what: string): HubError {
    return new HubError('model_broken', `${this.name} is damaged or no model: ${what}. Download or copy it again.`)
  }

  /** @param neededBytes the least size of the whole file, where that is known */
  short(neededBytes?: number): HubError {
    const size =
      neededBytes === undefined ? `it ends after ${this.fileBytes} bytes` : `${this.fileBytes} of ${neededBytes} bytes`
    return new HubError(
      'model_broken',
      `${this.name} is not whole: ${size}. Wait for its copy or download to end, or fetch it again.`,
      { cause: new Shortfall(neededBytes ?? this.fileBytes + 1) },
    )
  }

  /** Counts text that stays in memory. */
  keep(bytes: number): void {
    this.kept += bytes
    if (this.kept > this.limits.keptBytes) {
      throw this.broken(`its header holds more than ${this.limits.keptBytes} bytes of text`)
    }
  }

  /** Makes `bytes` available in the buffer; resolves at once, without a promise, when they are. */
  need(bytes: number): Promise<void> | undefined {
    return this.buffer.length - this.start >= bytes ? undefined : this.fill(bytes)
  }

  private async fill(bytes: number): Promise<void> {
    const { position } = this
    this.check(position, bytes)
    const end = Math.min(this.fileBytes, this.limits.headerBytes)
    const want = Math.min(Math.max(bytes, CHUNK_BYTES), end - position)
    const next = Buffer.allocUnsafeSlow(want)
    let have = this.buffer.copy(next, 0, this.start)
    while (have < want) {
      const { bytesRead } = await this.file.read(next, have, want - have, position + have)
      // The file shrank while it was read.
      if (bytesRead === 0) throw this.short()
      have += bytesRead
    }
    this.buffer = next
    this.start = 0
    this.end = position + want
  }

  /** Refuses what lies beyond the header limit or the end of the file. */
  private check(position: number, bytes: number): void {
    if (position + bytes > this.limits.headerBytes) {
      throw this.broken(`its header claims to be longer than ${this.limits.headerBytes} bytes`)
    }
    if (position + bytes > this.fileBytes) throw this.short(position + bytes)
  }

  /** The next bytes, valid until the next `need`; they must be there already. */
  take(bytes: number): Buffer {
    this.start += bytes
    return this.buffer.subarray(this.start - bytes, this.start)
  }

  /** The same without moving on. */
  peek(bytes: number): Buffer {
    return this.buffer.subarray(this.start, this.start + bytes)
  }

  u32(): number {
    this.start += 4
    return this.buffer.readUInt32LE(this.start - 4)
  }

  /** A count or length of 64 bits. */
  long(what: string): number {
    this.start += 8
    const value = this.buffer.readUInt32LE(this.start - 4) * 2 ** 32 + this.buffer.readUInt32LE(this.start - 8)
    if (value > Number.MAX_SAFE_INTEGER) throw this.broken(`${what} is ${value.toExponential(0)}`)
    return value
  }

  skip(bytes: number): void {
    const here = this.buffer.length - this.start
    if (bytes <= here) {
      this.start += bytes
      return
    }
    const { position } = this
    this.check(position, bytes)
    this.buffer = Buffer.alloc(0)
    this.start = 0
    this.end = position + bytes
  }
}
