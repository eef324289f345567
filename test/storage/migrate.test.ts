/** Migrations: a fresh database, a repeated start, and the two cases that are refused in words. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Database } from '../../server/storage/database.ts'
import { openDatabase } from '../../server/storage/db.ts'
import { MIGRATIONS, type Migration, migrate, readMigrations } from '../../server/storage/migrate.ts'
import { openSqlite } from '../../server/storage/sqlite.ts'

const now = () => 1000
const first: Migration = {
  number: 1,
  name: '0001_a.sql',
  sql: '-- Words; with a semicolon.\ncreate table a (x);\n\ncreate table b (y);\n',
  hash: 'h1',
}
const second: Migration = { number: 2, name: '0002_b.sql', sql: 'alter table a add column z;', hash: 'h2' }

function memory(use: (db: Database) => void): void {
  const db = openSqlite(':memory:')
  try {
    use(db)
  } finally {
    db.close()
  }
}
const tables = (db: Database) =>
  db.all<{ name: string }>("select name from sqlite_master where type = 'table' order by name").map(row => row.name)

test('a fresh database gets every migration once', () => {
  memory(db => {
    assert.deepEqual(migrate(db, [first, second], now), ['0001_a.sql', '0002_b.sql'])
    assert.deepEqual(tables(db), ['a', 'b', 'migrations'])
    assert.deepEqual(db.all('select number, name, hash, applied_ms from migrations'), [
      { number: 1, name: '0001_a.sql', hash: 'h1', applied_ms: 1000 },
      { number: 2, name: '0002_b.sql', hash: 'h2', applied_ms: 1000 },
    ])
    assert.deepEqual(migrate(db, [first, second], now), [])
  })
})

test('an older database gets what it lacks', () => {
  memory(db => {
    migrate(db, [first], now)
    db.batch([{ sql: 'insert into a values (7)', params: [] }])
    assert.deepEqual(migrate(db, [first, second], now), ['0002_b.sql'])
    assert.deepEqual(db.all('select x, z from a'), [{ x: 7, z: null }])
  })
})

test('a migration that fails half way leaves nothing behind', () => {
  memory(db => {
    migrate(db, [first], now)
    const broken: Migration = { ...second, sql: 'create table c (x);\ninsert into nowhere values (1);' }
    assert.throws(() => migrate(db, [first, broken], now), /nowhere/)
    assert.deepEqual(tables(db), ['a', 'b', 'migrations'])
    assert.deepEqual(migrate(db, [first, second], now), ['0002_b.sql'])
  })
})

test('a migration that was changed after it was applied is refused', () => {
  memory(db => {
    migrate(db, [first], now)
    assert.throws(() => migrate(db, [{ ...first, hash: 'other' }], now), {
      code: 'database_unusable',
      message: /0001_a\.sql was changed after it was applied/,
    })
  })
})

test('a database of a newer version is refused', () => {
  memory(db => {
    migrate(db, [first, second], now)
    assert.throws(() => migrate(db, [first], now), { code: 'database_unusable', message: /0002_b\.sql.*newer version/ })
  })
})

test("the program's own migrations: numbered without a gap, applied, and stable over line ends", () => {
  const own = readMigrations(MIGRATIONS)
  assert.deepEqual(
    own.map(migration => migration.number),
    own.map((_, index) => index + 1),
  )
  const folder = mkdtempSync(join(tmpdir(), 'hub-db-'))
  try {
    const path = join(folder, 'sub', 'hub.db')
    openDatabase(path, now).close()
    const db = openDatabase(path, now)
    assert.deepEqual(tables(db), [
      'ab_conversations',
      'ab_tests',
      'api_keys',
      'conversation_messages',
      'conversation_search',
      'conversation_search_config',
      'conversation_search_content',
      'conversation_search_data',
      'conversation_search_docsize',
      'conversation_search_idx',
      'conversations',
      'evaluations',
      'files',
      'migrations',
      'profiles',
      'responses',
      'settings',
      'stored_chats',
      'training_checkpoints',
      'training_events',
      'training_jobs',
      'training_schedules',
    ])
    assert.deepEqual(
      db.all<{ hash: string }>('select hash from migrations').map(row => row.hash),
      own.map(migration => migration.hash),
    )
    assert.deepEqual(db.all('pragma journal_mode'), [{ journal_mode: 'wal' }])
    assert.deepEqual(db.all('pragma synchronous'), [{ synchronous: 2 }])
    assert.deepEqual(db.all('pragma foreign_keys'), [{ foreign_keys: 1 }])
    db.close()
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
