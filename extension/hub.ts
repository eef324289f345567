/** The one hub that this window uses: found, or started as a process of its own that other windows share; and what to do when neither works. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import * as vscode from 'vscode'
import { findHub, type HubAddress, readHealth, readRecord, resolveHome } from './home.ts'
import { endProcess, LaunchError, type LaunchReason, launchHub, type Program, runCommand } from './launch.ts'
import { findNode, WANTED_NODE } from './node.ts'
import { readSettings } from './settings.ts'

export type HubState = 'starting' | 'ready' | 'stopped' | 'failed'

/** No hub, and the user was told why. */
export class NoHub extends Error {
  override readonly name = 'NoHub'
}

/** Starts of the hub within three minutes before it counts as one that cannot run. */
const MAX_STARTS = 4
const STARTS_MS = 3 * 60_000
/** Without a hub it is looked again so often: someone may start one in a terminal. */
const LOOK_MS = 5000

export class Hub implements vscode.Disposable {
  readonly #context: vscode.ExtensionContext
  readonly #log: vscode.LogOutputChannel
  readonly #changed = new vscode.EventEmitter<HubState>()
  readonly onDidChange = this.#changed.event
  readonly #closed = new AbortController()
  #state: HubState = 'stopped'
  #address: HubAddress | undefined
  #seeking: Promise<HubAddress> | undefined
  /** When hubs were started, in ms. */
  #starts: number[] = []
  /** The user stopped it, or it cannot run: nothing but the user starts it again. */
  #held = false
  #versionTold: string | undefined
  readonly #looking: NodeJS.Timeout

  constructor(context: vscode.ExtensionContext, log: vscode.LogOutputChannel) {
    this.#context = context
    this.#log = log
    this.#looking = setInterval(() => void this.#look(), LOOK_MS)
  }

  get state(): HubState {
    return this.#state
  }

  get address(): HubAddress | undefined {
    return this.#address
  }

