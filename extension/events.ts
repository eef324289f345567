/** What the hub says by its events: the models with their states, the load, the training; kept for all views of this window. */
import * as vscode from 'vscode'
import type { WebSocket } from 'ws'
import type { HubEvent, ModelBrief } from '../server/wire/events.ts'
import type { SystemLoad } from '../server/wire/load.ts'
import type { TrainingJobOut } from '../server/wire/training.ts'
import type { Hub } from './hub.ts'
import { tokenRate } from './model_in_use.ts'
import { openSocket } from './socket.ts'

/** After a broken connection; the hub may be starting again. */
const RETRY_MS = 1000

export class Events implements vscode.Disposable {
  readonly #hub: Hub
  readonly #log: vscode.LogOutputChannel
  readonly #said = new vscode.EventEmitter<HubEvent>()
  readonly #subscription: vscode.Disposable
  #socket: WebSocket | undefined
  #isConnecting = false
  #isDisposed = false
  readonly onEvent = this.#said.event
  readonly #connection = new vscode.EventEmitter<boolean>()
  /** The hub's events come, or have broken off. */
  readonly onConnection = this.#connection.event
  /** What the hub said first; undefined while its events do not come. */
  hello: Extract<HubEvent, { type: 'hello' }> | undefined
  models: readonly ModelBrief[] = []
  load: SystemLoad | undefined
  /** Of all models together, while one writes; undefined when none does. */
  tokensPerSecond: number | undefined
  readonly jobs = new Map<string, TrainingJobOut>()

  constructor(hub: Hub, log: vscode.LogOutputChannel) {
    this.#hub = hub
    this.#log = log
    this.#subscription = hub.onDidChange(() => this.#connect())
    this.#connect()
  }

  /** A model of that id as it was last heard of. */
  model(id: string): ModelBrief | undefined {
    return this.models.find(model => model.id === id)
  }

  dispose(): void {
    this.#isDisposed = true
    this.#subscription.dispose()
    this.#socket?.terminate()
    this.#said.dispose()
    this.#connection.dispose()
  }

  #connect(): void {
    const { address, state } = this.#hub
    if (this.#isDisposed || this.#isConnecting || this.#socket !== undefined) return
    if (address === undefined || state !== 'ready') return
    this.#isConnecting = true
    openSocket(`${address.url.replace(/^http/, 'ws')}/v1/events`, address.token, socket => this.#listen(socket))
      .catch((thrown: unknown) => {
        this.#log.debug('no events yet', String(thrown))
        setTimeout(() => this.#connect(), RETRY_MS)
      })
      .finally(() => {
        this.#isConnecting = false
      })
  }

  #listen(socket: WebSocket): void {
    if (this.#isDisposed) {
      socket.terminate()
      return
    }
    this.#socket = socket
    socket.on('message', data => this.#take(JSON.parse(data.toString()) as HubEvent))
    socket.once('close', () => {
      this.#socket = undefined
      this.#forget()
      if (!this.#isDisposed) this.#connection.fire(false)
      setTimeout(() => this.#connect(), RETRY_MS)
    })
  }

  #forget(): void {
    this.models = []
    this.hello = undefined
    this.load = undefined
    this.tokensPerSecond = undefined
    if (!this.#isDisposed) this.#said.fire({ type: 'models.changed', models: [] })
  }

  #take(event: HubEvent): void {
    switch (event.type) {
      case 'hello':
        this.hello = event
        this.models = event.models
        this.#connection.fire(true)
        break
      case 'models.changed':
        this.models = event.models
        break
      case 'model.state':
        this.models = [...this.models.filter(model => model.id !== event.model.id), event.model]
        break
      case 'model.progress':
        this.models = this.models.map(model => (model.id === event.id ? { ...model, progress: event.fraction } : model))
        break
      case 'system.load':
        this.tokensPerSecond = tokenRate(this.load, event.load)
        this.load = event.load
        break
      case 'training.job':
        this.jobs.set(event.job.id, event.job)
        break
      case 'training.progress': {
        const job = this.jobs.get(event.id)
        if (job !== undefined) this.jobs.set(event.id, { ...job, progress: event.progress })
        break
      }
      case 'training.message':
        break
    }
    this.#said.fire(event)
  }
}
