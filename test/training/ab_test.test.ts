/** A/B tests: who gets which model, what is counted, and when a verdict is given. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { silentLog } from '../../server/lib/log.ts'
import type { Database } from '../../server/storage/database.ts'
import { MIGRATIONS, migrate, readMigrations } from '../../server/storage/migrate.ts'
import { openSqlite } from '../../server/storage/sqlite.ts'
import { type AbTests, createAbTests, messageKey, userKey } from '../../server/training/ab_test.ts'
import { AbTestRequest } from '../../server/wire/evaluation.ts'

function database(context: { after(close: () => void): void }): Database {
  const db = openSqlite(':memory:')
  migrate(db, readMigrations(MIGRATIONS), () => 0)
  context.after(() => db.close())
  return db
}

const MODELS = new Set(['old', 'new', 'old:trained'])
let clock = 0
const open = (db: Database): AbTests =>
  createAbTests({
    db,
    modelId: name => [...MODELS].find(id => id === name || `chat_models/${id}` === name),
    now: () => (clock += 1000),
    log: silentLog,
  })
const request = (more: object = {}) =>
  AbTestRequest.parse({ name: 'team', base: { model: 'old' }, candidate: { model: 'old:trained' }, ...more })

test('a conversation keeps its model, also over a restart, and about as many get each', context => {
  const db = database(context)
  const tests = open(db)
  tests.create(request({ base: { model: 'old', weight: 3 } }))
  const keys = Array.from({ length: 1000 }, (_, index) => userKey(`user ${index}`))
  const first = keys.map(key => tests.resolve('team', key))
  assert.deepEqual(
    keys.map(key => tests.resolve('team', key)),
    first,
  )
  assert.deepEqual(
    keys.map(key => open(db).resolve('team', key)),
    first,
  )
  const base = first.filter(model => model === 'old').length
  // 750 expected with a standard deviation of 14.
  assert.ok(base > 690 && base < 810, `${base}`)
  assert.deepEqual(open(db).get('team').conversations, { base, candidate: 1000 - base })
})

test('other names pass, weights of 0 and 1 send all to one, and no key is drawn each time', context => {
  const tests = open(database(context))
  tests.create(request({ candidate: { model: 'new', weight: 0 } }))
  assert.equal(tests.resolve('elsewhere', 'k'), 'elsewhere')
  for (let index = 0; index < 50; index++) assert.equal(tests.resolve('team', `k${index}`), 'old')
  const even = tests.create(request({ name: 'even' }))
  const drawn = new Set(Array.from({ length: 60 }, () => tests.resolve('even', undefined)))
  assert.deepEqual(drawn, new Set(['old', 'old:trained']))
  assert.deepEqual(tests.get(even.id).conversations, { base: 0, candidate: 0 })
})

test('names that are taken, models that are not there and senseless tests are refused', context => {
  const tests = open(database(context))
  tests.create(request())
  assert.throws(() => tests.create(request()), { code: 'conflict', param: 'name' })
  assert.throws(() => tests.create(request({ name: 'old' })), { code: 'conflict', param: 'name' })
  assert.throws(() => tests.create(request({ name: 'x', base: { model: 'gone' } })), {
    code: 'model_not_found',
    param: 'base.model',
  })
  const longer = { base: { model: 'chat_models/old' }, candidate: { model: 'chat_models/new' } }
  assert.equal(tests.create(request({ name: 'y', ...longer })).candidate.model, 'new')
  assert.throws(() => tests.create(request({ name: 'z', base: longer.base, candidate: { model: 'old' } })), {
    code: 'invalid_request',
    param: 'candidate.model',
  })
  assert.throws(() => tests.get('nothing'), { code: 'not_found' })
  assert.equal(AbTestRequest.safeParse(request({ candidate: { model: 'new' } })).success, true)
  for (const bad of [
    { candidate: { model: 'old' } },
    { base: { model: 'old', weight: 0 }, candidate: { model: 'new', weight: 0 } },
  ]) {
    assert.throws(() => request(bad))
  }
})

test('votes go to the conversation they are about, whatever their number', context => {
  const db = database(context)
  const tests = open(db)
  const { id } = tests.create(request())
  const model = tests.resolve('team', userKey('an'))
  const variant = model === 'old' ? 'base' : 'candidate'
  for (const signal of ['good', 'good', 'bad', 'accepted'] as const) {
    assert.deepEqual(tests.vote(id, { signal, user: 'an' }), { test: id, variant })
  }
  const said = tests.resolve('team', messageKey('Xin chào'))
  const other = said === 'old' ? 'base' : 'candidate'
  assert.equal(tests.vote('team', { signal: 'bad', first_message: 'Xin chào' }).variant, other)
  const { comparisons } = tests.get(id)
  const count = (metric: string) => {
    const { base, candidate } = comparisons.find(each => each.metric === metric)!
    return [base.conversations + candidate.conversations, base.good + candidate.good, base.bad + candidate.bad]
  }
  assert.deepEqual(count('vote'), [2, 2, 2])
  assert.deepEqual(count('completion'), [1, 1, 0])
  assert.throws(() => tests.vote(id, { signal: 'good', user: 'nobody' }), { code: 'not_found', param: 'user' })
  assert.throws(() => tests.vote(id, { signal: 'good', model: 'new' }), { code: 'invalid_request', param: 'model' })
  assert.equal(tests.vote(id, { signal: 'good', model: 'old:trained' }).variant, 'candidate')
})

test("suggestions of an editor count for the model that made them; names of no test are nobody's", context => {
  const tests = open(database(context))
  const { id } = tests.create(request({ metric: 'completion' }))
  const variant = tests.resolve('team', userKey('session')) === 'old' ? 'base' : 'candidate'
  for (const taken of [true, true, true, false]) tests.completion('team', userKey('session'), taken)
  tests.completion('team', userKey('another session'), true)
  tests.completion('elsewhere', userKey('session'), true)
  const found = tests.get(id).comparisons.find(({ metric }) => metric === 'completion')!
  assert.deepEqual(found[variant], { conversations: 1, good: 3, bad: 1, rate: 0.75 })
})

test('neither keys nor messages are stored', context => {
  const db = database(context)
  const tests = open(db)
  tests.create(request())
  tests.resolve('team', messageKey('bí mật'))
  const stored = JSON.stringify(db.all('select * from ab_conversations'))
  assert.doesNotMatch(stored, /bí mật/)
})

test('a stopped test frees its name, keeps its counts and takes no votes', context => {
  const db = database(context)
  const tests = open(db)
  const { id } = tests.create(request())
  tests.resolve('team', 'k')
  const stopped = tests.stop(id)
  assert.equal(stopped.status, 'stopped')
  assert.equal(tests.stop(id).stopped_at, stopped.stopped_at)
  assert.equal(tests.resolve('team', 'k'), 'team')
  assert.throws(() => tests.vote(id, { signal: 'good', user: 'k' }), { code: 'conflict' })
  const again = tests.create(request())
  assert.notEqual(again.id, id)
  assert.deepEqual(
    open(db)
      .list()
      .map(each => each.status),
    ['running', 'stopped'],
  )
})

test('the verdict comes with enough votes, and not before', context => {
  const tests = open(database(context))
  const { id } = tests.create(request())
  const vote = (model: string, good: number, bad: number) => {
    for (let index = 0; index < good; index++) tests.vote(id, { signal: 'good', model })
    for (let index = 0; index < bad; index++) tests.vote(id, { signal: 'bad', model })
    return tests.get(id)
  }
  assert.match(vote('old', 3, 3).summary, /^Not yet known: there is no vote for old:trained yet\.$/)
  const early = vote('old:trained', 5, 1)
  assert.equal(early.verdict, 'not yet known')
  assert.ok(early.comparisons[0]!.interval.low < 0 && early.comparisons[0]!.interval.high > 0)
  vote('old', 47, 47)
  const late = vote('old:trained', 85, 9)
  assert.equal(late.verdict, 'better')
  assert.match(late.summary, /^old:trained is better than old: 90\.0 % good votes in 100 conversations/)
  assert.equal(late.comparisons[0]!.difference, 0.9 - 0.5)
})
