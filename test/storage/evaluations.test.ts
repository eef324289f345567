/** The table of evaluations: what goes in comes out, and what a hub left unfinished is found. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  listEvaluations,
  readEvaluation,
  type StoredEvaluation,
  saveEvaluation,
  unfinishedEvaluations,
} from '../../server/storage/evaluations.ts'
import { MIGRATIONS, migrate, readMigrations } from '../../server/storage/migrate.ts'
import { openSqlite } from '../../server/storage/sqlite.ts'

const evaluation = (id: string, more: Partial<StoredEvaluation> = {}): StoredEvaluation => ({
  id,
  createdMs: 1,
  finishedMs: undefined,
  status: 'queued',
  request: { base: 'a' },
  report: undefined,
  error: undefined,
  ...more,
})

test('an evaluation is stored, changed, listed and found unfinished', () => {
  const db = openSqlite(':memory:')
  try {
    migrate(db, readMigrations(MIGRATIONS), () => 0)
    saveEvaluation(db, evaluation('one'))
    saveEvaluation(db, evaluation('two', { createdMs: 2 }))
    assert.deepEqual(
      unfinishedEvaluations(db)
        .map(({ id }) => id)
        .sort(),
      ['one', 'two'],
    )
    const done = evaluation('one', { finishedMs: 5, status: 'succeeded', report: { verdict: 'tốt hơn' } })
    saveEvaluation(db, done)
    assert.deepEqual(readEvaluation(db, 'one'), done)
    assert.equal(readEvaluation(db, 'three'), undefined)
    assert.deepEqual(
      listEvaluations(db, 10).map(({ id }) => id),
      ['two', 'one'],
    )
    assert.deepEqual(
      listEvaluations(db, 1).map(({ id }) => id),
      ['two'],
    )
    assert.deepEqual(unfinishedEvaluations(db), [evaluation('two', { createdMs: 2 })])
  } finally {
    db.close()
  }
})
