/** Finds the installed packages whose licence lets a model learn from them. */
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'

export type Package = { name: string; version: string; licence: string; folder: string }

const LICENCES = ['MIT', 'ISC', 'BSD-2-Clause', 'BSD-3-Clause', 'Apache-2.0']

/** The licence that a package may be used under, or undefined. @param field `license` of a package.json, in any of its forms */
export function usableLicence(field: unknown): string | undefined {
  if (typeof field === 'object' && field !== null && 'type' in field) return usableLicence(field.type)
  if (typeof field !== 'string') return undefined
  const text = field.trim().replace(/^\((.*)\)$/, '$1')
  if (LICENCES.includes(text)) return text
  // A choice between licences leaves us ours; several that all hold must all be usable.
  if (/\sOR\s/.test(text) && !/\sAND\s/.test(text)) return text.split(/\sOR\s/).find(part => LICENCES.includes(part))
  if (/\sAND\s/.test(text) && !/\sOR\s/.test(text))
    return text.split(/\sAND\s/).every(part => LICENCES.includes(part)) ? text : undefined
  return undefined
}

/** Folders with packages on a developer's machine: those of the project, and npm itself with its own. */
export function packageFolders(root: string, env: NodeJS.ProcessEnv): string[] {
  const folders = [join(root, 'node_modules')]
  const npm = npmFolder(env)
  if (npm !== undefined) folders.push(join(npm, 'node_modules'))
  return folders.filter(folder => existsSync(folder))
}

/** Where npm lies: it says so to the scripts that it runs, else it is looked for in the path. */
function npmFolder(env: NodeJS.ProcessEnv): string | undefined {
  const candidates = [env.npm_execpath, ...(env.PATH ?? '').split(delimiter).map(folder => join(folder, 'npm'))]
  for (const candidate of candidates) {
    if (candidate === undefined || !existsSync(candidate)) continue
    for (let folder = dirname(realpathSync(candidate)); folder !== dirname(folder); folder = dirname(folder))
      if (readJson(join(folder, 'package.json'))?.name === 'npm') return folder
  }
  return undefined
}

/** Every package below, nested ones as well, in the order of their names; of the same name and version one. */
export function findPackages(folders: string[]): Package[] {
  const found = new Map<string, Package>()
  const visit = (folder: string): void => {
    if (!existsSync(folder)) return
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      if (!entry.isDirectory() || entry.name.startsWith('.')) continue
      const inside = join(folder, entry.name)
      if (entry.name.startsWith('@')) {
        visit(inside)
        continue
      }
      const described = readJson(join(inside, 'package.json'))
      const licence = usableLicence(described?.license)
      if (typeof described?.name === 'string' && typeof described.version === 'string' && licence !== undefined) {
        const key = `${described.name}@${described.version}`
        if (!found.has(key))
          found.set(key, { name: described.name, version: described.version, licence, folder: inside })
      }
      visit(join(inside, 'node_modules'))
    }
  }
  for (const folder of folders) visit(folder)
  return [...found.keys()].sort().map(key => found.get(key)!)
}

/**
 * Names of the packages that are kept for testing: in the order of their names' hashes, among those of a middling size,
 * until there are `wantedBytes` of source. It depends on the names and sizes alone.
 */
export function chooseHeldOut(sizes: ReadonlyMap<string, number>, wantedBytes: number): string[] {
  const chosen: string[] = []
  let bytes = 0
  for (const name of [...sizes.keys()].sort((a, b) => (hashOf(a) < hashOf(b) ? -1 : 1))) {
    if (bytes >= wantedBytes) break
    const size = sizes.get(name)!
    if (size < 6_000 || size > wantedBytes / 3) continue
    chosen.push(name)
    bytes += size
  }
  return chosen.sort()
}

export const hashOf = (text: string): string => createHash('sha256').update(text).digest('hex')

function readJson(path: string): { [key: string]: unknown } | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8').replace(/^\uFEFF/, '')) as { [key: string]: unknown }
  } catch {
    return undefined
  }
}
