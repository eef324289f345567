/** The table of API keys: what goes in comes out, and one that is gone is found by nothing. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  deleteKey,
  findKey,
  insertKey,
  listKeys,
  readKey,
  type StoredKey,
  touchKey,
  updateKey,
} from '../../server/storage/keys.ts'
import { memoryDb } from '../helpers/memory_db.ts'

const key = (id: string, more: Partial<StoredKey> = {}): StoredKey => ({
  id,
  hash: `hash of ${id}`,
  first: 'sk-hub-abcd',
  last: 'wxyz',
  name: 'điện thoại',
  role: 'use',
  training: false,
  requestsPerMinute: null,
  createdMs: 5,
  expiresMs: null,
  lastUsedMs: null,
  ...more,
})

test('a key is stored, found by id and by hash, changed, touched and deleted', context => {
  const db = memoryDb(context)
  insertKey(db, key('a'))
  const full = key('b', { role: 'admin', training: true, requestsPerMinute: 60, expiresMs: 2 ** 42 })
  insertKey(db, full)
  assert.deepEqual(listKeys(db), [key('a'), full])
  assert.deepEqual([readKey(db, 'b'), findKey(db, 'hash of b'), findKey(db, 'b')], [full, full, undefined])
  assert.deepEqual(updateKey(db, 'b', { name: 'x', expiresMs: null }), { ...full, name: 'x', expiresMs: null })
  assert.equal(updateKey(db, 'c', { name: 'x' }), undefined)
  touchKey(db, 'a', 9)
  assert.equal(readKey(db, 'a')?.lastUsedMs, 9)
  assert.deepEqual([deleteKey(db, 'a'), deleteKey(db, 'a'), findKey(db, 'hash of a')], [true, false, undefined])
})

test('two keys of one hash cannot be', context => {
  const db = memoryDb(context)
  insertKey(db, key('a'))
  assert.throws(() => insertKey(db, key('b', { hash: 'hash of a' })))
  assert.deepEqual(listKeys(db), [key('a')])
})
