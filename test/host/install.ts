/** Installs what the tests in real editors need: VS Code's server build by npm, and Chromium and Neovim where there are none. Run as a program, it installs what VS Code needs and says what came of it. */
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  accessSync,
  constants,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { delimiter, dirname, join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { chromium } from 'playwright-core'

/** `entry` is the program of code-server, which is VS Code's server and its workbench for a browser. */
export type HostParts = { entry: string; chromium: string }
export type Installed = HostParts | { missing: string }

/** What npm installs, and its lock. */
const PACKAGE = join(import.meta.dirname, 'code_server')
const ROOT = resolve(import.meta.dirname, '..', '..')
const FOLDER = resolve(process.env.AI_HUB_HOST_CACHE ?? join(ROOT, 'node_modules', '.cache', 'vscode-host'))
const MISSING = `${FOLDER}.missing`
const ENTRY = join('node_modules', 'code-server', 'out', 'node', 'entry.js')
const VSCODE = join('node_modules', 'code-server', 'lib', 'vscode')
/** What lies in a finished installation: which lock it came from. */
const MARK = 'installed'
const FILES = ['package.json', 'package-lock.json', '.npmrc']

/**
 * Parts of VS Code that these tests never use, a third of its size: the bundled chat extension with its runtime,
 * and diagrams.
 */
const UNUSED = [
  'extensions/copilot',
  'extensions/mermaid-markdown-features',
  'node_modules/@github',
  'node_modules/@microsoft/mxc-sdk',
]
/** Without install scripts: VS Code's own would build modules that it runs without. */
const NPM_CI = ['ci', '--omit=dev', '--ignore-scripts', '--no-audit', '--no-fund']

const COMMANDS = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'microsoft-edge']
const APPLICATIONS = [
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
]

/** Finds or installs both; waits for another process that installs just now. Never throws for what cannot be had. */
export async function installHost(say: (line: string) => void = () => {}): Promise<Installed> {
  if (process.platform === 'win32') return { missing: 'the server build of VS Code does not run on Windows' }
  try {
    return await alone(`${FOLDER}.lock`, async () => {
      const known = readMissing()
      if (known !== undefined) return { missing: known }
      try {
        const browser = findChromium() ?? (await installChromium(say))
        await installCode(say)
        return { entry: join(FOLDER, ENTRY), chromium: browser }
      } catch (thrown) {
        const missing = thrown instanceof Error ? thrown.message : String(thrown)
        writeFileSync(MISSING, JSON.stringify({ run: process.env.AI_HUB_TEST_RUN, missing }))
        return { missing }
      }
    })
  } catch (thrown) {
    return { missing: thrown instanceof Error ? thrown.message : String(thrown) }
  }
}

/** For a test: what it runs on, or the options that skip it by name. @throws Error under CI=true where something is missing */
export async function needHost(): Promise<{ host?: HostParts; options: { skip?: string } }> {
  const found = await installHost()
  if (!('missing' in found)) return { host: found, options: {} }
  if (process.env.CI === 'true') throw new Error(`the tests in VS Code cannot run: ${found.missing}`)
  return { options: { skip: found.missing } }
}

/** For a test in Neovim, likewise; what skips it. @throws Error under CI=true where there is none */
export async function needNeovim(): Promise<{ skip?: string }> {
  const isThere = (): boolean => spawnSync('nvim', ['--version']).status === 0
  if (isThere()) return {}
  let missing = 'there is no Neovim'
  try {
    await aptInstall(['neovim'])
    if (isThere()) return {}
  } catch (thrown) {
    missing = thrown instanceof Error ? thrown.message : missing
  }
  if (process.env.CI === 'true') throw new Error(`the test in Neovim cannot run: ${missing}`)
  return { skip: missing }
}

/** What this run of the tests could not install before. */
function readMissing(): string | undefined {
  try {
    const { run, missing } = JSON.parse(readFileSync(MISSING, 'utf8')) as { run?: string; missing: string }
    return run !== undefined && run === process.env.AI_HUB_TEST_RUN ? missing : undefined
  } catch {
    return undefined
  }
}

