/** The one hub that this window uses: found, or started as a process of its own that other windows share; and what to do when neither works. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import * as vscode from 'vscode'
import { findHub, type HubAddress, readHealth, readRecord, resolveHome } from './home.ts'
import { LaunchError, launchHub, type Program, runCommand } from './launch.ts'
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

  /** The hub's command line, for what is done without its API. @throws NoHub without a Node that is new enough */
  program(): Program {
    const { folder, home } = this
    const node = findNode({ program: folder })
    if (node === undefined) {
      throw new NoHub(vscode.l10n.t('Node {0} was not found; the hub runs on it.', WANTED_NODE))
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
    if ((await readHealth(bare)) === undefined) return undefined
    // The token of a hub on this machine is in its home; that of another one the user has to give.
    const record = readRecord(this.home)
    const token = record?.url === bare ? record.token : await this.#context.secrets.get(tokenKey(bare))
    return { url: bare, ...(token !== undefined && { token }) }
  }

  #launch(): Promise<HubAddress> {
    const program = this.program()
    this.#log.info('starting the hub', program)
    return Promise.resolve(
      vscode.window.withProgress(
        { location: vscode.ProgressLocation.Window, title: vscode.l10n.t('Starting the AI hub') },
        () =>
          launchHub(program, {
            anyPort: this.#context.globalState.get(ANY_PORT, false),
            wait: ms => new Promise(resolve => setTimeout(resolve, ms)),
            signal: this.#closed.signal,
          }),
      ),
    )
  }

  #use(address: HubAddress): HubAddress {
    const isNew = address.url !== this.#address?.url || address.token !== this.#address.token
    this.#address = address
    if (isNew) this.#log.info('the hub is at', address.url)
    this.#set('ready')
    return address
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
    if (thrown instanceof LaunchError && thrown.reason === 'port') {
      return this.#tell(message, ['anyPort', 'tryAgain'])
    }
    return this.#tell(vscode.l10n.t('The AI hub did not start. {0}', message), ['doctor', 'logs', 'tryAgain'])
  }

  /** Shows a problem with the actions that solve it, without waiting for the user. */
  #tell(message: string, actions: Action[]): NoHub {
    const titles: { [action in Action]: string } = {
      anyPort: vscode.l10n.t('Use Another Port'),
      tryAgain: vscode.l10n.t('Try Again'),
      settings: vscode.l10n.t('Open Settings'),
      logs: vscode.l10n.t('Show Logs'),
      doctor: vscode.l10n.t('Run Doctor'),
    }
    const act = async (): Promise<void> => {
      const chosen = await vscode.window.showErrorMessage(message, ...actions.map(action => titles[action]))
      const action = actions.find(each => titles[each] === chosen)
      if (action === 'logs') await vscode.commands.executeCommand('aiHub.showLogs')
      else if (action === 'doctor') await vscode.commands.executeCommand('aiHub.doctor')
      else if (action === 'settings') await vscode.commands.executeCommand('workbench.action.openSettings', 'aiHub.hub')
      else if (action !== undefined) await vscode.commands.executeCommand('aiHub.startHub', action === 'anyPort')
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

type Action = 'anyPort' | 'tryAgain' | 'settings' | 'logs' | 'doctor'
const ANY_PORT = 'anyPort'
const tokenKey = (url: string): string => `token ${url}`
