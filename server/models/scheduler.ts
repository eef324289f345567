/**
 * When a model is loaded and whether it fits: on demand, several at once while their memory is really there, the least
 * recently used idle one making room, a busy one never.
 */
import { type ErrorCode, HubError } from '../lib/error.ts'
import type { Log } from '../lib/log.ts'
import type { Memory } from '../lib/memory.ts'
import type { ModelFile, ModelState } from '../wire/model.ts'
import type { Answer, Ask, Device, Generate, GenerateEvent, LoadOptions, ModelInfo, Timings } from '../wire/worker.ts'
import { CPU_REPORT, chooseLibrary, type DeviceReport, freeDeviceBytes, type Library } from './devices.ts'
import { estimateNeed, fitLayers, type ModelSpace, type Need } from './estimate.ts'
import type { Lease, ModelStatus, Models, Speeds } from './models.ts'
import type { StartWorker, WorkerProcess } from './process.ts'
import { type Neighbour, type Reservation, Reservations, type ReserveOptions, type Space } from './reserve.ts'

/** The settings that loading reads, at each load anew. */
export type LoadSettings = {
  device: 'auto' | Device
  /** 'auto' = as many as fit, -1 = all */
  gpuLayers: 'auto' | number
  contextTokens: number
  slots: number
  threads: number
  batchTokens: number
  /** Share of the free memory that models may take, 0 to 1. */
  memoryFraction: number
  promptCacheBytes: number
  kvType: LoadOptions['kvType']
  flashAttention: LoadOptions['flashAttention']
  useMmap: boolean
  poll: number
  /** Requests that may wait per model beyond the slots; further ones are refused as busy. */
  maxQueue: number
  /** Minutes after which an idle model is unloaded; 0 = never. */
  idleUnloadMinutes: number
}

export type SchedulerDeps = {
  registry: { list(): ModelFile[]; resolve(id: string): ModelFile }
  /** Resolves when the folders have been read once: before that a model may be there and not listed. */
  ready: Promise<void>
  start: StartWorker
  /** Reports of the libraries, fresh each time when `fresh`. */
  probe(library: Library | 'all'): Promise<DeviceReport[]>
  memory(): Memory
  settings(): LoadSettings
  /** Bytes that the model took when it was loaded like this before. */
  measuredBytes(file: ModelFile, options: LoadOptions): number | undefined
  record(file: ModelFile, options: LoadOptions, info: ModelInfo, speeds: Speeds): void
  changed(status: ModelStatus): void
  log: Log
  now(): number
}

type Resident = {
  worker: WorkerProcess
  options: LoadOptions
  /** Memory set aside for it, in bytes, on the device it runs on. */
  needBytes: number
  inUse: number
  lastUsedMs: number
  speeds: Speeds
}

type Entry = {
  file: ModelFile
  state: ModelState
  progress?: number
  error?: string
  errorCode?: ErrorCode
  resident?: Resident
  loading?: Promise<Resident>
  /** Requests between asking for the model and holding it; it must not be unloaded under them. */
  waiting: number
  lastUsedMs?: number
}

type Plan = {
  options: LoadOptions
  need: Need
  needBytes: number
  fits: boolean
  freeBytes: number
  usableBytes: number
  /** What could be used if nothing but the pinned models were loaded. */
  mostBytes: number
}

const IDLE_CHECK_MS = 30_000

export class Scheduler implements Models {
  readonly #deps: SchedulerDeps
  readonly #entries = new Map<string, Entry>()
  readonly #idleTimer: NodeJS.Timeout
  #reports: Promise<DeviceReport[]> | undefined
  /** Loads go one after the other: two that measure the same free memory would both take it. */
  #lastLoad: Promise<unknown> = Promise.resolve()
  #released = Promise.withResolvers<void>()
  readonly #reservations: Reservations
  readonly #closing = new AbortController()
  readonly #closed: Promise<void>

