/** A queue of training jobs over a real database and the scripted trainer, with stages that take no model. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { HubError } from '../../server/lib/error.ts'
import { silentLog } from '../../server/lib/log.ts'
import type { Reservation, ReserveOptions } from '../../server/models/reserve.ts'
import type { Database } from '../../server/storage/database.ts'
import { openDatabase } from '../../server/storage/db.ts'
import { Jobs, type JobsDeps, type NewJob } from '../../server/training/jobs.ts'
import { type Run, startRun } from '../../server/training/run.ts'
import { ADAPTER, CHECKPOINT, type JobSteps, TRAIN_TOKENS } from '../../server/training/work.ts'
import type { TrainingEvent } from '../../server/wire/events.ts'
import type { TrainingJobOut } from '../../server/wire/training.ts'
import type { TokenStats, TrainingPlan } from '../../server/wire/training_plan.ts'
import type { Script } from './scripted_trainer.ts'

const SCRIPT = resolve(import.meta.dirname, 'scripted_trainer.ts')

export const STATS: TokenStats = {
  kind: 'samples',
  vocabularySize: 100,
  samples: 3,
  written: 3,
  tokens: 30,
  targetTokens: 12,
  longest: 12,
  lengths: { mean: 10, p50: 10, p90: 12, p95: 12, p99: 12 },
  dropped: 0,
  truncated: 0,
  split: 0,
  lostTokens: 0,
  failed: 0,
  empty: 0,
  problems: [],
}

export const plan = (checkpointEverySteps: number): TrainingPlan => ({
  settings: {
    mode: { type: 'lora', rank: 4, alpha: 8, rsLora: false, targets: ['attn_q'], dropout: 0 },
    loss: { type: 'supervised' },
    rowTokens: 64,
    rowsPerStep: 1,
    epochs: 2,
    rate: 1e-3,
    schedule: 'cosine',
    warmupShare: 0,
    optimizer: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, maxGradNorm: 1, loraPlusRatio: 1 },
    validateEverySteps: 4,
    patience: 0,
    checkpointEverySteps,
    seed: 1,
    layerCheckpointing: true,
    library: 'cpu',
  },
  reasons: { epochs: 'because' },
  expected: {
    steps: 10,
    seconds: 1,
    tokensPerSecond: 100,
    basis: 'a test',
    memoryBytes: 1000,
    memory: { weightsBytes: 500, parameterBytes: 250, computeBytes: 250 },
    freeBytes: 1e9,
  },
  warnings: [],
})

export type Queue = {
  home: string
  db: Database
  jobs: Jobs
  events: TrainingEvent[]
  /** Options of the reservation that is held. */
  held: ReserveOptions | undefined
  run: Run | undefined
  /** Names of the stages in the order they were entered, with the job's name. */
  calls: string[]
  add(name: string, script: Script, more?: Partial<NewJob>): TrainingJobOut
  /** Resolves with the first event of the job that fits. */
  until(id: string, fits: (event: TrainingEvent) => boolean): Promise<TrainingEvent>
  /** Until it has that status. */
  status(id: string, ...wanted: string[]): Promise<TrainingJobOut>
}

/** `script` is for jobs that were not added by `add`. */
type Changes = Partial<JobSteps> & {
  script?: Script
  checkpointEverySteps?: number
  deps?: Partial<JobsDeps>
  home?: string
}

export function openQueue(context: { after(close: () => Promise<void>): void }, changes: Changes = {}): Queue {
  const {
    script = { steps: 10 },
    checkpointEverySteps = 5,
    deps = {},
    home = mkdtempSync(join(tmpdir(), 'hub-jobs-')),
    ...steps
  } = changes
  const db = openDatabase(join(home, 'hub.db'))
  const scripts = new Map<string, Script>()
  const events: TrainingEvent[] = []
  let clock = 1_700_000_000_000
  const reserve = async (bytes: number, options: ReserveOptions, signal: AbortSignal): Promise<Reservation> => {
    if (signal.aborted) throw new HubError('cancelled', 'cancelled')
    queue.held = options
    return { library: 'cpu', device: 'cpu', bytes, release: () => (queue.held = undefined) }
  }
  const fake: JobSteps = {
    async importData(job) {
      queue.calls.push(`data ${job.request.name}`)
      return { dataset: { name: 'set', version: 1 }, training: 3, validation: 1, notes: [] }
    },
    async writeTokens(job, folder) {
      queue.calls.push(`tokens ${job.request.name}`)
      writeFileSync(join(folder, TRAIN_TOKENS), JSON.stringify(scripts.get(job.request.name) ?? script))
      return { stats: STATS }
    },
    plan: async () => plan(checkpointEverySteps),
    trainerJob: (_, folder) => ({
      base: 'base.gguf',
      tokens: join(folder, TRAIN_TOKENS),
      output: join(folder, ADAPTER),
      checkpoint: join(folder, CHECKPOINT),
      checkpointEverySteps,
    }),
    async publish(job) {
      queue.calls.push(`publish ${job.request.name}`)
      return `${job.request.model}:${job.request.name}`
    },
    ...steps,
  }
  const jobs = new Jobs({
    db,
    home,
    steps: fake,
    reserve,
    startRun: (job, receive, limit) => {
      queue.run = startRun({ script: SCRIPT, log: silentLog }, job, receive, limit)
      return queue.run
    },
    check: request => request,
    publish: event => void events.push(event),
    evaluate: () => 'evaluation-1',
    log: silentLog,
    now: () => clock++,
    idleMs: 0,
    ...deps,
  })
  const queue: Queue = {
    home,
    db,
    jobs,
    events,
    held: undefined,
    run: undefined,
    calls: [],
    add(name, script, more = {}) {
      scripts.set(name, script)
      return jobs.create({
        model: 'base',
        name,
        data: { type: 'dataset', name: 'set' },
        method: 'supervised',
        hyperparameters: {},
        too_long: 'truncate',
        priority: 0,
        ...more,
      })
    },
    until(id, fits) {
      const mine = (event: TrainingEvent) =>
        (event.type === 'training.job' ? event.job.id : event.id) === id && fits(event)
      return new Promise(resolve => {
        const stop = jobs.listen(event => {
          if (!mine(event)) return
          stop()
          resolve(event)
        })
      })
    },
    async status(id, ...wanted) {
      const is = (event: TrainingEvent) => event.type === 'training.job' && wanted.includes(event.job.status)
      const known = events.findLast(event => event.type === 'training.job' && event.job.id === id)
      const event = known !== undefined && is(known) ? known : await queue.until(id, is)
      if (event.type !== 'training.job') throw new Error('never')
      return event.job
    },
  }
  context.after(async () => {
    await jobs.close()
    db.close()
    rmSync(home, { recursive: true, force: true, maxRetries: 5 })
  })
  return queue
}