  /** The folder with server/: of a package, or of the clone that the extension is run from. */
  get folder(): string {
    const packaged = join(this.#context.extensionPath, 'hub')
    return existsSync(join(packaged, 'server')) ? packaged : this.#context.extensionPath
  }

  get home(): string {
    return resolveHome({ named: readSettings().hub.home, program: this.folder })
  }

  /** Whether the hub reads the same disk as this window: not one that the settings name by an address. */
  get isLocal(): boolean {
    return readSettings().hub.url === ''
  }

  /** The hub's command line, for what is done without its API. @throws LaunchError without a Node that is new enough */
  program(): Program {
    const { folder, home } = this
    const node = findNode({ program: folder })
    if (node === undefined) {
      throw new LaunchError(vscode.l10n.t('Node {0} was not found; the hub runs on it.', WANTED_NODE), 'node')
    }
    const cache = this.#context.globalStorageUri.fsPath
    return { node, folder, home, ...(folder !== this.#context.extensionPath && { cache: join(cache, 'compiled') }) }
  }

  /** The hub that runs; where none does it is started. Callers at the same time wait for the same one. @throws NoHub */
  ensure(): Promise<HubAddress> {
    this.#seeking ??= this.#seek().finally(() => {
      this.#seeking = undefined
    })
    return this.#seeking
  }

  /** Like ensure, by the user's own wish: what was held back is tried again. */
  start(options: { anyPort?: boolean } = {}): Promise<HubAddress> {
    this.#held = false
    this.#starts = []
    if (options.anyPort === true) void this.#context.globalState.update(ANY_PORT, true)
    return this.ensure()
  }

  /** Ends the hub, for all windows, and starts the one of this extension. @throws NoHub */
  async restart(): Promise<HubAddress> {
    const record = readRecord(this.home)
    const isRunning = record !== undefined && (await findHub(this.home)) !== undefined
    if (isRunning) {
      this.#log.info('ending the hub to start it again', record.pid)
      await endProcess(record.pid, this.#wait)
    }
    return this.start()
  }

  /** Its connection broke: it has ended, or is another one now. */
  lost(): void {
    if (this.#state === 'ready') this.#set('stopped')
  }

  dispose(): void {
    clearInterval(this.#looking)
    this.#closed.abort()
    this.#changed.dispose()
  }

  async #seek(): Promise<HubAddress> {
    const found = await this.#find()
    if (found !== undefined) return this.#use(found)
    const { url, autoStart } = readSettings().hub
    if (url !== '') {
      this.#set('failed')
      throw this.#tell(vscode.l10n.t('No hub answers at {0}.', url), ['tryAgain', 'settings'])
    }
    if (this.#held || !autoStart) {
      if (this.#state !== 'failed') this.#set('stopped')
      throw new NoHub(vscode.l10n.t('The hub is not running.'))
    }
    const now = Date.now()
    this.#starts = [...this.#starts.filter(each => now - each < STARTS_MS), now]
    if (this.#starts.length > MAX_STARTS) {
      this.#held = true
      this.#set('failed')
      throw this.#tell(vscode.l10n.t('The hub ends again and again; its log says why.'), ['logs', 'doctor', 'tryAgain'])
    }
    this.#set('starting')
    try {
      return this.#use(await this.#launch())
    } catch (thrown) {
      this.#held = true
      this.#set('failed')
      throw this.#explain(thrown)
    }
  }

  async #look(): Promise<void> {
    if (this.#state === 'ready' || this.#seeking !== undefined) return
    const found = await this.#find()
    if (found !== undefined && this.#seeking === undefined && !this.#closed.signal.aborted) this.#use(found)
  }

  async #find(): Promise<HubAddress | undefined> {
    const { url } = readSettings().hub
    if (url === '') return findHub(this.home)
    const bare = url.replace(/\/+$/, '')
    const health = await readHealth(bare)
    if (health === undefined) return undefined
    // The token of a hub on this machine is in its home; that of another one the user has to give.
    const record = readRecord(this.home)
    const token = record?.url === bare ? record.token : await this.#context.secrets.get(tokenKey(bare))
    const { version } = health
    return { url: bare, ...(token !== undefined && { token }), ...(version !== undefined && { version }) }
  }

  async #launch(): Promise<HubAddress> {
    const program = this.program()
    this.#log.info('starting the hub', program)
    const launch = (anyPort: boolean): Promise<HubAddress> =>
      launchHub(program, { anyPort, wait: this.#wait, signal: this.#closed.signal })
    const title = vscode.l10n.t('Starting the AI hub')
    return vscode.window.withProgress({ location: vscode.ProgressLocation.Window, title }, async () => {
      try {
        return await launch(false)
      } catch (thrown) {
        // The user chose once that another port is better than none.
        const isAllowed = this.#context.globalState.get(ANY_PORT, false)
        if (isAllowed && thrown instanceof LaunchError && thrown.reason === 'port') return launch(true)
        throw thrown
      }
    })
  }

  readonly #wait = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))

  #use(address: HubAddress): HubAddress {
    const isNew = address.url !== this.#address?.url || address.token !== this.#address.token
    this.#address = address
    if (isNew) {
      this.#log.info('the hub is at', address.url)
      this.#compareVersion(address)
    }
    this.#set('ready')
    return address
  }

  /** A hub that another version of the extension started serves this one too, as far as it can: said once. */
  #compareVersion({ version }: HubAddress): void {
    const { version: own } = this.#context.extension.packageJSON as { version: string }
    if (version === undefined || version === own || version === this.#versionTold) return
    this.#versionTold = version
    const isOlder = version.localeCompare(own, undefined, { numeric: true }) < 0
    this.#tell(
      isOlder
        ? vscode.l10n.t('The hub that runs is version {0}, older than this extension, which is {1}.', version, own)
        : vscode.l10n.t('The hub that runs is version {0}, newer than this extension, which is {1}.', version, own),
      isOlder ? (this.isLocal ? ['restart'] : []) : ['reload'],
      vscode.window.showWarningMessage,
    )
  }

  #set(state: HubState): void {
    if (state === this.#state) return
    this.#state = state
    void vscode.commands.executeCommand('setContext', 'aiHub.state', state)
    this.#changed.fire(state)
  }

  #explain(thrown: unknown): NoHub {
    if (this.#closed.signal.aborted) return new NoHub('closed')
    const message = thrown instanceof Error ? thrown.message : String(thrown)
    this.#log.error('the hub did not start', message)
    const actions: { [reason in LaunchReason]: Action[] } = {
      port: ['anyPort', 'tryAgain'],
      disk: ['home', 'doctor', 'tryAgain'],
      // The doctor runs on Node itself.
      node: ['node', 'tryAgain'],
      other: ['doctor', 'logs', 'tryAgain'],
    }
    const reason = thrown instanceof LaunchError ? thrown.reason : 'other'
    return this.#tell(vscode.l10n.t('The AI hub did not start. {0}', message), actions[reason])
  }

  /** Shows a problem with the actions that solve it, without waiting for the user. */
  #tell(
    message: string,
    actions: Action[],
    show: (message: string, ...titles: string[]) => Thenable<string | undefined> = vscode.window.showErrorMessage,
  ): NoHub {
    const { commands } = vscode
    const known: { [action in Action]: [title: string, run: () => Thenable<unknown>] } = {
      anyPort: [vscode.l10n.t('Use Another Port'), () => commands.executeCommand('aiHub.startHub', true)],
      tryAgain: [vscode.l10n.t('Try Again'), () => commands.executeCommand('aiHub.startHub')],
      settings: [
        vscode.l10n.t('Open Settings'),
        () => commands.executeCommand('workbench.action.openSettings', 'aiHub.hub'),
      ],
      logs: [vscode.l10n.t('Show Logs'), () => commands.executeCommand('aiHub.showLogs')],
      doctor: [vscode.l10n.t('Run Doctor'), () => commands.executeCommand('aiHub.doctor')],
      restart: [vscode.l10n.t('Restart the Hub'), () => commands.executeCommand('aiHub.restartHub')],
      reload: [vscode.l10n.t('Reload Window'), () => commands.executeCommand('workbench.action.reloadWindow')],
      node: [vscode.l10n.t('Get Node'), () => vscode.env.openExternal(vscode.Uri.parse(NODE_PAGE))],
      home: [
        vscode.l10n.t('Open the Folder'),
        () => commands.executeCommand('revealFileInOS', vscode.Uri.file(this.home)),
      ],
    }
    const act = async (): Promise<void> => {
      const chosen = await show(message, ...actions.map(action => known[action][0]))
      await actions
        .map(action => known[action])
        .find(([title]) => title === chosen)?.[1]()
    }
    void act()
    return new NoHub(message)
  }

  /** What `ai-hub doctor` says. */
  doctor(signal: AbortSignal): Promise<string> {
    return runCommand(this.program(), ['doctor'], signal)
  }

  /** Keeps the token of a hub that the settings name by its address. */
  async setToken(token: string): Promise<void> {
    const { url } = readSettings().hub
    await this.#context.secrets.store(tokenKey(url.replace(/\/+$/, '')), token)
  }
}

type Action = 'anyPort' | 'tryAgain' | 'settings' | 'logs' | 'doctor' | 'restart' | 'reload' | 'node' | 'home'
const NODE_PAGE = 'https://nodejs.org/en/download'
const ANY_PORT = 'anyPort'
const tokenKey = (url: string): string => `token ${url}`
