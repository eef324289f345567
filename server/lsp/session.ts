/** What all parts of one editor's connection share: its settings and folders, what its client can do, and how work for it runs. */
import { join } from 'node:path'
import type { CancellationToken, Connection, InitializeParams } from 'vscode-languageserver'
import { MessageType, ShowMessageNotification } from 'vscode-languageserver'
import * as z from 'zod'
import { type AskModel, askModel } from '../assistant/ask.ts'
import type { Outcome } from '../assistant/outcomes.ts'
import { HubError } from '../lib/error.ts'
import type { Log } from '../lib/log.ts'
import type { Models } from '../models/models.ts'
import { EDITOR_MESSAGES, type Problem } from '../wire/editor.ts'
import { readEditorSettings } from '../wire/editor_settings.ts'
import { Documents } from './documents.ts'
import { fileUri, keyOf, listFiles, localPath, readText } from './files.ts'
import { type Locale, say, type TextName } from './texts.ts'

export type LspDeps = {
  models: Models
  /** The model for a purpose when the settings name none. */
  defaultModel(purpose: 'chat' | 'code'): string | undefined
  version: string
  /** Folder that keeps what was dismissed. */
  home: string
  /** Keeps what became of a suggestion; called only when the user opted in. */
  collect(outcome: Outcome): void
  /** Told what became of each suggestion, without its text; `model` is what the settings name. */
  counted?(model: string, type: Outcome['type']): void
  log: Log
  /** Monotonic, in ms. */
  now(): number
  wait(ms: number, signal: AbortSignal): Promise<void>
}

/** What the client can do. */
export type Client = {
  locale: Locale
  /** Commands that it runs itself. */
  commands: ReadonlySet<string>
  configuration: boolean
  /** It tells when folders come and go. */
  folders: boolean
  /** Edits may ask for confirmation, name a version, make files. */
  annotations: boolean
  documentChanges: boolean
  createFiles: boolean
  /** A code action's edit may be computed when it is chosen. */
  resolves: boolean
  tags: boolean
  progress: boolean
  /** It shows itself what went wrong, with what can be done about it. */
  problems: boolean
}

export type Running = {
  signal: AbortSignal
  report(message: string, /** 0 to 1 */ fraction?: number): void
}

const Folders = z.array(z.object({ uri: z.string() })).catch([])
const FoldersEvent = z.object({ added: Folders, removed: Folders }).catch({ added: [], removed: [] })
const bare = ({ uri }: { uri: string }): string => uri.replace(/\/$/, '')

/** Reports of a running answer come no more often than this. */
const REPORT_MS = 250

export class Session {
  readonly deps: LspDeps
  readonly connection: Connection
  readonly documents = new Documents()
  readonly #closed = new AbortController()
  settings = readEditorSettings(undefined)
  client: Client = readClient({ capabilities: {} })
  /** URIs without a slash at the end. */
  folders: string[] = []
  /** Reasons that were shown already: a missing model is told once, not at every key. */
  readonly #told = new Set<string>()

  constructor(deps: LspDeps, connection: Connection) {
    this.deps = deps
    this.connection = connection
  }

  get closed(): AbortSignal {
    return this.#closed.signal
  }

  initialize(params: InitializeParams): void {
    this.client = readClient(params)
    // Editors that know of one folder only name it as LSP did before there were several.
    const root = params.rootUri ? [{ uri: params.rootUri }] : []
    this.folders = Folders.parse(params.workspaceFolders ?? root).map(bare)
    const options: unknown = params.initializationOptions
    this.settings = readEditorSettings((options as { settings?: unknown } | null | undefined)?.settings)
  }

  /** Asks the client for its settings, where it can tell. */
  async pullSettings(): Promise<void> {
    if (!this.client.configuration) return
    try {
      this.settings = readEditorSettings(await this.connection.workspace.getConfiguration('aiHub'))
    } catch (thrown) {
      this.deps.log.debug('the client gave no settings', { reason: HubError.from(thrown).message })
    }
  }

  async configurationChanged(pushed: unknown): Promise<void> {
    this.#told.clear()
    if (this.client.configuration) await this.pullSettings()
    else this.settings = readEditorSettings((pushed as { aiHub?: unknown } | null | undefined)?.aiHub)
  }

