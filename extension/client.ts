/** The language client of this window: connects to the hub's language server, and again whenever the connection breaks. */
import * as vscode from 'vscode'
import type { LanguageClient, LanguageClientOptions } from 'vscode-languageclient/node'
import type { WebSocket } from 'ws'
import type { EDITOR_MESSAGES, LSP_PATH, Problem } from '../server/wire/editor.ts'
import { type Hub, NoHub } from './hub.ts'
import { readSettings } from './settings.ts'
import { openSocket } from './socket.ts'

/** The names of the hub's own messages; the type keeps them equal to the server's. */
export const MESSAGES: Omit<typeof EDITOR_MESSAGES, 'accepted' | 'counts' | 'dismiss'> & { rewrite: 'aiHub/rewrite' } =
  {
    visited: 'aiHub/visited',
    review: 'aiHub/review',
    commitMessage: 'aiHub/commitMessage',
    branchName: 'aiHub/branchName',
    explainTerminal: 'aiHub/explainTerminal',
    ask: 'aiHub/ask',
    rewrite: 'aiHub/rewrite',
    problem: 'aiHub/problem',
  }
const DOOR: typeof LSP_PATH = '/lsp'

type Protocol = typeof import('./protocol.ts')

/** Commands that the server asks this client to run; those it does not know the server handles itself. */
const CLIENT_COMMANDS = ['aiHub.showMarkdown', 'aiHub.rewrite', 'aiHub.rename']

/** The last is the input of the source control view, whose language is among those without suggestions at first. */
const SELECTOR = ['file', 'untitled', 'vscode-notebook-cell', 'vscode-scm'].map(scheme => ({ scheme }))

/** Waits between attempts: the first ones are quick, since a hub starts within a second or two. */
const RETRY_MS = [200, 500, 1000, 2000, 5000]
/** The place is told when the user stays at it. */
const VISIT_MS = 400

export class Client implements vscode.Disposable {
  readonly #hub: Hub
  readonly #log: vscode.LogOutputChannel
  readonly #isSnoozed: () => boolean
  readonly #problem: (problem: Problem) => void
  readonly #subscriptions: vscode.Disposable[] = []
  readonly #connected = new vscode.EventEmitter<void>()
  readonly onConnected = this.#connected.event
  #client: LanguageClient | undefined
  #protocol: Protocol | undefined
  #isConnecting = false
  #isDisposed = false
  #failures = 0
  #refusalTold = false
  #visit: NodeJS.Timeout | undefined

  constructor(deps: { hub: Hub; log: vscode.LogOutputChannel; isSnoozed(): boolean; problem(problem: Problem): void }) {
    this.#hub = deps.hub
    this.#log = deps.log
    this.#isSnoozed = deps.isSnoozed
    this.#problem = deps.problem
    this.#subscriptions.push(
      this.#connected,
      deps.hub.onDidChange(state => {
        if (state === 'ready') void this.connect()
      }),
      vscode.window.onDidChangeTextEditorSelection(({ textEditor }) => this.#visited(textEditor)),
    )
  }

  get isConnected(): boolean {
    return this.#client?.isRunning() === true
  }

