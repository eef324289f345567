/** The datasets of the HTTP API: import, list, inspect, report, compare, delete; and nothing outside of the home. */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type DatasetDeps, datasetRoutes } from '../../server/http/datasets.ts'
import { HubError } from '../../server/lib/error.ts'
import { recordSample } from '../../server/training/collect.ts'
import {
  DatasetCheck,
  DatasetComparison,
  DatasetInspection,
  DatasetList,
  DatasetOut,
  DatasetPreview,
} from '../../server/wire/dataset.ts'
import { QualityReport } from '../../server/wire/quality.ts'
import { countingLease } from '../helpers/counting_lease.ts'
import { testHub } from '../helpers/hub.ts'

const LINES = Array.from({ length: 40 }, (_, index) => ({
  prompt: `What is ${index * 7919} plus ${index * 13}?`,
  completion: `It is ${index * 7919 + index * 13}, as item ${index} shows.`,
}))
const TEXT = LINES.map(line => JSON.stringify(line)).join('\n')
const noGit = spawnSync('git', ['--version']).error !== undefined
const FILE_ID = 'file-1'

async function setup(context: TestContext, deps: Partial<DatasetDeps> = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'ai-hub-http-datasets-'))
  context.after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }))
  const home = join(folder, 'home')
  mkdirSync(join(home, 'training_data'), { recursive: true })
  writeFileSync(join(home, 'training_data', 'a.jsonl'), TEXT)
  writeFileSync(join(folder, 'outside.jsonl'), TEXT)
  const hub = await testHub(context, { routes: () => datasetRoutes({ home, now: () => 0, ...deps }) })
  const importing = (body: object) => hub.post('/v1/training/datasets/import', body)
  const remove = (name: string) => fetch(`${hub.url}/v1/training/datasets/${name}`, { method: 'DELETE' })
  return { ...hub, home, folder, importing, remove }
}
const codeOf = (json: unknown) => (json as { error: { code: string; param: string | null } }).error

test('from import to deletion', async context => {
  const hub = await setup(context)
  assert.deepEqual((await hub.get('/v1/training/datasets')).json, { object: 'list', data: [] })
  const made = await hub.importing({ name: 'one', paths: ['training_data/a.jsonl'] })
  assert.equal(made.status, 200, made.text)
  const dataset = DatasetOut.parse(made.json)
  assert.equal(dataset.version, 1)
  assert.equal(dataset.counts.train + dataset.counts.validation + dataset.counts.test, 40)
  const again = await hub.importing({ name: 'one', text: TEXT.split('\n').slice(0, 10).join('\n') })
  assert.deepEqual(DatasetOut.parse(again.json).versions, [1, 2])

  const { data } = DatasetList.parse((await hub.get('/v1/training/datasets')).json)
  assert.deepEqual(
    data.map(each => each.name),
    ['one'],
  )

  const inspect = async (query: string) =>
    DatasetInspection.parse((await hub.get(`/v1/training/datasets/one?version=1&${query}`)).json)
  const first = await inspect('limit=5')
  assert.equal(first.samples.length, 5)
  assert.equal(first.has_more, true)
  assert.deepEqual((await inspect('limit=2&offset=3')).samples, first.samples.slice(3))
  const all = await inspect('limit=100')
  assert.equal(all.samples.length, dataset.counts.train)
  assert.equal(all.has_more, false)
  const [sample] = all.samples
  assert.ok(sample?.kind === 'completion')
  assert.deepEqual((await inspect(`search=${encodeURIComponent(sample.prompt.toUpperCase())}`)).samples, [sample])
  assert.deepEqual((await inspect('kind=chat')).samples, [])
  assert.equal((await inspect('part=test&limit=100')).samples.length, dataset.counts.test)

  const report = QualityReport.parse((await hub.get('/v1/training/datasets/one/report?version=1')).json)
  assert.equal(report.samples, 40)
  const comparison = DatasetComparison.parse((await hub.get('/v1/training/datasets/one/compare?from=1')).json)
  assert.equal(comparison.removed, 30)

  assert.deepEqual(await (await hub.remove('one')).json(), { object: 'dataset.deleted', name: 'one', deleted: true })
  assert.equal((await hub.get('/v1/training/datasets/one')).status, 404)
})

