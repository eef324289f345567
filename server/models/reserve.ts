/** Memory of a device that something else than a model takes for a while, training above all, and that it gives back when a request needs it. */
import { HubError } from '../lib/error.ts'
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

/** What an attempt came to: the reservation, or what to wait for; `retryMs` where time alone may bring it. */
export type Attempt = { reservation: Reservation } | { wait: string; retryMs?: number }

type Held = Reservation & { options: ReserveOptions }

/** Those that are held now. */
export class Reservations {
  readonly #held = new Set<Held>()
  readonly #released: () => void

  /** @param released called whenever one has been given back */
  constructor(released: () => void) {
    this.#released = released
  }

  add(place: { library: Library; device: Device; bytes: number }, options: ReserveOptions): Reservation {
    const held: Held = {
      ...place,
      options,
      release: () => {
        if (this.#held.delete(held)) this.#released()
      },
    }
    this.#held.add(held)
    return held
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

  #on(device: Device): Held[] {
    return [...this.#held].filter(held => held.device === device)
  }
}

export function cannotReserve(what: string, bytes: number, usableBytes: number, freeBytes: number): HubError {
  const gib = (value: number) => `${(Math.max(0, value) / 2 ** 30).toFixed(2)} GiB`
  return new HubError(
    'insufficient_memory',
    `${what} needs about ${gib(bytes)}, and ${gib(usableBytes)} of the ${gib(freeBytes)} free may be used; ` +
      'take a smaller base, shorter samples (max_length) or a smaller rank, unpin models, or close other programs',
  )
}
