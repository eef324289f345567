/** Suggestions held back for a while, in this window only. */
import * as vscode from 'vscode'

export class Snooze implements vscode.Disposable {
  readonly #changed = new vscode.EventEmitter<void>()
  readonly onDidChange = this.#changed.event
  #timer: NodeJS.Timeout | undefined
  #until: number | undefined

  /** When it ends, in Unix ms; undefined when nothing is held back. */
  get until(): number | undefined {
    return this.#until
  }

  start(minutes: number): void {
    clearTimeout(this.#timer)
    this.#until = Date.now() + minutes * 60_000
    this.#timer = setTimeout(() => this.end(), minutes * 60_000)
    this.#changed.fire()
  }

  end(): void {
    clearTimeout(this.#timer)
    this.#until = undefined
    this.#changed.fire()
  }

  dispose(): void {
    clearTimeout(this.#timer)
    this.#changed.dispose()
  }
}
