/** A running hub: home, settings, database, registry, scheduler and the HTTP door, put together and taken apart again. */
import { randomBytes } from 'node:crypto'
import { createRequire } from 'node:module'
import { join, resolve } from 'node:path'
import { examine } from './cli/doctor.ts'
import { openEditors } from './editors.ts'
import { createEvents, type Events, toBrief, toEvent } from './http/events.ts'
import { createLoadReader } from './http/events_load.ts'
import { tidyFiles } from './http/files.ts'
import type { EndpointDeps } from './http/generate.ts'
import { keepHistory } from './http/history.ts'
import { isLsp } from './http/lsp.ts'
import { createRequestLog } from './http/requests.ts'
import { createServer, type Server } from './http/server.ts'
import { doctorDeps } from './hub_checks.ts'
import { loadSettings, measuredBytes, profileKey, rates, readSettingsFile } from './hub_loading.ts'
import { openPulls } from './hub_pulls.ts'
import { hubRoutes } from './hub_routes.ts'
import { defaultModel, foundGpus, systemStatus } from './hub_status.ts'
import { HubError } from './lib/error.ts'
import { createGpuReader } from './lib/gpu_load.ts'
import { alreadyRuns, claimHub, ensureHome, findHub } from './lib/home.ts'
import { watchIdle } from './lib/idle.ts'
import { createLog, fileSink, type Log, type Sink, stderrSink } from './lib/log.ts'
import { physicalCores, readMemory } from './lib/memory.ts'
import { findPortHolder, portTakenMessage } from './lib/port.ts'
import { repeat } from './lib/repeat.ts'
import { createBaseCheck } from './models/adapter_base.ts'
import { withAdapters } from './models/adapter_models.ts'
import { type Adapters, createAdapters } from './models/adapter_registry.ts'
import { LIBRARIES, probeDevices } from './models/devices.ts'
import { sha256 } from './models/gguf.ts'
import type { ModelStatus, Models } from './models/models.ts'
import { prepareWorker, WorkerProcess } from './models/process.ts'
import { createRegistry, type Registry } from './models/registry.ts'
import { Scheduler } from './models/scheduler.ts'
import { ANYONE, createAccess } from './security/access.ts'
import { countValidKeys } from './security/keys.ts'
import { isLoopback } from './security/origin.ts'
import { openDatabase } from './storage/db.ts'
import { jobsOf } from './storage/jobs.ts'
import { readProfile, recordProfile } from './storage/profiles.ts'
import { pruneResponses } from './storage/responses.ts'
import { readSettings } from './storage/settings.ts'
import { createAbTests } from './training/ab_test.ts'
import { createEvaluations } from './training/evaluations.ts'
import { openTraining } from './training/open.ts'
import { EvaluationRequest } from './wire/evaluation.ts'
import { resolveSettings, type Settings, type Sources } from './wire/settings.ts'

export const VERSION: string = (createRequire(import.meta.url)('../package.json') as { version: string }).version

/** Stored responses are kept for thirty days, as OpenAI keeps them. */
const KEEP_RESPONSES_S = 30 * 24 * 3600

/** A hub with such jobs has something to do, even if nobody is connected. */
const BUSY_JOBS = ['validating_files', 'queued', 'running'] as const

/** Programs that the hub starts by path. */
export const WORKER_SCRIPT = resolve(import.meta.dirname, 'worker', 'main.ts')
export const CONVERTER_SCRIPT = resolve(import.meta.dirname, 'trainer', 'convert.ts')
export const TRAINER_SCRIPT = resolve(import.meta.dirname, 'trainer', 'main.ts')
export const PROBE_SCRIPT = resolve(import.meta.dirname, 'worker', 'probe.ts')

/** The pages: what is served, and what it is built from. */
const PAGES = {
  folder: resolve(import.meta.dirname, '..', 'dist', 'webview'),
  sources: resolve(import.meta.dirname, '..', 'webview'),
}

export type HubOptions = {
  home: string
  /** Settings from the command line, as text. */
  commandLine: { [name: string]: string }
  env: NodeJS.ProcessEnv
  /** Where log lines go besides the file in home; stderr by default. */
  logSinks?: Sink[]
  /** Another worker program, for measuring the hub alone. */
  workerScript?: string
}

