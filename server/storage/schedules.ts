/** The table of training schedules. */
import type { Database } from './database.ts'

export type StoredSchedule = { id: string; createdMs: number; settings: unknown; state: unknown }

type Row = { id: string; created_ms: number; settings: string; state: string }

export function readSchedules(db: Database): StoredSchedule[] {
  return db
    .all<Row>('select id, created_ms, settings, state from training_schedules order by created_ms, id')
    .map(({ id, created_ms, settings, state }) => ({
      id,
      createdMs: created_ms,
      settings: JSON.parse(settings),
      state: JSON.parse(state),
    }))
}

/** Durable when it returns. */
export function writeSchedule(db: Database, { id, createdMs, settings, state }: StoredSchedule): void {
  db.batch([
    {
      sql: 'insert or replace into training_schedules (id, created_ms, settings, state) values (?, ?, ?, ?)',
      params: [id, createdMs, JSON.stringify(settings), JSON.stringify(state)],
    },
  ])
}

export function deleteSchedule(db: Database, id: string): void {
  db.batch([{ sql: 'delete from training_schedules where id = ?', params: [id] }])
}
