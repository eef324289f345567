/** Runs the hub's command line on a real Node: the hub itself as a process that outlives the window, and short commands. */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { chmodSync, closeSync, mkdirSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { findHub, type HubAddress } from './home.ts'

export type Program = {
  /** A real Node. */
  node: string
  /** The folder with server/. */
  folder: string
  home: string
  /** Where Node keeps what it compiled; the folder of a packaged extension may be read-only. */
  cache?: string
}

/** Told apart since other things solve them. */
export type LaunchReason = 'port' | 'disk' | 'node' | 'other'

/** Why the hub did not start, with what it said. */
export class LaunchError extends Error {
  override readonly name = 'LaunchError'
  readonly reason: LaunchReason

  constructor(message: string, reason: LaunchReason = 'other') {
    super(message)
    this.reason = reason
  }
}

const START_MS = 60_000
const LOOK_MS = 150
/** A hub of another window may be on its way when ours ends: it holds the port before it has written hub.json. */
const RIVAL_MS = 5000
const IDLE_EXIT_MINUTES = 30

/** Starts the hub and waits until it answers. @throws LaunchError with the hub's own words */
export async function launchHub(
  program: Program,
  options: { anyPort: boolean; wait(ms: number): Promise<void>; signal: AbortSignal },
): Promise<HubAddress> {
  const log = join(program.home, 'logs', 'start.log')
  mkdirSync(join(program.home, 'logs'), { recursive: true })
  const output = openSync(log, 'w')
  let exited: { code: number | null } | undefined
  let failed: Error | undefined
  let child: ChildProcess
  try {
    const idle = ['--idle-exit-minutes', String(IDLE_EXIT_MINUTES)]
    child = spawn(
      makeRunnable(program),
      [...commandLine(program, ['serve', ...idle]), ...(options.anyPort ? ['--port', '0'] : [])],
      {
        detached: true,
        stdio: ['ignore', output, output],
        windowsHide: true,
        env: environment(program),
        cwd: program.home,
      },
    )
  } finally {
    closeSync(output)
  }
  child.once('error', error => {
    failed = error
  })
  child.once('exit', code => {
    exited = { code }
  })
  child.unref()
  let left = START_MS
  for (; left > 0; left -= LOOK_MS) {
    await options.wait(LOOK_MS)
    if (options.signal.aborted) throw new LaunchError('Cancelled.')
    if (failed !== undefined) throw new LaunchError(`${program.node} cannot be run: ${failed.message}`)
    const hub = await findHub(program.home)
    if (hub !== undefined) return hub
    if (exited !== undefined) left = Math.min(left, RIVAL_MS)
  }
  const said = tail(log)
  if (exited === undefined) throw new LaunchError(`The hub did not answer within a minute. ${said}`)
  throw new LaunchError(said === '' ? `The hub ended with code ${exited.code}.` : said, reasonOf(said))
}

/** By what the hub wrote before it ended. */
export function reasonOf(said: string): LaunchReason {
  if (/^Port \d+ .* is taken/m.test(said)) return 'port'
  return /ENOSPC|EDQUOT|SQLITE_FULL|no space left|disk is full/i.test(said) ? 'disk' : 'other'
}

/** Runs a command of `ai-hub` to its end and gives what it wrote. @throws LaunchError with what it wrote to stderr */
export function runCommand(program: Program, args: string[], signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(
      makeRunnable(program),
      commandLine(program, args),
      { env: environment(program), signal, windowsHide: true, maxBuffer: 64 * 2 ** 20 },
      (error, stdout, stderr) => {
        if (error === null) resolve(stdout)
        // `doctor` says by its exit code that something is wrong, which is no failure of the command.
        else if (stdout !== '' && args[0] === 'doctor') resolve(stdout)
        else reject(new LaunchError(stderr.trim() || error.message))
      },
    )
  })
}

/** Runs a command of `ai-hub` and gives each line that it writes, as soon as it is there. @throws LaunchError like runCommand */
export async function followCommand(
  program: Program,
  args: string[],
  signal: AbortSignal,
  take: (line: string) => void,
): Promise<void> {
  const child = spawn(makeRunnable(program), commandLine(program, args), {
    env: environment(program),
    stdio: ['ignore', 'pipe', 'pipe'],
    windowsHide: true,
    signal,
  })
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text
  })
  const lines = createInterface({ input: child.stdout })
  lines.on('line', take)
  await new Promise<void>((resolve, reject) => {
    child.once('error', error => reject(new LaunchError(error.message)))
    child.once('close', code => {
      if (code === 0) resolve()
      else reject(new LaunchError(said.trim() || `ai-hub ${args[0]} ended with code ${code}.`))
    })
  })
}

function commandLine({ folder, home }: Program, [command = '', ...args]: string[]): string[] {
  return [join(folder, 'server', 'main.ts'), command, ...args, '--home', home]
}

function environment({ cache }: Program): NodeJS.ProcessEnv {
  const env = { ...process.env }
  // What the editor set for its own processes must not change how ours run.
  for (const name of Object.keys(env)) {
    if (/^(VSCODE_|ELECTRON_|NODE_OPTIONS$|NODE_COMPILE_CACHE$)/.test(name)) delete env[name]
  }
  return { ...env, ...(cache !== undefined && { NODE_COMPILE_CACHE: cache }) }
}

/** An installer may have lost the mode of the file that was brought along; a Node of the system is left as it is. */
function makeRunnable({ node, folder }: Program): string {
  if (process.platform !== 'win32' && node.startsWith(folder)) {
    try {
      chmodSync(node, 0o755)
    } catch {
      // Running it will say what is wrong.
    }
  }
  return node
}

function tail(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim().split('\n').slice(-6).join('\n').slice(-1500)
  } catch {
    return ''
  }
}

const END_MS = 10_000

/** Asks a process to end, and ends it when it does not; on Windows there is no asking. */
export async function endProcess(pid: number, wait: (ms: number) => Promise<void>): Promise<void> {
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    for (let waited = 0; waited < END_MS; waited += LOOK_MS) {
      try {
        process.kill(pid, waited === 0 ? signal : 0)
      } catch {
        return
      }
      await wait(LOOK_MS)
    }
  }
}
