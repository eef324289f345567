/** Training that starts by itself: at night, when nobody uses a model, if its dataset has grown. There is none unless the user makes one. */
import { randomBytes } from 'node:crypto'
import { HubError } from '../lib/error.ts'
import type { Database } from '../storage/database.ts'
import { deleteSchedule, readSchedules, type StoredSchedule, writeSchedule } from '../storage/schedules.ts'
import type { ScheduleOut, ScheduleSettings, TrainingJobOut } from '../wire/training.ts'
import type { NewJob } from './jobs.ts'

export type ScheduleDeps = {
  db: Database
  jobs: { create(job: NewJob): TrainingJobOut; readonly isBusy: boolean; get(id: string): { status: string } }
  /** The newest version of a dataset. @throws HubError not_found */
  dataset(name: string): { version: number; training: number }
  /** Whether the adapter `base:name` is there to go on from. */
  hasAdapter(id: string): boolean
  /** Unix milliseconds of the last request to any model; undefined when there was none. */
  lastUsedMs(): number | undefined
  now(): number
  /** Hour of that time on the clock of the wall, 0 to 23. */
  hourOf(ms: number): number
}

type State = ScheduleOut['state']

export class Schedules {
  readonly #deps: ScheduleDeps

  constructor(deps: ScheduleDeps) {
    this.#deps = deps
  }

  list(): ScheduleOut[] {
    return readSchedules(this.#deps.db).map(toOut)
  }

  /** @throws HubError not_found for the dataset, conflict for a second one of the same adapter */
  create(settings: ScheduleSettings): ScheduleOut {
    const { db, now } = this.#deps
    this.#deps.dataset(settings.dataset)
    const twin = this.list().find(
      other => other.settings.model === settings.model && other.settings.name === settings.name,
    )
    if (twin !== undefined) {
      throw new HubError('conflict', `The schedule ${twin.id} trains ${settings.model}:${settings.name} already.`, {
        param: 'name',
      })
    }
    const state: State = { runs: 0, learned_samples: 0 }
    const stored = { id: `schedule-${randomBytes(8).toString('hex')}`, createdMs: now(), settings, state }
    writeSchedule(db, stored)
    return toOut(stored)
  }

  /** @throws HubError not_found */
  remove(id: string): void {
    if (!this.list().some(schedule => schedule.id === id)) {
      throw new HubError('not_found', `There is no schedule '${id}'. GET /v1/training/schedules lists them.`, {
        param: 'id',
      })
    }
    deleteSchedule(this.#deps.db, id)
  }

  /** Looks at the clock and starts what is due: to be called every minute or so. @returns the jobs that were started */
  tick(): string[] {
    const started: string[] = []
    for (const schedule of this.list()) {
      const before = JSON.stringify(schedule.state)
      const job = this.#look(schedule)
      if (job !== undefined) started.push(job)
      if (JSON.stringify(schedule.state) !== before) this.#store(schedule)
    }
    return started
  }

  #look(schedule: ScheduleOut): string | undefined {
    const { settings, state } = schedule
    const { jobs, now, hourOf, lastUsedMs, hasAdapter } = this.#deps
    if (!settings.enabled || !isBetween(hourOf(now()), settings.from_hour, settings.to_hour)) return undefined
    const idleMs = now() - (lastUsedMs() ?? Number.NEGATIVE_INFINITY)
    if (jobs.isBusy || idleMs < settings.idle_minutes * 60_000) return undefined
    this.#learn(state)
    try {
      const { version, training } = this.#deps.dataset(settings.dataset)
      const isNew = version !== state.learned_version
      if (!isNew || training - state.learned_samples < settings.min_new_samples) {
        delete state.note
        return undefined
      }
      const goesOn = state.last_adapter !== undefined && hasAdapter(state.last_adapter)
      const job = jobs.create({
        model: settings.model,
        name: settings.name,
        data: { type: 'dataset', name: settings.dataset, version },
        method: 'supervised',
        hyperparameters: settings.config,
        too_long: 'truncate',
        // Whoever asks for a job by hand comes first.
        priority: -10,
        replace: true,
        ...(goesOn && { continue_from: settings.name, replay: settings.replay }),
        metadata: { schedule: schedule.id },
      })
      delete state.note
      Object.assign(state, { runs: state.runs + 1, pending: { version, training, id: `${job.model}:${job.name}` } })
      state.last_job = job.id
      return job.id
    } catch (thrown) {
      state.note = HubError.from(thrown).message
      return undefined
    }
  }

  /** What the last job learned counts once it has succeeded; a failed one is tried again with the next new samples. */
  #learn(state: State): void {
    const { pending } = state
    if (pending === undefined || state.last_job === undefined) return
    const { status } = this.#deps.jobs.get(state.last_job)
    if (status === 'succeeded') state.last_adapter = pending.id
    if (status === 'succeeded' || status === 'failed' || status === 'cancelled') {
      state.learned_version = pending.version
      if (status === 'succeeded') state.learned_samples = pending.training
      delete state.pending
    }
  }

  #store({ id, created_at, settings, state }: ScheduleOut): void {
    writeSchedule(this.#deps.db, { id, createdMs: created_at * 1000, settings, state })
  }
}

/** Both hours included; from 22 to 4 goes over midnight. */
export function isBetween(hour: number, from: number, to: number): boolean {
  return from <= to ? hour >= from && hour <= to : hour >= from || hour <= to
}

function toOut({ id, createdMs, settings, state }: StoredSchedule): ScheduleOut {
  return {
    object: 'training.schedule',
    id,
    created_at: Math.floor(createdMs / 1000),
    // Written by this file and by nothing else.
    settings: settings as ScheduleSettings,
    state: state as State,
  }
}
