/** What the dashboard knows of training: datasets, runs with their curves and logs, adapters, evaluations; kept up to date by the hub's events. */
import type { AdapterOut } from '../../../server/wire/adapter.ts'
import type { DatasetOut } from '../../../server/wire/dataset.ts'
import type { AbTestOut, EvaluationOut } from '../../../server/wire/evaluation.ts'
import type { HubEvent } from '../../../server/wire/events.ts'
import type { JobProgress, TrainingCurve, TrainingEventOut, TrainingJobOut } from '../../../server/wire/training.ts'
import type { Bridge } from '../../bridge.ts'
import { toHubFailure } from '../../failure.ts'
import { createStore, type Store } from '../../store.ts'
import { joinPoints, type Point, pointOf } from './curve.ts'

/** Each list is undefined until it has been read. */
export type TrainingState = {
  datasets: DatasetOut[] | undefined
  /** Newest first. */
  jobs: TrainingJobOut[] | undefined
  moreJobs: boolean
  adapters: AdapterOut[] | undefined
  evaluations: EvaluationOut[] | undefined
  abTests: AbTestOut[] | undefined
  /** Newest figures of running jobs. */
  progress: { [job: string]: JobProgress }
  curves: { [job: string]: Point[] }
  /** Without the figures. */
  logs: { [job: string]: TrainingEventOut[] }
  /** Why a list could not be read. */
  failure: string | undefined
}

export type ListName = 'datasets' | 'jobs' | 'adapters' | 'evaluations' | 'abTests'
export type Training = ReturnType<typeof createTraining>

const PATHS: { [list in ListName]: string } = {
  datasets: '/v1/training/datasets',
  jobs: '/v1/training/status',
  adapters: '/v1/training/adapters',
  evaluations: '/v1/training/evaluations',
  abTests: '/v1/ab_tests',
}
/** A fast run tells more often than a page needs to be drawn. */
const GATHER_MS = 100

