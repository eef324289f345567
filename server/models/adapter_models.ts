/** Models and their adapters behind one seam: `base:name` is the base's own worker with the adapter put in, loaded beside it at first use. */
import { HubError } from '../lib/error.ts'
import type { Log } from '../lib/log.ts'
import type { ModelFile } from '../wire/model.ts'
import type { Answer, Ask, Generate, GenerateEvent, ModelInfo } from '../wire/worker.ts'
import type { BaseCheck } from './adapter_base.ts'
import type { Adapters } from './adapter_registry.ts'
import { type Adapter, splitAdapterId } from './adapters.ts'
import type { Lease, ModelStatus, Models } from './models.ts'
import { nearestNames } from './nearest.ts'

/** An adapter in a worker, or on its way there. */
type Beside = {
  adapter: Adapter
  /** Its name in the worker: another one for every content, so that a replaced file is another adapter. */
  key: string
  loading: Promise<unknown>
  /** Counted with the model's memory. */
  bytes: number
  /** Leases and generations that need it now. */
  users: number
  /** Nobody new gets it; it leaves the worker with its last user. */
  retired: boolean
}
/** What lies in one worker process, by the id of the adapter. */
type Worker = { base: string; info: ModelInfo; adapters: Map<string, Beside>; ask: Lease['ask'] }
type Use = { key: string; scale: number; release(): void }

export type AdapterModelsDeps = {
  models: Models & {
    /** @throws HubError insufficient_memory */
    addMemory(id: string, bytes: number): void
  }
  adapters: Pick<Adapters, 'list' | 'get' | 'look' | 'onChange'>
  /** Resolves when the folders have been read once: before that a base may be there and not listed. */
  ready: Promise<unknown>
  /** Looks whether a base is the one that an adapter was made for. */
  baseCheck?: Pick<BaseCheck, 'note' | 'begin'>
  log: Log
}

