/** Starts the servers that a benchmark measures and stops them again: our hub in a home of its own, and a llama-server beside it. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { linkSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { complete, getJson, StatusError } from './client.ts'

export type Server = {
  name: 'hub' | 'peer'
  url: string
  model: string
  /** absent for a peer that someone else started */
  pid?: number
  /** From starting the process to the first token of a request, ms; the model is loaded then. */
  readyMs?: number
  stop(): Promise<void>
}

// A benchmark that fails leaves no server behind; the next one would share the processors with it.
const children = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL')
})
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(130))

const ROOT = resolve(import.meta.dirname, '..', '..')

export type HubOptions = {
  models: readonly string[]
  settings: { [name: string]: unknown }
  /** Overrides the worker's script. */
  worker?: string
}

/** A hub in a new home under the temporary folder; it listens when this returns, and no model is loaded. */
export async function startHub(options: HubOptions): Promise<Server & { pid: number; home: string }> {
  const home = mkdtempSync(join(tmpdir(), 'ai-hub-bench-'))
  const folder = join(home, 'local_models', 'custom_models')
  mkdirSync(folder, { recursive: true })
  for (const model of options.models) place(model, join(folder, basename(model)))
  writeFileSync(join(home, 'settings.json'), JSON.stringify(options.settings))
  const port = await freePort()
  const child = spawn(
    process.execPath,
    [join(ROOT, 'server', 'main.ts'), 'serve', '--home', home, '--port', String(port)],
    {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, ...(options.worker !== undefined && { AI_HUB_WORKER: options.worker }) },
    },
  )
  const alive = watch(child)
  const url = `http://127.0.0.1:${port}`
  const stop = async (): Promise<void> => {
    await end(child)
    rmSync(home, { recursive: true, force: true, maxRetries: 5 })
  }
  try {
    await until(() => getJson(`${url}/health`), alive)
  } catch (error) {
    await stop()
    throw error
  }
  return { name: 'hub', url, model: modelId(options.models[0] ?? ''), pid: child.pid ?? 0, home, stop }
}

/** Waits until the hub has read its folders. */
export async function waitForModels(hub: Server): Promise<void> {
  await until(() => getJson(`${hub.url}/v1/models/${encodeURIComponent(hub.model)}`))
}

/** A hub with its model loaded; `readyMs` counts from the start of the process. */
export async function startReadyHub(options: HubOptions): Promise<Server> {
  const startedAt = performance.now()
  const hub = await startHub(options)
  try {
    await until(() => firstToken(hub))
  } catch (error) {
    await hub.stop()
    throw error
  }
  return { ...hub, readyMs: performance.now() - startedAt }
}

/** A llama-server binary with its model loaded. */
export async function startLlamaServer(binary: string, model: string, args: readonly string[]): Promise<Server> {
  const port = await freePort()
  const startedAt = performance.now()
  const child = spawn(binary, ['-m', model, '--host', '127.0.0.1', '--port', String(port), ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const alive = watch(child)
  const server: Server = {
    name: 'peer',
    url: `http://127.0.0.1:${port}`,
    model: modelId(model),
    pid: child.pid ?? 0,
    stop: () => end(child),
  }
  try {
    await until(() => firstToken(server), alive)
  } catch (error) {
    await server.stop()
    throw error
  }
  return { ...server, readyMs: performance.now() - startedAt }
}

/** The file name without `.gguf`, which is the hub's id of it. */
export const modelId = (path: string): string => basename(path).replace(/\.gguf$/, '')

/** Resident memory of one process, bytes; undefined where the system does not tell. */
export function residentBytes(pid: number): number | undefined {
  try {
    if (process.platform === 'linux') {
      const kib = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
      return kib === undefined ? undefined : Number(kib) * 1024
    }
    if (process.platform === 'win32') {
      const command = `(Get-Process -Id ${pid}).WorkingSet64`
      return Number(execFileSync('powershell.exe', ['-NoProfile', '-Command', command], { encoding: 'utf8' }))
    }
    return Number(execFileSync('ps', ['-o', 'rss=', '-p', String(pid)], { encoding: 'utf8' })) * 1024
  } catch {
    return undefined
  }
}

async function firstToken(server: { url: string; model: string }): Promise<void> {
  await complete(server.url, { model: server.model, prompt: 'Hello', maxTokens: 1 })
}

/** A link costs nothing; where links are not allowed (Windows without the right, another disk) both servers read the same file by a symlink. */
function place(from: string, to: string): void {
  try {
    linkSync(from, to)
  } catch {
    symlinkSync(from, to)
  }
}

/** Tries every 10 ms until it works. `alive` throws when there is nothing to wait for any more. */
async function until(tries: () => Promise<unknown>, alive: () => void = () => {}): Promise<void> {
  const begun = performance.now()
  for (;;) {
    alive()
    try {
      await tries()
      return
    } catch (error) {
      // Not listening yet, 503 while it loads, 404 while it still reads its folders; anything else will not get better.
      if (error instanceof StatusError && ![404, 503].includes(error.status)) throw error
      if (performance.now() - begun > 300_000) throw error
    }
    await new Promise(done => setTimeout(done, 10))
  }
}

/** Gives a check that throws with the last words of the process once it has ended; and ends it with this one. */
function watch(child: ChildProcess): () => void {
  children.add(child)
  let text = ''
  child.stderr?.setEncoding('utf8').on('data', (piece: string) => {
    text = (text + piece).slice(-4000)
  })
  child.once('exit', () => children.delete(child))
  return () => {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error(`the server ended:\n${text}`)
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill()
  // A server that does not end on request would spoil the next measurement.
  const timer = setTimeout(() => child.kill('SIGKILL'), 10_000)
  await ended
  clearTimeout(timer)
}

async function freePort(): Promise<number> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  return address !== null && typeof address === 'object' ? address.port : 0
}
