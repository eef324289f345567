/** The tables of responses, profiles and settings: what goes in comes out. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Database } from '../../server/storage/database.ts'
import { MIGRATIONS, migrate, readMigrations } from '../../server/storage/migrate.ts'
import { listProfiles, type ProfileKey, readProfile, recordProfile } from '../../server/storage/profiles.ts'
import {
  deleteResponse,
  readConversation,
  readResponse,
  type StoredResponse,
  storeResponse,
} from '../../server/storage/responses.ts'
import { readSettings, writeSettings } from '../../server/storage/settings.ts'
import { openSqlite } from '../../server/storage/sqlite.ts'

function withDb(use: (db: Database) => void): void {
  const db = openSqlite(':memory:')
  try {
    migrate(db, readMigrations(MIGRATIONS), () => 0)
    use(db)
  } finally {
    db.close()
  }
}

const turn = (id: string, previousId?: string): StoredResponse => ({
  id,
  createdMs: 5,
  model: 'm',
  status: 'completed',
  previousId,
  input: [{ role: 'user', content: `to ${id}` }],
  response: { id, text: 'đáp \u0000 "quoted"' },
})

test('a response is stored, read, replaced and deleted', () => {
  withDb(db => {
    storeResponse(db, turn('a'))
    assert.deepEqual(readResponse(db, 'a'), turn('a'))
    storeResponse(db, { ...turn('a'), status: 'incomplete' })
    assert.equal(readResponse(db, 'a')?.status, 'incomplete')
    assert.equal(deleteResponse(db, 'a'), true)
    assert.equal(deleteResponse(db, 'a'), false)
    assert.equal(readResponse(db, 'a'), undefined)
  })
})

test('a conversation is the chain of turns, oldest first, also where it branches', () => {
  withDb(db => {
    for (const [id, previous] of [['a'], ['b', 'a'], ['c', 'b'], ['b2', 'a']] as [string, string?][]) {
      storeResponse(db, turn(id, previous))
    }
    const ids = (id: string) => readConversation(db, id).map(stored => stored.id)
    assert.deepEqual(ids('c'), ['a', 'b', 'c'])
    assert.deepEqual(ids('b2'), ['a', 'b2'])
    assert.deepEqual(ids('a'), ['a'])
    assert.throws(() => ids('zz'), { code: 'not_found', message: /'zz'/ })
    deleteResponse(db, 'b')
    assert.throws(() => ids('c'), { code: 'not_found', message: /'c' continues 'b', which is deleted/ })
    assert.deepEqual(ids('b2'), ['a', 'b2'])
  })
})

test('a batch happens as a whole or not at all', () => {
  withDb(db => {
    assert.throws(() =>
      db.batch([
        { sql: 'insert into settings values (?, ?, ?)', params: ['a', '1', 0] },
        { sql: 'insert into settings values (?, ?, ?)', params: ['a', '2', 0] },
      ]),
    )
    assert.deepEqual(readSettings(db), {})
  })
})

test('settings: any JSON value comes back, null forgets', () => {
  withDb(db => {
    const value = fc.jsonValue().filter(json => json !== null)
    fc.assert(
      fc.property(fc.dictionary(fc.string({ minLength: 1 }), value), changes => {
        const clean = JSON.parse(JSON.stringify(changes)) as { [key: string]: unknown }
        writeSettings(db, clean, 1)
        const stored = readSettings(db)
        assert.deepEqual(stored, { ...stored, ...clean })
        writeSettings(db, Object.fromEntries(Object.keys(stored).map(key => [key, null])), 2)
        assert.deepEqual(readSettings(db), {})
      }),
      { seed: 7, numRuns: 100 },
    )
  })
})

test('a profile averages what was measured and is dropped when the file changes', () => {
  withDb(db => {
    const key: ProfileKey = { model: 'm', bytes: 100, modifiedMs: 12.5, device: 'cpu', contextTokens: 8192 }
    assert.equal(readProfile(db, key), undefined)
    recordProfile(db, key, { loadMs: 100, residentBytes: 2 ** 33, deviceBytes: 0 }, 1)
    recordProfile(db, key, { promptPerSecond: 10, generationPerSecond: 4 }, 2)
    recordProfile(db, key, { promptPerSecond: 20, generationPerSecond: 8 }, 3)
    assert.deepEqual(readProfile(db, key), {
      ...key,
      loadMs: 100,
      residentBytes: 2 ** 33,
      deviceBytes: 0,
      promptPerSecond: 15,
      generationPerSecond: 6,
      samples: 2,
      updatedMs: 3,
    })
    recordProfile(db, { ...key, device: 'vulkan' }, { loadMs: 5 }, 4)
    assert.equal(listProfiles(db).length, 2)
    const changed = { ...key, modifiedMs: 13 }
    assert.equal(readProfile(db, changed), undefined)
    recordProfile(db, changed, { loadMs: 7 }, 5)
    assert.deepEqual(listProfiles(db), [{ ...changed, loadMs: 7, samples: 0, updatedMs: 5 }])
  })
})

test('an average stays within what was measured and ends near the newest', () => {
  withDb(db => {
    const key: ProfileKey = { model: 'm', bytes: 1, modifiedMs: 1, device: 'cpu', contextTokens: 1 }
    for (let i = 0; i < 50; i++) recordProfile(db, key, { generationPerSecond: 10 }, i)
    for (let i = 0; i < 200; i++) recordProfile(db, key, { generationPerSecond: 30 }, i)
    const speed = readProfile(db, key)?.generationPerSecond ?? 0
    assert.ok(speed > 29.9 && speed <= 30, String(speed))
  })
})
