/**
 * The queue of training jobs: kept in the database, worked off in the background one at a time, and gone on with where it
 * stood when the hub starts again.
 */
import { randomBytes } from 'node:crypto'
import { mkdirSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { HubError } from '../lib/error.ts'
import type { Log } from '../lib/log.ts'
import type { Database } from '../storage/database.ts'
import {
  insertJob,
  jobsOf,
  listCheckpoints,
  listJobEvents,
  listJobs,
  readJob,
  type StoredCheckpoint,
  type StoredEvent,
} from '../storage/jobs.ts'
import type { TrainingEvent } from '../wire/events.ts'
import type { JobStatus, TrainingJobOut, TrainingRequest } from '../wire/training.ts'
import { JobLog } from './job_log.ts'
import { fromStored, type Job, OPEN, toJobOut, toStored, UNFINISHED } from './job_state.ts'
import { clearFolder, prepareJob, type WorkDeps, workJob } from './work.ts'

export type JobsDeps = Omit<WorkDeps, 'log'> & {
  db: Database
  home: string
  /** Completes and checks a request. @throws HubError naming what is wrong with it */
  check(request: TrainingRequest): TrainingRequest
  /** Begins the comparison with its base. @returns its id @throws HubError */
  evaluate(job: Job): string
  /** To everyone who listens. */
  publish(event: TrainingEvent): void
  log: Log
}

/** A request as the doors give it: what is left out is made up. */
export type NewJob = Omit<TrainingRequest, 'name' | 'seed'> & { name?: string; seed?: number }

type Working = { job: Job; stop: AbortController; done: Promise<void> }

/** Folders of jobs that failed or were cancelled are kept so long, for `resume`. */
const KEEP_FOLDERS_MS = 30 * 24 * 3600 * 1000

export class Jobs {
  readonly #deps: JobsDeps
  readonly #log: JobLog
  readonly #listeners = new Set<(event: TrainingEvent) => void>()
  /** Those in memory: being read or run; all others are in the database only. */
  readonly #working = new Map<string, Working>()
  #preparing: Working | undefined
  #running: Working | undefined
  #isClosed = false
  #isStarted = false

  constructor(deps: JobsDeps) {
    this.#deps = deps
    this.#log = new JobLog({
      db: deps.db,
      now: deps.now,
      publish: event => {
        deps.publish(event)
        for (const listen of [...this.#listeners]) listen(event)
      },
      failed: thrown => deps.log.warn('events of a job were not stored', { reason: HubError.from(thrown).message }),
    })
  }

  /** Takes up what an earlier hub left behind, and works from then on. */
  start(): void {
    this.#isStarted = true
    for (const stored of jobsOf(this.#deps.db, ['running'])) {
      const job = fromStored(stored)
      job.status = 'queued'
      job.state.restarts++
      const from = job.state.checkpointStep ?? 0
      const every = job.state.plan?.settings.checkpointEverySteps
      const most = every === undefined ? '' : `, so that at most ${every} steps are done again`
      this.#log.say(job, 'warn', `The hub was ended while the job ran. It goes on from step ${from}${most}.`)
      this.#log.save(job)
    }
    this.#dropOldFolders()
    this.#next()
  }

  /** @throws HubError invalid_request, model_not_found, not_found, conflict for a name that is taken */
  create(asked: NewJob): TrainingJobOut {
    const job = this.#make(asked, newJobId())
    const { request } = job
    this.#refuseRival(job)
    insertJob(this.#deps.db, toStored(job))
    this.#log.say(job, 'info', `The job was created: ${request.model}:${request.name}.`)
    this.#log.save(job)
    this.#next()
    return toJobOut(job)
  }

  /** What a job would be, without making it: its data is read and its tokens are counted. @throws HubError as the job would fail */
  async plan(asked: NewJob, signal: AbortSignal): Promise<Job> {
    const job = this.#make(asked, `dry-${newJobId()}`)
    const folder = this.#folder(job)
    const { steps } = this.#deps
    try {
      job.state.imported = await steps.importData(job, folder, signal)
      Object.assign(job.state, await steps.writeTokens(job, folder, signal))
      job.state.plan = await steps.plan(job, signal)
      return job
    } finally {
      clearFolder(folder)
    }
  }

  /** @throws HubError not_found */
  get(id: string): Job {
    const working = this.#working.get(id)
    if (working !== undefined) return working.job
    const stored = readJob(this.#deps.db, id)
    if (stored === undefined) {
      throw new HubError('not_found', `There is no training job '${id}'. GET /v1/training/status lists them.`, {
        param: 'id',
      })
    }
    return fromStored(stored)
  }

  list(page: { after?: string; limit: number }): { jobs: Job[]; hasMore: boolean } {
    this.#log.flush()
    const { jobs, hasMore } = listJobs(this.#deps.db, page)
    return { jobs: jobs.map(stored => this.#working.get(stored.id)?.job ?? fromStored(stored)), hasMore }
  }

  /** Ends it for good, unless someone resumes it: its checkpoint stays. @throws HubError not_found, conflict when it has ended */
  cancel(id: string): TrainingJobOut {
    const job = this.#get(id, [...UNFINISHED], 'cancelled')
    job.state.finishedMs = this.#deps.now()
    return this.#halt(job, 'cancelled', 'The job was cancelled.')
  }

  /** Ends the trainer with a checkpoint and frees the device. @throws HubError not_found, conflict when it has ended */
  pause(id: string): TrainingJobOut {
    return this.#halt(this.#get(id, OPEN, 'paused'), 'paused', 'The job was paused.')
  }

  /** Queues a job that is paused, or that failed or was cancelled: it goes on behind its last checkpoint. @throws HubError not_found, conflict */
  resume(id: string): TrainingJobOut {
    const job = this.#get(id, ['paused', 'failed', 'cancelled'], 'resumed')
    this.#refuseRival(job)
    const { dataset } = job.state.imported ?? {}
    // Data that was read lies in its dataset; what it was read from may be gone.
    const { data: _, validation: __, ...rest } = job.request
    this.#deps.check(dataset === undefined ? job.request : { ...rest, data: { type: 'dataset', ...dataset } })
    job.status = job.state.imported === undefined ? 'validating_files' : 'queued'
    job.state.crashes = 0
    delete job.state.error
    delete job.state.finishedMs
    this.#log.say(job, 'info', 'The job was resumed.')
    this.#log.save(job)
    this.#next()
    return toJobOut(job)
  }

  /** Its log. @param page `after`: the number of the last event that is known */
  events(
    id: string,
    page: { after?: number; limit: number; order: 'asc' | 'desc'; type?: StoredEvent['type'] },
  ): { events: StoredEvent[]; hasMore: boolean } {
    this.get(id)
    this.#log.flush()
    return listJobEvents(this.#deps.db, id, page)
  }

  checkpoints(
    id: string,
    page: { before?: number; limit: number },
  ): { checkpoints: StoredCheckpoint[]; hasMore: boolean } {
    this.get(id)
    this.#log.flush()
    return listCheckpoints(this.#deps.db, id, page)
  }

  /** @returns what ends the listening */
  listen(listener: (event: TrainingEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** The unfinished job that needs this file or dataset, which must not be deleted then. */
  userOf(what: { file: string } | { dataset: string }): string | undefined {
    return jobsOf(this.#deps.db, UNFINISHED).find(job =>
      'file' in what
        ? job.trainingFile === what.file || job.validationFile === what.file
        : job.dataset === what.dataset || fromStored(job).state.imported?.validationDataset?.name === what.dataset,
    )?.id
  }

  /** Whether a job is run or read now, or could be. */
  get isBusy(): boolean {
    return jobsOf(this.#deps.db, OPEN).length > 0
  }

  folderOf(id: string): string {
    return join(this.#deps.home, 'training_data', 'jobs', id)
  }

  /** Ends the trainer with a checkpoint; the job goes on when a hub starts again. */
  async close(): Promise<void> {
    this.#isClosed = true
    const working = [...this.#working.values()]
    for (const { stop } of working) stop.abort()
    await Promise.all(working.map(({ done }) => done))
    this.#log.flush()
  }

  #make(asked: NewJob, id: string): Job {
    const request = this.#deps.check({
      ...asked,
      name: asked.name ?? `ft-${id.slice(-8)}`,
      seed: asked.seed ?? randomBytes(4).readUInt32LE() % 2 ** 31,
    })
    const state = { lostSteps: 0, restarts: 0, crashes: 0 }
    return { id, createdMs: this.#deps.now(), status: 'validating_files', request, state }
  }

  /** Two jobs must not end in the same place. @throws HubError conflict */
  #refuseRival({ id, request }: Job): void {
    const rival = jobsOf(this.#deps.db, UNFINISHED).find(
      other => other.id !== id && other.model === request.model && other.name === request.name,
    )
    if (rival !== undefined) {
      throw new HubError(
        'conflict',
        `The job ${rival.id} makes an adapter ${request.model}:${request.name} already. Choose another name, or cancel that job.`,
        { param: 'name' },
      )
    }
  }

  #get(id: string, statuses: readonly JobStatus[], what: string): Job {
    const job = this.get(id)
    if (statuses.includes(job.status)) return job
    throw new HubError('conflict', `The job ${id} is ${job.status}, so it cannot be ${what}.`, { param: 'id' })
  }

  #halt(job: Job, status: JobStatus, message: string): TrainingJobOut {
    const before = job.status
    job.status = status
    this.#log.say(job, 'info', message)
    try {
      this.#log.save(job)
    } catch (thrown) {
      job.status = before
      throw thrown
    }
    this.#working.get(job.id)?.stop.abort()
    return toJobOut(job)
  }

  /** Takes the next jobs, as far as there is one and nothing else is at it. */
  #next(): void {
    if (this.#isClosed || !this.#isStarted) return
    this.#preparing ??= this.#take('validating_files', async working => {
      await prepareJob(this.#work, working.job, this.#folder(working.job), working.stop.signal)
      if (working.job.status === 'validating_files') working.job.status = 'queued'
      delete working.job.state.stage
    })
    this.#running ??= this.#take('queued', async working => {
      const { job } = working
      job.status = 'running'
      job.state.startedMs ??= this.#deps.now()
      const folder = this.#folder(job)
      await workJob(this.#work, job, folder, working.stop.signal)
      if (job.status !== 'running') return
      job.status = 'succeeded'
      job.state.finishedMs = this.#deps.now()
      const { resultModel } = job.state
      const what = resultModel === undefined ? 'its search is done' : `${resultModel} can be used`
      this.#log.say(job, 'info', `The job succeeded: ${what}.`)
      this.#evaluate(job)
      this.#log.save(job)
      clearFolder(folder)
    })
  }

  #take(status: JobStatus, act: (working: Working) => Promise<void>): Working | undefined {
    const stored = jobsOf(this.#deps.db, [status]).find(({ id }) => !this.#working.has(id))
    if (stored === undefined) return undefined
    const working: Working = { job: fromStored(stored), stop: new AbortController(), done: Promise.resolve() }
    this.#working.set(stored.id, working)
    working.done = this.#act(working, act)
    return working
  }

  async #act(working: Working, act: (working: Working) => Promise<void>): Promise<void> {
    const { job } = working
    // Whoever asked for it gets the answer first.
    await Promise.resolve()
    try {
      await act(working)
    } catch (thrown) {
      this.#fail(job, HubError.from(thrown), working.stop.signal)
    }
    try {
      this.#log.save(job)
    } catch (thrown) {
      this.#deps.log.error('a job was not stored', { job: job.id, reason: HubError.from(thrown).message })
    }
    this.#working.delete(job.id)
    if (this.#preparing === working) this.#preparing = undefined
    if (this.#running === working) this.#running = undefined
    this.#next()
  }

  /** A job that was paused, cancelled or interrupted by the end of the hub has not failed. */
  #fail(job: Job, error: HubError, signal: AbortSignal): void {
    if (job.status !== 'running' && job.status !== 'validating_files') return
    if (signal.aborted) {
      this.#log.say(job, 'info', 'The hub ends; the job goes on when it starts again.')
      if (job.status === 'running') job.status = 'queued'
      return
    }
    job.status = 'failed'
    job.state.finishedMs = this.#deps.now()
    job.state.error = { code: error.code, message: error.message, param: error.param ?? null }
    this.#log.say(job, 'error', error.message, { code: error.code })
    const { log } = this.#deps
    if (error.code === 'internal') log.error('a job failed', { job: job.id, stack: (error.cause as Error)?.stack })
    else log.info('a job failed', { job: job.id, code: error.code, reason: error.message })
  }

  /** An evaluation that cannot be begun is no failure of the training. */
  #evaluate(job: Job): void {
    if (job.request.evaluate !== true || job.state.resultModel === undefined) return
    try {
      job.state.evaluation = this.#deps.evaluate(job)
    } catch (thrown) {
      this.#log.say(job, 'warn', `It was not evaluated: ${HubError.from(thrown).message}`)
    }
  }

  get #work(): WorkDeps {
    return { ...this.#deps, log: this.#log }
  }

  #folder(job: Job): string {
    const folder = this.folderOf(job.id)
    try {
      mkdirSync(folder, { recursive: true })
    } catch (cause) {
      throw new HubError('insufficient_storage', `The folder ${folder} cannot be made: ${(cause as Error).message}`, {
        cause,
      })
    }
    return folder
  }

  /** Of jobs that succeeded while the hub was killed, and of those that nobody resumed. */
  #dropOldFolders(): void {
    const root = join(this.#deps.home, 'training_data', 'jobs')
    let names: string[] = []
    try {
      names = readdirSync(root)
    } catch {
      // No job was ever run here.
    }
    for (const name of names) {
      if (!/^(dry-)?ftjob-[0-9a-f]{24}$/.test(name)) continue
      const status = readJob(this.#deps.db, name)?.status
      const isOpen = UNFINISHED.some(each => each === status)
      const isOld = statSync(join(root, name)).mtimeMs < this.#deps.now() - KEEP_FOLDERS_MS
      if (status === 'succeeded' || status === undefined || (!isOpen && isOld)) clearFolder(join(root, name))
    }
  }
}

const newJobId = (): string => `ftjob-${randomBytes(12).toString('hex')}`
