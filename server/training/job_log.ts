/** What happens to jobs, on its way to the database: state changes at once, a run's many figures together. */
import type { Database } from '../storage/database.ts'
import { lastEventNumber, type StoredCheckpoint, type StoredEvent, updateJob } from '../storage/jobs.ts'
import type { TrainingEvent } from '../wire/events.ts'
import type { JobProgress } from '../wire/training.ts'
import { type Job, toEventOut, toJobOut, toStored } from './job_state.ts'

/** Commits wait for the disk: the figures of a fast run share one. */
const FLUSH_MS = 500

export type JobLogDeps = {
  db: Database
  now(): number
  publish(event: TrainingEvent): void
  /** Told when figures could not be stored by the timer. */
  failed(thrown: unknown): void
}

export class JobLog {
  readonly #deps: JobLogDeps
  readonly #numbers = new Map<string, number>()
  readonly #dirty = new Map<string, Job>()
  #events: StoredEvent[] = []
  #checkpoints: StoredCheckpoint[] = []
  #timer: NodeJS.Timeout | undefined

  constructor(deps: JobLogDeps) {
    this.#deps = deps
  }

  /** Stores the job as it is now, with all that waits; durable when it returns. @throws HubError insufficient_storage */
  save(job: Job): void {
    this.#dirty.set(job.id, job)
    this.flush()
    this.tell(job)
  }

  progress(job: Job, progress: JobProgress): void {
    this.touch(job)
    this.#deps.publish({ type: 'training.progress', id: job.id, progress })
  }

  /** As it is now, to everyone who listens; stored or not. */
  tell(job: Job): void {
    this.#deps.publish({ type: 'training.job', job: toJobOut(job) })
  }

  /** Stored with the next save or soon. */
  touch(job: Job): void {
    this.#dirty.set(job.id, job)
    this.#schedule()
  }

  say(job: Job, level: StoredEvent['level'], message: string, data?: StoredEvent['data']): void {
    this.#add(job, { level, type: 'message', message, ...(data !== undefined && { data }) })
  }

  metrics(job: Job, message: string, data: NonNullable<StoredEvent['data']>): void {
    this.#add(job, { level: 'info', type: 'metrics', message, data })
  }

  checkpoint(checkpoint: StoredCheckpoint): void {
    this.#checkpoints.push(checkpoint)
    this.#schedule()
  }

  /** @throws HubError insufficient_storage; what could not be stored waits for the next time */
  flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const jobs = [...this.#dirty.values()]
    const { db, now } = this.#deps
    if (jobs.length === 0 && this.#events.length === 0 && this.#checkpoints.length === 0) return
    // The last job takes the events with it: with one job at work that is a single transaction.
    const last = jobs.pop()
    for (const job of jobs) updateJob(db, { job: toStored(job) }, now())
    updateJob(
      db,
      { ...(last !== undefined && { job: toStored(last) }), events: this.#events, checkpoints: this.#checkpoints },
      now(),
    )
    this.#dirty.clear()
    this.#events = []
    this.#checkpoints = []
  }

  #add(job: Job, event: Pick<StoredEvent, 'level' | 'type' | 'message' | 'data'>): void {
    const number = (this.#numbers.get(job.id) ?? lastEventNumber(this.#deps.db, job.id)) + 1
    this.#numbers.set(job.id, number)
    const stored: StoredEvent = { job: job.id, number, createdMs: this.#deps.now(), ...event }
    this.#events.push(stored)
    this.#schedule()
    this.#deps.publish({ type: 'training.message', id: job.id, event: toEventOut(stored) })
  }

  #schedule(): void {
    if (this.#timer !== undefined) return
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      try {
        this.flush()
      } catch (thrown) {
        this.#deps.failed(thrown)
      }
    }, FLUSH_MS)
    this.#timer.unref()
  }
}
