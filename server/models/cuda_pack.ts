/** The CUDA libraries, which are too large for a package that everyone installs: fetched when the user asks, checked, and unpacked into home. */
import { createHash } from 'node:crypto'
import { createReadStream, existsSync, readFileSync } from 'node:fs'
import { mkdir, open, rename, rm, stat, statfs } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import * as z from 'zod'
import { HubError } from '../lib/error.ts'
import { untar } from '../lib/untar.ts'

/** A package of npm as the lock knows it. `cuda` brings the libraries, `cuda-ext` the backend for the older runtime beside them. */
export type Pack = { name: string; version: string; integrity: string }
export type PackFacts = {
  packs: { cuda: Pack; 'cuda-ext': Pack }
  /** Where npm had its packages from when this hub was packaged; a clone does not know. */
  registry?: string
}
/** What the registry says of it. */
export type PackOffer = Pack & { url: string; bytes: number; license: string }
export type PackProgress = { stage: 'fetch' | 'check' | 'unpack'; done: number; total: number }

const PackRow = z.object({ name: z.string(), version: z.string(), integrity: z.string().startsWith('sha512-') })
/** Beside server/ in a packaged hub. */
export const PackFile = z.object({
  packs: z.object({ cuda: PackRow, 'cuda-ext': PackRow }),
  registry: z.string().optional(),
})
const LockFile = z.object({
  packages: z.record(z.string(), z.looseObject({ version: z.string().optional(), integrity: z.string().optional() })),
})
const Offer = z.looseObject({
  license: z.string().default('not said'),
  dist: z.looseObject({ tarball: z.string(), integrity: z.string().optional() }),
})

const PROGRAM = resolve(import.meta.dirname, '..', '..')
/** Unpacked it takes about so much of the archive's size, and the archive lies beside it meanwhile. */
const ROOM = 4
const ANSWER_MS = 30_000

/**
 * What can be fetched for this platform, of the release that the other native libraries are.
 * @returns undefined where there is no CUDA, or nothing says which package is the right one
 */
export function packFacts(
  platform: NodeJS.Platform = process.platform,
  arch: string = process.arch,
  program: string = PROGRAM,
): PackFacts | undefined {
  if (arch !== 'x64' || (platform !== 'linux' && platform !== 'win32')) return undefined
  const carried = PackFile.safeParse(readJson(join(program, 'cuda_pack.json'))).data
  if (carried !== undefined) {
    const { packs, registry } = carried
    return { packs, ...(registry !== undefined && { registry }) }
  }
  const lock = LockFile.safeParse(readJson(join(program, 'package-lock.json'))).data
  return lock === undefined ? undefined : lockedPacks(lock, platform)
}

/** The rows of a lock file for the two packages. */
export function lockedPacks(
  { packages }: z.infer<typeof LockFile>,
  platform: 'linux' | 'win32',
): PackFacts | undefined {
  const base = `@node-llama-cpp/${platform === 'win32' ? 'win' : 'linux'}-x64-cuda`
  const row = (name: string): Pack | undefined => PackRow.safeParse({ name, ...packages[`node_modules/${name}`] }).data
  const cuda = row(base)
  const ext = row(`${base}-ext`)
  return cuda === undefined || ext === undefined ? undefined : { packs: { cuda, 'cuda-ext': ext } }
}

/** The folder of home with fetched libraries of this hub's release; processes with native code look there by AI_HUB_NATIVE. */
export function nativeFolder(home: string, facts: PackFacts | undefined = packFacts()): string | undefined {
  return facts === undefined ? undefined : join(home, 'native', facts.packs.cuda.version)
}

/** Whether npm installed it beside the hub, or it was fetched into home. */
export function isPackInstalled({ name }: Pack, folder: string): boolean {
  const beside = createRequire(import.meta.url).resolve.paths(name) ?? []
  return [...beside, folder].some(root => existsSync(join(root, ...name.split('/'), 'bins')))
}

type Deps = {
  fetch: typeof fetch
  registry: string
  signal: AbortSignal
  /** Free bytes on the disk of a folder. */
  freeBytes?(folder: string): Promise<number>
}

/** Asks the registry for address, size and licence. @throws HubError unusable_answer, naming what to do */
export async function offerPack({ fetch, registry, signal }: Deps, pack: Pack): Promise<PackOffer> {
  const base = registry.replace(/\/+$/, '')
  const path = `${base}/${pack.name.replace('/', '%2f')}/${pack.version}`
  const limited = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)])
  const said = await ask(fetch, path, { headers: { accept: 'application/json' }, signal: limited }, signal)
  const offer = Offer.safeParse(await said.json().catch(() => undefined)).data
  if (offer === undefined || !/^https?:/.test(offer.dist.tarball)) {
    throw new HubError(
      'unusable_answer',
      `${base} does not answer as a registry of npm does; name another with --registry.`,
    )
  }
  const { tarball: url } = offer.dist
  const head = await ask(fetch, url, { method: 'HEAD', signal: limited }, signal)
  return { ...pack, url, bytes: Number(head.headers.get('content-length') ?? 0), license: offer.license }
}

/**
 * Fetches a pack, checks it and puts it in its place. A fetch that broke goes on where it was when it is asked for
 * again; what does not match the lock is thrown away, and nothing is left of an unpacking that failed.
 * @param folder see nativeFolder
 * @throws HubError unusable_answer, insufficient_storage
 */