/** Models that take `base:name` and `base:name@1` wherever they take an id. */
export function withAdapters(deps: AdapterModelsDeps): Models {
  const { models, adapters, baseCheck, log } = deps
  /** By the facts that a worker gave when it was ready: another process has others. */
  const workers = new Map<ModelInfo, Worker>()
  let keys = 0

  function baseOf(id: string): ModelStatus | undefined {
    try {
      return models.get(id)
    } catch (thrown) {
      if (HubError.from(thrown).code === 'model_not_found') return undefined
      throw thrown
    }
  }

  function statusOf(adapter: Adapter): ModelStatus {
    const base = baseOf(adapter.base)
    const file = fileOf(adapter, base?.file, base && baseCheck?.note(adapter, base.file))
    if (base === undefined || file.status === 'broken') {
      return { file, state: 'broken', inUse: 0, estimatedBytes: adapter.bytes }
    }
    const worker = base.info === undefined ? undefined : workers.get(base.info)
    return {
      ...base,
      file,
      inUse: worker?.adapters.get(adapter.id)?.users ?? 0,
      estimatedBytes: adapter.bytes,
      ...(base.info !== undefined && { info: infoOf(base.info) }),
    }
  }

  /** undefined when the id means a base model, or nothing that has the form of an adapter's id. */
  function partsOf(id: string): { base: ModelStatus; name: string } | undefined {
    if (baseOf(id) !== undefined) return undefined
    const parts = splitAdapterId(id)
    const base = parts === undefined ? undefined : baseOf(parts.base)
    return parts === undefined || base === undefined ? undefined : { base, name: id.slice(parts.base.length + 1) }
  }

  function notFound(id: string, base: ModelStatus, param = 'model'): HubError {
    const own = adapters.list().filter(adapter => adapter.base === base.file.id && adapter.current)
    const names = own.map(adapter => (param === 'model' ? adapter.id : adapter.name))
    const has =
      names.length === 0 ? `${base.file.id} has no adapters` : `there are ${nearestNames(id, names).join(', ')}`
    return new HubError(
      param === 'model' ? 'model_not_found' : 'invalid_request',
      `there is no adapter ${JSON.stringify(id.slice(0, 200))}; ${has}`,
      { param },
    )
  }

  /** The adapter as it lies on the disk now. @throws HubError */
  async function find(base: ModelStatus, name: string, param?: string): Promise<Adapter> {
    const id = `${base.file.id}:${name}`
    const adapter = await adapters.look(id)
    if (adapter === undefined) throw notFound(param === undefined ? id : name, base, param)
    const { status, reason } = fileOf(adapter, base.file)
    if (status === 'broken') throw unusable(adapter, reason, param)
    return adapter
  }

  function workerOf(lease: Lease): Worker {
    let worker = workers.get(lease.info)
    if (worker === undefined) {
      // What lay in a process that has ended went with it.
      for (const [info, old] of workers) if (old.base === lease.model.id) workers.delete(info)
      worker = { base: lease.model.id, info: lease.info, adapters: new Map(), ask: lease.ask }
      workers.set(lease.info, worker)
    }
    return worker
  }

  /** Counts one more user of the adapter, begun to be loaded where it is not there; those that nobody uses make room for it. @throws HubError */
  async function hold(worker: Worker, lease: Lease, adapter: Adapter): Promise<Beside> {
    for (;;) {
      const there = worker.adapters.get(adapter.id)
      if (there !== undefined && contentOf(there.adapter) === contentOf(adapter)) {
        // Last in the order is what was used last.
        worker.adapters.delete(adapter.id)
        worker.adapters.set(adapter.id, there)
        there.users++
        return there
      }
      if (there !== undefined) void retire(worker, there)
      try {
        const begun = load(worker, lease, adapter)
        begun.users++
        return begun
      } catch (thrown) {
        const idle = [...worker.adapters.values()].find(({ users, adapter: { card } }) => users === 0 && !card.pin)
        if (HubError.from(thrown).code !== 'insufficient_memory' || idle === undefined) throw thrown
        log.info('unloading to make room', { model: idle.adapter.id, for: adapter.id })
        await retire(worker, idle)
      }
    }
  }

  /** Loads the adapter into the worker where it is not there, and holds it. @throws HubError */
  async function use(lease: Lease, adapter: Adapter, scale: number): Promise<Use> {
    const worker = workerOf(lease)
    const held = await hold(worker, lease, adapter)
    let released = false
    const release = () => {
      if (released) return
      released = true
      held.users--
      void leave(worker, held)
    }
    try {
      await held.loading
    } catch (thrown) {
      release()
      throw thrown
    }
    return { key: held.key, scale, release }
  }

  function load(worker: Worker, lease: Lease, adapter: Adapter): Beside {
    const { pin, scale = 1 } = adapter.card
    const kvBytes = (lease.model.facts?.kv_bytes_per_token ?? 0) * lease.info.contextTokens
    const bytes = adapter.bytes + (pin === true ? kvBytes : 0)
    models.addMemory(worker.base, bytes)
    const name = `${adapter.name}#${++keys}`
    const beside: Beside = {
      adapter,
      key: name,
      bytes,
      // Others may wait for the same load: it does not end with the request that began it.
      loading: worker.ask(
        { type: 'load_adapter', name, path: adapter.path, ...(pin === true && { own: { scale } }) },
        new AbortController().signal,
      ),
      users: 0,
      retired: false,
    }
    worker.adapters.set(adapter.id, beside)
    baseCheck?.begin(adapter, lease.model)
    beside.loading.then(
      () => log.info('adapter loaded', { model: adapter.id, bytes }),
      thrown => {
        log.warn('an adapter did not load', { model: adapter.id, reason: HubError.from(thrown).message })
        if (worker.adapters.get(adapter.id) === beside) worker.adapters.delete(adapter.id)
        giveBack(worker, bytes)
      },
    )
    return beside
  }

  /** The memory of a process that has ended is counted no more. */
  function giveBack(worker: Worker, bytes: number): void {
    if (baseOf(worker.base)?.info === worker.info) models.addMemory(worker.base, -bytes)
  }

  /** Resolves when it has left the worker, or while somebody uses it. */
  function retire(worker: Worker, beside: Beside): Promise<void> {
    if (worker.adapters.get(beside.adapter.id) === beside) worker.adapters.delete(beside.adapter.id)
    beside.retired = true
    return leave(worker, beside)
  }

  /** A retired adapter whose last user is gone leaves the worker. */
  async function leave(worker: Worker, beside: Beside): Promise<void> {
    if (!beside.retired || beside.users > 0) return
    try {
      await beside.loading
      await worker.ask({ type: 'unload_adapter', name: beside.key }, new AbortController().signal)
      giveBack(worker, beside.bytes)
      log.info('adapter unloaded', { model: beside.adapter.id })
    } catch (thrown) {
      // Where the process has ended there is nothing to unload.
      log.debug('not unloaded', { model: beside.adapter.id, reason: String(thrown) })
    }
  }

  /** Adapters that are gone or replaced leave the workers. */
  adapters.onChange(() => {
    for (const worker of workers.values()) {
      for (const [id, beside] of worker.adapters) {
        const now = adapters.get(id)
        if (now === undefined || contentOf(now) !== contentOf(beside.adapter)) void retire(worker, beside)
      }
    }
  })

  /** A lease of the base whose generations may have adapters, of which `own` is always one. */
  function leaseOf(lease: Lease, own: Adapter | undefined, held: Use | undefined): Lease {
    const { info, model } = lease
    const ask = <T extends keyof Answer>(
      question: Extract<Ask, { type: T }>,
      signal: AbortSignal,
    ): Promise<Answer[T]> => {
      if (own !== undefined && (question as Ask).type === 'embed') return Promise.reject(noEmbeddings(own))
      return lease.ask(question, signal)
    }
    async function* generate(request: Generate, signal: AbortSignal): AsyncGenerator<GenerateEvent, void> {
      const uses: Use[] = []
      const { ownScale, ...rest } = request
      try {
        for (const { name, scale } of withOwn(request.adapters, model.id, own, ownScale)) {
          if (held !== undefined && own !== undefined && name === ownName(own))
            uses.push({ ...held, scale, release: () => undefined })
          else uses.push(await use(lease, await find(models.get(model.id), name, 'adapters'), scale))
        }
        const named = uses.map(({ key, scale }) => ({ name: key, scale }))
        yield* lease.generate({ ...rest, adapters: named }, signal)
      } finally {
        for (const { release } of uses) release()
      }
    }
    return {
      model: own === undefined ? model : fileOf(own, model),
      info: own === undefined ? info : infoOf(info),
      generate: (request, signal) =>
        own === undefined && request.adapters.length === 0 && request.ownScale === undefined
          ? lease.generate(request, signal)
          : generate(request, signal),
      ask,
      release() {
        held?.release()
        lease.release()
      },
    }
  }

  function get(id: string): ModelStatus {
    const parts = partsOf(id)
    if (parts === undefined) {
      const orphan = baseOf(id) === undefined ? adapters.get(id) : undefined
      return orphan === undefined ? models.get(id) : statusOf(orphan)
    }
    const adapter = adapters.get(`${parts.base.file.id}:${parts.name}`)
    if (adapter === undefined) throw notFound(id, parts.base)
    return statusOf(adapter)
  }

  async function acquire(id: string, signal: AbortSignal): Promise<Lease> {
    await deps.ready
    const parts = partsOf(id)
    if (parts === undefined) {
      const orphan = baseOf(id) === undefined ? adapters.get(id) : undefined
      if (orphan !== undefined) throw unusable(orphan, misfit(orphan, undefined))
      const lease = await models.acquire(id, signal)
      return leaseOf(lease, undefined, undefined)
    }
    const adapter = await find(parts.base, parts.name)
    const lease = await models.acquire(parts.base.file.id, signal)
    try {
      return leaseOf(lease, adapter, await use(lease, adapter, adapter.card.scale ?? 1))
    } catch (thrown) {
      lease.release()
      throw thrown
    }
  }

  return {
    list() {
      const listed = adapters.list().filter(adapter => adapter.current)
      return [...models.list(), ...listed.map(statusOf)]
    },
    get,
    acquire,
    async load(id, signal) {
      const lease = await acquire(id, signal)
      lease.release()
      return get(id)
    },
    async unload(id) {
      const parts = partsOf(id)
      if (parts === undefined) return models.unload(id)
      const status = get(id)
      const adapterId = `${parts.base.file.id}:${parts.name}`
      for (const worker of workers.values()) {
        const beside = worker.adapters.get(adapterId)
        if (beside === undefined) continue
        if (beside.users > 0) {
          throw new HubError(
            'conflict',
            `${adapterId} is in use by ${beside.users} requests; wait for them or cancel them`,
          )
        }
        await retire(worker, beside)
      }
      return status
    },
  }
}

