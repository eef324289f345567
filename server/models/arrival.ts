/** Follows one GGUF file on disk until it is whole and at rest, and again whenever it changes. */
import { stat } from 'node:fs/promises'
import { HubError } from '../lib/error.ts'
import { type GgufHeader, readGgufHeader, shortfall } from './gguf_header.ts'

/** A file at rest: its header, or why it cannot be used. */
export type Settled = {
  bytes: number
  modifiedMs: number
  header?: GgufHeader
  error?: HubError
}

export type ArrivalDeps = {
  /** How long a whole or damaged file must stay unchanged before it counts, in ms. */
  settleMs: number
  /** How long a file that is not whole must stay unchanged before it is called broken, in ms. */
  stallMs: number
  now: () => number
  /** The settled state is another one. */
  changed: () => void
  /** The file is no more. */
  gone: () => void
}

/** How often a growing file is looked at, in ms; a change event comes sooner. */
const POLL_MS = 250

export class Arrival {
  readonly path: string
  private readonly deps: ArrivalDeps
  private state: Settled | undefined
  private quietSince = 0
  private bytes = -1
  private modifiedMs = -1
  /** What the last reading of the header found, and the file size it saw. */
  private found: { header: GgufHeader } | { error: HubError } | undefined
  private foundBytes = -1
  private timer: NodeJS.Timeout | undefined
  private running: Promise<void> | undefined
  private again = false
  private closed = false

  constructor(path: string, deps: ArrivalDeps) {
    this.path = path
    this.deps = deps
  }

  get settled(): Settled | undefined {
    return this.state
  }

  /** Time since which the file has not changed, in ms since 1970. */
  get quietSinceMs(): number {
    return this.quietSince
  }

  /**
   * Looks at the file now; resolves when that look is over, which may leave the file unsettled.
   * @param atStart a file met at start counts as unchanged since its modification time, and is not waited for when it is whole
   */
  check(atStart = false): Promise<void> {
    if (this.closed) return Promise.resolve()
    if (this.running) {
      this.again = true
      return this.running
    }
    clearTimeout(this.timer)
    this.running = this.look(atStart).finally(() => {
      this.running = undefined
      if (this.again) {
        this.again = false
        void this.check()
      }
    })
    return this.running
  }

  /** Stops following; resolves when the file is no longer open. */
  async close(): Promise<void> {
    this.closed = true
    clearTimeout(this.timer)
    await this.running
  }

  private async look(atStart: boolean): Promise<void> {
    const { deps } = this
    let size: number
    let modified: number
    try {
      const stats = await stat(this.path)
      size = stats.size
      modified = stats.mtimeMs
    } catch (error) {
      if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) {
        if (!this.closed) deps.gone()
        return
      }
      // A name that cannot be looked at is left to the header reader, which says why.
      size = 0
      modified = 0
    }
    const now = deps.now()
    if (size !== this.bytes || modified !== this.modifiedMs) {
      this.quietSince = atStart && this.bytes === -1 ? Math.min(now, modified) : now
      this.bytes = size
      this.modifiedMs = modified
      const needed = this.found && 'error' in this.found ? shortfall(this.found.error)?.neededBytes : undefined
      // A file known to need more bytes than it has is not parsed again at every growth.
      if (needed === undefined || size >= needed) this.found = undefined
    }
    // A clock that was set back must not hold the file for hours.
    this.quietSince = Math.min(this.quietSince, now)
    const quietMs = now - this.quietSince
    if (this.state && this.state.bytes === size && this.state.modifiedMs === modified && !isBusy(this.state.error))
      return

    if (!this.found || (quietMs >= deps.stallMs && this.foundBytes !== size) || isBusy(errorOf(this.found))) {
      this.found = await inspect(this.path)
      this.foundBytes = size
    }
    if (this.closed) return
    const error = errorOf(this.found)
    const unfinished = error !== undefined && (shortfall(error) !== undefined || isBusy(error))
    const patienceMs = unfinished ? deps.stallMs : atStart ? 0 : deps.settleMs
    if (quietMs >= patienceMs) {
      this.state = { bytes: size, modifiedMs: modified, ...this.found }
      deps.changed()
      // Whoever locks the file may let go without an event.
      if (isBusy(error)) this.lookLater(deps.stallMs)
      return
    }
    // The old file stays listed while a whole new one settles; a spoilt one leaves at once.
    if (this.state && error) {
      this.state = undefined
      deps.changed()
    }
    this.lookLater(Math.min(POLL_MS, patienceMs - quietMs))
  }

  private lookLater(ms: number): void {
    this.timer = setTimeout(() => void this.check(), ms)
  }
}

async function inspect(path: string): Promise<{ header: GgufHeader } | { error: HubError }> {
  try {
    // The tensor infos are checked by now; thousands of them per file are not worth their memory.
    return { header: { ...(await readGgufHeader(path)), tensors: [] } }
  } catch (error) {
    return { error: HubError.from(error) }
  }
}

const errorOf = (found: { header: GgufHeader } | { error: HubError }): HubError | undefined =>
  'error' in found ? found.error : undefined

/** Windows refuses to open a file that is still being copied. */
function isBusy(error: HubError | undefined): boolean {
  const cause = error?.cause
  return cause instanceof Error && (cause as NodeJS.ErrnoException).code === 'EBUSY'
}
