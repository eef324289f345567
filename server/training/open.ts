/** The training room put together: the queue with its trainer, planner and schedules, ready to start and to close. */
import { join } from 'node:path'
import { HubError } from '../lib/error.ts'
import type { Log } from '../lib/log.ts'
import type { Adapters } from '../models/adapter_registry.ts'
import type { Models } from '../models/models.ts'
import type { Reservation, ReserveOptions, Space } from '../models/reserve.ts'
import type { Database } from '../storage/database.ts'
import { readFile } from '../storage/files.ts'
import { listJobs } from '../storage/jobs.ts'
import type { TrainingEvent } from '../wire/events.ts'
import type { TrainingSamples } from '../wire/training.ts'
import { openDataset } from './datasets.ts'
import { fromStored } from './job_state.ts'
import { Jobs } from './jobs.ts'
import { type LiveSamplesOptions, liveSamples } from './live_samples.ts'
import { askTrainer } from './plan.ts'
import { startRun } from './run.ts'
import { Schedules } from './schedule.ts'
import { jobStages } from './stages.ts'

export type TrainingRoomDeps = {
  home: string
  db: Database
  log: Log
  /** Path of the trainer program. */
  script: string
  models: Pick<Models, 'get' | 'acquire' | 'list'> & {
    space(): Promise<Space>
    reserve(bytes: number, options: ReserveOptions, signal: AbortSignal): Promise<Reservation>
    addMemory(id: string, bytes: number): void
  }
  adapters: Adapters
  publish(event: TrainingEvent): void
  /** Begins to compare an adapter with its base on the test part of a dataset. @returns its id @throws HubError */
  evaluate(asked: { base: string; candidate: string; dataset: string; version: number }): string
  /** Physical cores, and the threads that the user set; 0 for none. */
  cores: number
  threads(): number
  now(): number
}

export type TrainingRoom = {
  jobs: Jobs
  schedules: Schedules
  /** What base and adapter of a job answer now. @throws HubError */
  samples(job: string, options: LiveSamplesOptions, signal: AbortSignal): Promise<TrainingSamples>
  /** Where uploads lie. */
  filesFolder: string
  /** Path and name of an upload. @throws HubError not_found */
  uploadedFile(id: string): { path: string; name: string }
  /** Begins to work, once models and adapters are listed. */
  start(): void
  /** Ends the run with a checkpoint. */
  close(): Promise<void>
}

const TICK_MS = 60_000
/** So long must the models be idle that a run made way for. */
const IDLE_MS = 60_000

export function openTraining(deps: TrainingRoomDeps): TrainingRoom {
  const { home, db, log, script, models, adapters, now } = deps
  const filesFolder = join(home, 'training_data', 'files')
  const planner = askTrainer({ script, log: log.child('trainer') })
  const stages = jobStages({
    home,
    db,
    filesFolder,
    models,
    adapters,
    space: () => models.space(),
    plan: {
      memory: planner.memory,
      cores: deps.threads() > 0 ? deps.threads() : Math.max(1, deps.cores - 1),
      measuredSpeed: base => measuredSpeed(db, base.id),
    },
    threads: () => (deps.threads() > 0 ? deps.threads() : undefined),
    now,
  })
  const jobs = new Jobs({
    db,
    home,
    steps: stages,
    check: stages.check,
    reserve: (bytes, options, signal) => models.reserve(bytes, options, signal),
    startRun: (job, receive, limit) => startRun({ script, log: log.child('trainer') }, job, receive, limit),
    publish: deps.publish,
    evaluate: ({ request, state }) =>
      deps.evaluate({
        base: request.model,
        candidate: state.resultModel!,
        dataset: state.imported!.dataset.name,
        version: state.imported!.dataset.version,
      }),
    log,
    now,
    idleMs: IDLE_MS,
  })
  const schedules = new Schedules({
    db,
    jobs,
    dataset(name) {
      const { version, manifest } = openDataset(home, name)
      return { version, training: manifest.counts.train }
    },
    hasAdapter: id => adapters.get(id) !== undefined,
    lastUsedMs: () =>
      models.list().reduce<number | undefined>((last, { lastUsedMs, inUse }) => {
        const used = inUse > 0 ? now() : lastUsedMs
        return used === undefined ? last : Math.max(last ?? 0, used)
      }, undefined),
    now,
    hourOf: ms => new Date(ms).getHours(),
  })
  let timer: NodeJS.Timeout | undefined
  return {
    jobs,
    schedules,
    samples: (id, options, signal) =>
      liveSamples({ home, models, adapters, folderOf: job => jobs.folderOf(job) }, jobs.get(id), options, signal),
    filesFolder,
    uploadedFile(id) {
      const file = readFile(db, id)
      if (file === undefined) {
        throw new HubError('not_found', `There is no file '${id}'. GET /v1/files lists them.`, { param: 'file' })
      }
      return { path: join(filesFolder, id), name: file.filename }
    },
    start() {
      jobs.start()
      timer = setInterval(() => {
        try {
          schedules.tick()
        } catch (thrown) {
          log.warn('the schedules were not looked at', { reason: HubError.from(thrown).message })
        }
      }, TICK_MS)
      timer.unref()
    },
    async close() {
      clearInterval(timer)
      await Promise.all([jobs.close(), planner.close()])
    },
  }
}

/** Tokens per second of the last run of this base that came to its end. */
function measuredSpeed(db: Database, model: string): number | undefined {
  const done = listJobs(db, { limit: 50 }).jobs.find(job => job.model === model && job.status === 'succeeded')
  const speed = done === undefined ? undefined : fromStored(done).state.progress?.tokens_per_second
  return speed !== undefined && speed > 0 ? speed : undefined
}
