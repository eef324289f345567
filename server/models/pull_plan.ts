/** From a name to what would be fetched: which files, into which folder, and whether memory and disk have room for it. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { HubError } from '../lib/error.ts'
import type { ModelFile, ModelFolder } from '../wire/model.ts'
import type { PullPlan, PullRequest } from '../wire/pull.ts'
import { fitOfSize, type ModelSpace } from './estimate.ts'
import { splitName } from './grouping.ts'
import { nearestNames } from './nearest.ts'
import { chooseVariant, variantsOf } from './pull_choose.ts'
import { DISK_RESERVE_BYTES, sizeOf } from './pull_file.ts'
import {
  decode,
  folderByName,
  type PullSource,
  parsePullName,
  quantOfUrl,
  safeFileName,
  tellSource,
} from './pull_name.ts'
import type { PullRecord } from './pull_record.ts'
import type { Remote } from './pull_remote.ts'
import { KNOWN } from './suggested.ts'

export type PlanDeps = {
  /** The folder `local_models`. */
  root: string
  remote: Remote
  models: () => ModelFile[]
  space(): Promise<ModelSpace>
  freeDisk(folder: string): Promise<number>
}

export type Planned = Pick<PullRecord, 'model' | 'source' | 'folder' | 'isFolderAsked' | 'quant' | 'files'> & {
  name: string
  choices: PullPlan['choices']
  /** The model is there already, whole. */
  present?: ModelFile
}

/** @throws HubError invalid_request, not_found, forbidden, download_failed, insufficient_memory, conflict */
export async function planPull(deps: PlanDeps, request: PullRequest, signal: AbortSignal): Promise<Planned> {
  const asked = suggested(request.model, request.quant) ?? request.model
  const source = parsePullName(asked, deps.remote.endpoint)
  const found = source.kind === 'url' ? ofAddress(source.url, request) : await ofRepo(deps, source, request, signal)
  const name = splitName(found.files[0]!.name).base
  const folder = request.folder ?? folderByName(`${source.kind === 'repo' ? source.repo : ''} ${name}`)
  const planned = { ...found, name, folder, isFolderAsked: request.folder !== undefined }
  const present = presentModel(deps, planned)
  return { ...planned, ...(present !== undefined && { present }) }
}

/**
 * Somebody may name a suggestion by its id, also as other programs write it: `qwen3:4b`.
 * @throws HubError invalid_request with the nearest ones for another name of one word
 */
function suggested(name: string, quant: string | undefined): string | undefined {
  const word = name.trim().toLowerCase().replace(':', '-')
  const known = KNOWN.find(({ id }) => id === word)
  if (known !== undefined) return quant === undefined ? known.repo : `${known.repo}:${quant}`
  if (!/^[\w.-]{1,100}$/.test(word)) return undefined
  const nearest = nearestNames(
    word,
    KNOWN.map(({ id }) => id),
  )
  throw new HubError(
    'invalid_request',
    `'${name.trim()}' is none of the suggestions; the nearest are ${nearest.join(', ')}. Any other model is named OWNER/REPO:QUANT, such as Qwen/Qwen3-4B-GGUF:Q4_K_M.`,
    { param: 'model' },
  )
}

function ofAddress(
  url: string,
  request: PullRequest,
): Pick<Planned, 'model' | 'source' | 'quant' | 'files' | 'choices'> {
  if (request.quant !== undefined) {
    throw new HubError(
      'invalid_request',
      'The address names one file, so that there is no quantisation to choose. Leave quant out.',
      { param: 'quant' },
    )
  }
  const quant = quantOfUrl(url)
  return {
    model: url,
    // A query may hold a signature.
    source: url.split('?', 1)[0]!,
    ...(quant !== undefined && { quant }),
    files: [{ url, name: safeFileName(decode(new URL(url).pathname)) }],
    choices: [],
  }
}