  constructor(deps: SchedulerDeps) {
    this.#deps = deps
    this.#closed = new Promise(resolve =>
      this.#closing.signal.addEventListener('abort', () => resolve(), { once: true }),
    )
    this.#reservations = new Reservations({
      room: async () => {
        const { report, ...room } = await this.#room()
        const { library, device } = report
        return { ...room, library, device, neighbours: this.#neighbours(device) }
      },
      between: act => this.#between(act),
      released: () => this.#released.promise,
      wake: () => this.#wake(),
      closing: this.#closing.signal,
      memoryFraction: () => deps.settings().memoryFraction,
      now: deps.now,
      log: deps.log,
    })
    this.#idleTimer = setInterval(() => void this.#unloadIdle(), IDLE_CHECK_MS)
    this.#idleTimer.unref()
  }

  list(): ModelStatus[] {
    return this.#deps.registry.list().map(file => this.#status(this.#entry(file)))
  }

  get(id: string): ModelStatus {
    return this.#status(this.#entry(this.#deps.registry.resolve(id)))
  }

  async acquire(id: string, signal: AbortSignal): Promise<Lease> {
    await untilAborted(this.#deps.ready, signal)
    const file = this.#deps.registry.resolve(id)
    const entry = this.#entry(file)
    if (file.status === 'broken') {
      throw new HubError(
        'model_broken',
        `the model ${file.id} cannot be used: ${file.reason ?? 'its file is damaged'}`,
        { param: 'model' },
      )
    }
    const { slots, maxQueue } = this.#deps.settings()
    const limit = (entry.resident?.options.slots ?? slots) + maxQueue
    if ((entry.resident?.inUse ?? 0) + entry.waiting >= limit) {
      throw new HubError(
        'busy',
        `the model ${file.id} has ${limit} requests already, ${maxQueue} of them waiting; try again soon`,
        { retryAfterS: 5 },
      )
    }
    entry.waiting++
    try {
      const resident = entry.resident ?? (await untilAborted(this.#load(entry), signal))
      resident.inUse++
      resident.lastUsedMs = this.#deps.now()
      return this.#lease(entry, resident)
    } finally {
      entry.waiting--
    }
  }

  async load(id: string, signal: AbortSignal): Promise<ModelStatus> {
    const lease = await this.acquire(id, signal)
    lease.release()
    return this.get(id)
  }

  async unload(id: string): Promise<ModelStatus> {
    const entry = this.#entry(this.#deps.registry.resolve(id))
    await entry.loading?.catch(() => undefined)
    if (entry.resident !== undefined) {
      if (!isIdle(entry)) {
        throw new HubError(
          'conflict',
          `the model ${entry.file.id} is in use by ${entry.resident.inUse + entry.waiting} requests; wait for them or cancel them`,
        )
      }
      await this.#unload(entry)
    }
    return this.#status(entry)
  }

  /**
   * Counts memory that is taken beside a loaded model, such as that of an adapter; negative when it is given back.
   * @throws HubError insufficient_memory when so much is not free
   */
  addMemory(id: string, bytes: number): void {
    const resident = this.#entries.get(id)?.resident
    if (resident === undefined) return
    if (bytes > 0 && resident.options.device === 'cpu') {
      const usableBytes = this.#deps.memory().availableBytes * this.#deps.settings().memoryFraction
      if (bytes > usableBytes) {
        throw new HubError(
          'insufficient_memory',
          `an adapter of ${id} needs ${mebibytes(bytes)} MiB, and ${mebibytes(usableBytes)} MiB may be used; unload a model first`,
          { param: 'model' },
        )
      }
    }
    resident.needBytes += bytes
    const limit = resident.worker.memoryLimitBytes
    if (limit !== undefined) resident.worker.limitMemory(limit + bytes)
  }

  /** Unloads what is no longer in the registry, once nobody uses it. */
  async dropRemoved(): Promise<void> {
    const known = new Set(this.#deps.registry.list().map(file => file.id))
    for (const [id, entry] of this.#entries) {
      if (known.has(id) || !isIdle(entry) || entry.loading !== undefined) continue
      await this.#unload(entry)
      if (isIdle(entry) && entry.resident === undefined && entry.loading === undefined) this.#entries.delete(id)
    }
  }

  /** Fresh stats of every loaded model, for status pages. */
  async refresh(): Promise<void> {
    await Promise.all([...this.#entries.values()].map(entry => entry.resident?.worker.ping()))
  }

  /** Ends every worker. */
  async close(): Promise<void> {
    this.#closing.abort()
    clearInterval(this.#idleTimer)
    await Promise.all(
      [...this.#entries.values()].map(async entry => {
        await entry.loading?.catch(() => undefined)
        await this.#unload(entry)
      }),
    )
  }

  /** Reports of all installed libraries: probed once, the one in use again at each load. */
  reports(): Promise<DeviceReport[]> {
    if (this.#reports === undefined) {
      this.#reports = this.#deps.probe('all')
      this.#reports.catch(() => {
        this.#reports = undefined
      })
    }
    return this.#reports
  }

  #entry(file: ModelFile): Entry {
    let entry = this.#entries.get(file.id)
    if (entry === undefined) {
      entry = { file, state: file.status === 'broken' ? 'broken' : 'unloaded', waiting: 0 }
      this.#entries.set(file.id, entry)
    }
    if (entry.file !== file) {
      // The file or its sidecar changed; a resident model keeps running as it was loaded.
      entry.file = file
      if (entry.resident === undefined && entry.loading === undefined)
        entry.state = file.status === 'broken' ? 'broken' : 'unloaded'
    }
    return entry
  }

  #status(entry: Entry): ModelStatus {
    const { file, state, progress, error, errorCode, resident } = entry
    const lastUsedMs = resident?.lastUsedMs ?? entry.lastUsedMs
    return {
      file,
      state,
      inUse: resident?.inUse ?? 0,
      estimatedBytes: resident?.needBytes ?? (file.facts === undefined ? 0 : this.#estimate(file).totalBytes),
      ...(progress !== undefined && { progress }),
      ...(error !== undefined && { error }),
      ...(errorCode !== undefined && { errorCode }),
      ...(lastUsedMs !== undefined && { lastUsedMs }),
      ...(resident !== undefined && { info: resident.worker.info }),
      ...(resident?.worker.stats !== undefined && { stats: resident.worker.stats }),
      ...(resident?.worker.pid !== undefined && { pid: resident.worker.pid }),
      ...(resident !== undefined && { speeds: resident.speeds }),
    }
  }

  #set(entry: Entry, change: Partial<Entry>): void {
    Object.assign(entry, change)
    this.#deps.changed(this.#status(entry))
  }

  #lease(entry: Entry, resident: Resident): Lease {
    let held = true
    const { worker } = resident
    const { now } = this.#deps
    return {
      model: entry.file,
      info: worker.info,
      generate: (request: Generate, signal: AbortSignal) => measured(worker.generate(request, signal), resident.speeds),
      ask: <T extends keyof Answer>(ask: Extract<Ask, { type: T }>, signal: AbortSignal) => worker.ask(ask, signal),
      release: () => {
        if (!held) return
        held = false
        resident.inUse--
        resident.lastUsedMs = now()
        this.#wake()
      },
    }
  }

  // Loading.

  #load(entry: Entry): Promise<Resident> {
    if (this.#closing.signal.aborted) return Promise.reject(new HubError('shutting_down', 'the hub is shutting down'))
    if (entry.loading === undefined) {
      const loading = this.#lastLoad.then(() => this.#start(entry))
      entry.loading = loading
      this.#lastLoad = loading.catch(() => undefined)
      // Every waiter gets the rejection; without any the failure is in the entry's state.
      loading.catch(() => undefined)
      this.#set(entry, { state: 'loading', progress: 0 })
    }
    return entry.loading
  }

  async #start(entry: Entry): Promise<Resident> {
    try {
      const plan = await this.#makeRoom(entry)
      const worker = await this.#startWorker(entry, plan)
      const resident: Resident = {
        worker,
        options: plan.options,
        needBytes: Math.max(plan.needBytes, worker.info.memoryBytes),
        inUse: 0,
        lastUsedMs: this.#deps.now(),
        speeds: { promptTokens: 0, promptMs: 0, predictedTokens: 0, predictedMs: 0, requests: 0 },
      }
      const { weightsBytes, kvBytes, overheadBytes } = plan.need
      // Weights may be there twice while the CPU keeps a copy in its own layout.
      worker.limitMemory(2 * weightsBytes + kvBytes + overheadBytes + plan.options.promptCacheBytes + 2 ** 30)
      void worker.exited.then(exit => this.#gone(entry, resident, exit.expected))
      delete entry.progress
      delete entry.error
      delete entry.errorCode
      this.#set(entry, { state: 'ready', resident })
      this.#deps.record(entry.file, plan.options, worker.info, resident.speeds)
      return resident
    } catch (thrown) {
      const error = HubError.from(thrown)
      delete entry.progress
      this.#set(entry, { state: 'failed', error: error.message, errorCode: error.code })
      throw error
    } finally {
      delete entry.loading
    }
  }

  async #startWorker(entry: Entry, plan: Plan): Promise<WorkerProcess> {
    const report = (progress: number) => this.#set(entry, { progress })
    const { log } = this.#deps
    log.info('loading', {
      model: entry.file.id,
      device: plan.options.device,
      gpuLayers: plan.options.gpuLayers,
      context: plan.options.contextTokens,
    })
    try {
      return await this.#deps.start(plan.options, report, this.#closing.signal)
    } catch (thrown) {
      const error = HubError.from(thrown)
      if (plan.options.device === 'cpu' || this.#deps.settings().device !== 'auto') throw error
      // A driver that refuses at the last moment should not leave the user without an answer.
      log.warn('the device failed, trying the CPU', {
        model: entry.file.id,
        device: plan.options.device,
        reason: error.message,
      })
      plan.options = { ...plan.options, device: 'cpu', library: 'cpu', gpuLayers: 0 }
      return this.#deps.start(plan.options, report, this.#closing.signal)
    }
  }

  /** @throws HubError insufficient_memory when it does not fit though nothing else is loaded */
  async #makeRoom(entry: Entry): Promise<Plan> {
    for (;;) {
      if (this.#closing.signal.aborted) throw new HubError('shutting_down', 'the hub is shutting down')
      const plan = await this.#plan(entry.file)
      if (plan.fits) return plan
      // What can never fit must not push the others out first.
      if (plan.options.device === 'cpu' && plan.needBytes > plan.mostBytes) throw tooLarge(entry.file, plan)
      const others = [...this.#entries.values()].filter(other => other.resident !== undefined && other !== entry)
      const victim = others
        .filter(other => isIdle(other) && other.file.sidecar.pin !== true)
        .sort((a, b) => a.resident!.lastUsedMs - b.resident!.lastUsedMs)[0]
      if (victim !== undefined) {
        this.#deps.log.info('unloading to make room', { model: victim.file.id, for: entry.file.id })
        await this.#unload(victim)
        continue
      }
      // What trains goes on later; who asks wants an answer now.
      if (await this.#reservations.makeWay(plan.options.device)) continue
      if (others.some(other => !isIdle(other))) {
        await Promise.race([this.#released.promise, this.#closed])
        continue
      }
      const partial = this.#partial(plan, entry.file)
      if (partial !== undefined) return partial
      throw tooLarge(entry.file, plan)
    }
  }

  async #plan(file: ModelFile): Promise<Plan> {
    const settings = this.#deps.settings()
    const { report, ...room } = await this.#room()
    const cpu = report.device === 'cpu'
    const need = this.#estimate(file)
    const wantedLayers = file.sidecar.gpu_layers ?? settings.gpuLayers
    const options: LoadOptions = {
      path: file.files[0]!,
      device: report.device,
      library: report.library,
      gpuLayers: cpu ? 0 : wantedLayers === 'auto' ? -1 : wantedLayers,
      contextTokens: this.#contextTokens(file),
      slots: file.sidecar.slots ?? settings.slots,
      threads: settings.threads,
      batchTokens: settings.batchTokens,
      promptCacheBytes: settings.promptCacheBytes,
      kvType: settings.kvType,
      flashAttention: settings.flashAttention,
      useMmap: settings.useMmap,
      poll: settings.poll,
      ...(file.sidecar.chat_template !== undefined && { chatTemplate: file.sidecar.chat_template }),
    }
    const needBytes = Math.max(need.totalBytes, this.#deps.measuredBytes(file, options) ?? 0)
    const { freeBytes, usableBytes, mostBytes } = room
    const forced = !cpu && wantedLayers !== 'auto' && wantedLayers >= 0
    return { options, need, needBytes, fits: forced || needBytes <= usableBytes, freeBytes, usableBytes, mostBytes }
  }

  /** Memory of the device that is used now: free, what of it may be taken at once, and what were but the pinned models loaded. */
  async #room(): Promise<Pick<Plan, 'freeBytes' | 'usableBytes' | 'mostBytes'> & { report: DeviceReport }> {
    const settings = this.#deps.settings()
    let report = settings.device === 'cpu' ? CPU_REPORT : chooseLibrary(await this.reports(), settings.device)
    const cpu = report.device === 'cpu'
    if (!cpu) report = await this.#refresh(report)
    const unified = !cpu && freeDeviceBytes(report) === 0
    const memory = this.#deps.memory()
    const freeBytes = cpu || unified ? memory.availableBytes : freeDeviceBytes(report)
    const totalBytes =
      cpu || unified
        ? memory.totalBytes
        : report.devices.reduce((sum, device) => sum + (device.kind === 'gpu' ? device.totalBytes : 0), 0)
    // Mapped weights count as available to the system although a model uses them, so what is set aside is taken off as well.
    const setAside = (pinnedOnly: boolean) =>
      [...this.#entries.values()].reduce((sum, { resident, file: other }) => {
        if (resident === undefined || resident.options.device !== report.device) return sum
        return pinnedOnly && other.sidecar.pin !== true ? sum : sum + resident.needBytes
      }, 0)
    const most = settings.memoryFraction * totalBytes
    const reserved = this.#reservations.bytes(report.device)
    const pending = this.#reservations.pendingBytes(report.device)
    const usableBytes = Math.max(
      0,
      Math.min(settings.memoryFraction * (freeBytes - pending), most - setAside(false) - reserved),
    )
    return { report, freeBytes, usableBytes, mostBytes: most - setAside(true) }
  }

  /** What a model that is not here yet could take: of the device that is used, and of main memory, in bytes. */
  async spaceForModel(): Promise<ModelSpace> {
    const settings = this.#deps.settings()
    const { report, usableBytes, mostBytes } = await this.#room()
    const idle = [...this.#entries.values()].reduce(
      (sum, { resident, file }) =>
        resident === undefined || resident.options.device !== report.device || file.sidecar.pin === true
          ? sum
          : sum + resident.needBytes,
      0,
    )
    // Models that are loaded now make room for it, so that what they hold counts as well.
    const deviceBytes = Math.max(0, Math.min(mostBytes, usableBytes + idle))
    const main = this.#deps.memory().availableBytes * settings.memoryFraction
    const hasOwnMemory = report.device !== 'cpu' && freeDeviceBytes(report) > 0
    const { contextTokens, batchTokens, kvType } = settings
    return {
      device: report.device,
      deviceBytes,
      // A device that shares the machine's memory has no second one beside it.
      mainBytes: hasOwnMemory ? main : 0,
      load: { contextTokens, batchTokens, kvType },
    }
  }

  // Memory for others than models.

  /** The device that training would run on, with what it would find there. */
  space(): Promise<Space> {
    return this.#reservations.space()
  }

  /** As Reservations.reserve: memory for something else than a model. @throws HubError insufficient_memory, cancelled */
  reserve(bytes: number, options: ReserveOptions, signal: AbortSignal): Promise<Reservation> {
    return this.#reservations.reserve(bytes, options, signal)
  }

  #between<T>(act: () => Promise<T>): Promise<T> {
    const done = this.#lastLoad.then(act)
    this.#lastLoad = done.catch(() => undefined)
    return done
  }

  #neighbours(device: Device): Neighbour[] {
    return [...this.#entries.values()].flatMap(entry => {
      const { resident, file } = entry
      if (resident === undefined || resident.options.device !== device) return []
      // Mapped weights are counted as available memory already.
      const mapped = device === 'cpu' && resident.options.useMmap ? file.bytes : 0
      return {
        id: file.id,
        pinned: file.sidecar.pin === true,
        idle: isIdle(entry) && entry.loading === undefined,
        lastUsedMs: resident.lastUsedMs,
        freesBytes: Math.max(0, resident.needBytes - mapped),
        unload: () => this.#unload(entry),
      }
    })
  }

  #wake(): void {
    this.#released.resolve()
    this.#released = Promise.withResolvers()
  }

  /** With nothing left to unload, a GPU takes the layers that fit and the CPU the rest. */
  #partial(plan: Plan, file: ModelFile): Plan | undefined {
    if (plan.options.device === 'cpu') return undefined
    const layers = fitLayers(plan.need, Math.max(1, file.facts?.layers ?? 1), plan.usableBytes)
    const ram = this.#deps.memory().availableBytes * this.#deps.settings().memoryFraction
    if (plan.need.totalBytes - Math.min(plan.usableBytes, plan.need.totalBytes) > ram) return undefined
    return {
      ...plan,
      options: { ...plan.options, gpuLayers: layers },
      needBytes: Math.min(plan.needBytes, plan.usableBytes),
      fits: true,
    }
  }

  /** The report with the memory that is free now; kept for the status page. */
  async #refresh(report: DeviceReport): Promise<DeviceReport> {
    const fresh = (await this.#deps.probe(report.library)).find(each => each.works)
    if (fresh === undefined) return report
    const reports = (await this.reports()).map(each => (each.library === fresh.library ? fresh : each))
    this.#reports = Promise.resolve(reports)
    return fresh
  }

  #contextTokens(file: ModelFile): number {
    const wanted = file.sidecar.context_size ?? this.#deps.settings().contextTokens
    const trained = file.facts?.context_length ?? 0
    return trained > 0 ? Math.min(wanted, trained) : wanted
  }

  #estimate(file: ModelFile): Need {
    const { batchTokens, kvType } = this.#deps.settings()
    return estimateNeed(file.facts!, file.bytes, { contextTokens: this.#contextTokens(file), batchTokens, kvType })
  }

  // Unloading.

  async #unload(entry: Entry): Promise<void> {
    const { resident } = entry
    if (resident === undefined) return
    entry.lastUsedMs = resident.lastUsedMs
    this.#deps.record(entry.file, resident.options, resident.worker.info, resident.speeds)
    delete entry.resident
    this.#set(entry, { state: 'unloading' })
    await resident.worker.close()
    // A request may have loaded it anew while the old process was ending.
    if (entry.resident === undefined) this.#set(entry, { state: entry.loading === undefined ? 'unloaded' : 'loading' })
  }

  #gone(entry: Entry, resident: Resident, expected: boolean): void {
    if (expected || entry.resident !== resident) return
    delete entry.resident
    this.#deps.log.error('a worker ended unexpectedly', { model: entry.file.id, pid: resident.worker.pid })
    this.#set(entry, {
      state: 'failed',
      error: 'its process ended unexpectedly; the next request starts a fresh one',
      errorCode: 'worker_crashed',
    })
    this.#wake()
  }

  async #unloadIdle(): Promise<void> {
    await this.dropRemoved()
    const { idleUnloadMinutes } = this.#deps.settings()
    if (idleUnloadMinutes <= 0) return
    const before = this.#deps.now() - idleUnloadMinutes * 60_000
    for (const entry of this.#entries.values()) {
      const { resident } = entry
      if (
        resident !== undefined &&
        resident.inUse === 0 &&
        resident.lastUsedMs < before &&
        entry.file.sidecar.pin !== true
      )
        await this.#unload(entry)
    }
  }
}

