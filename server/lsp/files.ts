/** Files of a workspace: their URIs and paths, their texts, and which there are. */
import { readdir, readFile, stat } from 'node:fs/promises'
import { join, relative, resolve, sep } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { isIgnored, type Rules, readRules, rulesAbove } from '../lib/git_ignore.ts'

const MOST_BYTES = 2 * 2 ** 20
const MOST_FILES = 5000
const MOST_FOLDERS = 1500
const SKIPPED = new Set([
  'node_modules',
  'target',
  'build',
  'dist',
  'out',
  'bin',
  'obj',
  'vendor',
  '__pycache__',
  'venv',
])

/** Tells documents apart however a client spells their URIs. */
export function keyOf(uri: string): string {
  let decoded = uri
  try {
    decoded = decodeURIComponent(uri)
  } catch {
    // A stray percent sign; the URI as it is tells apart as well.
  }
  return decoded.replace(/^file:\/\/\/([A-Z]):/, (_, drive: string) => `file:///${drive.toLowerCase()}:`)
}

/** The folder or file that a client names by URI or by path; undefined for one that is not on this machine. */
export function localPath(uriOrPath: string): string | undefined {
  if (!/^[a-z][a-z0-9+.-]+:/i.test(uriOrPath)) return resolve(uriOrPath)
  try {
    return fileURLToPath(uriOrPath)
  } catch {
    return undefined
  }
}

export function fileUri(folder: string, path: string): string {
  return pathToFileURL(join(folder, ...path.split('/'))).href
}

/** The text of a file; undefined where there is none, and for what is too large or no text. */
export async function readText(path: string): Promise<string | undefined> {
  try {
    const facts = await stat(path)
    if (!facts.isFile() || facts.size > MOST_BYTES) return undefined
    const text = await readFile(path, 'utf8')
    return text.includes('\0') ? undefined : text
  } catch {
    return undefined
  }
}

/** Paths of a workspace's files with forward slashes, so many at most; what git ignores, hidden, built and installed ones are left out. */
export async function listFiles(folder: string, signal: AbortSignal): Promise<string[]> {
  const found: string[] = []
  for await (const path of walkFiles(folder, signal)) found.push(path)
  return found
}

/** The same, folder by folder. */
export async function* walkFiles(folder: string, signal: AbortSignal): AsyncGenerator<string> {
  const waiting: { at: string; rules: Rules[] }[] = [{ at: folder, rules: await rulesAbove(folder) }]
  let files = 0
  for (let folders = 0; folders < MOST_FOLDERS && !signal.aborted; folders++) {
    const next = waiting.shift()
    if (next === undefined) return
    const own = await readRules(next.at, '.gitignore')
    const rules = own === undefined ? next.rules : [...next.rules, own]
    const entries = await readdir(next.at, { withFileTypes: true }).catch(() => [])
    for (const entry of entries) {
      if (entry.name.startsWith('.') || SKIPPED.has(entry.name)) continue
      const path = join(next.at, entry.name)
      if (!entry.isDirectory() && !entry.isFile()) continue
      if (isIgnored(rules, path, entry.isDirectory())) continue
      if (entry.isDirectory()) waiting.push({ at: path, rules })
      else if (++files > MOST_FILES) return
      else yield relative(folder, path).split(sep).join('/')
    }
  }
}