test('paths stay inside the home, links included', async context => {
  const hub = await setup(context)
  const { folder, home } = hub
  const links: string[] = []
  try {
    symlinkSync(join(folder, 'outside.jsonl'), join(home, 'linked.jsonl'))
    symlinkSync(folder, join(home, 'up'))
    links.push('linked.jsonl', join('up', 'outside.jsonl'), 'up')
  } catch {
    context.diagnostic('links may not be made here')
  }
  for (const path of [
    '../outside.jsonl',
    join(folder, 'outside.jsonl'),
    '/etc/passwd',
    'training_data/../../outside.jsonl',
    'a\0b',
    ...links,
  ]) {
    for (const field of ['paths', 'git']) {
      const answer = await hub.importing({ name: 'one', [field]: [path] })
      assert.equal(answer.status, 400, path)
      assert.equal(codeOf(answer.json).param, `${field}.0`)
      assert.ok(answer.text.includes('home'))
    }
  }
  const missing = await hub.importing({ name: 'one', paths: ['training_data/a.jsonl', 'nope.jsonl'] })
  assert.equal(missing.status, 404)
  assert.equal(codeOf(missing.json).param, 'paths.1')
  assert.equal((await hub.importing({ name: 'ok', paths: [join(home, 'training_data', 'a.jsonl')] })).status, 200)
})

test('a git history outside of the home is refused, also where the folder only points to it', {
  skip: noGit && 'git is not installed',
}, async context => {
  const hub = await setup(context)
  const outside = join(hub.folder, 'repository')
  const inside = join(hub.home, 'work')
  for (const folder of [outside, inside, join(hub.home, 'pointing')]) mkdirSync(folder)
  execFileSync('git', ['init', '-q', outside])
  execFileSync('git', ['init', '-q', hub.folder])
  writeFileSync(join(hub.home, 'pointing', '.git'), `gitdir: ${join(outside, '.git')}\n`)
  for (const path of ['work', 'pointing']) {
    const answer = await hub.importing({ name: 'one', git: [path] })
    assert.equal(answer.status, 400, answer.text)
    assert.match(answer.text, /leads out of the home/)
  }
  mkdirSync(join(hub.home, 'own'))
  execFileSync('git', ['init', '-q', join(hub.home, 'own')])
  // Its own history is looked at, and has no commit yet.
  assert.match((await hub.importing({ name: 'one', git: ['own'] })).text, /cannot be read/)
})

test('collected suggestions and conversations are sources where there are some', async context => {
  async function* conversations() {
    yield { conversation: '1', message: { role: 'user' as const, content: 'What is the highest mountain of Vietnam?' } }
    yield { conversation: '1', message: { role: 'assistant' as const, content: 'Fansipan, with 3147 metres.' } }
  }
  const hub = await setup(context, { conversations })
  assert.equal((await hub.importing({ name: 'one', collected: true })).status, 404)
  const record = {
    collected: 'completion',
    at: 1,
    prefix: 'const total = ',
    suffix: '\n',
    suggestion: 'first + second',
  } as const
  recordSample(hub.home, { ...record, outcome: 'accepted' }, { optIn: true })
  const made = await hub.importing({ name: 'one', collected: true, conversations: true })
  assert.deepEqual(DatasetOut.parse(made.json).kinds, { infill: 1, chat: 1 })
  const without = await setup(context)
  const refused = await without.importing({ name: 'one', conversations: true })
  assert.equal(codeOf(refused.json).param, 'conversations')
})