export function createTraining(bridge: Bridge) {
  const store: Store<TrainingState> = createStore<TrainingState>({
    datasets: undefined,
    jobs: undefined,
    moreJobs: false,
    adapters: undefined,
    evaluations: undefined,
    abTests: undefined,
    progress: {},
    curves: {},
    logs: {},
    failure: undefined,
  })
  const { get, set } = store
  let waiting: HubEvent[] = []
  let isGathering = false
  /** Lists that somebody looked at. */
  const wanted = new Set<ListName>()

  async function read(list: ListName): Promise<void> {
    wanted.add(list)
    try {
      const { data, has_more } = await bridge.request<{ data: never[]; has_more?: boolean }>('GET', PATHS[list])
      set({ [list]: data, failure: undefined, ...(list === 'jobs' && { moreJobs: has_more === true }) })
    } catch (thrown) {
      const failure = toHubFailure(thrown)
      // That the hub is away is said by the page; it is read again when it is back.
      if (!failure.unreachable) set({ failure: failure.message })
    }
  }

  function take(events: readonly HubEvent[]): void {
    const { jobs: before, progress, curves, logs } = get()
    let jobs = before
    const next = { progress: { ...progress }, curves: { ...curves }, logs: { ...logs } }
    for (const event of events) {
      if (event.type === 'training.job') jobs = withJob(jobs, event.job)
      else if (event.type === 'training.progress') next.progress[event.id] = event.progress
      else if (event.type === 'training.message') {
        const point = pointOf(event.event)
        const curve = next.curves[event.id]
        const log = next.logs[event.id]
        if (point !== undefined) {
          if (curve !== undefined) next.curves[event.id] = joinPoints(curve, [point])
        } else if (log !== undefined) next.logs[event.id] = joinLog(log, [event.event])
      }
    }
    set({ ...next, jobs })
  }

  return {
    store,
    read,
    /** What was asked for is read anew, since the hub was away: it may not have answered at all. */
    again(): void {
      for (const list of wanted) void read(list)
      // Where that fails the hub is away again, and this is done again.
      for (const job of Object.keys(get().curves)) void this.readCurve(job).catch(() => undefined)
      for (const job of Object.keys(get().logs)) void this.readLog(job).catch(() => undefined)
    },
    /** Takes one of the hub's events. */
    hear(event: HubEvent): void {
      if (event.type === 'models.changed' && get().adapters !== undefined) void read('adapters')
      if (!event.type.startsWith('training.')) return
      if (event.type === 'training.job' && event.job.status === 'succeeded') {
        if (get().adapters !== undefined) void read('adapters')
        if (get().datasets !== undefined) void read('datasets')
        if (get().evaluations !== undefined) void read('evaluations')
      }
      waiting.push(event)
      if (isGathering) return
      isGathering = true
      setTimeout(() => {
        isGathering = false
        const events = waiting
        waiting = []
        take(events)
      }, GATHER_MS)
    },
    async readMoreJobs(): Promise<void> {
      const { jobs = [] } = get()
      const after = jobs.at(-1)?.id
      const query = after === undefined ? '' : `?after=${encodeURIComponent(after)}`
      const { data, has_more } = await bridge.request<{ data: TrainingJobOut[]; has_more: boolean }>(
        'GET',
        PATHS.jobs + query,
      )
      set({ jobs: [...jobs, ...data], moreJobs: has_more })
    },
    /** @throws HubFailure */
    async readJob(id: string): Promise<void> {
      const job = await bridge.request<TrainingJobOut>('GET', `${PATHS.jobs}/${encodeURIComponent(id)}`)
      set({ jobs: withJob(get().jobs ?? [], job) })
    },
    /** @throws HubFailure */
    async readCurve(id: string): Promise<void> {
      // What comes while it is read is kept from here on.
      set({ curves: { ...get().curves, [id]: get().curves[id] ?? [] } })
      const { points } = await bridge.request<TrainingCurve>('GET', `${PATHS.jobs}/${encodeURIComponent(id)}/curve`)
      const { curves } = get()
      set({ curves: { ...curves, [id]: joinPoints(points, curves[id] ?? []) } })
    },
    /** @throws HubFailure */
    async readLog(id: string): Promise<void> {
      set({ logs: { ...get().logs, [id]: get().logs[id] ?? [] } })
      const { data } = await bridge.request<{ data: TrainingEventOut[] }>(
        'GET',
        `${PATHS.jobs}/${encodeURIComponent(id)}/log`,
      )
      const { logs } = get()
      set({ logs: { ...logs, [id]: joinLog(data, logs[id] ?? []) } })
    },
    /** @throws HubFailure */
    async steer(id: string, action: 'pause' | 'resume' | 'cancel'): Promise<void> {
      await bridge.request('POST', `/v1/fine_tuning/jobs/${encodeURIComponent(id)}/${action}`)
      await this.readJob(id)
    },
    /** Puts a job that was just made before the others. */
    add(job: TrainingJobOut): void {
      set({ jobs: withJob(get().jobs ?? [], job) })
    },
    addEvaluation(evaluation: EvaluationOut): void {
      const others = (get().evaluations ?? []).filter(({ id }) => id !== evaluation.id)
      const all = [evaluation, ...others].sort((a, b) => b.created_at - a.created_at)
      set({ evaluations: all })
    },
  }
}

function withJob(jobs: TrainingJobOut[] | undefined, job: TrainingJobOut): TrainingJobOut[] | undefined {
  if (jobs === undefined) return undefined
  if (jobs.some(({ id }) => id === job.id)) return jobs.map(each => (each.id === job.id ? job : each))
  return [job, ...jobs].sort((a, b) => b.created_at - a.created_at)
}

/** Each line once, in its order. */
export function joinLog(before: readonly TrainingEventOut[], next: readonly TrainingEventOut[]): TrainingEventOut[] {
  const known = new Set(before.map(({ id }) => id))
  return [...before, ...next.filter(({ id, type }) => type === 'message' && !known.has(id))]
}

/** A job that is still to be worked on by itself. */
export const isOpen = ({ status }: Pick<TrainingJobOut, 'status'>): boolean =>
  status === 'validating_files' || status === 'queued' || status === 'running'
