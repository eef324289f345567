/** A real VS Code for one test: its server on a free port with a profile of its own, and its workbench in a headless browser. */
import { spawn } from 'node:child_process'
import { closeSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type Browser, chromium, type Page } from 'playwright-core'
import { layOutExtension } from './bundle.ts'
import type { HostParts } from './install.ts'

export type Editor = {
  page: Page
  /** The folder that is open in it. */
  workspace: string
  /** Addresses beyond this machine that the page asked for. */
  outside: Set<string>
  /** Goes to the workbench. */
  open(): Promise<void>
  /** Runs the suite of a bundled file in the extension host; the exit code. Only with the extension as `suite`. */
  runSuite(file: string, timeoutMs: number): Promise<unknown>
  /** The settings of the user as they are in their file now. */
  settings(): { [name: string]: unknown }
  /** What the server of VS Code wrote. */
  log(): string
}

export type EditorOptions = {
  host: HostParts
  /** Text by path in the workspace. */
  files?: { [path: string]: string }
  settings?: { [name: string]: unknown }
  env?: { [name: string]: string }
  /**
   * How the extension gets there. `folder`: this repository's, as if it had been installed; `vsix`: a package that VS Code installs;
   * `suite`: this repository's, in a window that runs tests and shows no toasts.
   */
  extension: 'folder' | 'suite' | { vsix: string }
  /** Is given the folder of the extension before VS Code starts. */
  change?(folder: string): void
}

/** What would call out, pop up or move in a picture; and TypeScript's own errors for the quick fix. */
const SETTINGS = {
  'workbench.startupEditor': 'none',
  'workbench.secondarySideBar.defaultVisibility': 'hidden',
  'workbench.enableExperiments': false,
  'workbench.reduceMotion': 'on',
  'window.autoDetectColorScheme': true,
  'chat.disableAIFeatures': true,
  'telemetry.telemetryLevel': 'off',
  'update.mode': 'none',
  'extensions.autoUpdate': false,
  'extensions.autoCheckUpdates': false,
  'extensions.ignoreRecommendations': true,
  'security.workspace.trust.enabled': false,
  'npm.autoDetect': 'off',
  'git.openRepositoryInParentFolders': 'never',
  'editor.quickSuggestions': { other: 'off', comments: 'off', strings: 'off' },
  'editor.suggestOnTriggerCharacters': false,
  'editor.parameterHints.enabled': false,
  'editor.wordBasedSuggestions': 'off',
  'editor.cursorBlinking': 'solid',
  'editor.minimap.enabled': false,
  'files.autoSave': 'off',
  'files.hotExit': 'off',
}

const BROWSER_ARGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]
/** Files of webviews have such addresses; a worker of the workbench answers them, and they never leave the browser. */
const RESOURCE = /\.vscode-resource\.vscode-cdn\.net$/
/** On a machine that has other things to do. */
const START_MS = 120_000
const WAIT_MS = 60_000

export type Closing = { after(close: () => void | Promise<void>): void }

/** Closes what was opened last first: an editor whose hub ended before it would start another one. */
export function lastFirst(context: Closing): Closing {
  const closers: (() => void | Promise<void>)[] = []
  context.after(async () => {
    for (const close of closers.reverse()) await close()
  })
  return { after: close => void closers.push(close) }
}

