/** A supervised child process: started by path, spoken to over IPC, pinged, limited in memory, and killed when it must be. */
import { type ChildProcess, fork } from 'node:child_process'
import { createInterface } from 'node:readline'
import { HubError } from './error.ts'
import type { Log } from './log.ts'

export type ChildOptions = {
  script: string
  args?: string[]
  env?: NodeJS.ProcessEnv
  log: Log
  /** How often a ping is sent, and how long its answer may take before the child counts as hung. */
  pingMs?: number
  hungMs?: number
}

/** Why and how a child ended. `expected` when the hub asked for it. */
export type Exit = {
  code: number | null
  signal: string | null
  expected: boolean /** last lines it wrote to stderr */
  said: string[]
  reason?: string
}

type Pong<S> = { type: 'pong'; id: number; stats: S }

/** Lines of stderr kept to explain a crash. */
const SAID_LINES = 20
const PING_MS = 5000
/** A first decode that reads a big model from a slow disk keeps its process from answering. */
const HUNG_MS = 180_000
const CLOSE_MS = 3000

/** @typeParam To what is sent @typeParam From what arrives, pongs among it @typeParam Stats what a pong carries */
export class Child<To extends { type: string }, From extends { type: string }, Stats> {
  readonly #process: ChildProcess
  readonly #log: Log
  readonly #said: string[] = []
  readonly #exited: Promise<Exit>
  readonly #pings: NodeJS.Timeout
  readonly #waiting = new Map<number, (stats: Stats | undefined) => void>()
  #expected = false
  #reason: string | undefined
  #pingId = 0
  #answeredMs: number
  /** Resident bytes above which the child is killed. */
  memoryLimitBytes: number | undefined
  stats: Stats | undefined

  /** Who gets its messages, pongs aside; may change while it runs. */
  receive: (message: From) => void

  constructor(options: ChildOptions, receive: (message: From) => void) {
    this.receive = receive
    this.#log = options.log
    this.#answeredMs = performance.now()
    const child = fork(options.script, options.args ?? [], {
      // Only what every program of the project needs: an inspector port or a test flag of the parent is not for it.
      execArgv: [],
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      ...(options.env && { env: options.env }),
      windowsHide: true,
    })
    this.#process = child
    createInterface({ input: child.stderr! }).on('line', line => {
      this.#said.push(line)
      if (this.#said.length > SAID_LINES) this.#said.shift()
      this.#log.debug('child said', { pid: child.pid, line })
    })
    child.on('message', message => {
      this.#answeredMs = performance.now()
      const typed = message as From | Pong<Stats>
      if (typed.type === 'pong') this.#take(typed as Pong<Stats>)
      else this.receive(typed as From)
    })
    // A send that fails because the child is gone is told by its exit.
    child.on('error', error => {
      this.#reason ??= error.message
    })
    const hungMs = options.hungMs ?? HUNG_MS
    this.#pings = setInterval(() => this.#check(hungMs), options.pingMs ?? PING_MS)
    this.#pings.unref()
    this.#exited = new Promise(resolve => {
      // `close` comes after the last line of stderr; a child that could not be started has only `error`.
      const settle = (code: number | null, signal: string | null) => {
        clearInterval(this.#pings)
        for (const give of this.#waiting.values()) give(undefined)
        resolve({
          code,
          signal,
          expected: this.#expected,
          said: [...this.#said],
          ...(this.#reason !== undefined && { reason: this.#reason }),
        })
      }
      child.once('close', settle)
      child.once('error', () => {
        if (child.pid === undefined) settle(null, null)
      })
    })
  }

  get pid(): number | undefined {
    return this.#process.pid
  }

  get exited(): Promise<Exit> {
    return this.#exited
  }

  send(message: To): void {
    if (this.#process.connected) this.#process.send(message, () => undefined)
  }

  /** Fresh stats, or undefined when the child does not answer in time or is gone. */
  ping(timeoutMs = 1000): Promise<Stats | undefined> {
    if (!this.#process.connected) return Promise.resolve(undefined)
    const id = ++this.#pingId
    return new Promise(resolve => {
      const give = (stats: Stats | undefined) => {
        clearTimeout(timer)
        this.#waiting.delete(id)
        resolve(stats)
      }
      const timer = setTimeout(() => give(undefined), timeoutMs)
      timer.unref()
      this.#waiting.set(id, give)
      this.#process.send({ type: 'ping', id }, () => undefined)
    })
  }

  #take(pong: Pong<Stats>): void {
    this.stats = pong.stats
    this.#waiting.get(pong.id)?.(pong.stats)
    const rss = (pong.stats as { rssBytes?: number }).rssBytes
    if (this.memoryLimitBytes !== undefined && rss !== undefined && rss > this.memoryLimitBytes) {
      this.kill(`it used ${mebibytes(rss)} MiB of memory, over its limit of ${mebibytes(this.memoryLimitBytes)} MiB`)
    }
  }

  #check(hungMs: number): void {
    const silentMs = performance.now() - this.#answeredMs
    if (silentMs > hungMs) {
      this.kill(`it did not answer for ${Math.round(silentMs / 1000)} s`)
      return
    }
    if (this.#process.connected) this.#process.send({ type: 'ping', id: ++this.#pingId }, () => undefined)
  }

  kill(reason: string): void {
    this.#reason ??= reason
    this.#log.warn('child killed', { pid: this.#process.pid, reason })
    this.#process.kill('SIGKILL')
  }

  /** Asks the child to end, and kills it when it does not. */
  async close(goodbye: To): Promise<void> {
    this.#expected = true
    this.send(goodbye)
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), CLOSE_MS)
    await this.#exited
    clearTimeout(timer)
  }
}

/** What a person is told of a child that ended on its own. */
export function explainExit(what: string, exit: Exit): HubError {
  const how = exit.reason ?? (exit.signal !== null ? `signal ${exit.signal}` : `exit code ${exit.code}`)
  const said = exit.said.findLast(line => /assert|error|abort|failed/i.test(line))
  return new HubError(
    'worker_crashed',
    `${what} ended unexpectedly (${how}${said === undefined ? '' : `; ${said.slice(0, 300)}`}); send the request again`,
  )
}

const mebibytes = (bytes: number) => Math.round(bytes / 2 ** 20)