export type Hub = {
  url: string
  /** What programs of this user on this machine show. */
  token: string
  home: string
  settings: Settings
  /** Base models and adapters. */
  models: Models & Pick<Scheduler, 'refresh'>
  adapters: Adapters
  registry: Registry
  /** Waits until the model folders have been read once. */
  ready: Promise<void>
  /** Resolves when nobody has used the hub for `idleExitMinutes`. */
  idle: Promise<void>
  close(): Promise<void>
}

/** @throws HubError when the hub of this home runs already, a setting is wrong, the port is taken or the database is damaged */
export async function startHub(options: HubOptions): Promise<Hub> {
  const startedAt = Date.now()
  const { home } = options
  ensureHome(home)
  const rival = await findHub(home)
  if (rival !== undefined) throw alreadyRuns(home, rival)

  const db = openDatabase(join(home, 'hub.db'))
  const closers: (() => void | Promise<void>)[] = [() => db.close()]
  const closeAll = async () => {
    for (const close of closers.splice(0).reverse()) {
      // One that fails must not keep the others open.
      await (async () => close())().catch(() => undefined)
    }
  }
  try {
    const sources: Omit<Sources, 'stored'> = {
      commandLine: options.commandLine,
      environment: options.env,
      ...readSettingsFile(home),
    }
    const resolved = resolveSettings({ ...sources, stored: readSettings(db) })
    let settings = resolved.settings
    const sinks = [...(options.logSinks ?? [stderrSink]), fileSink(join(home, 'logs', 'hub.log'))]
    const log = createLog({ scope: 'hub', level: () => settings.logLevel, sinks })
    // A wrong word on the command line is a mistake to mend now; an old file should not keep the hub from starting.
    const mistake = resolved.problems.find(problem => problem.startsWith('The command line'))
    if (mistake !== undefined) throw new HubError('invalid_request', mistake)
    for (const problem of resolved.problems) log.warn('a setting was left out', { problem })

    const workerLog = log.child('worker')
    const script = options.workerScript ?? options.env.AI_HUB_WORKER ?? WORKER_SCRIPT
    // The first load should find a process: one starts while the hub itself does, and ends unused after a minute.
    const spare = prepareWorker({ script, log: workerLog }, settings.device === 'cpu' ? 'cpu' : undefined, 60_000)
    closers.push(() => spare.close())
    const cores = await physicalCores()
    pruneResponses(db, Date.now() / 1000 - KEEP_RESPONSES_S)
    const registry = createRegistry({ folder: join(home, 'local_models'), log: log.child('registry') })
    closers.push(() => registry.close())
    const scanned = Promise.withResolvers<void>()
    let events: Events | undefined
    const requests = createRequestLog({
      now: Date.now,
      ended: request => events?.publish({ type: 'request.end', request }),
    })
    const models = new Scheduler({
      registry,
      ready: scanned.promise,
      start: (load, report, signal) =>
        WorkerProcess.start({ script, log: workerLog, spare: spare.take }, load, report, signal),
      probe: library => probeDevices(PROBE_SCRIPT, library === 'all' ? LIBRARIES : [library]),
      memory: () => readMemory(),
      settings: () => loadSettings(settings, cores),
      measuredBytes: (file, load) => measuredBytes(readProfile(db, profileKey(file, load)), load),
      record(file, load, info, speeds) {
        const measured = {
          ...rates(speeds),
          loadMs: info.loadMs,
          residentBytes: info.memoryBytes,
          deviceBytes: info.deviceBytes,
        }
        try {
          recordProfile(db, profileKey(file, load), measured, Date.now())
        } catch (thrown) {
          // A full disk costs the profile, not the model.
          log.warn('a profile was not stored', { model: file.id, reason: HubError.from(thrown).message })
        }
      },
      changed(status) {
        logState(log, status)
        events?.publish(toEvent(status))
      },
      log: log.child('models'),
      now: Date.now,
    })
    closers.push(() => models.close())
    const adapters = createAdapters({ home, log: log.child('adapters') })
    closers.push(() => adapters.close())
    const baseCheck = createBaseCheck({ home, sha256, log: log.child('adapters') })
    closers.push(() => baseCheck.close())
    /** With adapters: what the doors see. */
    const served = withAdapters({ models, adapters, ready: scanned.promise, baseCheck, log: log.child('adapters') })

    const gpus = createGpuReader({
      inUse: () => models.list().some(({ info }) => info !== undefined && info.device !== 'cpu'),
      known: () => foundGpus(settings.device === 'cpu' ? [] : models.reports()),
      now: Date.now,
    })
    /** Each reader tells the processors' load since its own last call. */
    const loadReader = () =>
      createLoadReader({
        models: () => models.list(),
        refresh: () => models.refresh(),
        memory: () => readMemory(),
        gpus,
        now: Date.now,
      })
    events = createEvents({
      version: VERSION,
      startedAt,
      models: () => served.list(),
      load: loadReader(),
      log: log.child('events'),
    })
    const history = keepHistory({ load: loadReader(), log: log.child('history'), every: repeat })
    closers.push(() => history.close())
    const door = events
    const { publish, close: closeEvents } = events
    const pulls = openPulls({
      home,
      env: options.env,
      registry,
      space: () => models.spaceForModel(),
      changed: pull => publish({ type: 'model.pull', pull }),
      log: log.child('pulls'),
    })
    closers.push(() => pulls.close())
    const training = openTraining({
      home,
      db,
      log: log.child('training'),
      script: options.env.AI_HUB_TRAINER ?? TRAINER_SCRIPT,
      models,
      adapters,
      publish,
      evaluate: asked => evaluations.create(EvaluationRequest.parse(asked)).id,
      cores,
      threads: () => settings.threads,
      now: Date.now,
    })
    closers.push(() => training.close())
    const { jobs, filesFolder } = training
    const files = {
      db,
      folder: filesFolder,
      maxBytes: () => settings.maxUploadMiB * 2 ** 20,
      userOf: (file: string) => jobs.userOf({ file }),
      now: Date.now,
    }
    tidyFiles(files)
    const evaluations = createEvaluations({
      home,
      db,
      models: served,
      now: Date.now,
      sha256,
      log: log.child('evaluations'),
    })
    closers.push(() => evaluations.close())
    const abTests = createAbTests({
      db,
      modelId: name => idOf(served, name),
      now: Date.now,
      log: log.child('ab_tests'),
    })
    const endpoints: EndpointDeps = {
      models: requests.watch(served),
      defaultModel: purpose => defaultModel(models, purpose),
      resolveModel: abTests.resolve,
      splitNames: abTests.names,
    }
    const token = randomBytes(24).toString('hex')
    const keys = { db, now: Date.now }
    const access = createAccess({
      ...keys,
      token,
      isDemanded: () => settings.requireApiKey === 'always' || !isLoopback(settings.host),
      log: log.child('access'),
    })
    const editors = openEditors({
      home,
      models: requests.watchUses(served, 'editor'),
      defaultModel: endpoints.defaultModel,
      version: VERSION,
      log: log.child('lsp'),
      abTests,
    })
    /** Known once the door is open. */
    let url = ''
    const checkDeps = () =>
      doctorDeps(
        {
          version: VERSION,
          home,
          host: settings.host,
          port: Number(new URL(url).port),
          validKeys: () => countValidKeys(keys),
          findHub: async () => ({ pid: process.pid, url, version: VERSION, startedAt, token: '' }),
          portHolder: async () => ({ pid: process.pid }),
          listModels: async () => registry.list(),
          checkDatabase: async () => void db.all('select 1'),
        },
        PROBE_SCRIPT,
      )
    const server = createServer({
      routes: hubRoutes({
        version: VERSION,
        startedAt,
        home,
        db,
        cores,
        now: Date.now,
        log,
        endpoints,
        models: served,
        registry,
        adapters,
        converterScript: CONVERTER_SCRIPT,
        requests,
        history,
        pulls,
        training,
        files,
        evaluations,
        abTests,
        access,
        systemStatus: () => systemStatus(models, registry, { version: VERSION, startedAt, cores, home, url }),
        checks: () => examine(checkDeps()),
        settings: {
          sources,
          started: resolved.settings,
          onChange: changed => {
            settings = changed
            // Who came in with nothing has to show a key from now on.
            if (access.isDemanded()) access.changed(ANYONE.id)
          },
        },
      }),
      log: log.child('http'),
      version: VERSION,
      allowedOrigins: () => settings.allowedOrigins,
      ready: scanned.promise,
      pages: PAGES,
      requests,
      access,
      audit: openAudit(home),
      upgradeNeed: request => (isLsp(request) ? 'editor' : 'use'),
      upgrade: (request, socket, head) => (isLsp(request) ? editors : door).upgrade(request, socket, head),
    })
    closers.push(
      () => server.close(),
      () => closeEvents(),
      () => editors.close(),
    )
    url = (await listen(server, settings.host, settings.port)).url
    closers.push(await claimHub(home, { pid: process.pid, url, version: VERSION, startedAt, token }))
    const changed = () => publish({ type: 'models.changed', models: served.list().map(toBrief) })
    registry.onChange(() => {
      changed()
      void models.dropRemoved()
    })
    adapters.onChange(changed)
    // The first load should not wait for the devices to be tried.
    if (settings.device !== 'cpu') void models.reports()
    // The door is open while the folders are still being read: /health must not wait for a slow disk.
    const ready = Promise.all([registry.start(), adapters.start()]).then(() => undefined)
    void ready.then(scanned.resolve, scanned.resolve)
    ready.catch(thrown => log.error('the model folders cannot be read', { reason: HubError.from(thrown).message }))
    void ready.then(() => loadPinned(models, log)).catch(() => undefined)
    // What was asked for and not yet whole goes on.
    void ready.then(() => pulls.start()).catch(() => undefined)
    void ready
      .then(() => training.start())
      .catch(thrown => {
        log.error('the training jobs cannot be worked on', { reason: HubError.from(thrown).message })
      })
    log.info('listening', { url, home, version: VERSION, node: process.version })
    const { idle, stop: stopWatching } = watchIdle({
      minutes: () => settings.idleExitMinutes,
      busy: () =>
        server.use().open > 0 ||
        models.list().some(model => model.inUse > 0) ||
        pulls.busy() > 0 ||
        jobsOf(db, BUSY_JOBS).length > 0,
      uses: () => server.use().begun,
      now: Date.now,
    })
    closers.push(stopWatching)
    let closing: Promise<void> | undefined
    return {
      url,
      token,
      home,
      settings,
      models: { ...served, refresh: () => models.refresh() },
      adapters,
      registry,
      ready,
      idle,
      close() {
        closing ??= closeAll()
        return closing
      },
    }
  } catch (thrown) {
    await closeAll()
    throw thrown
  }
}