/** Starts both; they end with the test. */
export async function startEditor(context: Closing, options: EditorOptions): Promise<Editor> {
  const { host } = options
  const folder = mkdtempSync(join(tmpdir(), 'vscode-host-'))
  const workspace = join(folder, 'workspace')
  const closing = lastFirst(context)
  closing.after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 }))
  const write = (path: string, text: string): void => {
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, text)
  }
  const settings = JSON.stringify({ ...SETTINGS, ...options.settings }, null, 2)
  write(join(folder, 'data', 'User', 'settings.json'), settings)
  mkdirSync(workspace)
  for (const [path, text] of Object.entries(options.files ?? {})) write(join(workspace, ...path.split('/')), text)
  // Without it code-server writes one into the user's own folder.
  write(join(folder, 'config.yaml'), '')

  const profile = [
    ...['--config', join(folder, 'config.yaml')],
    ...['--user-data-dir', join(folder, 'data')],
    ...['--extensions-dir', join(folder, 'extensions')],
  ]
  const env = environment({ ...options.env, HOME: folder })
  const logFile = join(folder, 'code-server.log')
  const log = (): string => readFileSync(logFile, 'utf8')
  const run = (args: string[]) => {
    const output = openSync(logFile, 'a')
    const child = spawn(process.execPath, [host.entry, ...profile, ...args], {
      cwd: folder,
      env,
      stdio: ['ignore', output, output],
      // A process group of its own, which ends as one: server, extension host, language servers.
      detached: true,
    })
    closeSync(output)
    return child
  }

  const { extension } = options
  const suiteFolder = join(folder, 'extension')
  let extensionFolder = extension === 'suite' ? suiteFolder : join(folder, 'extensions', 'ai-backend-hub')
  if (extension === 'folder' || extension === 'suite') await layOutExtension(extensionFolder)
  else {
    const code = await new Promise(done => run(['--install-extension', extension.vsix]).once('close', done))
    if (code !== 0) throw new Error(`VS Code does not install ${extension.vsix}:\n${log()}`)
    const installed = readdirSync(join(folder, 'extensions')).find(name => name.startsWith('ai-backend-hub'))
    extensionFolder = join(folder, 'extensions', installed ?? '')
  }

  options.change?.(extensionFolder)
  const child = run([
    ...['--bind-addr', '127.0.0.1:0', '--auth', 'none'],
    ...['--disable-telemetry', '--disable-update-check', '--disable-workspace-trust'],
    '--disable-getting-started-override',
    // Only so does a built VS Code run a suite.
    ...(extension === 'suite' ? ['--vscode-option', 'enable-smoke-test-driver'] : []),
  ])
  const gone = new Promise<void>(done => child.once('exit', () => done()))
  closing.after(async () => {
    endGroup(child.pid, 'SIGTERM')
    await Promise.race([gone, delay(5000, undefined, { ref: false })])
    endGroup(child.pid, 'SIGKILL')
    await gone
  })
  const end = Date.now() + START_MS
  let port: string | undefined
  while (port === undefined) {
    if (child.exitCode !== null || Date.now() > end) throw new Error(`VS Code did not start:\n${log()}`)
    await delay(100)
    port = /listening on http:\/\/127\.0\.0\.1:(\d+)/.exec(log())?.[1]
  }

  const browser: Browser = await chromium.launch({ executablePath: host.chromium, args: BROWSER_ARGS })
  closing.after(() => browser.close())
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 }, colorScheme: 'dark' })
  page.setDefaultTimeout(WAIT_MS)
  page.setDefaultNavigationTimeout(START_MS)
  const outside = new Set<string>()
  page.on('request', request => {
    const url = new URL(request.url())
    if (RESOURCE.test(url.hostname)) return
    if (/^(https?|wss?):$/.test(url.protocol) && url.hostname !== '127.0.0.1') outside.add(url.origin)
  })
  page.on('response', response => {
    if (RESOURCE.test(new URL(response.url()).hostname) && !response.fromServiceWorker()) outside.add(response.url())
  })

  const remote = (path: string): string => `vscode-remote://127.0.0.1:${port}${path}`
  const address = (payload: [string, string][] = []): string => {
    const query = new URLSearchParams({ folder: workspace })
    if (payload.length > 0) query.set('payload', JSON.stringify(payload))
    return `http://127.0.0.1:${port}/?${query}`
  }
  return {
    page,
    workspace,
    outside,
    log,
    settings: () => JSON.parse(readFileSync(join(folder, 'data', 'User', 'settings.json'), 'utf8')),
    async open() {
      await page.goto(address())
    },
    async runSuite(file, timeoutMs) {
      const exit = Promise.withResolvers<unknown>()
      // VS Code's build for browsers calls these two in a window that runs tests.
      await page.exposeFunction('codeAutomationExit', exit.resolve)
      await page.exposeFunction('codeAutomationLog', () => {})
      await page.goto(
        address([
          ['extensionDevelopmentPath', remote(suiteFolder)],
          ['extensionTestsPath', remote(file)],
        ]),
      )
      return Promise.race([exit.promise, delay(timeoutMs, 'timeout', { ref: false })])
    },
  }
}

/** This process's environment without what belongs to another editor or to npm. */
function environment(more: { [name: string]: string }): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(
    ([name]) => !/^(VSCODE_|ELECTRON_|CODE_SERVER_|NODE_TEST_|NODE_OPTIONS$|PORT$|PASSWORD$|npm_|AI_HUB_)/.test(name),
  )
  // No gallery: nothing is asked of a marketplace.
  return { ...Object.fromEntries(kept), EXTENSIONS_GALLERY: '{}', ...more }
}

function endGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  try {
    if (pid !== undefined) process.kill(-pid, signal)
  } catch {
    // It is gone.
  }
}
