/** Files on disk to models: parts of a split GGUF together, each model with its id, its facts or the reason why it is broken. */
import { basename, dirname, relative, sep } from 'node:path'
import { HubError } from '../lib/error.ts'
import { type ModelFile, ModelFolder } from '../wire/model.ts'
import type { Settled } from './arrival.ts'
import { factsOf } from './gguf.ts'
import type { GgufHeader } from './gguf_header.ts'
import type { SidecarRead } from './sidecar.ts'

/** A file as the registry follows it; `settled` is absent while it is still arriving. */
export type SeenFile = { path: string; quietSinceMs: number; settled: Settled | undefined }

/** A model with the second name under which it is always found: `folder/name`. */
export type Listed = { model: ModelFile; name: string; qualified: string }

export type Listing = {
  models: Listed[]
  /** When an incomplete split model will have waited long enough, in ms since 1970. */
  lookAgainMs: number | undefined
}

/** Where a GGUF belongs: `NAME-00002-of-00003.gguf` is part 2 of 3 of NAME. */
type Place = { folder: ModelFolder; base: string; part: number; parts: number }

/** The name without `.gguf` and without the part suffix, with part 1 of 1 for a file by itself. */
export function splitName(path: string): { base: string; part: number; parts: number } {
  const name = basename(path).replace(/\.gguf$/i, '')
  const [, base = name, part = '1', parts = '1'] = /^(.+)-(\d{5})-of-(\d{5})$/.exec(name) ?? []
  // A number beyond the count is no part of anything.
  return Number(part) >= 1 && Number(part) <= Number(parts)
    ? { base, part: Number(part), parts: Number(parts) }
    : { base: name, part: 1, parts: 1 }
}

/** The model folder in which a path lies, `local_models/chat_models/...`; undefined elsewhere. */
export function folderOf(root: string, path: string): ModelFolder | undefined {
  const [first = '', ...rest] = relative(root, path).split(sep)
  const folder = ModelFolder.safeParse(first)
  return folder.success && rest.length > 0 ? folder.data : undefined
}

/** Where the sidecar of a model lies, without its ending; also the key of its sidecar. */
export const sidecarKey = (path: string): string => `${dirname(path)}${sep}${splitName(path).base}`

/**
 * All models of the files.
 * @param sidecars by `sidecarKey`
 * @param stallMs how long the parts of a split model wait for the missing ones
 */
export function groupFiles(
  root: string,
  files: Iterable<SeenFile>,
  sidecars: ReadonlyMap<string, SidecarRead>,
  stallMs: number,
  nowMs: number,
): Listing {
  const groups = new Map<string, { place: Place; files: SeenFile[] }>()
  for (const file of files) {
    const folder = folderOf(root, file.path)
    if (!folder) continue
    const place = { folder, ...splitName(file.path) }
    const key = place.parts === 1 ? file.path : `${sidecarKey(file.path)}\0${place.parts}`
    const group = groups.get(key)
    if (group) group.files.push(file)
    else groups.set(key, { place, files: [file] })
  }
  const models: Listed[] = []
  let lookAgainMs: number | undefined
  for (const { place, files } of groups.values()) {
    files.sort((a, b) => (a.path < b.path ? -1 : 1))
    const settled = files.map(file => file.settled)
    if (!settled.every(one => one !== undefined)) continue
    const damaged = settled.find(one => one.error)
    if (files.length < place.parts && !damaged) {
      const readyMs = Math.max(...files.map(file => file.quietSinceMs)) + stallMs
      if (readyMs > nowMs) {
        lookAgainMs = Math.min(lookAgainMs ?? readyMs, readyMs)
        continue
      }
    }
    const model = toModel(place, files, settled, sidecars)
    if (model) models.push({ model, name: place.base, qualified: qualify(root, files, place.base) })
  }
  nameApart(root, models)
  models.sort((a, b) => (a.model.id < b.model.id ? -1 : 1))
  return { models, lookAgainMs }
}

/** The model of one group; undefined for what is no model by itself, such as an adapter. */
function toModel(
  place: Place,
  files: readonly SeenFile[],
  settled: readonly Settled[],
  sidecars: ReadonlyMap<string, SidecarRead>,
): ModelFile | undefined {
  const [first] = files
  if (!first) return undefined
  const read = sidecars.get(sidecarKey(first.path))
  const common = {
    id: place.base,
    folder: place.folder,
    files: files.map(file => file.path),
    bytes: settled.reduce((sum, one) => sum + one.bytes, 0),
    modified_ms: Math.max(...settled.map(one => one.modifiedMs)),
    sidecar: read?.sidecar ?? {},
  }
  try {
    const headers = settled.map(one => {
      if (one.header) return one.header
      throw one.error ?? new HubError('internal', 'a settled file has neither header nor error')
    })
    if (place.parts > 1) checkParts(place, files, headers)
    const facts = factsOf(headers, basename(first.path))
    if (facts.kind !== 'model') return undefined
    return { ...common, status: 'ok', ...(read?.reason !== undefined && { reason: read.reason }), facts }
  } catch (error) {
    return { ...common, status: 'broken', reason: HubError.from(error).message }
  }
}

/** @throws HubError model_broken when parts are missing or are not the parts that their names say */
function checkParts(place: Place, files: readonly SeenFile[], headers: readonly GgufHeader[]): void {
  if (files.length < place.parts) {
    const present = new Set(files.map(file => splitName(file.path).part))
    const missing: string[] = []
    for (let part = 1; part <= place.parts; part++) if (!present.has(part)) missing.push(partName(place, part))
    const shown = missing.slice(0, 4).join(', ')
    const more = missing.length > 4 ? ` and ${missing.length - 4} more` : ''
    throw new HubError(
      'model_broken',
      `${place.base} lacks ${missing.length} of its ${place.parts} parts: ${shown}${more}. Put them beside the others.`,
    )
  }
  for (const [i, { metadata }] of headers.entries()) {
    const number = metadata.get('split.no')
    const count = metadata.get('split.count')
    if (number === i && count === place.parts) continue
    const says =
      typeof number === 'number' && typeof count === 'number'
        ? `says that it is part ${number + 1} of ${count}`
        : 'does not say that it is a part'
    throw new HubError(
      'model_broken',
      `${partName(place, i + 1)} ${says}. Give the parts the names they were made with, or download them again.`,
    )
  }
}

const digits = (n: number): string => String(n).padStart(5, '0')
const partName = (place: Place, part: number): string => `${place.base}-${digits(part)}-of-${digits(place.parts)}.gguf`

/** `folder/name`, with nested folders, always with "/". */
function qualify(root: string, files: readonly SeenFile[], base: string): string {
  const folder = relative(root, dirname(files[0]?.path ?? root))
  return [...folder.split(sep), base].join('/')
}

/** Gives each model the shortest name that no other has: the name, `folder/name`, or with the file's own ending. */
function nameApart(root: string, models: readonly Listed[]): void {
  const names = [
    (one: Listed) => one.name,
    (one: Listed) => one.qualified,
    (one: Listed) =>
      relative(root, one.model.files[0] ?? '')
        .split(sep)
        .join('/'),
  ]
  let open = [...models]
  for (const name of names) {
    const count = new Map<string, number>()
    for (const one of open) {
      one.model.id = name(one)
      count.set(one.model.id, (count.get(one.model.id) ?? 0) + 1)
    }
    open = open.filter(one => (count.get(one.model.id) ?? 0) > 1)
  }
}