  foldersChanged(event: unknown): void {
    const { added, removed } = FoldersEvent.parse(event)
    const gone = removed.map(bare)
    this.folders = [...this.folders.filter(each => !gone.includes(each)), ...added.map(bare)]
  }

  /** Of a document in its workspace, with forward slashes; its name where it is in none. */
  pathOf(uri: string): string {
    const folder = this.folderOf(uri)
    const key = fileKey(uri)
    if (folder !== undefined) return key.slice(keyOf(folder).length + 1)
    // A document without a file has a scheme and a name only.
    return key.slice(key.lastIndexOf('/') + 1).replace(/^[a-z][\w+.-]+:/i, '')
  }

  /** URI of the workspace folder that holds a document. */
  folderOf(uri: string): string | undefined {
    const key = fileKey(uri)
    return this.folders.find(each => key.startsWith(`${keyOf(each)}/`))
  }

  /** The folder on this machine that a request names, else the first of the workspace. @throws HubError invalid_request */
  localFolder(named: string | undefined): string {
    const folder = named ?? this.folders[0]
    const path = folder === undefined ? undefined : localPath(folder)
    if (path === undefined) throw new HubError('invalid_request', 'Open a folder of this machine first.')
    return path
  }

  /** The URI by which the client knows a file. */
  uriOf(folder: string, path: string): string {
    return this.documents.find(fileUri(folder, path))?.uri ?? fileUri(folder, path)
  }

  /** Paths of the files of a workspace folder; those of the open documents where it is not on this machine. */
  async filesOf(folder: string | undefined, signal: AbortSignal): Promise<string[]> {
    const open = this.documents.all().map(each => this.pathOf(each.uri))
    const local = folder === undefined ? undefined : localPath(folder)
    return local === undefined ? open : [...new Set([...(await listFiles(local, signal)), ...open])]
  }

  /** A file of a workspace folder as the editor has it, else as it is on disk. */
  async readFile(
    folder: string | undefined,
    path: string,
  ): Promise<{ uri: string; text: string; version: number | null } | undefined> {
    const open = this.documents.all().find(each => this.folderOf(each.uri) === folder && this.pathOf(each.uri) === path)
    if (open !== undefined) return { uri: open.uri, text: open.getText(), version: open.version }
    const local = folder === undefined ? undefined : localPath(folder)
    const text = local === undefined ? undefined : await readText(join(local, ...path.split('/')))
    return text === undefined ? undefined : { uri: `${folder}/${encodePath(path)}`, text, version: null }
  }

  /** The URI of a path in a workspace folder, or beside a document that is in none. */
  uriIn(folder: string | undefined, uri: string, path: string): string {
    return folder === undefined ? new URL(encodePath(path), uri).href : `${folder}/${encodePath(path)}`
  }

  modelOf(purpose: 'chat' | 'code'): string {
    const named = purpose === 'chat' ? this.settings.chat.model : this.settings.completion.model
    const id = named !== '' ? named : (this.deps.defaultModel(purpose) ?? this.deps.defaultModel('chat'))
    if (id === undefined) {
      throw new HubError(
        'model_not_found',
        'There is no model yet. Get one with "ai-hub pull", or put a GGUF file into local_models.',
      )
    }
    return id
  }

  /** The chat model, telling how its answer grows. */
  ask(running: Running): AskModel {
    let reported = Number.NEGATIVE_INFINITY
    return askModel(
      signal => this.deps.models.acquire(this.modelOf('chat'), signal),
      characters => {
        const now = this.deps.now()
        if (now - reported < REPORT_MS) return
        reported = now
        running.report(this.say('characters', String(characters)))
      },
    )
  }

  say(name: TextName, value?: string): string {
    return say(this.client.locale, name, value)
  }

  /**
   * Does what a request asks for. Whatever goes wrong is shown to the user, and the editor gets `otherwise`: it never gets an error.
   * @param once shows each reason a single time
   */
  async guard<T>(
    token: CancellationToken | undefined,
    otherwise: T,
    work: (signal: AbortSignal) => Promise<T> | T,
    { once = false }: { once?: boolean } = {},
  ): Promise<T> {
    const signal = token === undefined ? this.closed : toSignal(token, this.closed)
    try {
      return await work(signal)
    } catch (thrown) {
      if (!signal.aborted) this.tell(thrown, once)
      return otherwise
    }
  }