/** The adapters of a request with its model's own among them. @throws HubError invalid_request for one that is named twice */
function withOwn(
  named: Generate['adapters'],
  base: string,
  own: Adapter | undefined,
  ownScale: number | undefined,
): Generate['adapters'] {
  if (own === undefined && ownScale !== undefined) {
    throw new HubError('invalid_request', "'lora_scale' goes with a model that is an adapter (base:name)", {
      param: 'lora_scale',
    })
  }
  // `base:name` is understood as well as `name`.
  const short = named.map(({ name, scale }) => {
    const colon = name.lastIndexOf(':')
    if (colon >= 0 && name.slice(0, colon) !== base) {
      throw new HubError('invalid_request', `the adapter ${name} is not one of ${base}`, { param: 'adapters' })
    }
    return { name: name.slice(colon + 1), scale }
  })
  const twice = short.find(({ name }, index) => short.findIndex(other => other.name === name) !== index)
  if (twice !== undefined) {
    throw new HubError('invalid_request', `the adapter ${twice.name} is named twice`, { param: 'adapters' })
  }
  if (own === undefined) return short
  if (short.some(({ name }) => name === ownName(own))) {
    if (ownScale === undefined) return short
    throw new HubError('invalid_request', `'lora_scale' and 'adapters' both say how strong ${own.name} is; send one`, {
      param: 'lora_scale',
    })
  }
  return [{ name: ownName(own), scale: ownScale ?? own.card.scale ?? 1 }, ...short]
}

