/** Which models there are: watches local_models/ and lists every GGUF that is whole, with its facts, or broken with the reason. */
import { mkdir } from 'node:fs/promises'
import { basename, join, relative, resolve, sep } from 'node:path'
import { type FSWatcher, watch } from 'chokidar'
import { HubError } from '../lib/error.ts'
import type { Log } from '../lib/log.ts'
import { createTurns } from '../lib/turns.ts'
import { type ModelFile, ModelFolder } from '../wire/model.ts'
import { Arrival } from './arrival.ts'
import { folderOf, groupFiles, type Listed, sidecarKey } from './grouping.ts'
import { nearestNames } from './nearest.ts'
import { readSidecar, SIDECAR_ENDING, type SidecarRead, writeSidecar } from './sidecar.ts'

export type Registry = {
  /**
   * Creates the folders, starts to watch and resolves when all that is there at rest is listed.
   * @throws HubError internal when the folders cannot be created
   */
  start(): Promise<void>
  /** All models, by id. */
  list(): ModelFile[]
  get(id: string): ModelFile | undefined
  /**
   * The model of this id, or of this `folder/name`; it may be broken.
   * @throws HubError model_not_found with at most three nearest names
   */
  resolve(id: string): ModelFile
  /**
   * Changes keys of the model's card on disk, undefined takes one away, and lists the model with it at once.
   * @throws HubError model_not_found, conflict when the card that is there cannot be understood
   */
  changeCard(id: string, changes: { [key: string]: unknown }): Promise<ModelFile>
  /** Calls the listener with the whole list after every change; returns how to stop that. */
  onChange(listener: (models: ModelFile[]) => void): () => void
  /** Stops watching; resolves when no file is open any more. */
  close(): Promise<void>
}

export type RegistryOptions = {
  /** The folder `local_models`. */
  folder: string
  log: Log
  /** How long a whole file must stay unchanged before it is listed, in ms. */
  settleMs?: number
  /** How long a file or split model that is not whole must stay unchanged before it is listed as broken, in ms. */
  stallMs?: number
  now?: () => number
}

