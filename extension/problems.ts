/** What goes wrong with a model, told with what helps: once, however many requests meet it and however it is heard of. */
import * as vscode from 'vscode'
import type { Problem } from '../server/wire/editor.ts'
import type { Events } from './events.ts'
import { modelInUse } from './model_in_use.ts'
import { readSettings } from './settings.ts'

/** The same news comes by the answer to a request and by the events. */
const ECHO_MS = 10_000

export class Problems implements vscode.Disposable {
  readonly #events: Events
  readonly #subscription: vscode.Disposable
  /** When each message was shown, in ms. */
  readonly #shown = new Map<string, number>()

  constructor(events: Events) {
    this.#events = events
    this.#subscription = events.onEvent(event => {
      if (event.type !== 'model.state') return
      const { id, state, error } = event.model
      if (state === 'ready') this.#shown.clear()
      if (state !== 'failed' || error === undefined || this.#shown.has(error)) return
      // Of several windows the one that is looked at tells it, and only of the models that the editor itself asks.
      if (vscode.window.state.focused && this.#isInUse(id)) this.tell({ code: 'model_load_failed', message: error })
    })
  }

  tell({ code, message }: Problem): void {
    const now = Date.now()
    const before = this.#shown.get(message)
    if (before !== undefined && now - before < ECHO_MS) return
    this.#shown.set(message, now)
    void this.#show(code, message)
  }

  dispose(): void {
    this.#subscription.dispose()
  }

  async #show(code: string, message: string): Promise<void> {
    if (code === 'unusable_answer') {
      void vscode.window.showInformationMessage(message)
      return
    }
    const actions = this.#actions(code)
    const chosen = await vscode.window.showWarningMessage(message, ...actions.map(([title]) => title))
    const command = actions.find(([title]) => title === chosen)?.[1]
    if (command !== undefined) await vscode.commands.executeCommand(command)
  }

  #actions(code: string): [title: string, command: string][] {
    const another: [string, string] = [vscode.l10n.t('Choose Another Model'), 'aiHub.switchModel']
    const get: [string, string] = [vscode.l10n.t('Get a Model…'), 'aiHub.pullModel']
    const logs: [string, string] = [vscode.l10n.t('Show Logs'), 'aiHub.showLogs']
    const doctor: [string, string] = [vscode.l10n.t('Run Doctor'), 'aiHub.doctor']
    switch (code) {
      case 'model_not_found':
        return this.#events.models.length === 0
          ? [get, [vscode.l10n.t('Open Models Folder'), 'aiHub.openModels']]
          : [another, get]
      case 'model_load_failed':
      case 'insufficient_memory': {
        const isRoomTaken = this.#events.models.some(({ state }) => state === 'ready')
        return [
          another,
          ...(isRoomTaken ? ([[vscode.l10n.t('Unload a Model'), 'aiHub.unloadModel']] as [string, string][]) : []),
          doctor,
        ]
      }
      case 'model_broken':
        return [another, logs]
      case 'worker_crashed':
      case 'internal':
        return [logs, doctor]
      case 'insufficient_storage':
        return [doctor]
      default:
        return []
    }
  }

  #isInUse(id: string): boolean {
    const { completion, chat } = readSettings()
    return id === chat.model || id === modelInUse(this.#events.models, completion.model)?.id
  }
}
