/**
 * Adapters on disk: HOME/trained_models/BASE/NAME.gguf with NAME.adapter.json beside it, older versions as NAME@1.gguf and so on.
 * A bare GGUF that is put there is an adapter as well. Every change is one rename, so that a crash leaves the old state or the new one.
 */
import {
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { HubError } from '../lib/error.ts'
import { AdapterCard, type AdapterFacts, AdapterName } from '../wire/adapter.ts'

export type Adapter = {
  /** `base:name`, and `base:name@1` for an older version. */
  id: string
  base: string
  name: string
  version: number
  /** false for an older version. */
  current: boolean
  path: string
  bytes: number
  modifiedMs: number
  /** Tells this content of the path from another one. */
  fingerprint: string
  status: 'ok' | 'broken'
  /** Why it is broken, or why its card is ignored, and what to do. */
  reason?: string
  /** Absent when broken, and until the file was looked at. */
  facts?: AdapterFacts
  card: AdapterCard
}

export const ADAPTERS_FOLDER = 'trained_models'
export const CARD_ENDING = '.adapter.json'
/** The report of the last evaluation, where there was one. */
export const EVALUATION_ENDING = '.evaluation.json'
const MOST_CARD_BYTES = 2 ** 20

/** A model id as the name of a folder: what file names cannot hold is written as %XX. */
export function folderName(base: string): string {
  const written = (text: string): string =>
    [...Buffer.from(text)].map(byte => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join('')
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what Windows refuses in a name
  return base.replace(/[\u0000-\u001f<>:"/\\|?*%]|^\.|[. ]$/g, written)
}

export function baseOfFolder(folder: string): string {
  try {
    return decodeURIComponent(folder)
  } catch {
    // A folder that a person made with a lone percent sign in its name.
    return folder
  }
}

/** `base:name@2` into its parts; the base may hold colons itself. undefined for what cannot be an adapter's id. */
export function splitAdapterId(id: string): { base: string; name: string; version?: number } | undefined {
  const colon = id.lastIndexOf(':')
  if (colon < 1 || colon === id.length - 1) return undefined
  const { name, version } = splitVersion(id.slice(colon + 1))
  return { base: id.slice(0, colon), name, ...(version !== undefined && { version }) }
}

/** `NAME@2` into name and version. */
export function splitVersion(stem: string): { name: string; version: number | undefined } {
  const [, name = stem, digits] = /^(.+)@(\d{1,6})$/.exec(stem) ?? []
  return { name, version: digits === undefined ? undefined : Number(digits) }
}

const folderOf = (home: string, base: string): string => join(home, ADAPTERS_FOLDER, folderName(base))
const stemOf = (name: string, version?: number): string => (version === undefined ? name : `${name}@${version}`)

type Paths = { file: string; card: string; evaluation: string }

function pathsOf(home: string, base: string, name: string, version?: number): Paths {
  // A name from a request must not lead out of the folder of its base.
  if (/[\\/\0]/.test(name) || name === '.' || name === '..') throw noAdapter(base, name)
  const stem = join(folderOf(home, base), stemOf(name, version))
  return { file: `${stem}.gguf`, card: `${stem}${CARD_ENDING}`, evaluation: `${stem}${EVALUATION_ENDING}` }
}

/** The card, or an empty one with the reason why it cannot be used. */
export function readCard(path: string): { card: AdapterCard; reason?: string } {
  const ignored = (why: string) => ({ card: {}, reason: `${path} is ignored: ${why}. Correct or remove it.` })
  try {
    if (statSync(path).size > MOST_CARD_BYTES) return ignored(`it has more than ${MOST_CARD_BYTES} bytes`)
    const parsed = AdapterCard.safeParse(JSON.parse(readFileSync(path, 'utf8').replace(/^\uFEFF/, '')))
    if (parsed.success) return { card: parsed.data }
    return ignored(parsed.error.issues.map(issue => `${issue.path.join('.')}: ${issue.message}`).join('; '))
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return { card: {} }
    return ignored(thrown instanceof Error ? thrown.message : String(thrown))
  }
}

/** What is known of an adapter without opening its file. @throws the error of the file system when it is gone */
export function adapterAt(home: string, base: string, name: string, version?: number): Adapter {
  const { file, card: cardPath } = pathsOf(home, base, name, version)
  const stats = statSync(file, { bigint: true })
  const { card, reason } = readCard(cardPath)
  return {
    id: `${base}:${stemOf(name, version)}`,
    base,
    name,
    version: version ?? card.version ?? 1,
    current: version === undefined,
    path: file,
    bytes: Number(stats.size),
    modifiedMs: Number(stats.mtimeMs),
    fingerprint: `${stats.size}-${stats.mtimeNs}-${stats.ino}`,
    status: 'ok',
    ...(reason !== undefined && { reason }),
    card,
  }
}

/** Versions that lie beside the current one, by number. */
export function olderVersions(home: string, base: string, name: string): number[] {
  let files: string[]
  try {
    files = readdirSync(folderOf(home, base))
  } catch {
    return []
  }
  return files
    .filter(file => /\.gguf$/i.test(file))
    .map(file => splitVersion(file.slice(0, -'.gguf'.length)))
    .filter(found => found.name === name && found.version !== undefined)
    .map(({ version }) => version!)
    .sort((a, b) => a - b)
}

export type Publish = {
  base: string
  name: string
  /** The finished adapter GGUF; it is moved. */
  file: string
  card: AdapterCard
  /** Keep what has the name now as an older version, instead of refusing. */
  replace?: boolean
}

/**
 * Moves an adapter into its place, from where it can be used at once; with `replace` the one before stays as `NAME@VERSION`.
 * @throws HubError conflict when the name is taken, invalid_request for a name that cannot be, not_found when there is no such file
 */
export function publishAdapter(home: string, input: Publish): Adapter {
  const { base, file } = input
  const name = checkName(input.name)
  if (!existsSync(file)) throw new HubError('not_found', `${file} is not there, so it cannot become ${base}:${name}`)
  const paths = pathsOf(home, base, name)
  mkdirSync(folderOf(home, base), { recursive: true })
  const taken = existsSync(paths.file)
  if (taken && input.replace !== true) throw nameTaken(base, name)
  let version = 1
  if (taken) {
    const before = adapterAt(home, base, name)
    version = Math.max(before.version, ...olderVersions(home, base, name)) + 1
    keep(home, before)
  } else {
    version = Math.max(0, ...olderVersions(home, base, name)) + 1
    // Left by one whose file was taken away by hand.
    rmSync(paths.evaluation, { force: true })
  }
  const beside = `${paths.file}.part`
  try {
    move(file, beside)
    // The card comes first: a card without a file is nobody's, a file without its card would be taken for a bare one.
    const created = input.card.created ?? Date.now()
    writeCard(taken ? `${paths.card}.next` : paths.card, { ...input.card, base, version, created })
    if (taken) {
      rename(beside, paths.file)
      rename(`${paths.card}.next`, paths.card)
    } else {
      placeNew(beside, paths.file, () => nameTaken(base, name))
    }
  } finally {
    rmSync(beside, { force: true })
  }
  return adapterAt(home, base, name)
}

/** Makes an older version the current one again; the current one stays as a version. @throws HubError not_found */
export function rollBackAdapter(home: string, base: string, name: string, version?: number): Adapter {
  const older = olderVersions(home, base, name)
  const wanted = version ?? older.at(-1)
  if (wanted === undefined || !older.includes(wanted)) {
    const has = older.length === 0 ? 'it has none' : `it has ${older.join(', ')}`
    const what = wanted === undefined ? 'no older version' : `no version ${wanted}`
    throw new HubError('not_found', `${base}:${name} has ${what} to go back to (${has})`, { param: 'version' })
  }
  const paths = pathsOf(home, base, name)
  const from = pathsOf(home, base, name, wanted)
  if (existsSync(paths.file)) keep(home, adapterAt(home, base, name))
  rename(from.file, paths.file)
  if (existsSync(from.card)) rename(from.card, paths.card)
  else writeCard(paths.card, { base, version: wanted })
  if (existsSync(from.evaluation)) rename(from.evaluation, paths.evaluation)
  return adapterAt(home, base, name)
}

/** Deletes an adapter with all its versions, or one older version of it. @throws HubError not_found */
export function removeAdapter(home: string, base: string, name: string, version?: number): void {
  const all = version === undefined ? [...olderVersions(home, base, name), undefined] : [version]
  let found = false
  for (const each of all) {
    const { file, card, evaluation } = pathsOf(home, base, name, each)
    found ||= existsSync(file)
    for (const path of [file, card, evaluation]) rmSync(path, { force: true })
  }
  if (!found) throw noAdapter(base, stemOf(name, version))
}

/** Gives an adapter and all its versions another name. @throws HubError not_found, conflict, invalid_request */
export function renameAdapter(home: string, base: string, name: string, newName: string): Adapter {
  const to = checkName(newName)
  if (!existsSync(pathsOf(home, base, name).file)) throw noAdapter(base, name)
  if (to === name) return adapterAt(home, base, name)
  // Where file names know no case, the new name may be the old file.
  const { file } = pathsOf(home, base, to)
  const taken = existsSync(file) && !isSameFile(file, pathsOf(home, base, name).file)
  if (taken || olderVersions(home, base, to).length > 0) throw nameTaken(base, to)
  for (const version of [...olderVersions(home, base, name), undefined]) {
    const [from, into] = [pathsOf(home, base, name, version), pathsOf(home, base, to, version)]
    for (const what of ['card', 'evaluation'] as const) if (existsSync(from[what])) rename(from[what], into[what])
    rename(from.file, into.file)
  }
  return adapterAt(home, base, to)
}

/** Writes another card for a current adapter; base, version and creation stay. @throws HubError not_found */
export function changeCard(home: string, base: string, name: string, change: Partial<AdapterCard>): Adapter {
  if (!existsSync(pathsOf(home, base, name).file)) throw noAdapter(base, name)
  const { card, version } = adapterAt(home, base, name)
  writeCard(pathsOf(home, base, name).card, {
    ...card,
    ...change,
    base,
    version,
    ...(card.created !== undefined && { created: card.created }),
  })
  return adapterAt(home, base, name)
}

/** @throws HubError invalid_request */
export function checkName(name: string): string {
  const parsed = AdapterName.safeParse(name)
  if (parsed.success) return parsed.data
  throw new HubError('invalid_request', `"${name.slice(0, 100)}": ${parsed.error.issues[0]?.message ?? 'no name'}`, {
    param: 'name',
  })
}

export function noAdapter(base: string, name: string): HubError {
  return new HubError('model_not_found', `there is no adapter "${name}" of ${base}`, { param: 'model' })
}

function nameTaken(base: string, name: string): HubError {
  return new HubError(
    'conflict',
    `there is an adapter ${base}:${name} already; choose another name, or replace it, which keeps it as an older version`,
    { param: 'name' },
  )
}

/** The current file stays under its name and gets a second one as a version. */
function keep(home: string, adapter: Adapter): void {
  const from = pathsOf(home, adapter.base, adapter.name)
  const into = pathsOf(home, adapter.base, adapter.name, adapter.version)
  rmSync(into.file, { force: true })
  try {
    linkSync(from.file, into.file)
  } catch {
    // No hard links on this file system.
    copyFileSync(from.file, into.file)
  }
  writeCard(into.card, { ...adapter.card, base: adapter.base, version: adapter.version })
  // It is about this content, not about the one that follows.
  if (existsSync(from.evaluation)) rename(from.evaluation, into.evaluation)
  else rmSync(into.evaluation, { force: true })
}

function isSameFile(one: string, other: string): boolean {
  const [first, second] = [statSync(one, { bigint: true }), statSync(other, { bigint: true })]
  return first.ino === second.ino && first.dev === second.dev
}

function writeCard(path: string, card: AdapterCard): void {
  writeFileSync(`${path}.part`, `${JSON.stringify(card, undefined, 2)}\n`, { flush: true })
  rename(`${path}.part`, path)
}

function move(from: string, to: string): void {
  rmSync(to, { force: true })
  try {
    rename(from, to)
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'EXDEV') throw thrown
    copyFileSync(from, to)
    rmSync(from, { force: true })
  }
}

/** A hard link takes a name only where none is, so that of two that publish at once one is refused. */
function placeNew(from: string, to: string, taken: () => HubError): void {
  try {
    linkSync(from, to)
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'EEXIST') throw taken()
    if (existsSync(to)) throw taken()
    rename(from, to)
  }
}

/** Windows refuses to replace a file that a virus scanner or a reader holds open for a moment. */
function rename(from: string, to: string): void {
  for (let attempt = 1; ; attempt++) {
    try {
      renameSync(from, to)
      return
    } catch (thrown) {
      const busy = ['EPERM', 'EACCES', 'EBUSY'].includes((thrown as NodeJS.ErrnoException).code ?? '')
      if (process.platform !== 'win32' || !busy || attempt === 20) throw thrown
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50)
    }
  }
}