async function installCode(say: (line: string) => void): Promise<void> {
  const lock = createHash('sha256')
    .update(readFileSync(join(PACKAGE, 'package-lock.json')))
    .digest('hex')
  const mark = join(FOLDER, MARK)
  if (existsSync(mark) && readFileSync(mark, 'utf8').trim() === lock) return
  say('installing the server build of VS Code: about 110 MB to fetch, a minute')
  const part = `${FOLDER}.part`
  rmSync(part, { recursive: true, force: true })
  mkdirSync(part, { recursive: true })
  for (const file of FILES) cpSync(join(PACKAGE, file), join(part, file))
  await npm(NPM_CI, part)
  // Its own lock needs --legacy-peer-deps: that is how VS Code itself installs it.
  await npm([...NPM_CI, '--legacy-peer-deps'], join(part, VSCODE))
  // TypeScript for the language features that find errors.
  await npm([...NPM_CI, '--legacy-peer-deps'], join(part, VSCODE, 'extensions'))
  for (const unused of UNUSED) rmSync(join(part, VSCODE, ...unused.split('/')), { recursive: true, force: true })
  writeFileSync(join(part, MARK), `${lock}\n`)
  rmSync(FOLDER, { recursive: true, force: true })
  renameSync(part, FOLDER)
}

function npm(args: string[], cwd: string): Promise<void> {
  // What the npm that runs the tests says of this project is not meant for the other folder.
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^npm_(package_|lifecycle_|config_local_prefix)/.test(name)),
  )
  return command('npm', args, { cwd, env })
}

/** What is there already; nothing is installed. */
export function findChromium(): string | undefined {
  const named = process.env.CHROMIUM
  const paths = (process.env.PATH ?? '').split(delimiter).filter(folder => folder !== '')
  return [
    ...(named === undefined ? [] : [named]),
    chromium.executablePath(),
    ...COMMANDS.flatMap(name => paths.map(folder => join(folder, name))),
    ...APPLICATIONS,
  ].find(isExecutable)
}

async function installChromium(say: (line: string) => void): Promise<string> {
  say('installing Chromium with apt-get')
  await aptInstall(['chromium', 'fonts-dejavu-core']).catch(thrown => {
    throw new Error(`there is no Chromium: ${thrown.message}, or name one in CHROMIUM`)
  })
  const found = findChromium()
  if (found === undefined) throw new Error('apt-get installed chromium, but there is none in PATH')
  return found
}

/** One call at a time, since apt-get refuses a second. @throws Error where it is not root on Debian that asks */
async function aptInstall(packages: string[]): Promise<void> {
  const isDebian = existsSync('/etc/debian_version') && spawnSync('apt-get', ['--version']).status === 0
  if (!isDebian || process.getuid?.() !== 0) {
    throw new Error(isDebian ? `run "apt-get install ${packages.join(' ')}" as root` : `install ${packages[0]}`)
  }
  const options = { cwd: ROOT, env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } }
  await alone(`${FOLDER}.apt.lock`, async () => {
    await command('apt-get', ['update', '-q'], options)
    await command('apt-get', ['install', '-y', '-q', '--no-install-recommends', ...packages], options)
  })
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

const MOST_TEXT = 100_000

/** @throws Error with what the program says is wrong */
async function command(name: string, args: string[], options: { cwd: string; env: NodeJS.ProcessEnv }): Promise<void> {
  const child = spawn(name, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'], timeout: 600_000 })
  let text = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8')
    stream.on('data', (chunk: string) => {
      text = (text + chunk).slice(0, MOST_TEXT)
    })
  }
  const code = await new Promise<number | string | null>((done, failed) => {
    child.once('error', failed)
    child.once('close', (status, signal) => done(status ?? signal))
  })
  if (code === 0) return
  // What npm and apt-get call an error stands in lines of their own, the cause first.
  const errors = text.match(/^(npm error (code|.*reason|.*[Ee]rror:)|E: ).*$/gm)?.slice(0, 3) ?? [
    text.trim().slice(-300),
  ]
  throw new Error(
    `what the tests in editors need cannot be installed: "${name} ${args[0]}" ended with ${code}: ${errors.join('; ')}`,
  )
}

/** Runs the work when no other process does; a lock of a process that is gone counts for nothing. */
async function alone<T>(lock: string, work: () => Promise<T>): Promise<T> {
  mkdirSync(dirname(lock), { recursive: true })
  for (;;) {
    try {
      writeFileSync(lock, String(process.pid), { flag: 'wx' })
      break
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== 'EEXIST') throw thrown
    }
    if (isGone(lock)) rmSync(lock, { force: true })
    else await delay(250)
  }
  try {
    return await work()
  } finally {
    rmSync(lock, { force: true })
  }
}

function isGone(lock: string): boolean {
  try {
    const pid = Number(readFileSync(lock, 'utf8'))
    // The file is there before the number is in it.
    if (pid === 0) return false
    process.kill(pid, 0)
    return false
  } catch (thrown) {
    return (thrown as NodeJS.ErrnoException).code === 'ESRCH'
  }
}

if (import.meta.main) {
  const found = await installHost(line => console.log(`test/host: ${line}`))
  if ('missing' in found) {
    console.log(`test/host: ${found.missing}`)
    process.exitCode = 1
  }
}
