/** Which adapters there are: watches trained_models/ and lists every adapter GGUF, broken ones with the reason. */
import { mkdir, readdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { type FSWatcher, watch } from 'chokidar'
import { HubError } from '../lib/error.ts'
import type { Log } from '../lib/log.ts'
import { readAdapterFacts } from './adapter_header.ts'
import {
  ADAPTERS_FOLDER,
  type Adapter,
  adapterAt,
  baseOfFolder,
  CARD_ENDING,
  folderName,
  type Publish,
  publishAdapter,
  splitAdapterId,
  splitVersion,
} from './adapters.ts'
import { shortfall } from './gguf_header.ts'

export type Adapters = {
  /** Creates the folder, starts to watch and resolves when all that is there is listed. */
  start(): Promise<void>
  /** Current adapters and older versions, by id, as of the last look. */
  list(): Adapter[]
  get(id: string): Adapter | undefined
  /** The adapter as it is on disk now, so that one which was just put there or replaced is seen at once. */
  look(id: string): Promise<Adapter | undefined>
  /** Reads the folders again; resolves when the list is the new one. Call it after every change. */
  refresh(): Promise<void>
  /** Puts an adapter into its place and lists it. @throws HubError as publishAdapter */
  publish(input: Publish): Promise<Adapter>
  onChange(listener: () => void): () => void
  close(): Promise<void>
}

export type AdapterRegistryOptions = {
  home: string
  log: Log
  /** Changes are waited for so long before the folders are read again, in ms. */
  settleMs?: number
  /** How long a file that is not whole must stay unchanged before it is listed as broken, in ms. */
  stallMs?: number
  now?: () => number
}

export function createAdapters(options: AdapterRegistryOptions): Adapters {
  const { home, log, settleMs = 300, stallMs = 10_000, now = Date.now } = options
  const root = join(home, ADAPTERS_FOLDER)
  const listeners = new Set<() => void>()
  const closing = Promise.withResolvers<void>()
  let watcher: FSWatcher | undefined
  let listed = new Map<string, Adapter>()
  let shown = ''
  let later: NodeJS.Timeout | undefined
  let last: Promise<void> = Promise.resolve()
  let closed = false

  const soon = (ms: number): void => {
    if (closed) return
    clearTimeout(later)
    later = setTimeout(() => void refresh().catch(thrown => log.error('look failed', { reason: String(thrown) })), ms)
    later.unref()
  }

  function refresh(): Promise<void> {
    const turn = last.then(scan)
    last = turn.catch(() => undefined)
    return turn
  }

  async function scan(): Promise<void> {
    const found = new Map<string, Adapter>()
    for (const folder of await foldersOf(root)) {
      const base = baseOfFolder(folder)
      if (folderName(base) !== folder) {
        log.warn('a folder of adapters is left out', { folder, rename_to: folderName(base) })
        continue
      }
      for (const file of await readdir(join(root, folder)).catch(() => [])) {
        if (!isGguf(file) || file.startsWith('.')) continue
        const { name, version } = splitVersion(file.slice(0, -'.gguf'.length))
        const adapter = await inspect(base, name, version)
        if (adapter !== undefined) found.set(adapter.id, adapter)
      }
    }
    show(found)
  }

  function show(found: Map<string, Adapter>): void {
    const before = listed
    listed = new Map([...found].sort(([a], [b]) => (a < b ? -1 : 1)))
    const text = JSON.stringify([...listed.values()])
    if (text === shown || closed) return
    shown = text
    for (const { id, status, reason, fingerprint } of listed.values()) {
      const old = before.get(id)
      if (old?.fingerprint === fingerprint && old.reason === reason) continue
      log[status === 'ok' && reason === undefined ? 'info' : 'warn']('adapter listed', { id, status, reason })
    }
    for (const id of before.keys()) if (!listed.has(id)) log.info('adapter gone', { id })
    for (const listener of listeners) listener()
  }

  /** undefined when it is gone, or still arriving. */
  async function inspect(base: string, name: string, version: number | undefined): Promise<Adapter | undefined> {
    let adapter: Adapter
    try {
      adapter = adapterAt(home, base, name, version)
    } catch {
      return undefined
    }
    const known = listed.get(adapter.id)
    if (known?.fingerprint === adapter.fingerprint && known.facts !== undefined) {
      return { ...adapter, facts: known.facts }
    }
    try {
      return { ...adapter, facts: await readAdapterFacts(adapter.path) }
    } catch (thrown) {
      const error = HubError.from(thrown)
      const waited = now() - adapter.modifiedMs
      if (shortfall(error) !== undefined && waited >= 0 && waited < stallMs) {
        // It is being copied; whether it is whole shows later.
        soon(stallMs - waited + 1)
        return undefined
      }
      return { ...adapter, status: 'broken', reason: error.message }
    }
  }

  async function look(id: string): Promise<Adapter | undefined> {
    const parts = splitAdapterId(id)
    if (parts === undefined) return undefined
    const known = listed.get(id)
    const found = await inspect(parts.base, parts.name, parts.version)
    if (JSON.stringify(found) !== JSON.stringify(known)) await refresh()
    return listed.get(id)
  }

  const touched = (path: string): void => {
    if (isGguf(path) || path.endsWith(CARD_ENDING)) soon(settleMs)
  }

  return {
    async start() {
      await mkdir(root, { recursive: true })
      if (closed) return
      const watching = watch(root, {
        ignored: (path, stats) => basename(path).startsWith('.') && path !== root && stats !== undefined,
        depth: 1,
        ignoreInitial: true,
        ignorePermissionErrors: true,
      })
      watcher = watching
      watching.on('all', (_event, path) => touched(path))
      watching.on('error', error => log.warn('watching failed', { reason: String(error) }))
      await Promise.race([new Promise<void>(done => watching.once('ready', done)), closing.promise])
      await refresh()
    },
    list: () => [...listed.values()],
    get: id => listed.get(id),
    look,
    refresh,
    async publish(input) {
      const { id } = publishAdapter(home, input)
      await refresh()
      const adapter = listed.get(id)
      if (adapter === undefined) throw new HubError('internal', `${id} was published and is not there`)
      return adapter
    },
    onChange(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    async close() {
      closed = true
      closing.resolve()
      clearTimeout(later)
      listeners.clear()
      await watcher?.close()
      await last
    },
  }
}

const isGguf = (path: string): boolean => /\.gguf$/i.test(path)

async function foldersOf(root: string): Promise<string[]> {
  const entries = await readdir(root, { withFileTypes: true }).catch(() => [])
  return entries.filter(entry => entry.isDirectory() && !entry.name.startsWith('.')).map(entry => entry.name)
}