/** What was managed, by whom; without it too when the log of the hub is quiet. */
export function openAudit(home: string): Log {
  return createLog({ scope: 'audit', level: 'info', sinks: [fileSink(join(home, 'logs', 'audit.log'))] })
}

async function listen(server: Server, host: string, port: number): Promise<{ url: string; port: number }> {
  try {
    return await server.listen({ host, port })
  } catch (thrown) {
    if (!(thrown instanceof Error) || !('code' in thrown)) throw thrown
    if (thrown.code === 'EADDRINUSE') {
      throw new HubError('conflict', portTakenMessage(host, port, await findPortHolder(port)), { cause: thrown })
    }
    if (thrown.code === 'EACCES' || thrown.code === 'EADDRNOTAVAIL') {
      throw new HubError(
        'invalid_request',
        `The hub cannot listen on ${host} port ${port}: ${thrown.message}. Choose others with --host and --port.`,
      )
    }
    throw thrown
  }
}

/** Models whose card says `pin` are loaded at once, one after the other. */
async function loadPinned(models: Scheduler, log: Log): Promise<void> {
  for (const { file } of models.list()) {
    if (file.sidecar.pin !== true || file.status === 'broken') continue
    await models
      .load(file.id, new AbortController().signal)
      .catch(thrown =>
        log.warn('a pinned model did not load', { model: file.id, reason: HubError.from(thrown).message }),
      )
  }
}

function idOf(models: Models, name: string): string | undefined {
  try {
    return models.get(name).file.id
  } catch {
    return undefined
  }
}

function logState(log: Log, { file, state, progress, error, info }: ModelStatus): void {
  if (progress !== undefined && progress > 0) return
  log.info('model', {
    model: file.id,
    state,
    error,
    device: info?.device,
    context: info?.contextTokens,
    load_ms: info === undefined ? undefined : Math.round(info.loadMs),
  })
}
