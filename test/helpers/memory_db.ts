/** A database in memory with all tables, for one test. */
import type { Database } from '../../server/storage/database.ts'
import { MIGRATIONS, migrate, readMigrations } from '../../server/storage/migrate.ts'
import { openSqlite } from '../../server/storage/sqlite.ts'

export function memoryDb(context: { after(close: () => void): void }): Database {
  const db = openSqlite(':memory:')
  context.after(() => db.close())
  migrate(db, readMigrations(MIGRATIONS), () => 0)
  return db
}