export async function fetchPack(
  deps: Deps,
  offer: PackOffer,
  folder: string,
  report: (progress: PackProgress) => void,
): Promise<void> {
  const { signal } = deps
  const target = join(folder, ...offer.name.split('/'))
  const archive = `${target}.tgz.part`
  await mkdir(dirname(target), { recursive: true })
  await checkRoom(deps, offer, folder, archive)
  await download(deps, offer, archive, report).catch(thrown => {
    throw isDiskFull(thrown) ? noRoom(offer, folder) : thrown
  })
  if (`sha512-${await hashOf(archive, offer.bytes, signal, report)}` !== offer.integrity) {
    await rm(archive, { force: true })
    throw new HubError(
      'unusable_answer',
      `${offer.name} ${offer.version} came otherwise than package-lock.json says, and was thrown away. Try again, or name another registry with --registry.`,
    )
  }
  report({ stage: 'unpack', done: 0, total: offer.bytes })
  const part = `${target}.part`
  try {
    await rm(part, { recursive: true, force: true })
    await untar(archive, part, isWanted, signal)
    await rm(target, { recursive: true, force: true })
    await rename(part, target)
    await rm(archive, { force: true })
  } catch (thrown) {
    if (signal.aborted) throw stopped()
    throw isDiskFull(thrown) ? noRoom(offer, folder) : thrown
  } finally {
    await rm(part, { recursive: true, force: true })
  }
}

/** The libraries with their licence; not the addon of a package that is not used here. */
function isWanted(path: string): boolean {
  if (/^(LICENSE|package\.json)$/.test(path)) return true
  return path.startsWith('bins/') && !/\/(llama-addon|(lib)?llama-common)\b[^/]*$/.test(path)
}

async function checkRoom(
  { freeBytes = freeOf }: Deps,
  { name, bytes }: PackOffer,
  folder: string,
  archive: string,
): Promise<void> {
  const wanted = bytes * ROOM - (await sizeOf(archive))
  const free = await freeBytes(folder)
  if (free < wanted) throw noRoom({ name, bytes }, folder, free)
}

function noRoom({ name, bytes }: Pick<PackOffer, 'name' | 'bytes'>, folder: string, free?: number): HubError {
  const mebibytes = (count: number): string => `${Math.ceil(count / 2 ** 20)} MiB`
  const there = free === undefined ? 'are not free' : `are needed and ${mebibytes(free)} free`
  return new HubError(
    'insufficient_storage',
    `For ${name} up to ${mebibytes(bytes * ROOM)} ${there} at ${folder}. Make room, or put home on another disk with --home.`,
  )
}

async function download(
  { fetch, signal }: Deps,
  { url, bytes }: PackOffer,
  archive: string,
  report: (progress: PackProgress) => void,
): Promise<void> {
  let done = await sizeOf(archive)
  // Whole already: only its unpacking was broken off.
  if (bytes > 0 && done === bytes) return
  const range = done > 0 && done < bytes ? { range: `bytes=${done}-` } : undefined
  const response = await ask(fetch, url, { ...(range !== undefined && { headers: range }), signal }, signal)
  const goesOn = response.status === 206 && response.headers.get('content-range')?.startsWith(`bytes ${done}-`) === true
  if (!goesOn) done = 0
  if (response.body === null) throw new HubError('unusable_answer', `${new URL(url).host} sent nothing; try again.`)
  // Written piece by piece, so that all that came before a break is there for the next time.
  const file = await open(archive, goesOn ? 'a' : 'w')
  try {
    for await (const chunk of response.body) {
      await file.appendFile(chunk)
      done += chunk.length
      report({ stage: 'fetch', done, total: bytes })
    }
  } catch (thrown) {
    if (signal.aborted) throw stopped()
    throw isDiskFull(thrown) ? thrown : brokenOff(url, thrown)
  } finally {
    await file.close()
  }
}

function isDiskFull(thrown: unknown): boolean {
  return thrown instanceof Error && 'code' in thrown && (thrown.code === 'ENOSPC' || thrown.code === 'EDQUOT')
}

async function hashOf(
  file: string,
  total: number,
  signal: AbortSignal,
  report: (progress: PackProgress) => void,
): Promise<string> {
  const hash = createHash('sha512')
  let done = 0
  for await (const chunk of createReadStream(file, { signal }) as AsyncIterable<Buffer>) {
    hash.update(chunk)
    done += chunk.length
    report({ stage: 'check', done, total })
  }
  return hash.digest('base64')
}

async function ask(fetched: typeof fetch, url: string, init: RequestInit, signal: AbortSignal): Promise<Response> {
  let response: Response
  try {
    response = await fetched(url, init)
  } catch (thrown) {
    throw signal.aborted ? stopped() : brokenOff(url, thrown)
  }
  if (response.ok) return response
  throw new HubError(
    'unusable_answer',
    `${new URL(url).host} answers ${response.status} for ${new URL(url).pathname}; name another registry with --registry.`,
  )
}

function brokenOff(url: string, thrown: unknown): HubError {
  const { message, cause } = thrown instanceof Error ? thrown : { message: String(thrown), cause: undefined }
  const why = cause instanceof Error ? cause.message : message
  return new HubError(
    'unusable_answer',
    `The connection to ${new URL(url).host} failed: ${why}. Try again, it goes on where it was; or name another registry with --registry.`,
    { cause: thrown },
  )
}

const stopped = (): HubError => new HubError('cancelled', 'Stopped; what was fetched is kept for the next time.')

async function freeOf(folder: string): Promise<number> {
  const disk = await statfs(folder)
  return disk.bavail * disk.bsize
}

async function sizeOf(file: string): Promise<number> {
  return stat(file).then(
    ({ size }) => size,
    () => 0,
  )
}

function readJson(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    return undefined
  }
}
