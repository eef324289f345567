/** The datasets of a home: found, read part by part, compared by version and deleted. */
import { randomUUID } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { mkdir, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { HubError } from '../lib/error.ts'
import { processExists } from '../lib/home.ts'
import {
  type CodeOptions,
  DatasetManifest,
  DatasetName,
  type FormatName,
  PARTS,
  type Part,
  type Problem,
  type Shares,
} from '../wire/dataset.ts'
import { type QualityFilters, QualityReport } from '../wire/quality.ts'
import type { Sample } from '../wire/sample.ts'
import { type CleanDeps, cleanSplit } from './datasets_clean.ts'
import { createSampleFile, rawFile, readSampleFile, type SampleFile, syncFolder, writeJson } from './datasets_file.ts'
import { readSource, type Source } from './sources.ts'
import { DEFAULT_SALT, DEFAULT_SHARES, partOf } from './split.ts'

export type Dataset = { name: string; version: number; folder: string; manifest: DatasetManifest }

/** HOME/training_data/datasets */
export const datasetsFolder = (home: string): string => join(home, 'training_data', 'datasets')

/** Numbers of the versions, the oldest first; a version is there whole or not at all. */
export function versionsOf(home: string, name: string): number[] {
  return foldersOf(join(datasetsFolder(home), checkName(name)))
    .map(folder => /^v([1-9]\d{0,8})$/.exec(folder)?.[1])
    .filter(number => number !== undefined)
    .map(Number)
    .sort((a, b) => a - b)
}

/** The given version, else the newest. @throws HubError not_found; conflict when its manifest is damaged */
export function openDataset(home: string, name: string, version?: number): Dataset {
  const versions = versionsOf(home, name)
  const wanted = version ?? versions.at(-1)
  if (wanted === undefined) {
    const known = namesOf(home)
    const hint = known.length === 0 ? 'There is none yet' : `There are ${known.slice(0, 10).join(', ')}`
    throw new HubError('not_found', `There is no dataset '${name}'. ${hint}.`, { param: 'name' })
  }
  if (!versions.includes(wanted)) {
    throw new HubError(
      'not_found',
      `Dataset '${name}' has no version ${wanted}. It has ${versions.join(', ') || 'none'}.`,
      { param: 'version' },
    )
  }
  const folder = join(datasetsFolder(home), name, `v${wanted}`)
  try {
    const manifest = DatasetManifest.parse(JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8')))
    return { name, version: wanted, folder, manifest }
  } catch (cause) {
    throw new HubError('conflict', `${join(folder, 'manifest.json')} is damaged. Import the dataset again.`, { cause })
  }
}

/** The newest version of every dataset, by name; damaged ones are left out. */
export function listDatasets(home: string): Dataset[] {
  return namesOf(home).flatMap(name => {
    try {
      return [openDataset(home, name)]
    } catch {
      return []
    }
  })
}

/** The samples of a part in their order. @throws HubError conflict for a damaged line */
export async function* readPart(dataset: Pick<Dataset, 'folder'>, part: Part): AsyncGenerator<Sample> {
  yield* readSampleFile(join(dataset.folder, `${part}.jsonl`))
}

/** What the inspection at the import found. @throws HubError conflict when it is damaged */
export function readReport(dataset: Dataset): QualityReport {
  const path = join(dataset.folder, 'report.json')
  try {
    return QualityReport.parse(JSON.parse(readFileSync(path, 'utf8')))
  } catch (cause) {
    throw new HubError('conflict', `${path} is missing or damaged. Import the dataset again.`, { cause })
  }
}

export type ImportInput = {
  name: string
  /** Files of any format and folders of code. */
  paths?: string[]
  /** Further sources: git histories, text, samples at hand. */
  sources?: Source[]
  samples?: AsyncIterable<Sample>
  format?: FormatName
  filters?: QualityFilters
  /** What a malformed line does: it is left out and told in the manifest ('skip', the default), or nothing is imported. */
  onProblem?: 'skip' | 'refuse'
  /** The new version holds the samples of the newest one as well. */
  append?: boolean
  /** As the newest version has them when absent, so that the test part stays the same. */
  shares?: Shares
  salt?: string
  code?: CodeOptions
}

export type ImportDeps = { home: string; now(): number } & CleanDeps

/** Problems that a refusal names, and that a manifest keeps. */
const REFUSED_PROBLEMS = 10
const KEPT_PROBLEMS = 100
/** Imports of this process; the folders of others are told apart by whether their process lives. */
const importing = new Set<string>()

/**
 * Reads, splits, inspects and cleans the sources into a new version. The version appears by one rename when all of it is on
 * the disk: whatever happens before that leaves nothing but a hidden folder, which the next import removes.
 * @throws HubError invalid_request naming lines when there are problems to refuse or no sample at all; not_found for a
 * source; insufficient_storage
 */
export async function importDataset(deps: ImportDeps, input: ImportInput, signal: AbortSignal): Promise<Dataset> {
  const name = checkName(input.name)
  const root = datasetsFolder(deps.home)
  await mkdir(root, { recursive: true })
  await removeLeftovers(root)
  const last = versionsOf(deps.home, name).at(-1)
  const previous = last === undefined ? undefined : openDataset(deps.home, name, last)
  const split = {
    salt: input.salt ?? previous?.manifest.split.salt ?? DEFAULT_SALT,
    shares: input.shares ?? previous?.manifest.split.shares ?? DEFAULT_SHARES,
  }
  const sources: Source[] = [
    ...(input.append === true && previous !== undefined ? [versionSource(previous)] : []),
    ...(input.paths ?? []).map(path => ({ path })),
    ...(input.sources ?? []),
    ...(input.samples === undefined ? [] : [{ samples: input.samples, name: 'samples', kind: 'samples' as const }]),
  ]
  if (sources.length === 0) throw new HubError('invalid_request', 'Name something to import: a file, a folder or text.')
  const staging = join(root, `.import-${process.pid}-${randomUUID()}`)
  // Known before it is there, so that another import of this process does not take it for a leftover.
  importing.add(staging)
  try {
    await mkdir(staging)
    const raw = await spool(staging, sources, input, split, signal)
    const cleaned = await cleanSplit(deps, staging, split, input.filters ?? {}, signal)
    await writeJson(join(staging, 'report.json'), cleaned.report)
    await Promise.all(PARTS.map(part => rm(join(staging, rawFile(part)))))
    const manifest = {
      name,
      created: new Date(deps.now()).toISOString(),
      sources: raw.sources,
      counts: cleaned.counts,
      kinds: cleaned.kinds,
      filters: cleaned.filters,
      split,
      files: cleaned.files,
      problems: raw.problems,
    }
    signal.throwIfAborted()
    return await publish(deps.home, staging, manifest)
  } finally {
    importing.delete(staging)
    await rm(staging, { recursive: true, force: true, maxRetries: 3 })
  }
}

type Spooled = {
  sources: DatasetManifest['sources']
  problems: DatasetManifest['problems']
  counts: { [part in Part]: number }
}

/** Reads every source once, whatever happens to it afterwards, into one file for each part. */
async function spool(
  staging: string,
  sources: Source[],
  input: ImportInput,
  split: { salt: string; shares: Shares },
  signal: AbortSignal,
): Promise<Spooled> {
  const files: SampleFile[] = []
  const counts = { train: 0, validation: 0, test: 0 }
  const first: Problem[] = []
  const found: DatasetManifest['sources'] = []
  let count = 0
  const options = {
    ...(input.format !== undefined && { format: input.format }),
    ...(input.code !== undefined && { code: input.code }),
  }
  try {
    for (const part of PARTS) files.push(await createSampleFile(join(staging, rawFile(part))))
    for (const source of sources) {
      for await (const read of readSource(source, options, signal)) {
        if ('source' in read) found.push(read.source)
        else if ('problem' in read) {
          count++
          if (first.length < KEPT_PROBLEMS) first.push(read.problem)
          if (input.onProblem === 'refuse' && count >= REFUSED_PROBLEMS) throw refusal(first, true)
        } else {
          const part = partOf(read.sample, split.salt, split.shares)
          counts[part]++
          const waits = files[PARTS.indexOf(part)]!.add(read.sample)
          if (waits !== undefined) await waits
        }
      }
    }
    if (input.onProblem === 'refuse' && count > 0) throw refusal(first, false)
    if (counts.train + counts.validation + counts.test === 0) {
      const skipped = found.flatMap(({ name, skipped = {} }) =>
        Object.entries(skipped).map(([reason, files]) => `${name}: ${files} left out (${reason}).`),
      )
      const why = [sentences(first.slice(0, 3)), ...skipped.slice(0, 5)].map(text => text && ` ${text}`).join('')
      throw new HubError('invalid_request', `No training sample was found.${why}`)
    }
    for (const file of files) await file.close()
  } finally {
    // Closing twice does no harm.
    for (const file of files) await file.abandon()
  }
  return { sources: found, problems: { count, first }, counts }
}

/** Gives the finished folder the next free number. Of two imports that end at once, one gets the number after. */
async function publish(home: string, staging: string, manifest: Omit<DatasetManifest, 'version'>): Promise<Dataset> {
  const { name } = manifest
  const parent = join(datasetsFolder(home), name)
  for (let tries = 0; ; tries++) {
    const version = Math.max(0, ...versionsOf(home, name)) + 1
    const folder = join(parent, `v${version}`)
    await writeJson(join(staging, 'manifest.json'), DatasetManifest.parse({ ...manifest, version }))
    await syncFolder(staging)
    await mkdir(parent, { recursive: true })
    try {
      await rename(staging, folder)
    } catch (thrown) {
      // Taken by a rival, or the dataset was deleted meanwhile: the next look sees it.
      if (tries < 8 && (existsSync(folder) || !existsSync(parent))) continue
      throw thrown
    }
    await syncFolder(parent)
    return openDataset(home, name, version)
  }
}

/** What a crash left: folders of imports whose process is gone, and of deletions. */
async function removeLeftovers(root: string): Promise<void> {
  for (const name of await readdir(root)) {
    const pid = /^\.import-(\d+)-/.exec(name)?.[1]
    const path = join(root, name)
    const isStale =
      pid === undefined
        ? name.startsWith('.deleted-')
        : Number(pid) === process.pid
          ? !importing.has(path)
          : !processExists(Number(pid))
    if (isStale) await rm(path, { recursive: true, force: true, maxRetries: 3 })
  }
}

function versionSource(dataset: Dataset): Source {
  const samples = async function* (): AsyncGenerator<Sample> {
    for (const part of PARTS) yield* readPart(dataset, part)
  }
  return { samples: samples(), name: `v${dataset.version}`, kind: 'version' }
}

function refusal(problems: Problem[], more: boolean): HubError {
  return new HubError(
    'invalid_request',
    `Nothing was imported: ${sentences(problems)}${more ? ' Reading ended there.' : ''} Mend these lines, or skip them with on_problem.`,
    { param: 'on_problem' },
  )
}

const sentences = (problems: Problem[]): string =>
  problems.map(({ source, line, message }) => `${source} line ${line}: ${message}`).join(' ')

/**
 * Deletes a dataset with all its versions. It vanishes at once; a crash in between leaves at most a folder that nothing lists.
 * @throws HubError not_found; conflict while a job uses it
 */
export function deleteDataset(deps: { home: string; inUse?(name: string): string | undefined }, name: string): void {
  const folder = join(datasetsFolder(deps.home), checkName(name))
  if (!existsSync(folder) || versionsOf(deps.home, name).length === 0) openDataset(deps.home, name)
  const user = deps.inUse?.(name)
  if (user !== undefined) {
    throw new HubError('conflict', `Dataset '${name}' is in use by ${user}. Cancel that or wait for its end first.`)
  }
  const aside = mkdtempSync(join(datasetsFolder(deps.home), '.deleted-'))
  try {
    renameSync(folder, join(aside, name))
  } catch (cause) {
    // Windows moves no folder while a file in it is open.
    throw new HubError('conflict', `Dataset '${name}' is being read. Try again when that has ended.`, { cause })
  } finally {
    rmSync(aside, { recursive: true, force: true, maxRetries: 3 })
  }
}

/** Names that Windows, paths and addresses can all hold. @throws HubError invalid_request */
export function checkName(name: string): string {
  const parsed = DatasetName.safeParse(name)
  if (parsed.success) return name
  throw new HubError(
    'invalid_request',
    `'${name.slice(0, 100)}' cannot be the name of a dataset: ${parsed.error.issues[0]?.message}.`,
    { param: 'name' },
  )
}

function namesOf(home: string): string[] {
  return foldersOf(datasetsFolder(home))
    .filter(name => DatasetName.safeParse(name).success && versionsOf(home, name).length > 0)
    .sort()
}

function foldersOf(path: string): string[] {
  try {
    return readdirSync(path, { withFileTypes: true })
      .filter(entry => entry.isDirectory())
      .map(entry => entry.name)
  } catch {
    return []
  }
}
