/** One editor's connection to the language server: everything that is registered with it, on one page. */
// The entry for Node installs what the common one runs on; its own createConnection would end the whole hub with one client.
import 'vscode-languageserver/node'
import {
  type CancellationToken,
  createConnection,
  createProtocolConnection,
  type InitializeParams,
  ProposedFeatures,
  TextDocumentSyncKind,
} from 'vscode-languageserver'
import { Completer, type Outcome } from '../assistant/complete.ts'
import { completionModel } from '../assistant/completion_model.ts'
import { HubError } from '../lib/error.ts'
import type { Log } from '../lib/log.ts'
import type { Models } from '../models/models.ts'
import { Accepted, EDITOR_MESSAGES, Visited } from '../wire/editor.ts'
import { readEditorSettings } from '../wire/editor_settings.ts'
import { Documents } from './documents.ts'
import { inlineCompletion } from './inline_completion.ts'
import { SocketReader, SocketWriter, type TextSocket } from './socket.ts'

export type LspDeps = {
  models: Models
  /** The model for a purpose when the settings name none. */
  defaultModel(purpose: 'chat' | 'code'): string | undefined
  version: string
  /** Keeps what became of a suggestion; called only when the user opted in. */
  collect(outcome: Outcome): void
  /** Told what became of each suggestion, without its text; `model` is what the settings name. */
  counted?(model: string, type: Outcome['type']): void
  log: Log
  /** Monotonic, in ms. */
  now(): number
  wait(ms: number, signal: AbortSignal): Promise<void>
}

/** After so long without a keystroke the user rests, and the surroundings are read. */
const REST_MS = 2500

