/** Where the hub's home is, and what its hub.json says: the same answers as the hub's own, for a program that cannot import it. */
import { existsSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'

/** A hub that runs: how to reach it, and what opens the door for editors. */
export type HubAddress = {
  /** `http://127.0.0.1:8000`, no slash at the end */
  url: string
  token?: string
  /** Of the program that runs. */
  version?: string
}
type HubRecord = HubAddress & { pid: number; startedAt: number }

/**
 * The home named by the settings, else AI_HUB_HOME, else the folder of a clone that the extension is run from, else one
 * in the user's application data.
 * @param program the folder with server/, absolute
 */
export function resolveHome(options: {
  named: string
  program: string
  env?: NodeJS.ProcessEnv
  platform?: NodeJS.Platform
  userFolder?: string
}): string {
  const { named, program, env = process.env, platform = process.platform, userFolder = homedir() } = options
  if (named !== '') return resolve(named)
  if (env.AI_HUB_HOME) return resolve(env.AI_HUB_HOME)
  if (isClone(program)) return program
  return join(dataFolder(platform, env, userFolder), 'ai-backend-hub')
}

/** The hub of this home when it answers, else undefined. */
export async function findHub(home: string): Promise<HubAddress | undefined> {
  const record = readRecord(home)
  if (record === undefined) return undefined
  const health = await readHealth(record.url)
  if (health?.pid !== record.pid || health.started_at !== record.startedAt) return undefined
  const { pid: _pid, startedAt: _startedAt, ...address } = record
  return address
}

/** What GET /health says, or undefined when nothing of the kind answers within two seconds. */
export async function readHealth(
  url: string,
): Promise<{ pid: number; started_at: number; version?: string } | undefined> {
  try {
    const response = await fetch(`${url}/health`, { signal: AbortSignal.timeout(2000) })
    const { pid, started_at, version } = (await response.json()) as { [name: string]: unknown }
    if (typeof pid !== 'number' || typeof started_at !== 'number') return undefined
    return { pid, started_at, ...(typeof version === 'string' && { version }) }
  } catch {
    return undefined
  }
}

/** What hub.json says, whether or not that hub still runs. */
export function readRecord(home: string): HubRecord | undefined {
  try {
    const value = JSON.parse(readFileSync(join(home, 'hub.json'), 'utf8')) as { [name: string]: unknown }
    const { pid, url, startedAt, token, version } = value
    if (typeof pid !== 'number' || typeof url !== 'string' || typeof startedAt !== 'number') return undefined
    return {
      pid,
      url,
      startedAt,
      ...(typeof token === 'string' && { token }),
      ...(typeof version === 'string' && { version }),
    }
  } catch {
    return undefined
  }
}

function isClone(folder: string): boolean {
  if (!existsSync(join(folder, 'server'))) return false
  if (existsSync(join(folder, '.git'))) return true
  try {
    return 'devDependencies' in JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
  } catch {
    return false
  }
}

function dataFolder(platform: NodeJS.Platform, env: NodeJS.ProcessEnv, userFolder: string): string {
  if (platform === 'win32') return env.LOCALAPPDATA || join(userFolder, 'AppData', 'Local')
  if (platform === 'darwin') return join(userFolder, 'Library', 'Application Support')
  return env.XDG_DATA_HOME || join(userFolder, '.local', 'share')
}
