/** What was asked of a running job from outside; the loop looks here between two rows. */

export class Control {
  #wanted: 'run' | 'pause' | 'cancel' = 'run'
  #checkpoint = false
  #changed = Promise.withResolvers<void>()

  get wanted(): 'run' | 'pause' | 'cancel' {
    return this.#wanted
  }

  pause(): void {
    this.#set('pause')
  }

  resume(): void {
    this.#set('run')
  }

  cancel(): void {
    this.#set('cancel')
  }

  checkpoint(): void {
    this.#checkpoint = true
  }

  /** Whether a checkpoint was asked for since the last call. */
  takeCheckpoint(): boolean {
    const asked = this.#checkpoint
    this.#checkpoint = false
    return asked
  }

  /** Resolves when `pause` is no longer wanted. */
  async unpaused(): Promise<void> {
    while (this.#wanted === 'pause') await this.#changed.promise
  }

  #set(wanted: 'run' | 'pause' | 'cancel'): void {
    // A cancelled run stays so.
    if (this.#wanted === 'cancel') return
    this.#wanted = wanted
    this.#changed.resolve()
    this.#changed = Promise.withResolvers<void>()
  }
}
