/** Brings a database to the program's own schema: numbered .sql files, each applied once, in one transaction, recorded with its hash. */
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { HubError } from '../lib/error.ts'
import type { Database } from './database.ts'

export type Migration = { number: number; name: string; sql: string; hash: string }

/** The program's own migrations. */
export const MIGRATIONS = join(import.meta.dirname, 'migrations')

/**
 * The files `0001_name.sql`, `0002_...` of a folder, in order.
 * @throws HubError internal when a number is missing or doubled: that is a mistake in the program, not in the database
 */
export function readMigrations(folder: string): Migration[] {
  const names = readdirSync(folder)
    .filter(name => name.endsWith('.sql'))
    .sort()
  return names.map((name, index) => {
    const number = Number(/^(\d{4})_[a-z0-9_]+\.sql$/.exec(name)?.[1])
    if (number !== index + 1) {
      throw new HubError('internal', `Migration ${name} should be number ${index + 1} and be called NNNN_name.sql.`)
    }
    // A checkout on Windows may have CRLF line ends; the hash is of the text that all machines share.
    const sql = readFileSync(join(folder, name), 'utf8').replaceAll('\r\n', '\n')
    return { number, name, sql, hash: createHash('sha256').update(sql).digest('hex') }
  })
}

/**
 * Applies what is not applied yet. A migration that fails leaves the database as it was before it.
 * @returns the names of those applied now
 * @throws HubError database_unusable when the database is newer than the program or an applied file has changed since
 */
export function migrate(db: Database, migrations: Migration[], now: () => number): string[] {
  db.batch([
    {
      sql: 'create table if not exists migrations (number integer primary key, name text not null, hash text not null, applied_ms integer not null) strict',
      params: [],
    },
  ])
  const applied = db.all<{ number: number; name: string; hash: string }>(
    'select number, name, hash from migrations order by number',
  )
  for (const row of applied) {
    const known = migrations.find(migration => migration.number === row.number)
    if (known === undefined) {
      throw new HubError(
        'database_unusable',
        `The database has migration ${row.name}, which this version of AI Backend Hub does not know: a newer version made it. Update AI Backend Hub, or use another home folder.`,
      )
    }
    if (known.hash !== row.hash) {
      throw new HubError(
        'database_unusable',
        `Migration ${known.name} was changed after it was applied to this database (as ${row.name}). Restore the file as it was, and put the change into a new migration.`,
      )
    }
  }
  const missing = migrations.filter(migration => !applied.some(row => row.number === migration.number))
  for (const { number, name, sql, hash } of missing) {
    db.batch([
      ...splitStatements(sql).map(statement => ({ sql: statement, params: [] })),
      { sql: 'insert into migrations values (?, ?, ?, ?)', params: [number, name, hash, now()] },
    ])
  }
  return missing.map(migration => migration.name)
}

/** Statements of a migration: each ends with a semicolon at the end of a line, and nowhere else does a line end so. */
function splitStatements(sql: string): string[] {
  return sql
    .replace(/^\s*--.*$/gm, '')
    .split(/;[ \t]*$/m)
    .map(statement => statement.trim())
    .filter(statement => statement !== '')
}