async function ofRepo(
  deps: PlanDeps,
  source: Extract<PullSource, { kind: 'repo' }>,
  request: PullRequest,
  signal: AbortSignal,
): Promise<Pick<Planned, 'model' | 'source' | 'quant' | 'files' | 'choices'>> {
  const { remote } = deps
  if (request.quant !== undefined && source.quant !== undefined && request.quant !== source.quant) {
    throw new HubError(
      'invalid_request',
      `The name asks for ${source.quant} and quant for ${request.quant}. Say it once.`,
      { param: 'quant' },
    )
  }
  const variants = variantsOf(await remote.list(source, signal))
  const space = await deps.space()
  const fit = (bytes: number) => fitOfSize(bytes, space)
  const repo = `${source.owner}/${source.repo}`
  const chosen = chooseVariant(variants, { quant: request.quant ?? source.quant, path: source.path }, fit, repo)
  const isOnly = variants.filter(({ quant }) => quant === chosen.quant).length === 1 && chosen.quant !== 'unknown'
  const exact: PullSource = {
    kind: 'repo',
    owner: source.owner,
    repo: source.repo,
    revision: source.revision,
    // A quantisation that two files share does not say which of them.
    ...(isOnly && source.revision === 'main' ? { quant: chosen.quant } : { path: chosen.path }),
  }
  return {
    model: tellSource(exact),
    source: remote.pageUrl(source),
    ...(chosen.quant !== 'unknown' && { quant: chosen.quant }),
    files: chosen.files.map(({ path, bytes, sha256 }) => ({
      url: remote.fileUrl(source, path),
      name: safeFileName(path),
      bytes,
      ...(sha256 !== undefined && { sha256 }),
    })),
    choices: variants.map(({ quant, bytes }) => ({ quant, bytes, fit: fit(bytes).fit })),
  }
}

/** @throws HubError conflict when there is another file of that name */
function presentModel(deps: PlanDeps, planned: Omit<Planned, 'present'>): ModelFile | undefined {
  const total = totalBytes(planned.files)
  const same = deps
    .models()
    .filter(model => model.files.length === planned.files.length && isNamed(model, planned.files))
  const whole = same.find(model => model.status === 'ok' && (total === undefined || model.bytes === total))
  if (whole !== undefined) return whole
  for (const { name } of planned.files) {
    const target = join(deps.root, planned.folder, name)
    if (!existsSync(target)) continue
    // Of a split model some parts may be in place already.
    if (planned.files.length > 1) continue
    throw new HubError(
      'conflict',
      `There is another ${name} in ${planned.folder}. Rename or delete it, or choose another folder.`,
      { param: 'model' },
    )
  }
  return undefined
}

function isNamed(model: ModelFile, files: readonly { name: string }[]): boolean {
  return files.every((file, i) => {
    const path = model.files[i] ?? ''
    return path.endsWith(file.name) && /[\\/]$/.test(path.slice(0, -file.name.length))
  })
}

export function totalBytes(files: readonly { bytes?: number | undefined }[]): number | undefined {
  return files.reduce<number | undefined>(
    (sum, { bytes }) => (sum === undefined || bytes === undefined ? undefined : sum + bytes),
    0,
  )
}

/** Bytes of each file that are there, as part or whole. */
export async function presentBytes(
  root: string,
  folder: ModelFolder,
  files: readonly { name: string }[],
): Promise<number[]> {
  return Promise.all(
    files.map(async ({ name }) => {
      const target = join(root, folder, name)
      return (await sizeOf(target)) || (await sizeOf(`${target}.part`))
    }),
  )
}

/** The plan as a dry run tells it. */
export async function tellPlan(deps: PlanDeps, planned: Planned): Promise<PullPlan> {
  const { model, name, folder, source, quant, files, choices, present } = planned
  const total = totalBytes(files)
  const there = await presentBytes(deps.root, folder, files)
  const presentSum = present?.bytes ?? there.reduce((sum, bytes) => sum + bytes, 0)
  const free = await deps.freeDisk(join(deps.root, folder))
  return {
    object: 'model.pull_plan',
    model,
    name,
    folder,
    source,
    ...(quant !== undefined && { quant }),
    files: files.map(file => ({
      name: file.name,
      ...(file.bytes !== undefined && { bytes: file.bytes }),
      ...(file.sha256 !== undefined && { sha256: file.sha256 }),
    })),
    ...(total !== undefined && { total_bytes: total }),
    present_bytes: presentSum,
    disk_free_bytes: free,
    fits_disk: (total ?? 0) - presentSum <= free - DISK_RESERVE_BYTES,
    ...(total !== undefined && { memory: fitOfSize(total, await deps.space()) }),
    choices,
  }
}
