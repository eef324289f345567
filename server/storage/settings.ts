/** The table of settings that the user changed while the hub ran. */
import type { Database } from './database.ts'

/** Every stored key with its JSON value. */
export function readSettings(db: Database): { [key: string]: unknown } {
  const rows = db.all<{ key: string; value: string }>('select key, value from settings order by key')
  return Object.fromEntries(rows.map(row => [row.key, JSON.parse(row.value) as unknown]))
}

/** Stores the given keys, all or none, durable when it returns; a key whose value is null is forgotten. */
export function writeSettings(db: Database, changes: { [key: string]: unknown }, nowMs: number): void {
  db.batch(
    Object.entries(changes).map(([key, value]) =>
      value === null
        ? { sql: 'delete from settings where key = ?', params: [key] }
        : {
            sql: 'insert or replace into settings (key, value, updated_ms) values (?, ?, ?)',
            params: [key, JSON.stringify(value), nowMs],
          },
    ),
  )
}