/** Tells what lies in a worker from what should: another file, or a context of its own at another strength. */
const contentOf = ({ fingerprint, card }: Adapter): string =>
  card.pin === true ? `${fingerprint} at ${card.scale ?? 1}` : fingerprint

/** What stands behind the colon of its id, with the version where that is an older one. */
const ownName = ({ id, base }: Adapter): string => id.slice(base.length + 1)

/** An adapter as a model: its own file, the facts and the card of the base. @param note what is worth telling although it can be used */
function fileOf(adapter: Adapter, base: ModelFile | undefined, note?: string): ModelFile {
  const { id, name, bytes, modifiedMs, path, facts, card } = adapter
  const wrong = adapter.status === 'broken' ? adapter.reason : misfit(adapter, base)
  const reason = wrong ?? adapter.reason ?? note
  return {
    id,
    folder: base?.folder ?? 'custom_models',
    files: [path],
    bytes,
    modified_ms: modifiedMs,
    status: wrong === undefined ? 'ok' : 'broken',
    ...(reason !== undefined && { reason }),
    ...(wrong === undefined && facts !== undefined && base?.facts !== undefined && { facts: base.facts }),
    sidecar: { ...base?.sidecar, pin: false, ...(card.description !== undefined && { description: card.description }) },
    parent: adapter.base,
    adapter: name,
  }
}

function misfit({ base: wanted, facts }: Adapter, base: ModelFile | undefined): string | undefined {
  if (base === undefined) return `its base model ${wanted} is not there; put it back into local_models.`
  if (base.status === 'broken') return `its base model ${wanted} is broken: ${base.reason ?? 'its file is damaged'}`
  const architecture = base.facts?.architecture
  if (facts === undefined || architecture === undefined || facts.architecture === architecture) return undefined
  return `it is for the architecture ${facts.architecture}, and ${wanted} is ${architecture}; put it into the folder of its own base.`
}

/** Vectors come from a context without adapters. */
const infoOf = (info: ModelInfo): ModelInfo => ({ ...info, canEmbed: false })

function unusable({ id }: Adapter, reason: string | undefined, param = 'model'): HubError {
  return new HubError('model_broken', `the adapter ${id} cannot be used: ${reason ?? 'its file is damaged'}`, { param })
}

function noEmbeddings({ id, base }: Adapter): HubError {
  return new HubError('invalid_request', `${id} gives no embeddings: adapters are not put into them; ask ${base}`, {
    param: 'model',
  })
}