export function createRegistry(options: RegistryOptions): Registry {
  const { log, settleMs = 300, stallMs = 10_000, now = Date.now } = options
  const root = resolve(options.folder)
  const files = new Map<string, Arrival>()
  const sidecars = new Map<string, SidecarRead>()
  const listeners = new Set<(models: ModelFile[]) => void>()
  const work = new Set<Promise<unknown>>()
  const cardTurns = createTurns()
  let watcher: FSWatcher | undefined
  const closing = Promise.withResolvers<void>()
  let started = false
  let closed = false
  let listed: Listed[] = []
  let shown = '[]'
  let soon: NodeJS.Immediate | undefined
  let later: NodeJS.Timeout | undefined

  const track = (promise: Promise<unknown>): void => {
    const one = promise.catch(error => log.error('look failed', { reason: String(error) }))
    work.add(one)
    void one.finally(() => work.delete(one))
  }

  /** Many files may change at once: they are listed anew together. */
  const changed = (): void => {
    if (started && !closed) soon ??= setImmediate(rebuild)
  }

  function rebuild(): void {
    clearImmediate(soon)
    soon = undefined
    clearTimeout(later)
    const listing = groupFiles(root, files.values(), sidecars, stallMs, now())
    if (listing.lookAgainMs !== undefined) later = setTimeout(changed, Math.max(1, listing.lookAgainMs - now()))
    const before = new Map(listed.map(({ model }) => [model.id, model]))
    listed = listing.models
    const models = listed.map(({ model }) => model)
    const text = JSON.stringify(models)
    if (text === shown) return
    shown = text
    for (const { id, status, reason, bytes } of models) {
      const old = before.get(id)
      before.delete(id)
      if (old?.status === status && old.reason === reason && old.bytes === bytes) continue
      log[reason === undefined ? 'info' : 'warn']('model listed', { id, status, reason, bytes })
    }
    for (const id of before.keys()) log.info('model gone', { id })
    for (const listener of listeners) {
      try {
        listener(models)
      } catch (error) {
        log.error('listener failed', { reason: String(error) })
      }
    }
  }

  function touch(path: string): void {
    let file = files.get(path)
    if (!file) {
      file = new Arrival(path, { settleMs, stallMs, now, changed, gone: () => drop(path) })
      files.set(path, file)
    }
    track(file.check(!started))
  }

  function drop(path: string): void {
    const file = files.get(path)
    if (!file) return
    files.delete(path)
    track(file.close())
    changed()
  }

  /** The number of the last reading of each sidecar: a slower earlier one is ignored. */
  const readings = new Map<string, number>()
  function touchSidecar(path: string): void {
    const key = path.slice(0, -SIDECAR_ENDING.length)
    const reading = (readings.get(key) ?? 0) + 1
    readings.set(key, reading)
    track(
      readSidecar(path).then(read => {
        if (readings.get(key) !== reading) return
        if (read) sidecars.set(key, read)
        else {
          sidecars.delete(key)
          readings.delete(key)
        }
        changed()
      }),
    )
  }

  function onEvent(event: string, path: string): void {
    if (closed || !folderOf(root, path)) return
    if (isSidecar(path)) touchSidecar(path)
    else if (!isGguf(path)) return
    else if (event === 'unlink') drop(path)
    else if (event === 'add' || event === 'change') touch(path)
  }

  /** Chokidar asks before it watches: only folders, GGUF files and sidecars, nothing whose name begins with a dot. */
  function isIgnored(path: string, stats?: { isFile(): boolean }): boolean {
    const below = relative(root, path)
    if (below === '' || below.startsWith('..')) return false
    if (below.split(sep).some(name => name.startsWith('.'))) return true
    return stats?.isFile() === true && !isGguf(path) && !isSidecar(path)
  }

  return {
    async start() {
      try {
        for (const folder of ModelFolder.options) await mkdir(join(root, folder), { recursive: true })
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error)
        throw new HubError('internal', `The model folders cannot be created in ${root}: ${reason}. Check its rights.`, {
          cause: error,
        })
      }
      // Closed while the folders were made: a watcher opened now would never be closed.
      if (closed) return
      const watching = watch(root, { ignored: isIgnored, ignorePermissionErrors: true })
      watcher = watching
      watching.on('all', onEvent)
      watching.on('error', error => log.warn('watching failed', { reason: String(error) }))
      await Promise.race([new Promise<void>(done => watching.once('ready', done)), closing.promise])
      while (work.size > 0) await Promise.all(work)
      started = true
      if (!closed) rebuild()
    },
    list: () => listed.map(({ model }) => model),
    get: id => listed.find(({ model }) => model.id === id)?.model,
    resolve(id) {
      const exact = listed.find(({ model }) => model.id === id) ?? listed.find(({ qualified }) => qualified === id)
      if (exact) return exact.model
      throw notFound(id, listed)
    },
    changeCard(id, changes) {
      // A card is read and written whole: two changes at once would lose one.
      return cardTurns(async () => {
        const [first = ''] = this.resolve(id).files
        const key = sidecarKey(first)
        await writeSidecar(`${key}${SIDECAR_ENDING}`, changes)
        const read = await readSidecar(`${key}${SIDECAR_ENDING}`)
        // What the watcher began to read before is older than this.
        readings.set(key, (readings.get(key) ?? 0) + 1)
        if (read !== undefined) sidecars.set(key, read)
        rebuild()
        return this.resolve(id)
      })
    },
    onChange(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    async close() {
      closed = true
      closing.resolve()
      clearImmediate(soon)
      clearTimeout(later)
      listeners.clear()
      await watcher?.close()
      await Promise.all([...files.values()].map(file => file.close()))
      while (work.size > 0) await Promise.all(work)
    },
  }
}

const isGguf = (path: string): boolean => /\.gguf$/i.test(basename(path))
const isSidecar = (path: string): boolean => basename(path).endsWith(SIDECAR_ENDING)

function notFound(id: string, listed: readonly Listed[]): HubError {
  const name = JSON.stringify(id.length > 100 ? `${id.slice(0, 100)}...` : id)
  const same = listed.filter(one => one.name === id).map(({ model }) => model.id)
  const nearest = nearestNames(
    id,
    listed.map(({ model }) => model.id),
  )
  const help =
    listed.length === 0
      ? 'There is no model yet: get one with "ai-hub pull", or put a GGUF file into local_models/chat_models.'
      : same.length > 0
        ? `There are ${same.length} models of this name: ${same.slice(0, 3).join(', ')}.`
        : `The nearest names are: ${nearest.join(', ')}.`
  return new HubError('model_not_found', `There is no model ${name}. ${help}`, { param: 'model' })
}
