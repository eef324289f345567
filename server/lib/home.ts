/** Home: the folder with the user's models, data, database and logs; and hub.json in it, which says where the hub of that home runs. */
import { randomBytes } from 'node:crypto'
import { copyFileSync, existsSync, linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join, resolve, sep } from 'node:path'
import * as z from 'zod'
import { HubError } from './error.ts'

/** Folders of every home, relative to it. */
export const HOME_FOLDERS = [
  'local_models/chat_models',
  'local_models/code_models',
  'local_models/vietnamese_models',
  'local_models/custom_models',
  'training_data',
  'trained_models',
  'logs',
] as const

/** What hub.json says of a running hub. `startedAt` tells two processes of the same pid apart, in ms since 1970. */
export const HubRecord = z.object({
  pid: z.int().positive(),
  /** `http://127.0.0.1:8000`, no slash at the end */
  url: z.string(),
  version: z.string(),
  startedAt: z.number(),
  /** Whoever can read this file may do everything, without an API key. */
  token: z.string().optional(),
})
export type HubRecord = z.infer<typeof HubRecord>

/**
 * Absolute path of home: `--home`, else AI_HUB_HOME, else the project folder when run from a clone of the repository,
 * else a folder of the user's own application data.
 */
export function resolveHome(options: {
  home?: string | undefined
  env: NodeJS.ProcessEnv
  projectFolder?: string
  platform?: NodeJS.Platform
  userFolder?: string
}): string {
  const { home, env, platform = process.platform, userFolder = homedir() } = options
  const projectFolder = options.projectFolder ?? resolve(import.meta.dirname, '..', '..')
  if (home !== undefined && home !== '') return resolve(home)
  if (env.AI_HUB_HOME) return resolve(env.AI_HUB_HOME)
  if (isClone(projectFolder)) return projectFolder
  return join(dataFolder(platform, env, userFolder), 'ai-backend-hub')
}

/**
 * Makes home and its folders.
 * @param program the folder with server/
 * @throws HubError invalid_request when that is not possible, naming the folder
 */
export function ensureHome(home: string, program: string = resolve(import.meta.dirname, '..', '..')): void {
  giveStarter(home, program)
  for (const folder of HOME_FOLDERS) {
    const path = join(home, ...folder.split('/'))
    try {
      mkdirSync(path, { recursive: true })
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause)
      throw new HubError(
        'invalid_request',
        `The folder ${path} cannot be made: ${reason}. Choose a home that can be written to with --home or AI_HUB_HOME.`,
        { cause },
      )
    }
  }
}

/** A new home gets the model that a package carries, so that everything can be tried; where it was deleted it stays away. */
function giveStarter(home: string, program: string): void {
  const folder = join('local_models', 'code_models')
  if (isClone(program) || existsSync(join(home, 'local_models')) || !existsSync(join(program, folder))) return
  // The card first: with it the model is known for a toy from the beginning.
  for (const name of ['starter.model.json', 'starter.gguf']) {
    try {
      mkdirSync(join(home, folder), { recursive: true })
      copyFileSync(join(program, folder, name), join(home, folder, name))
    } catch {
      // A hub without it works as well; a part of it would count as a broken model.
      rmSync(join(home, folder, name), { force: true })
    }
  }
}

/** Whether the record is that of a hub that runs now: by default the process lives and its /health says the same. */
export type IsRunning = (record: HubRecord) => Promise<boolean>

/** The hub that runs on this home, or undefined; a hub.json left behind by a killed hub counts as none. */
export async function findHub(home: string, isRunning: IsRunning = answersHealth): Promise<HubRecord | undefined> {
  const record = readRecord(home)
  return record !== undefined && (await isRunning(record)) ? record : undefined
}

/**
 * Writes hub.json for a hub that already listens, whole or not at all; of several that try at once one wins.
 * Gives back the function that removes it again, for a clean exit; it leaves the record of another hub alone.
 * @throws HubError conflict when a hub runs on this home, saying where
 */
export async function claimHub(
  home: string,
  record: HubRecord,
  isRunning: IsRunning = answersHealth,
): Promise<() => void> {
  const path = recordPath(home)
  const text = `${JSON.stringify(record, undefined, 2)}\n`
  const temporary = `${path}.${process.pid}.${randomBytes(4).toString('hex')}`
  // A rival that dies between our look and our next try leaves one stale file more; a handful of tries is plenty.
  for (let tries = 0; tries < 8; tries++) {
    if (createWhole(temporary, path, text)) return () => release(home, text)
    const found = readText(path)
    const rival = parseRecord(found)
    if (rival !== undefined && (await isRunning(rival))) throw alreadyRuns(home, rival)
    removeStale(path, temporary, found)
  }
  throw new HubError('conflict', `${path} cannot be replaced. Remove the file and start the hub again.`)
}

/** What a second `serve` on the same home says. */
export function alreadyRuns(home: string, hub: HubRecord): HubError {
  return new HubError(
    'conflict',
    `The hub of ${home} already runs at ${hub.url} (process ${hub.pid}, version ${hub.version}). Use that one, stop it first, or start another with --home and --port.`,
  )
}

/** The process exists and GET /health at its address answers with the same pid and start time within two seconds. */
export async function answersHealth(record: HubRecord): Promise<boolean> {
  if (!processExists(record.pid)) return false
  try {
    const response = await fetch(`${record.url}/health`, { signal: AbortSignal.timeout(2000) })
    const body = z.looseObject({ pid: z.number(), started_at: z.number() }).safeParse(await response.json())
    return body.success && body.data.pid === record.pid && body.data.started_at === record.startedAt
  } catch {
    return false
  }
}

export function processExists(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    // EPERM: it lives and belongs to someone else.
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}

function isClone(folder: string): boolean {
  if (folder.split(sep).includes('node_modules')) return false
  if (!existsSync(join(folder, 'server'))) return false
  if (existsSync(join(folder, '.git'))) return true
  // A source archive has no .git; a packed release has no devDependencies.
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

const recordPath = (home: string): string => join(home, 'hub.json')

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

function parseRecord(text: string | undefined): HubRecord | undefined {
  if (text === undefined) return undefined
  try {
    return HubRecord.safeParse(JSON.parse(text)).data
  } catch {
    return undefined
  }
}

const readRecord = (home: string): HubRecord | undefined => parseRecord(readText(recordPath(home)))

/** A hard link puts a whole file in place only where none is; where links are not known, exclusive creation comes nearest. */
function createWhole(temporary: string, path: string, text: string): boolean {
  // It holds a token that is for this user alone.
  writeFileSync(temporary, text, { mode: 0o600 })
  try {
    linkSync(temporary, path)
    return true
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false
    try {
      writeFileSync(path, text, { flag: 'wx', mode: 0o600 })
      return true
    } catch (second) {
      if (codeOf(second) === 'EEXIST') return false
      throw second
    }
  } finally {
    rmSync(temporary, { force: true })
  }
}

/** Takes the file away only if it still is the stale one: a rival may have put its own there meanwhile. */
function removeStale(path: string, temporary: string, stale: string | undefined): void {
  const aside = `${temporary}.stale`
  try {
    renameSync(path, aside)
    const taken = readText(aside)
    if (taken !== undefined && taken !== stale) createWhole(temporary, path, taken)
  } catch {
    // Someone else took it away first; the next try sees what is there now.
  } finally {
    rmSync(aside, { force: true })
  }
}

function release(home: string, text: string): void {
  const path = recordPath(home)
  if (readText(path) === text) rmSync(path, { force: true })
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined
}