test('an uploaded file is found by its id', async context => {
  const without = await setup(context)
  assert.equal((await without.importing({ name: 'one', file: FILE_ID })).status, 400)
  const hub = await setup(context, {
    uploadedFile(id) {
      if (id !== FILE_ID) throw new HubError('not_found', `There is no file '${id}'.`, { param: 'file' })
      return { path: join(without.home, 'training_data', 'a.jsonl'), name: 'mine.jsonl' }
    },
  })
  const { sources } = DatasetOut.parse((await hub.importing({ name: 'one', file: FILE_ID })).json)
  assert.deepEqual(
    sources.map(source => source.name),
    ['mine.jsonl'],
  )
  assert.equal((await hub.importing({ name: 'one', file: 'file-2' })).status, 404)
})

test('what is wrong is refused with its name', async context => {
  const hub = await setup(context, { inUse: name => (name === 'busy' ? 'job ftjob-1' : undefined) })
  const rows: [object, number, string | null][] = [
    [{ name: '../x', text: TEXT }, 400, 'name'],
    [{ name: 'one' }, 400, null],
    [{ name: 'one', text: TEXT, nope: 1 }, 400, 'nope'],
    [{ name: 'one', text: TEXT, filters: { nope: true } }, 400, 'filters.nope'],
    [{ name: 'one', text: TEXT, shares: { train: 1, validation: 1, test: 1 } }, 400, 'shares'],
    [{ name: 'one', text: `${TEXT}\noops`, on_problem: 'refuse' }, 400, 'on_problem'],
    [{ name: 'one', text: TEXT, format: 'sharegpt', on_problem: 'refuse' }, 400, 'on_problem'],
  ]
  for (const [body, status, param] of rows) {
    const answer = await hub.importing(body)
    assert.equal(answer.status, status, answer.text)
    assert.equal(codeOf(answer.json).param, param, answer.text)
  }
  assert.equal((await hub.importing({ name: 'busy', text: TEXT })).status, 200)
  assert.equal((await hub.remove('busy')).status, 409)
  assert.equal((await hub.remove('nope')).status, 404)
  for (const [path, status] of [
    ['nope', 404],
    ['busy?version=9', 404],
    ['busy?version=x', 400],
    ['busy?limit=1000', 400],
    ['busy?nope=1', 400],
    ['nope/report', 404],
    ['busy/compare', 400],
    ['..%2Fx', 400],
  ] as const) {
    assert.equal((await hub.get(`/v1/training/datasets/${path}`)).status, status, path)
  }
})

test('a check writes nothing, and with a model counts its tokens', async context => {
  const hub = await setup(context, { models: { acquire: async () => countingLease() } })
  const check = async (body: object) => {
    const { json, text, status } = await hub.post('/v1/training/datasets/check', body)
    assert.equal(status, 200, text)
    return DatasetCheck.parse(json)
  }
  const plain = await check({ paths: ['training_data/a.jsonl'], text: 'no JSON {' })
  assert.equal(plain.report.tokens.exact, false)
  assert.deepEqual(
    plain.sources.map(source => source.name),
    ['a.jsonl', 'text'],
  )
  const counted = await check({ paths: ['training_data/a.jsonl'], model: 'base' })
  assert.equal(counted.report.tokens.exact, true)
  assert.equal((await hub.post('/v1/training/datasets/check', { paths: ['../outside.jsonl'] })).status, 400)
  assert.deepEqual(DatasetList.parse((await hub.get('/v1/training/datasets')).json).data, [])
})

test('a preview shows what is learned and what is only read', async context => {
  const hub = await setup(context, { models: { acquire: async () => countingLease() } })
  await hub.importing({ name: 'one', paths: ['training_data/a.jsonl'] })
  const { json } = await hub.get('/v1/training/datasets/one/preview?model=base&offset=2')
  const { sample, preview } = DatasetPreview.parse(json)
  assert.ok(sample.kind === 'completion')
  assert.deepEqual(
    preview.segments.map(({ learned }) => learned),
    [false, true],
  )
  assert.equal(preview.targetTokens, sample.completion.split(' ').length)
  const gone = await hub.get('/v1/training/datasets/one/preview?model=base&offset=999')
  assert.deepEqual([gone.status, codeOf(gone.json).param], [404, 'offset'])
})