function tooLarge(file: ModelFile, plan: Plan): HubError {
  const gib = (bytes: number) => `${(bytes / 2 ** 30).toFixed(1)} GiB`
  return new HubError(
    'insufficient_memory',
    `the model ${file.id} needs about ${gib(plan.needBytes)}, and ${gib(plan.usableBytes)} of the ${gib(plan.freeBytes)} free may be used; ` +
      'choose a smaller quantisation, a smaller context size, or close other programs',
    { param: 'model' },
  )
}

const mebibytes = (bytes: number) => Math.ceil(bytes / 2 ** 20)

const isIdle = (entry: Entry) => entry.waiting === 0 && (entry.resident === undefined || entry.resident.inUse === 0)

async function* measured(events: AsyncIterable<GenerateEvent>, speeds: Speeds): AsyncGenerator<GenerateEvent, void> {
  for await (const event of events) {
    if (event.type === 'done') addTimings(speeds, event.timings)
    yield event
  }
}

function addTimings(speeds: Speeds, timings: Timings): void {
  speeds.requests++
  speeds.promptTokens += timings.prompt_n
  speeds.promptMs += timings.prompt_ms
  speeds.predictedTokens += Math.max(0, timings.predicted_n - 1)
  speeds.predictedMs += timings.predicted_ms
}

/** The promise, or HubError cancelled as soon as the signal aborts; the work itself goes on for others. */
function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) return Promise.reject(new HubError('cancelled', 'the request was cancelled'))
  return new Promise((resolve, reject) => {
    const abort = () => reject(new HubError('cancelled', 'the request was cancelled'))
    signal.addEventListener('abort', abort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })
}
