/** Gathers the corpus from what is on a developer's machine: this project, and the installed packages that may be learned from. */
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { extname, join, relative, sep } from 'node:path'
import { cleanText, Seen } from './clean.ts'
import { chooseHeldOut, findPackages, hashOf, type Package, packageFolders } from './packages.ts'

export type Kind = 'code' | 'types' | 'document' | 'vietnamese'
export type Document = { source: string; path: string; kind: Kind; text: string }
export type Corpus = {
  training: Document[]
  heldOut: Document[]
  /** Those that something was taken from. */
  packages: (Omit<Package, 'folder'> & { bytes: number; heldOut: boolean })[]
}

const CODE = new Set(['.ts', '.mts', '.cts', '.tsx', '.js', '.mjs', '.cjs', '.jsx'])
/** Most bytes of one package, so that no author's habits drown the others'. */
const MOST: { [kind in Kind]: number } = { code: 900_000, types: 100_000, document: 100_000, vietnamese: 1_000_000 }
const HELD_OUT_BYTES = 330_000
const SKIPPED_FOLDERS = new Set(['node_modules', '.git', 'fixtures', 'umd', 'min', 'vendor', 'locales', 'locale'])

export function kindOf(path: string): Kind | undefined {
  const name = path.split('/').at(-1)!.toLowerCase()
  if (/\.d\.[cm]?ts$/.test(name)) return 'types'
  if (CODE.has(extname(name))) return 'code'
  if (/\.(md|markdown)$/.test(name) && !/^(changelog|changes|history|license|licence|authors|contributors)/.test(name))
    return 'document'
  return undefined
}

/**
 * @param root of this project; its files are those that git tracks
 * @param heldOut names of the packages to keep for testing, as an earlier run chose them
 */
export function gatherCorpus(
  root: string,
  env: NodeJS.ProcessEnv,
  extra: Document[],
  heldOut?: readonly string[],
): Corpus {
  const packages = findPackages(packageFolders(root, env))
  const read = new Map(packages.map(each => [each, packageDocuments(each)]))
  const sizes = new Map<string, number>()
  for (const [{ name }, documents] of read) {
    const bytes = documents.filter(({ kind }) => kind === 'code').reduce((sum, { text }) => sum + text.length, 0)
    sizes.set(name, Math.max(sizes.get(name) ?? 0, bytes))
  }
  const heldOutNames = new Set(heldOut ?? chooseHeldOut(sizes, HELD_OUT_BYTES))
  // What is held out comes first, so that whatever resembles it is missing from the training text.
  const seen = new Seen()
  const take = (documents: Document[]): Document[] => documents.filter(({ text }) => seen.add(text))
  const kept = new Map<Package, Document[]>()
  for (const [each, documents] of read) if (heldOutNames.has(each.name)) kept.set(each, take(documents))
  const own = take([...projectDocuments(root), ...extra])
  for (const [each, documents] of read) if (!heldOutNames.has(each.name)) kept.set(each, limit(take(documents)))
  const of = (heldOut: boolean): Document[] =>
    [...kept].flatMap(([{ name }, documents]) => (heldOutNames.has(name) === heldOut ? documents : []))
  return {
    training: [...own, ...of(false)],
    heldOut: of(true).filter(({ kind }) => kind === 'code'),
    packages: packages.flatMap(each => {
      const bytes = (kept.get(each) ?? []).reduce((sum, { text }) => sum + text.length, 0)
      const { name, version, licence } = each
      return bytes === 0 ? [] : [{ name, version, licence, bytes, heldOut: heldOutNames.has(name) }]
    }),
  }
}

/** In the order of their paths' hashes up to the most of each kind, so that a part of a large package is an even sample of it. */
function limit(documents: Document[]): Document[] {
  const left = { ...MOST }
  return documents.toSorted(byHash).filter(({ kind, text }) => {
    left[kind] -= text.length
    return left[kind] >= 0
  })
}

const byHash = (a: Document, b: Document): number => (hashOf(a.path) < hashOf(b.path) ? -1 : 1)

function packageDocuments({ name, version, folder }: Package): Document[] {
  const files = filesBelow(folder)
  // Where the sources are there, what was compiled from them is not taken as well.
  const sources = files.some(path => /\.[cm]?tsx?$/.test(path) && kindOf(path) === 'code')
  return files.flatMap(path => {
    const kind = kindOf(path)
    if (kind === undefined || (sources && kind !== 'document' && !(kind === 'code' && /\.[cm]?tsx?$/.test(path))))
      return []
    return readDocument(folder, path, kind, `${name}@${version}`)
  })
}

function projectDocuments(root: string): Document[] {
  let files: string[]
  try {
    const listed = execFileSync('git', ['ls-files', '-z'], { cwd: root, encoding: 'utf8', maxBuffer: 2 ** 26 })
    files = listed.split('\0').filter(path => path !== '')
  } catch {
    files = filesBelow(root)
  }
  return files.sort().flatMap(path => {
    const kind = kindOf(path)
    if (kind === undefined || path.split('/').some(part => SKIPPED_FOLDERS.has(part))) return []
    return readDocument(root, path, kind, 'ai-backend-hub')
  })
}

function readDocument(folder: string, path: string, kind: Kind, source: string): Document[] {
  const full = join(folder, path)
  if (!existsSync(full)) return []
  const text = cleanText(path, readFileSync(full, 'utf8'))
  return text === undefined ? [] : [{ source, path: `${source}/${path}`, kind, text }]
}

/** With slashes, sorted, without nested packages. */
function filesBelow(folder: string): string[] {
  const found: string[] = []
  const visit = (at: string): void => {
    for (const entry of readdirSync(at, { withFileTypes: true })) {
      if (entry.isDirectory() && !SKIPPED_FOLDERS.has(entry.name)) visit(join(at, entry.name))
      else if (entry.isFile()) found.push(relative(folder, join(at, entry.name)).split(sep).join('/'))
    }
  }
  visit(folder)
  return found.sort()
}
