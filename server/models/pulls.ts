/** Downloads of models: asked for by name, two at a time, kept on disk so that they go on after a stop, and listed as models only when whole. */
import { existsSync } from 'node:fs'
import { mkdir, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { HubError } from '../lib/error.ts'
import type { Log } from '../lib/log.ts'
import { createTurns } from '../lib/turns.ts'
import type { ModelFile } from '../wire/model.ts'
import type { PullOut, PullPlan, PullRequest, PullState, Suggestion } from '../wire/pull.ts'
import type { ModelSpace } from './estimate.ts'
import { splitName } from './grouping.ts'
import { gigabytes, quantOf, stemOf } from './pull_choose.ts'
import { DISK_RESERVE_BYTES, type FileDeps, fetchFile } from './pull_file.ts'
import { type PlanDeps, type Planned, planPull, presentBytes, tellPlan, totalBytes } from './pull_plan.ts'
import { isSame, type PullRecord, partOf, readRecords, removeRecord, targetOf, writeRecord } from './pull_record.ts'
import type { Remote } from './pull_remote.ts'
import { isSettled, settlePull } from './pull_settle.ts'
import { Speed } from './pull_speed.ts'
import { suggest } from './suggested.ts'

export type PullsDeps = Omit<FileDeps, 'remote'> & {
  /** The folder `local_models`. */
  root: string
  remote: Remote
  registry: { list(): ModelFile[]; onChange(listener: () => void): () => void }
  space(): Promise<ModelSpace>
  /** Told at every change of a state, and while bytes come twice a second at most. */
  changed(pull: PullOut): void
  log: Log
  now(): number
  newId(): string
}

export type Pulls = {
  /** Goes on with what an earlier hub was asked for. */
  start(): void
  /**
   * Begins a download, or goes on with it, or gives the one that runs already.
   * @throws HubError when the name, the server, memory or the disk say no
   */
  create(request: PullRequest, signal: AbortSignal): Promise<PullOut>
  plan(request: PullRequest, signal: AbortSignal): Promise<PullPlan>
  /** The newest first. */
  list(): PullOut[]
  /** @throws HubError not_found */
  get(id: string): PullOut
  /**
   * Stops one that runs; what came is kept unless it is discarded. One that is done is only taken off the list.
   * @throws HubError not_found
   */
  cancel(id: string, discard: boolean): Promise<PullOut>
  suggestions(): Promise<Suggestion[]>
  /** Downloads that run or wait. */
  busy(): number
  /** Stops all; they go on at the next start. */
  close(): Promise<void>
}

type Entry = {
  record: PullRecord
  state: PullState
  /** Bytes of each file that are there. */
  have: number[]
  speed: Speed
  note?: string | undefined
  error?: string | undefined
  endedAt?: number | undefined
  stop?: AbortController
  work?: Promise<void>
  toldAt: number
}

const AT_ONCE = 2
const TELL_MS = 500
const LISTED_MS = 10_000
/** Ended downloads that the list keeps. */
const KEPT = 50

export function createPulls(deps: PullsDeps): Pulls {
  const { root, log, now } = deps
  const entries: Entry[] = []
  /** Two who ask for the same at once must not both write its file, nor two take it away. */
  const turns = createTurns()
  let closed = false
  const planDeps: PlanDeps = { ...deps, models: () => deps.registry.list() }

  function tell(entry: Entry, isProgress = false): void {
    if (isProgress && now() - entry.toldAt < TELL_MS) return
    entry.toldAt = now()
    deps.changed(toOut(entry))
  }

  function setState(entry: Entry, state: PullState, error?: string): void {
    entry.state = state
    entry.note = undefined
    entry.error = error
    if (['done', 'failed', 'cancelled'].includes(state)) entry.endedAt = now()
    else delete entry.endedAt
    const { id, model, folder } = entry.record
    log.info('pull', { id, model: model.split('?', 1)[0], folder, state, error })
    tell(entry)
  }

  function toOut(entry: Entry): PullOut {
    const { record, state, note, error, endedAt } = entry
    const bytes = entry.have.reduce((sum, each) => sum + each, 0)
    const total = totalBytes(record.files)
    const rate = state === 'running' ? entry.speed.rate(now()) : undefined
    const first = targetOf(root, record, record.files[0]!.name)
    const listed = deps.registry.list().find(({ files }) => files[0] === first)
    return {
      object: 'model.pull',
      id: record.id,
      model: record.model,
      name: listed?.id ?? splitName(first).base,
      folder: record.folder,
      source: record.source,
      ...(record.quant !== undefined && { quant: record.quant }),
      state,
      bytes,
      ...(total !== undefined && { total_bytes: total }),
      files: record.files.length,
      ...(rate !== undefined && { bytes_per_second: Math.round(rate) }),
      ...(rate !== undefined && rate > 0 && total !== undefined && { seconds_left: Math.ceil((total - bytes) / rate) }),
      ...(note !== undefined && { note }),
      ...(error !== undefined && { error }),
      created_at: record.createdAt,
      ...(endedAt !== undefined && { ended_at: endedAt }),
    }
  }

  /** Begins as many as may run at once, the oldest first. */
  function pump(): void {
    if (closed) return
    for (const entry of entries) {
      if (entries.filter(each => each.work !== undefined).length >= AT_ONCE) return
      if (entry.state !== 'queued' || entry.work !== undefined) continue
      const stop = new AbortController()
      entry.stop = stop
      entry.work = run(entry, stop.signal)
        .catch((thrown: unknown) => log.error('a download ended oddly', { reason: String(thrown) }))
        .finally(() => {
          delete entry.work
          delete entry.stop
          pump()
        })
    }
  }

  async function run(entry: Entry, signal: AbortSignal): Promise<void> {
    const { record } = entry
    try {
      setState(entry, 'running')
      for (const [i, file] of record.files.entries()) {
        // Put in place before the hub was killed.
        if (existsSync(targetOf(root, record, file.name))) continue
        await fetchFile(
          deps,
          { ...file, part: partOf(root, record, file.name) },
          {
            received(bytes) {
              entry.have[i] = bytes
              entry.speed.add(
                now(),
                entry.have.reduce((sum, each) => sum + each, 0),
              )
              if (entry.state !== 'running') setState(entry, 'running')
              else tell(entry, true)
            },
            async known({ bytes, validator }) {
              file.bytes = bytes
              if (validator === undefined) delete file.validator
              else file.validator = validator
              writeRecord(root, record)
            },
            note(why) {
              if (entry.note === why) return
              entry.note = why
              if (why !== undefined) log.warn('pull', { id: record.id, note: why })
              tell(entry)
            },
            checking: () => setState(entry, 'checking'),
          },
          signal,
        )
      }
      const folder = await settlePull(root, record, deps.wait)
      removeRecord(root, record)
      record.folder = folder
      await untilListed(record, signal)
      setState(entry, 'done')
    } catch (thrown) {
      const error = HubError.from(thrown)
      if (closed) return
      await remember(entry)
      // A cancel sets its own state.
      if (signal.aborted) return
      record.ended = 'failed'
      record.error = error.message
      save(entry)
      setState(entry, 'failed', error.message)
    }
  }

  /** Whoever is told that it is done can use it. */
  async function untilListed(record: PullRecord, signal: AbortSignal): Promise<void> {
    const first = targetOf(root, record, record.files[0]!.name)
    const isListed = () => deps.registry.list().some(({ files }) => files[0] === first)
    const listed = Promise.withResolvers<void>()
    const off = deps.registry.onChange(() => {
      if (isListed()) listed.resolve()
    })
    const enough = new AbortController()
    try {
      if (isListed()) return
      await Promise.race([
        listed.promise,
        deps.wait(LISTED_MS, AbortSignal.any([signal, enough.signal])).catch(() => undefined),
      ])
    } finally {
      enough.abort()
      off()
    }
  }

  async function remember(entry: Entry): Promise<void> {
    entry.have = await presentBytes(root, entry.record.folder, entry.record.files)
  }

  /** What ended with nothing on disk needs no record there. */
  function save(entry: Entry): void {
    if (entry.record.ended !== undefined && entry.have.every(bytes => bytes === 0)) removeRecord(root, entry.record)
    else writeRecord(root, entry.record)
  }

  function find(id: string): Entry {
    const entry = entries.find(each => each.record.id === id)
    if (entry === undefined)
      throw new HubError('not_found', `There is no download '${id}'. GET /v1/models/pulls lists them.`, { param: 'id' })
    return entry
  }

  function forgetOld(): void {
    const ended = entries.filter(entry => entry.state === 'done')
    for (const entry of ended.slice(0, Math.max(0, ended.length - KEPT))) entries.splice(entries.indexOf(entry), 1)
  }

  async function add(planned: Planned): Promise<PullOut> {
    const { present, choices: _, name: __, ...plan } = planned
    if (present !== undefined) {
      const record: PullRecord = { ...plan, folder: present.folder, version: 1, id: deps.newId(), createdAt: now() }
      const files = present.files.map((path, i) => ({ ...record.files[i]!, name: basename(path) }))
      const entry: Entry = {
        record: { ...record, files },
        state: 'done',
        have: [present.bytes],
        speed: new Speed(),
        endedAt: now(),
        toldAt: 0,
      }
      return { ...toOut(entry), name: present.id, total_bytes: present.bytes }
    }
    const first = plan.files[0]!.name
    const old = entries.find(
      each => each.state !== 'done' && each.record.files[0]!.name === first && each.record.folder === plan.folder,
    )
    if (old?.work !== undefined || old?.state === 'queued') {
      if (old.record.model === plan.model && old.state !== 'cancelled') return toOut(old)
      if (old.state !== 'cancelled')
        throw new HubError(
          'conflict',
          `${first} is being fetched from ${old.record.source} already. Wait for it or cancel it.`,
          { param: 'model' },
        )
      await old.work
    }
    if (old !== undefined) {
      await dropOther(old.record, plan.files)
      entries.splice(entries.indexOf(old), 1)
    }
    const record: PullRecord = { ...plan, version: 1, id: old?.record.id ?? deps.newId(), createdAt: now() }
    if (old !== undefined) keepValidators(old.record, record)
    const entry: Entry = { record, state: 'queued', have: [], speed: new Speed(), toldAt: 0 }
    await remember(entry)
    await checkDisk(entry)
    await mkdir(join(root, record.folder), { recursive: true })
    // From here on a kill of the hub does not lose it.
    writeRecord(root, record)
    entries.push(entry)
    forgetOld()
    setState(entry, 'queued')
    pump()
    return toOut(entry)
  }

  async function cancel(id: string, discard: boolean): Promise<PullOut> {
    const entry = find(id)
    const { record } = entry
    if (entry.state === 'done') {
      entries.splice(entries.indexOf(entry), 1)
      return toOut(entry)
    }
    // One that waits must not begin now.
    if (entry.work === undefined) entry.state = 'cancelled'
    entry.stop?.abort()
    await entry.work
    // It came to its end meanwhile.
    if (isDone(entry)) return toOut(entry)
    record.ended = 'cancelled'
    delete record.error
    if (discard) {
      for (const { name } of record.files) await rm(partOf(root, record, name), { force: true })
      entries.splice(entries.indexOf(entry), 1)
    }
    await remember(entry)
    if (discard) removeRecord(root, record)
    else save(entry)
    setState(entry, 'cancelled')
    return toOut(entry)
  }

  return {
    start() {
      for (const record of readRecords(root)) {
        if (isSettled(root, record)) {
          removeRecord(root, record)
          continue
        }
        const entry: Entry = {
          record,
          state: record.ended ?? 'queued',
          have: [],
          speed: new Speed(),
          error: record.error,
          toldAt: 0,
        }
        entries.push(entry)
        void remember(entry).then(() => tell(entry))
      }
      pump()
    },
    async create(request, signal) {
      const planned = await planPull(planDeps, request, signal)
      return turns(() => add(planned))
    },
    plan: async (request, signal) => tellPlan(planDeps, await planPull(planDeps, request, signal)),
    list: () => entries.map(toOut).reverse(),
    get: id => toOut(find(id)),
    cancel: (id, discard) => turns(() => cancel(id, discard)),
    async suggestions() {
      const models = deps.registry.list()
      const here = new Set(
        models.map(({ files: [path = ''] }) => `${stemOf(splitName(path).base)} ${quantOf(basename(path))}`),
      )
      return suggest(await deps.space(), (repo, quant) => here.has(`${stemOf(repo.split('/')[1] ?? '')} ${quant}`))
    },
    busy: () => entries.filter(({ state }) => ['queued', 'running', 'checking'].includes(state)).length,
    async close() {
      closed = true
      for (const entry of entries) entry.stop?.abort()
      await Promise.all(entries.map(entry => entry.work))
    },
  }

  /** Parts of a file that is another one by now are of no use. */
  async function dropOther(old: PullRecord, files: PullRecord['files']): Promise<void> {
    for (const file of old.files) {
      const same = files.find(({ name }) => name === file.name)
      if (same !== undefined && isSame(same, file)) continue
      await rm(partOf(root, old, file.name), { force: true })
    }
    removeRecord(root, old)
  }

  function keepValidators(old: PullRecord, record: PullRecord): void {
    for (const file of record.files) {
      const known = old.files.find(each => isSame(each, file))
      if (known?.validator !== undefined) file.validator = known.validator
      file.bytes ??= known?.bytes
      if (file.bytes === undefined) delete file.bytes
    }
  }

  /** What other downloads still need is not free. */
  async function checkDisk(entry: Entry): Promise<void> {
    const left = ({ record, have }: Entry) =>
      Math.max(0, (totalBytes(record.files) ?? 0) - have.reduce((sum, each) => sum + each, 0))
    const others = entries
      .filter(({ state }) => ['queued', 'running'].includes(state))
      .reduce((sum, each) => sum + left(each), 0)
    const needed = left(entry)
    const folder = join(root, entry.record.folder)
    const free = (await deps.freeDisk(folder)) - others
    if (needed <= free - DISK_RESERVE_BYTES) return
    throw new HubError(
      'insufficient_storage',
      `${entry.record.model} needs ${gigabytes(needed)} more in ${folder}, and ${gigabytes(Math.max(0, free))} are free${others > 0 ? ' beside the other downloads' : ''}. Make room there.`,
    )
  }
}

const isDone = (entry: Entry): boolean => entry.state === 'done'
