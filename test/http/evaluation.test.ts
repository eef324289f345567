/** The doors to evaluations and A/B tests over fake models: what is refused, by name, and never a 5xx. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import fc from 'fast-check'
import { evaluationRoutes } from '../../server/http/evaluation.ts'
import { silentLog } from '../../server/lib/log.ts'
import { MIGRATIONS, migrate, readMigrations } from '../../server/storage/migrate.ts'
import { openSqlite } from '../../server/storage/sqlite.ts'
import { createAbTests } from '../../server/training/ab_test.ts'
import { createEvaluations } from '../../server/training/evaluations.ts'
import { ErrorOut } from '../../server/wire/common.ts'
import { fakeModels } from '../helpers/fake_models.ts'
import { testHub } from '../helpers/hub.ts'

const home = mkdtempSync(join(tmpdir(), 'ai-hub-test-'))
const db = openSqlite(':memory:')
migrate(db, readMigrations(MIGRATIONS), () => 0)
const models = fakeModels()
const now = () => 1_700_000_000_000
const evaluations = createEvaluations({ db, home, models, now, log: silentLog })
const modelId = (name: string) => models.list().find(({ file }) => file.id === name)?.file.id
const abTests = createAbTests({ db, modelId, now, log: silentLog })
const hub = await testHub({ after }, { models, routes: () => evaluationRoutes({ evaluations, abTests }) })
after(async () => {
  await evaluations.close()
  db.close()
  rmSync(home, { recursive: true, force: true })
})

const EVALUATION = { base: 'fake', candidate: 'team/other', dataset: 'chats' }
const AB_TEST = { name: 'split', base: { model: 'fake' }, candidate: { model: 'team/other' } }
const codeOf = (json: unknown) => {
  const { code, param } = ErrorOut.parse(json).error
  return [code, param]
}

test('what is wrong is refused by its name', async () => {
  for (const [path, body, status, expected] of [
    ['/v1/training/evaluations', { ...EVALUATION, candidate: 'gone' }, 404, ['model_not_found', 'candidate']],
    ['/v1/training/evaluations', EVALUATION, 404, ['not_found', 'dataset']],
    ['/v1/training/evaluations', { ...EVALUATION, samples: 3 }, 400, ['unsupported_parameter', 'samples']],
    ['/v1/training/evaluations', { ...EVALUATION, dataset: '../x' }, 400, ['invalid_request', 'dataset']],
    ['/v1/training/evaluations/none/cancel', undefined, 404, ['not_found', 'id']],
    ['/v1/ab_tests', { ...AB_TEST, name: 'fake' }, 409, ['conflict', 'name']],
    ['/v1/ab_tests', { ...AB_TEST, base: { model: 'gone' } }, 404, ['model_not_found', 'base.model']],
    ['/v1/ab_tests', { ...AB_TEST, base: { model: 'fake', weight: -1 } }, 400, ['invalid_request', 'base.weight']],
    ['/v1/ab_tests/none/votes', { user: 'x', signal: 'good' }, 404, ['not_found', 'id']],
    ['/v1/ab_tests/none/stop', undefined, 404, ['not_found', 'id']],
  ] as const) {
    const answer = await hub.post(path, body ?? {})
    assert.equal(answer.status, status, `${path} ${answer.text}`)
    assert.deepEqual(codeOf(answer.json), expected, path)
  }
  assert.equal((await hub.get('/v1/training/evaluations/none?wait=1')).status, 404)
  assert.equal((await hub.get('/v1/training/evaluations/none?wait=long')).status, 400)
})

test('random and near-valid bodies never end in a 5xx', async () => {
  const created = await hub.post('/v1/ab_tests', AB_TEST)
  assert.equal(created.status, 200, created.text)
  const bases: [path: string, base: object][] = [
    ['/v1/training/evaluations', EVALUATION],
    ['/v1/ab_tests', { ...AB_TEST, name: 'other', metric: 'vote', confidence: 0.9 }],
    ['/v1/ab_tests/split/votes', { user: 'x', signal: 'good', model: 'fake', first_message: 'y' }],
  ]
  const value = fc.oneof(
    fc.constantFrom<unknown>(null, true, 0, -1, 1e308, '', 'fake', 'x\u0000\ud800', [], {}, { model: 'fake' }, 'good'),
    fc.jsonValue({ maxDepth: 2 }),
  )
  const change = fc.record({ which: fc.nat(2), key: fc.nat(8), value, drop: fc.boolean() })
  await fc.assert(
    fc.asyncProperty(change, async ({ which, key, value, drop }) => {
      const [path, base] = bases[which]!
      const body: { [name: string]: unknown } = { ...base }
      const names = [...Object.keys(base), 'surprise']
      const name = names[key % names.length]!
      if (drop) delete body[name]
      else body[name] = value
      const answer = await hub.post(path, body)
      assert.ok(answer.status < 500, `${path} ${JSON.stringify(body)} ${answer.text}`)
      if (answer.status !== 200) ErrorOut.parse(answer.json)
    }),
    { seed: 5, numRuns: 200 },
  )
})