  /** Connects unless it is connected; a hub is started where none runs. Never throws: the hub tells the user what is wrong. */
  async connect(): Promise<void> {
    if (this.#isConnecting || this.#isDisposed || this.#client !== undefined) return
    this.#isConnecting = true
    let retryMs: number | undefined
    try {
      const address = await this.#hub.ensure()
      this.#protocol ??= await import('./protocol.ts')
      const socket = await openSocket(`${address.url.replace(/^http/, 'ws')}${DOOR}`, address.token)
      await this.#start(socket, this.#protocol)
      this.#failures = 0
    } catch (thrown) {
      retryMs = this.#failed(thrown)
    } finally {
      this.#isConnecting = false
    }
    if (retryMs !== undefined) this.#later(retryMs)
  }

  /**
   * Sends one of the hub's own requests, with progress that can be cancelled.
   * @returns null when the server could not, which it has told the user; undefined when it was cancelled or there is no hub
   */
  async request<T>(method: string, params: object, title: string): Promise<T | null | undefined> {
    await this.connect()
    const client = this.#client
    const protocol = this.#protocol
    if (client === undefined || protocol === undefined) {
      void vscode.window.showWarningMessage(vscode.l10n.t('The AI hub is not connected yet; try again in a moment.'))
      return undefined
    }
    return vscode.window.withProgress(
      { location: vscode.ProgressLocation.Notification, title, cancellable: true },
      async (progress, token) => {
        const workDoneToken = `aiHub-${++tokens}`
        let done = 0
        const following = client.onProgress(protocol.WorkDoneProgress.type, workDoneToken, value => {
          const { message } = value
          const percentage = value.kind === 'end' ? undefined : value.percentage
          const increment = percentage === undefined ? 0 : Math.max(0, percentage - done)
          done += increment
          progress.report({ increment, ...(message !== undefined && { message }) })
        })
        try {
          return await client.sendRequest<T | null>(method, { ...params, workDoneToken }, token)
        } catch (thrown) {
          if (token.isCancellationRequested) return undefined
          throw thrown
        } finally {
          following.dispose()
        }
      },
    )
  }

  async dispose(): Promise<void> {
    this.#isDisposed = true
    clearTimeout(this.#visit)
    for (const each of this.#subscriptions) each.dispose()
    const client = this.#client
    this.#client = undefined
    // The window is closing: a hub that does not answer must not keep it open.
    await client?.stop(1000).catch(() => undefined)
  }

  async #start(socket: WebSocket, protocol: Protocol): Promise<void> {
    const { LanguageClient, SocketReader, SocketWriter } = protocol
    const client = new LanguageClient(
      'aiHub',
      'AI Backend Hub',
      async () => ({ reader: new SocketReader(socket), writer: new SocketWriter(socket) }),
      this.#options(protocol),
    )
    this.#client = client
    client.onNotification(MESSAGES.problem, (problem: Problem) => this.#problem(problem))
    socket.once('close', () => this.#closed(client))
    try {
      await client.start()
    } catch (thrown) {
      this.#client = undefined
      socket.terminate()
      throw thrown
    }
    this.#log.info('connected to the language server')
    this.#connected.fire()
  }

  #options({ CloseAction, ErrorAction, RevealOutputChannelOn }: Protocol): LanguageClientOptions {
    return {
      documentSelector: SELECTOR,
      outputChannel: this.#log,
      revealOutputChannelOn: RevealOutputChannelOn.Never,
      diagnosticCollectionName: 'ai-hub',
      initializationOptions: { settings: readSettings(), commands: CLIENT_COMMANDS, problems: true },
      synchronize: { configurationSection: 'aiHub' },
      markdown: { isTrusted: false },
      initializationFailedHandler: error => {
        this.#log.error('the language server refused', String(error))
        return false
      },
      errorHandler: {
        error: () => ({ action: ErrorAction.Continue, handled: true }),
        // A new client is made for a new connection, see #closed.
        closed: () => ({ action: CloseAction.DoNotRestart, handled: true }),
      },
      middleware: {
        provideInlineCompletionItems: (document, position, context, token, next) => {
          const isAutomatic = context.triggerKind === vscode.InlineCompletionTriggerKind.Automatic
          return isAutomatic && this.#isSnoozed() ? [] : next(document, position, context, token)
        },
      },
    }
  }

  #closed(client: LanguageClient): void {
    if (this.#client !== client) return
    this.#client = undefined
    if (this.#isDisposed) return
    this.#log.info('the connection to the language server was closed')
    void client.dispose().catch(() => undefined)
    this.#hub.lost()
    this.#later(RETRY_MS[0])
  }

  #failed(thrown: unknown): number | undefined {
    // The hub tells the user, and its next start is heard of by its state.
    if (thrown instanceof NoHub || this.#isDisposed) return undefined
    const message = thrown instanceof Error ? thrown.message : String(thrown)
    this.#log.warn('no connection to the language server', message)
    this.#hub.lost()
    if (/\b40[13]\b/.test(message) && !this.#refusalTold) {
      this.#refusalTold = true
      void this.#askForToken()
    }
    return RETRY_MS[Math.min(this.#failures++, RETRY_MS.length - 1)]
  }

  async #askForToken(): Promise<void> {
    const give = vscode.l10n.t('Enter Key')
    const message = vscode.l10n.t('The hub asks for an API key of the role admin.')
    if ((await vscode.window.showErrorMessage(message, give)) === give) {
      await vscode.commands.executeCommand('aiHub.setToken')
    }
  }

  #later(ms: number | undefined): void {
    setTimeout(() => void this.connect(), ms)
  }

  #visited({ document, selection }: vscode.TextEditor): void {
    clearTimeout(this.#visit)
    if (vscode.languages.match(SELECTOR, document) === 0) return
    const params = { uri: document.uri.toString(), line: selection.active.line }
    this.#visit = setTimeout(() => {
      if (this.isConnected) void this.#client?.sendNotification(MESSAGES.visited, params)
    }, VISIT_MS)
  }
}

let tokens = 0
