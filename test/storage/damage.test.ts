/** A database file that is damaged, foreign or out of reach: a clear error that names it, and the file stays as it is. */
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import type { HubError } from '../../server/lib/error.ts'
import { openDatabase } from '../../server/storage/db.ts'
import { storeResponse } from '../../server/storage/responses.ts'

let folder = ''
let path = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'hub-db-'))
  path = join(folder, 'hub.db')
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

function fill(): void {
  const db = openDatabase(path)
  for (let i = 0; i < 50; i++) {
    const response = 'x'.repeat(1000)
    storeResponse(db, {
      id: `r${i}`,
      createdMs: i,
      model: 'm',
      status: 'completed',
      previousId: undefined,
      input: [],
      response,
    })
  }
  db.close()
}

function refused(): void {
  const before = readFileSync(path)
  assert.throws(
    () => openDatabase(path),
    (error: HubError) =>
      error.code === 'database_unusable' &&
      error.message.includes(path) &&
      /damaged.*backup|damaged.*move it/.test(error.message),
  )
  assert.ok(readFileSync(path).equals(before), 'the file is untouched')
}

test('a text file in its place', () => {
  writeFileSync(path, 'This is no database at all. '.repeat(100))
  refused()
})

test('a file cut off', () => {
  fill()
  truncateSync(path, 3 * 4096 + 17)
  refused()
})

test('a page overwritten in the middle', () => {
  fill()
  const bytes = readFileSync(path)
  bytes.fill(0xa5, 5 * 4096, 7 * 4096)
  writeFileSync(path, bytes)
  refused()
})

test('a header overwritten', () => {
  fill()
  const bytes = readFileSync(path)
  bytes.fill(0, 0, 64)
  writeFileSync(path, bytes)
  refused()
})

test('a folder in its place', () => {
  mkdirSync(path)
  assert.throws(
    () => openDatabase(path),
    (error: HubError) => error.code === 'database_unusable' && error.message.includes(path),
  )
})
