/** Memory of a device that something else than a model takes for a while, training above all, and that it gives back when a request needs it. */
import { HubError } from '../lib/error.ts'
import type { Log } from '../lib/log.ts'
import type { Device } from '../wire/worker.ts'
import type { Library } from './devices.ts'

/** Where training would run now. */
export type Space = {
  library: Library
  device: Device
  /** What could be reserved were the models that nobody uses unloaded and nothing else reserved. */
  freeBytes: number
  totalBytes: number
}

export type ReserveOptions = {
  /** What it is for, in log lines. */
  what: string
  /**
   * Called when a model that a request waits for does not fit beside it. The holder stops, calls `release` and resolves;
   * the model is loaded then.
   */
  makeWay(): Promise<void>
  /** Of the reserved bytes those that the holder takes already, so that they are not counted twice. */
  usedBytes(): number
  /** Only models that nobody has used for so long are unloaded for it. */
  idleMs: number
  /** Told once it has to wait, with the reason. */
  waits?(reason: string): void
}

export type Reservation = {
  readonly library: Library
  readonly device: Device
  readonly bytes: number
  /** May be called twice. */
  release(): void
}

/** A model that lies on a device, as far as whoever needs its memory cares. */
export type Neighbour = {
  id: string
  /** Never unloaded to make room. */
  pinned: boolean
  idle: boolean
  lastUsedMs: number
  /** Bytes that the system would count as free once it were unloaded. */
  freesBytes: number
  unload(): Promise<void>
}

/** Memory of the device that is used now: free, what of it may be taken at once, and what were but the pinned models loaded. */
export type Room = {
  library: Library
  device: Device
  freeBytes: number
  usableBytes: number
  mostBytes: number
  neighbours: Neighbour[]
}

export type ReservationDeps = {
  room(): Promise<Room>
  /** Runs it between two loads, never in the midst of one. */
  between<T>(act: () => Promise<T>): Promise<T>
  /** Resolves the next time that anything is released. */
  released(): Promise<void>
  /** Tells that something was. */
  wake(): void
  closing: AbortSignal
  memoryFraction(): number
  now(): number
  log: Log
}

/** What an attempt came to: the reservation, or what to wait for; `retryMs` where time alone may bring it. */
type Attempt = { reservation: Reservation } | { wait: string; retryMs?: number }
type Held = Reservation & { options: ReserveOptions }

export class Reservations {
  readonly #held = new Set<Held>()
  readonly #deps: ReservationDeps

  constructor(deps: ReservationDeps) {
    this.#deps = deps
  }

  /** The device that training would run on, with what it would find there. */
  async space(): Promise<Space> {
    const { library, device, freeBytes, mostBytes, neighbours } = await this.#deps.room()
    const taken = this.bytes(device) - this.pendingBytes(device)
    const idle = neighbours.filter(each => each.idle && !each.pinned)
    const evictable = idle.reduce((sum, each) => sum + each.freesBytes, 0)
    const usable = this.#deps.memoryFraction() * (freeBytes + taken + evictable)
    return { library, device, freeBytes: Math.max(0, Math.min(mostBytes, usable)), totalBytes: mostBytes }
  }

  /**
   * Sets memory of the device aside for something else than a model: idle models make room, busy ones are waited for, and
   * it is given back on request; see ReserveOptions.
   * @throws HubError insufficient_memory with the figures, cancelled, shutting_down
   */
  async reserve(bytes: number, options: ReserveOptions, signal: AbortSignal): Promise<Reservation> {
    const { between, released, closing } = this.#deps
    let told = ''
    for (;;) {
      const change = released()
      // Loads do not wait while it waits.
      const result = await between(() => this.#attempt(bytes, options))
      if (signal.aborted) {
        if ('reservation' in result) result.reservation.release()
        throw new HubError('cancelled', 'the reservation was cancelled')
      }
      if ('reservation' in result) return result.reservation
      if (result.wait !== told) options.waits?.(result.wait)
      told = result.wait
      const timer = Promise.withResolvers<void>()
      const timeout = result.retryMs === undefined ? undefined : setTimeout(timer.resolve, result.retryMs)
      const stop = () => timer.resolve()
      signal.addEventListener('abort', stop, { once: true })
      closing.addEventListener('abort', stop, { once: true })
      // Neither may have come before it was listened for.
      if (signal.aborted || closing.aborted) stop()
      await Promise.race([change, timer.promise])
      clearTimeout(timeout)
      signal.removeEventListener('abort', stop)
      closing.removeEventListener('abort', stop)
    }
  }

  bytes(device: Device): number {
    return this.#on(device).reduce((sum, held) => sum + held.bytes, 0)
  }

  /** Reserved and not taken yet, so that the system still counts it as free. */
  pendingBytes(device: Device): number {
    return this.#on(device).reduce((sum, held) => sum + Math.max(0, held.bytes - held.options.usedBytes()), 0)
  }

  /** Lets the one that came last make way. @returns false when there is none */
  async makeWay(device: Device): Promise<boolean> {
    const held = this.#on(device).at(-1)
    if (held === undefined) return false
    await held.options.makeWay()
    held.release()
    return true
  }

  async #attempt(bytes: number, options: ReserveOptions): Promise<Attempt> {
    const { room, now, closing, log } = this.#deps
    const { what, idleMs } = options
    for (;;) {
      if (closing.aborted) throw new HubError('shutting_down', 'the hub is shutting down')
      const { library, device, freeBytes, usableBytes, mostBytes, neighbours } = await room()
      if (bytes <= usableBytes) return { reservation: this.#add({ library, device, bytes }, options) }
      if (bytes > mostBytes) throw cannotReserve(what, bytes, usableBytes, freeBytes)
      const movable = neighbours.filter(({ pinned }) => !pinned).sort((a, b) => a.lastUsedMs - b.lastUsedMs)
      const [oldest] = movable.filter(({ idle }) => idle)
      if (oldest !== undefined && oldest.lastUsedMs <= now() - idleMs) {
        log.info('unloading to make room', { model: oldest.id, for: what })
        await oldest.unload()
        continue
      }
      const busy = movable.find(({ idle }) => !idle)
      if (busy !== undefined) return { wait: `it waits for the memory of ${busy.id}, which is in use` }
      if (oldest !== undefined) {
        const retryMs = Math.max(1, oldest.lastUsedMs + idleMs - now())
        return { wait: `it waits until ${oldest.id} has been idle for ${idleMs / 1000} s`, retryMs }
      }
      if (this.bytes(device) > 0) return { wait: 'it waits for the memory of another job' }
      throw cannotReserve(what, bytes, usableBytes, freeBytes)
    }
  }

  #add(place: Pick<Reservation, 'library' | 'device' | 'bytes'>, options: ReserveOptions): Reservation {
    const held: Held = {
      ...place,
      options,
      release: () => {
        if (this.#held.delete(held)) this.#deps.wake()
      },
    }
    this.#held.add(held)
    return held
  }

  #on(device: Device): Held[] {
    return [...this.#held].filter(held => held.device === device)
  }
}

function cannotReserve(what: string, bytes: number, usableBytes: number, freeBytes: number): HubError {
  const gib = (value: number) => `${(Math.max(0, value) / 2 ** 30).toFixed(2)} GiB`
  return new HubError(
    'insufficient_memory',
    `${what} needs about ${gib(bytes)}, and ${gib(usableBytes)} of the ${gib(freeBytes)} free may be used; ` +
      'take a smaller base, shorter samples (max_length) or a smaller rank, unpin models, or close other programs',
  )
}