/** Serves one client until its socket closes. Nothing that goes wrong in a request ends the connection. */
export function connect(deps: LspDeps, socket: TextSocket): { close(): void } {
  const { log } = deps
  const watch = { shutdownReceived: false, initialize: () => {}, exit: () => socket.close() }
  const connection = createConnection(
    logger => createProtocolConnection(new SocketReader(socket), new SocketWriter(socket), logger),
    watch,
    ProposedFeatures.all,
  )
  const documents = new Documents()
  const closed = new AbortController()
  let settings = readEditorSettings(undefined)
  let folders: string[] = []
  let canConfigure = false
  let resting = new AbortController()
  /** Reasons that were shown already: a missing model is told once, not at every key. */
  const told = new Set<string>()

  const modelOf = (purpose: 'chat' | 'code', named: string): string => {
    const id = named !== '' ? named : (deps.defaultModel(purpose) ?? deps.defaultModel('chat'))
    if (id === undefined) {
      throw new HubError('model_not_found', 'There is no model yet. Put a GGUF file into local_models, or pull one.')
    }
    return id
  }
  const completer = new Completer({
    ...completionModel(signal => deps.models.acquire(modelOf('code', settings.completion.model), signal)),
    now: deps.now,
    wait: deps.wait,
    settings: () => settings.completion,
    outcome(outcome) {
      deps.counted?.(settings.completion.model, outcome.type)
      if (settings.training.collectCompletions) deps.collect(outcome)
    },
  })

  const pathOf = (uri: string): string => {
    const folder = folders.find(each => uri.startsWith(`${each}/`))
    const path = folder === undefined ? uri.slice(uri.lastIndexOf('/') + 1) : uri.slice(folder.length + 1)
    try {
      return decodeURIComponent(path)
    } catch {
      return path
    }
  }
  const tell = (thrown: unknown): void => {
    const error = HubError.from(thrown)
    if (error.code === 'cancelled') return
    log.warn('a request of the editor failed', { code: error.code, reason: error.message })
    if (told.has(error.message)) return
    told.add(error.message)
    void connection.window.showWarningMessage(error.message)
  }
  const pullSettings = async (): Promise<void> => {
    if (!canConfigure) return
    try {
      settings = readEditorSettings(await connection.workspace.getConfiguration('aiHub'))
    } catch (thrown) {
      log.debug('the client gave no settings', { reason: HubError.from(thrown).message })
    }
  }
  /** Waits for a pause, then has the model read what surrounds the place. */
  const restAt = (uri: string, offset: number): void => {
    resting.abort()
    const mine = new AbortController()
    resting = mine
    if (!settings.completion.enabled) return
    void deps
      .wait(REST_MS, mine.signal)
      .then(async () => {
        const document = documents.get(uri)
        if (mine.signal.aborted || document === undefined) return
        const file = { uri, language: document.languageId, path: pathOf(uri) }
        await completer.rest({ ...file, text: document.getText(), offset }, mine.signal)
      })
      .catch((thrown: unknown) => log.debug('reading ahead failed', { reason: HubError.from(thrown).message }))
  }

  connection.onInitialize((params: InitializeParams) => {
    canConfigure = params.capabilities.workspace?.configuration === true
    folders = (params.workspaceFolders ?? []).map(({ uri }) => uri.replace(/\/$/, ''))
    const options: unknown = params.initializationOptions
    settings = readEditorSettings((options as { settings?: unknown } | undefined)?.settings)
    return {
      serverInfo: { name: 'AI Backend Hub', version: deps.version },
      capabilities: {
        textDocumentSync: { openClose: true, change: TextDocumentSyncKind.Incremental, save: true },
        inlineCompletionProvider: true,
        executeCommandProvider: { commands: ['aiHub.accepted'] },
        workspace: { workspaceFolders: { supported: true, changeNotifications: true } },
      },
    }
  })
  connection.onInitialized(async () => {
    await pullSettings()
    connection.workspace.onDidChangeWorkspaceFolders(({ added, removed }) => {
      const gone = removed.map(({ uri }) => uri.replace(/\/$/, ''))
      folders = [...folders.filter(each => !gone.includes(each)), ...added.map(({ uri }) => uri.replace(/\/$/, ''))]
    })
  })
  connection.onDidChangeConfiguration(async ({ settings: pushed }) => {
    told.clear()
    if (canConfigure) await pullSettings()
    else settings = readEditorSettings((pushed as { aiHub?: unknown } | undefined)?.aiHub)
  })

  connection.onDidOpenTextDocument(params => {
    const document = documents.open(params)
    completer.visited({ uri: document.uri, path: pathOf(document.uri) }, document.getText(), 0)
  })
  connection.onDidChangeTextDocument(params => {
    const changed = documents.change(params)
    if (changed === undefined) return
    const { document, offset } = changed
    completer.edited(document.uri, document.getText(), offset)
    restAt(document.uri, offset)
  })
  connection.onDidSaveTextDocument(({ textDocument: { uri } }) => {
    const document = documents.get(uri)
    if (document !== undefined) completer.visited({ uri, path: pathOf(uri) }, document.getText(), 0)
  })
  connection.onDidCloseTextDocument(({ textDocument: { uri } }) => {
    documents.close(uri)
    completer.closed(uri)
  })
  connection.onNotification(EDITOR_MESSAGES.visited, (value: unknown) => {
    const visited = Visited.safeParse(value)
    const document = visited.success ? documents.get(visited.data.uri) : undefined
    if (!visited.success || document === undefined) return
    const { uri, line } = visited.data
    completer.visited({ uri, path: pathOf(uri) }, document.getText(), line)
    restAt(uri, document.offsetAt({ line, character: 0 }))
  })

  connection.languages.inlineCompletion.on(async (params, token) => {
    const document = documents.get(params.textDocument.uri)
    if (document === undefined) return []
    const signal = toSignal(token, closed.signal)
    try {
      const path = pathOf(document.uri)
      return await inlineCompletion(completer, document, path, params, settings.completion, signal)
    } catch (thrown) {
      tell(thrown)
      return []
    }
  })
  const accepted = (value: unknown): void => {
    const taken = Accepted.safeParse(value)
    if (taken.success) completer.accepted(taken.data.id, taken.data.length)
  }
  connection.onNotification(EDITOR_MESSAGES.accepted, accepted)
  connection.onExecuteCommand(({ command, arguments: given = [] }) => {
    if (command === 'aiHub.accepted') accepted({ id: given[0], ...(given[1] !== undefined && { length: given[1] }) })
    return null
  })
  connection.onRequest(EDITOR_MESSAGES.counts, () => completer.counts)

  const end = (): void => {
    if (closed.signal.aborted) return
    closed.abort()
    resting.abort()
    completer.close()
  }
  connection.onShutdown(end)
  socket.onClose(() => {
    end()
    connection.dispose()
  })
  connection.listen()
  return { close: () => socket.close() }
}

/** Aborts when the client cancels or the connection ends. */
function toSignal(token: CancellationToken, closed: AbortSignal): AbortSignal {
  const controller = new AbortController()
  if (token.isCancellationRequested) controller.abort()
  token.onCancellationRequested(() => controller.abort())
  return AbortSignal.any([controller.signal, closed])
}