  /** As `guard`, with progress under the request's own token, or under one that is made for it. */
  withProgress<T>(
    token: CancellationToken,
    title: TextName,
    workDoneToken: string | number | undefined,
    otherwise: T,
    work: (running: Running) => Promise<T>,
  ): Promise<T> {
    return this.guard(token, otherwise, async outer => {
      const { signal, reporter } = await this.#reporter(workDoneToken, outer)
      reporter?.begin(this.say(title), 0, undefined, true)
      try {
        return await work({
          signal,
          report(message, fraction) {
            if (fraction === undefined) reporter?.report(message)
            else reporter?.report(fraction * 100, message)
          },
        })
      } catch (thrown) {
        if (signal.aborted) throw new HubError('cancelled', 'The request was cancelled.')
        throw thrown
      } finally {
        reporter?.done()
      }
    })
  }

  async #reporter(workDoneToken: string | number | undefined, signal: AbortSignal) {
    const { window } = this.connection
    if (workDoneToken !== undefined) return { signal, reporter: window.attachWorkDoneProgress(workDoneToken) }
    if (!this.client.progress) return { signal }
    const aborted = new Promise<undefined>(resolve => signal.addEventListener('abort', () => resolve(undefined)))
    const reporter = await Promise.race([window.createWorkDoneProgress().catch(() => undefined), aborted])
    if (reporter === undefined) return { signal }
    return { signal: toSignal(reporter.token, signal), reporter }
  }

  /** Shows what went wrong; what was cancelled is no news. */
  tell(thrown: unknown, once = false): void {
    const error = HubError.from(thrown)
    if (error.code === 'cancelled' || this.closed.aborted) return
    this.deps.log.warn('a request of the editor failed', { code: error.code, reason: error.message })
    if (once && this.#told.has(error.message)) return
    this.#told.add(error.message)
    if (this.client.problems) {
      const problem: Problem = { code: error.code, message: error.message }
      this.connection.sendNotification(EDITOR_MESSAGES.problem, problem).catch(() => {})
      return
    }
    this.show(error.message, error.code === 'unusable_answer' ? MessageType.Info : MessageType.Warning)
  }

  /** A notification, not a request: an editor that goes away meanwhile leaves nothing waiting. */
  show(message: string, type: MessageType = MessageType.Info): void {
    this.connection.sendNotification(ShowMessageNotification.type, { type, message }).catch(() => {})
  }

  end(): void {
    this.#closed.abort()
  }
}

/** As keyOf; of a notebook's cell that of the notebook: its URI has another scheme, and behind the path what tells cells apart. */
const fileKey = (uri: string): string =>
  keyOf(uri.replace(/#.*$/, '').replace(/^vscode-notebook-cell:(?:\/\/)?(?=\/)/, 'file://'))

const encodePath = (path: string): string => path.split('/').map(encodeURIComponent).join('/')

function readClient({
  capabilities,
  initializationOptions,
  locale = '',
}: Pick<InitializeParams, 'capabilities' | 'initializationOptions' | 'locale'>): Client {
  const { workspace, textDocument, window } = capabilities
  const edits = workspace?.workspaceEdit
  const resolvable = textDocument?.codeAction?.resolveSupport?.properties ?? []
  const options = initializationOptions as { commands?: unknown; problems?: unknown } | null | undefined
  const named = options?.commands
  const commands = Array.isArray(named) ? named.filter((each): each is string => typeof each === 'string') : []
  const documentChanges = edits?.documentChanges === true
  return {
    locale: /^vi\b/i.test(locale) ? 'vi' : 'en',
    commands: new Set(commands),
    configuration: workspace?.configuration === true,
    folders: workspace?.workspaceFolders === true,
    documentChanges,
    annotations: documentChanges && edits?.changeAnnotationSupport !== undefined,
    createFiles: documentChanges && edits?.resourceOperations?.includes('create') === true,
    resolves: resolvable.includes('edit') && textDocument?.codeAction?.dataSupport !== false,
    tags: textDocument?.codeAction?.tagSupport !== undefined,
    progress: window?.workDoneProgress === true,
    problems: options?.problems === true,
  }
}

/** Aborts when the client cancels or the connection ends. */
function toSignal(token: CancellationToken, closed: AbortSignal): AbortSignal {
  const controller = new AbortController()
  if (token.isCancellationRequested) controller.abort()
  token.onCancellationRequested(() => controller.abort())
  return AbortSignal.any([controller.signal, closed])
}
