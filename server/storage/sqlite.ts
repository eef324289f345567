/** The embedded driver: better-sqlite3 behind the database seam, set up so that what is acknowledged is durable. */
import Sqlite from 'better-sqlite3'
import { HubError } from '../lib/error.ts'
import type { Database, Value } from './database.ts'

/** Milliseconds that a statement waits for another process's lock. */
const BUSY_TIMEOUT_MS = 5000

/**
 * Opens or creates a SQLite file.
 * @throws HubError database_unusable when it is damaged, foreign, locked or cannot be opened; the file is left as it is
 */
export function openSqlite(path: string): Database {
  const sqlite = told(path, () => new Sqlite(path, { timeout: BUSY_TIMEOUT_MS }))
  try {
    told(path, () => {
      sqlite.pragma('journal_mode = WAL')
      // FULL syncs the log at every commit; in WAL the default of many builds (NORMAL) loses the last ones on power loss.
      sqlite.pragma('synchronous = FULL')
      // On macOS fsync alone leaves the data in the drive's own cache.
      sqlite.pragma('fullfsync = ON')
      sqlite.pragma('foreign_keys = ON')
    })
  } catch (error) {
    sqlite.close()
    throw error
  }
  const prepared = new Map<string, Sqlite.Statement<Value[]>>()
  const prepare = (sql: string) => {
    const known = prepared.get(sql)
    if (known !== undefined) return known
    const statement = sqlite.prepare<Value[]>(sql)
    prepared.set(sql, statement)
    return statement
  }
  return {
    all: <T>(sql: string, ...params: Value[]) => told(path, () => prepare(sql).all(...params) as T[]),
    batch: statements =>
      told(path, () => {
        sqlite
          .transaction(() => {
            // A migration's statements run once, and each depends on the ones before: prepared one by one, not kept.
            for (const { sql, params } of statements) sqlite.prepare<Value[]>(sql).run(...params)
          })
          .immediate()
      }),
    close: () => {
      sqlite.close()
    },
  }
}

/** Runs the action; an error of SQLite that the user can do something about becomes a HubError that says what. */
function told<T>(path: string, action: () => T): T {
  try {
    return action()
  } catch (error) {
    if (!(error instanceof Error)) throw error
    const code = 'code' in error && typeof error.code === 'string' ? error.code : ''
    const refuse = (text: string) =>
      new HubError('database_unusable', `${text} (${code || 'SQLite'}: ${error.message})`, { cause: error })
    if (/^SQLITE_(CORRUPT|NOTADB)/.test(code)) throw refuse(damagedText(path))
    if (code.startsWith('SQLITE_FULL')) {
      throw new HubError('insufficient_storage', `The disk of the database ${path} is full; free some space there.`, {
        cause: error,
      })
    }
    if (/^SQLITE_(BUSY|LOCKED)/.test(code)) {
      throw refuse(`The database ${path} is held by another process; close the program that has it open and try again.`)
    }
    if (/^SQLITE_(CANTOPEN|READONLY|IOERR|PERM|AUTH)/.test(code)) {
      throw refuse(
        `The database ${path} cannot be read or written; check that its folder exists, is writable and has free space.`,
      )
    }
    // better-sqlite3 looks at the folder itself, before SQLite does, and says so without a code.
    if (error instanceof TypeError && /directory/.test(error.message)) {
      throw refuse(`The database ${path} cannot be created: its folder does not exist; create the folder.`)
    }
    throw error
  }
}

export function damagedText(path: string): string {
  return `The database ${path} is damaged or is no SQLite file. It was left untouched: restore it from a backup, or move it away (with ${path}-wal and ${path}-shm) and start again with an empty one.`
}
