/** Opens the hub's database: driver, a check that the file is whole, and the migrations. */
import { mkdirSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { HubError } from '../lib/error.ts'
import type { Database } from './database.ts'
import { MIGRATIONS, migrate, readMigrations } from './migrate.ts'
import { damagedText, openSqlite } from './sqlite.ts'

/** Files up to this size are checked page by page when opened, which takes some milliseconds; in a larger one damage shows when it is read. */
const CHECKED_BYTES = 32 * 2 ** 20

/**
 * Opens the database file at `path`, creating it and its folder when absent, and brings it to the current schema.
 * @throws HubError database_unusable, which names the file and the fix: damaged, foreign, newer than the program, held by another process
 */
export function openDatabase(path: string, now: () => number = Date.now): Database {
  mkdirSync(dirname(path), { recursive: true })
  const bytes = statSync(path, { throwIfNoEntry: false })?.size ?? 0
  const db = openSqlite(path)
  try {
    if (bytes > 0 && bytes <= CHECKED_BYTES) {
      const found = db.all<{ quick_check: string }>('pragma quick_check(1)').map(row => row.quick_check)
      if (found[0] !== 'ok') throw new HubError('database_unusable', `${damagedText(path)} (${found.join('; ')})`)
    }
    migrate(db, readMigrations(MIGRATIONS), now)
    return db
  } catch (error) {
    db.close()
    throw error
  }
}
