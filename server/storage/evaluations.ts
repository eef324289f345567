/** The table of evaluations: what was asked for and what came out. */
import type { Database } from './database.ts'

export type StoredEvaluation = {
  id: string
  createdMs: number
  finishedMs: number | undefined
  status: string
  /** JSON of the training room. */
  request: unknown
  report: unknown
  error: unknown
}

type Row = {
  id: string
  created_ms: number
  finished_ms: number | null
  status: string
  request: string
  report: string | null
  error: string | null
}

const COLUMNS = 'id, created_ms, finished_ms, status, request, report, error'
const json = (value: unknown): string | null => (value === undefined ? null : JSON.stringify(value))
const parsed = (text: string | null): unknown => (text === null ? undefined : (JSON.parse(text) as unknown))

/** Durable when it returns; replaces what has the id. */
export function saveEvaluation(db: Database, evaluation: StoredEvaluation): void {
  const { id, createdMs, finishedMs, status, request, report, error } = evaluation
  db.batch([
    {
      sql: `insert into evaluations (${COLUMNS}) values (?, ?, ?, ?, ?, ?, ?)
            on conflict (id) do update set finished_ms = excluded.finished_ms, status = excluded.status,
              report = excluded.report, error = excluded.error`,
      params: [id, createdMs, finishedMs ?? null, status, JSON.stringify(request), json(report), json(error)],
    },
  ])
}

/** Newest first. */
export function listEvaluations(db: Database, limit: number): StoredEvaluation[] {
  return db.all<Row>(`select ${COLUMNS} from evaluations order by created_ms desc, id limit ?`, limit).map(fromRow)
}

export function readEvaluation(db: Database, id: string): StoredEvaluation | undefined {
  const row = db.all<Row>(`select ${COLUMNS} from evaluations where id = ?`, id)[0]
  return row && fromRow(row)
}

/** Evaluations that a hub which ended left unfinished. */
export function unfinishedEvaluations(db: Database): StoredEvaluation[] {
  return db.all<Row>(`select ${COLUMNS} from evaluations where finished_ms is null`).map(fromRow)
}

function fromRow(row: Row): StoredEvaluation {
  return {
    id: row.id,
    createdMs: row.created_ms,
    finishedMs: row.finished_ms ?? undefined,
    status: row.status,
    request: parsed(row.request),
    report: parsed(row.report),
    error: parsed(row.error),
  }
}
