/** The tables of training jobs: the jobs, what happened to them, and their checkpoints. */
import type { Database, Statement, Value } from './database.ts'

/** A job as it is stored; `request` and `state` are the training room's own JSON. */
export type StoredJob = {
  id: string
  createdMs: number
  status: string
  /** A higher one goes first. */
  priority: number
  model: string
  name: string
  /** What it learns from, so that this is not deleted under it. */
  dataset?: string
  trainingFile?: string
  validationFile?: string
  request: unknown
  state: unknown
}

export type StoredEvent = {
  job: string
  /** Counted from 1 within the job. */
  number: number
  createdMs: number
  level: 'info' | 'warn' | 'error'
  type: 'message' | 'metrics'
  message: string
  data?: { [key: string]: unknown }
}

export type StoredCheckpoint = {
  job: string
  step: number
  createdMs: number
  bytes: number
  metrics: { [name: string]: number }
}

type JobRow = {
  id: string
  created_ms: number
  status: string
  priority: number
  model: string
  name: string
  dataset: string | null
  training_file: string | null
  validation_file: string | null
  request: string
  state: string
}

const JOB = 'id, created_ms, status, priority, model, name, dataset, training_file, validation_file, request, state'

/** Durable when it returns. */
export function insertJob(db: Database, job: StoredJob): void {
  db.batch([
    {
      sql: `insert into training_jobs (${JOB}, updated_ms) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      params: [
        job.id,
        job.createdMs,
        job.status,
        job.priority,
        job.model,
        job.name,
        job.dataset ?? null,
        job.trainingFile ?? null,
        job.validationFile ?? null,
        JSON.stringify(job.request),
        JSON.stringify(job.state),
        job.createdMs,
      ],
    },
  ])
}

/** What changed of a job with the events and checkpoints that go with it, all or none, durable when it returns. */
export function updateJob(
  db: Database,
  change: {
    job?: Pick<StoredJob, 'id' | 'status' | 'dataset' | 'state'>
    events?: readonly StoredEvent[]
    checkpoints?: readonly StoredCheckpoint[]
  },
  nowMs: number,
): void {
  const { job, events = [], checkpoints = [] } = change
  const statements: Statement[] = [
    ...events.map(event => ({
      sql: 'insert or replace into training_events values (?, ?, ?, ?, ?, ?, ?)',
      params: [
        event.job,
        event.number,
        event.createdMs,
        event.level,
        event.type,
        event.message,
        event.data === undefined ? null : JSON.stringify(event.data),
      ],
    })),
    ...checkpoints.map(({ job: id, step, createdMs, bytes, metrics }) => ({
      sql: 'insert or replace into training_checkpoints values (?, ?, ?, ?, ?)',
      params: [id, step, createdMs, bytes, JSON.stringify(metrics)],
    })),
  ]
  if (job !== undefined) {
    statements.push({
      sql: 'update training_jobs set status = ?, dataset = ?, state = ?, updated_ms = ? where id = ?',
      params: [job.status, job.dataset ?? null, JSON.stringify(job.state), nowMs, job.id],
    })
  }
  if (statements.length > 0) db.batch(statements)
}

export function readJob(db: Database, id: string): StoredJob | undefined {
  const row = db.all<JobRow>(`select ${JOB} from training_jobs where id = ?`, id)[0]
  return row && toJob(row)
}

/** Newest first. @param page `after` is the id of the last job of the page before */
export function listJobs(
  db: Database,
  page: { after?: string; limit: number },
): { jobs: StoredJob[]; hasMore: boolean } {
  const rows = db.all<JobRow>(
    `select ${JOB} from training_jobs where ? is null or number < (select number from training_jobs where id = ?) order by number desc limit ?`,
    page.after ?? null,
    page.after ?? null,
    page.limit + 1,
  )
  return { jobs: rows.slice(0, page.limit).map(toJob), hasMore: rows.length > page.limit }
}

/** Jobs of those states, the one to do next first: by priority, then by age. */
export function jobsOf(db: Database, statuses: readonly string[]): StoredJob[] {
  const marks = statuses.map(() => '?').join(', ')
  return db
    .all<JobRow>(
      `select ${JOB} from training_jobs where status in (${marks}) order by priority desc, number`,
      ...statuses,
    )
    .map(toJob)
}

export function lastEventNumber(db: Database, job: string): number {
  return (
    db.all<{ last: number | null }>('select max(number) as last from training_events where job = ?', job)[0]?.last ?? 0
  )
}

type EventRow = Omit<StoredEvent, 'createdMs' | 'data'> & { created_ms: number; data: string | null }

/** Events of a job. @param page `after`: only those behind (asc) or before (desc) that number */
export function listJobEvents(
  db: Database,
  job: string,
  page: { after?: number; limit: number; order: 'asc' | 'desc'; type?: StoredEvent['type'] },
): { events: StoredEvent[]; hasMore: boolean } {
  const conditions = ['job = ?']
  const params: Value[] = [job]
  if (page.after !== undefined) {
    conditions.push(`number ${page.order === 'asc' ? '>' : '<'} ?`)
    params.push(page.after)
  }
  if (page.type !== undefined) {
    conditions.push('type = ?')
    params.push(page.type)
  }
  const rows = db.all<EventRow>(
    `select * from training_events where ${conditions.join(' and ')} order by number ${page.order} limit ?`,
    ...params,
    page.limit + 1,
  )
  const events = rows.slice(0, page.limit).map(({ created_ms, data, ...rest }) => ({
    ...rest,
    createdMs: created_ms,
    ...(data !== null && { data: JSON.parse(data) as { [key: string]: unknown } }),
  }))
  return { events, hasMore: rows.length > page.limit }
}

type CheckpointRow = { job: string; step: number; created_ms: number; bytes: number; metrics: string }

/** Newest first. */
export function listCheckpoints(
  db: Database,
  job: string,
  page: { before?: number; limit: number },
): { checkpoints: StoredCheckpoint[]; hasMore: boolean } {
  const rows = db.all<CheckpointRow>(
    'select * from training_checkpoints where job = ? and (? is null or step < ?) order by step desc limit ?',
    job,
    page.before ?? null,
    page.before ?? null,
    page.limit + 1,
  )
  const checkpoints = rows.slice(0, page.limit).map(({ created_ms, metrics, ...rest }) => ({
    ...rest,
    createdMs: created_ms,
    metrics: JSON.parse(metrics) as StoredCheckpoint['metrics'],
  }))
  return { checkpoints, hasMore: rows.length > page.limit }
}

function toJob(row: JobRow): StoredJob {
  return {
    id: row.id,
    createdMs: row.created_ms,
    status: row.status,
    priority: row.priority,
    model: row.model,
    name: row.name,
    ...(row.dataset !== null && { dataset: row.dataset }),
    ...(row.training_file !== null && { trainingFile: row.training_file }),
    ...(row.validation_file !== null && { validationFile: row.validation_file }),
    request: JSON.parse(row.request),
    state: JSON.parse(row.state),
  }
}
