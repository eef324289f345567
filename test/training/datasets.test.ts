/** Datasets on disk: versions that are whole or absent, parts that stay clean, comparison, deletion. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import {
  type Dataset,
  datasetsFolder,
  deleteDataset,
  type ImportInput,
  importDataset,
  listDatasets,
  openDataset,
  readPart,
  readReport,
  versionsOf,
} from '../../server/training/datasets.ts'
import { compareVersions } from '../../server/training/datasets_compare.ts'
import { PARTS } from '../../server/wire/dataset.ts'
import type { Sample } from '../../server/wire/sample.ts'

const never = new AbortController().signal
const SUBJECTS = ['rivers', 'mountains', 'cities', 'dishes', 'songs', 'birds', 'trees', 'games', 'tools', 'books']
/** Different enough not to be near duplicates of each other. */
const record = (index: number): { prompt: string; completion: string } => ({
  prompt: `Question ${index * 7919} about ${SUBJECTS[index % 10]} near ${SUBJECTS[(index * 3 + 1) % 10]} ${index}?`,
  completion: `Answer ${index * 104729} says ${SUBJECTS[(index * 7 + 3) % 10]} and ${index * 31 + 5} are ${index}.`,
})
const records = (count: number, from = 0): string =>
  Array.from({ length: count }, (_, index) => `${JSON.stringify(record(from + index))}\n`).join('')

type Setup = { home: string; file(name: string, content: string): string; run(input: ImportInput): Promise<Dataset> }
function setup(context: TestContext): Setup {
  const home = mkdtempSync(join(tmpdir(), 'ai-hub-datasets-'))
  context.after(() => rmSync(home, { recursive: true, force: true, maxRetries: 5 }))
  return {
    home,
    file(name, content) {
      mkdirSync(join(home, 'training_data'), { recursive: true })
      const path = join(home, 'training_data', name)
      writeFileSync(path, content)
      return path
    },
    run: input => importDataset({ home, now: () => 1_700_000_000_000 }, input, never),
  }
}
const prompts = async (dataset: Dataset, part: (typeof PARTS)[number]): Promise<string[]> =>
  (await Array.fromAsync(readPart(dataset, part))).map(sample => (sample.kind === 'completion' ? sample.prompt : '?'))

test('an import makes a version with parts, manifest and report, and leaves the file as it was', async context => {
  const { home, file, run } = setup(context)
  const content = records(300)
  const path = file('a.jsonl', content)
  const dataset = await run({ name: 'one', paths: [path] })
  assert.equal(dataset.version, 1)
  assert.equal(dataset.folder, join(home, 'training_data', 'datasets', 'one', 'v1'))
  assert.deepEqual(readdirSync(dataset.folder).sort(), [
    'manifest.json',
    'report.json',
    'test.jsonl',
    'train.jsonl',
    'validation.jsonl',
  ])
  const { manifest } = dataset
  assert.deepEqual(manifest.sources, [
    {
      kind: 'file',
      name: 'a.jsonl',
      bytes: content.length,
      sha256: createHash('sha256').update(content).digest('hex'),
      formats: { prompt_completion: 300 },
      encoding: 'utf-8',
      samples: 300,
      problems: 0,
    },
  ])
  assert.equal(manifest.created, '2023-11-14T22:13:20.000Z')
  assert.deepEqual(manifest.kinds, { completion: 300 })
  const found = await Promise.all(PARTS.map(part => prompts(dataset, part)))
  assert.deepEqual(
    found.map(list => list.length),
    PARTS.map(part => manifest.counts[part]),
  )
  assert.deepEqual(found.flat().sort(), Array.from({ length: 300 }, (_, index) => record(index).prompt).sort())
  for (const part of PARTS) {
    const bytes = readFileSync(join(dataset.folder, `${part}.jsonl`))
    assert.deepEqual(manifest.files[`${part}.jsonl`], {
      bytes: bytes.length,
      sha256: createHash('sha256').update(bytes).digest('hex'),
    })
  }
  assert.equal(readReport(dataset).samples, 300)
  assert.equal(readFileSync(path, 'utf8'), content)
  assert.deepEqual(readdirSync(datasetsFolder(home)), ['one'])
})

test('malformed lines are skipped and told, or refuse the whole import', async context => {
  const { home, file, run } = setup(context)
  const path = file('a.jsonl', `${records(20)}oops\n{"foo":1}\n${records(20, 20)}`)
  const { manifest } = await run({ name: 'one', paths: [path] })
  assert.equal(manifest.sources[0]?.problems, 2)
  assert.deepEqual(
    manifest.problems.first.map(({ source, line }) => `${source} ${line}`),
    ['a.jsonl 21', 'a.jsonl 22'],
  )
  await assert.rejects(run({ name: 'two', paths: [path], onProblem: 'refuse' }), {
    code: 'invalid_request',
    message: /a\.jsonl line 21: .* a\.jsonl line 22: /,
  })
  assert.deepEqual(readdirSync(datasetsFolder(home)), ['one'])
})

test('nothing to learn is refused, and so are wrong names, filters and missing files', async context => {
  const { home, file, run } = setup(context)
  await assert.rejects(run({ name: 'x', paths: [file('a.jsonl', '\n\n')] }), {
    code: 'invalid_request',
    message: /No training sample/,
  })
  await assert.rejects(run({ name: 'x', paths: [file('b.jsonl', 'nope\n')] }), { message: /b\.jsonl line 1/ })
  await assert.rejects(run({ name: 'x' }), { code: 'invalid_request' })
  await assert.rejects(run({ name: 'x', paths: [join(home, 'nope')] }), { code: 'not_found' })
  const good = file('c.jsonl', records(5))
  for (const name of ['', '../x', '.x', 'a/b', 'con', 'nul.txt', 'x.', 'x'.repeat(65), 'a b']) {
    await assert.rejects(run({ name, paths: [good] }), { code: 'invalid_request', param: 'name' }, name)
  }
  await assert.rejects(run({ name: 'x', paths: [good], filters: { nope: true } as object }), {
    code: 'invalid_request',
  })
  const stopped = importDataset({ home, now: () => 0 }, { name: 'x', paths: [good] }, AbortSignal.abort())
  await assert.rejects(stopped, { name: 'AbortError' })
  assert.deepEqual(readdirSync(datasetsFolder(home)), [])
  assert.throws(() => openDataset(home, 'x'), { code: 'not_found' })
})

test('duplicates, secrets and what is held out are taken care of, and told', async context => {
  const { run, file } = setup(context)
  const secret = {
    prompt: 'Which key do you use for the cloud?',
    completion: 'It is AKIAIOSFODNN7EXAMPLA, and lan.nguyen@fpt-mail.vn knows it.',
  }
  const path = file('a.jsonl', `${records(50)}${records(10)}${JSON.stringify(secret)}\n`)
  const dataset = await run({ name: 'one', paths: [path] })
  const { counts, filters } = dataset.manifest
  assert.equal(counts.train + counts.validation + counts.test, 51)
  assert.deepEqual(filters.duplicate_exact, { on: true, removed: 10, changed: 0 })
  const all = (await Promise.all(PARTS.map(part => Array.fromAsync(readPart(dataset, part))))).flat()
  assert.doesNotMatch(JSON.stringify(all), /AKIAIOSFODNN7EXAMPLA|lan\.nguyen@/)
  const kept = await run({
    name: 'one',
    paths: [path],
    filters: { duplicate_exact: false, duplicate_near: false, contamination: false },
  })
  assert.equal(kept.version, 2)
  const total = kept.manifest.counts
  assert.equal(total.train + total.validation + total.test, 61)
  assert.equal(kept.manifest.filters.duplicate_exact?.on, false)
})

test('a growing dataset keeps every sample in its part, and tells what is new', async context => {
  const { home, file, run } = setup(context)
  const first = await run({
    name: 'grow',
    paths: [file('a.jsonl', records(200))],
    shares: { train: 0.6, validation: 0.2, test: 0.2 },
  })
  const second = await run({ name: 'grow', paths: [file('b.jsonl', records(150, 150))], append: true })
  assert.equal(second.version, 2)
  assert.deepEqual(second.manifest.split, first.manifest.split)
  assert.deepEqual(
    second.manifest.sources.map(source => source.name),
    ['v1', 'b.jsonl'],
  )
  for (const part of PARTS) {
    const now = new Set(await prompts(second, part))
    for (const prompt of await prompts(first, part)) assert.ok(now.has(prompt), `${part} lost ${prompt}`)
  }
  const comparison = await compareVersions(home, 'grow', 1)
  const sum = ({ train, validation, test }: typeof comparison.added) => train + validation + test
  assert.equal(comparison.to, 2)
  assert.equal(sum(comparison.kept), 200)
  assert.equal(sum(comparison.added), 100)
  assert.equal(comparison.removed, 0)
  assert.equal((await compareVersions(home, 'grow', 2, 1)).removed, 100)
})

test('folders of code, samples at hand and text are sources as well', async context => {
  const { home, run } = setup(context)
  mkdirSync(join(home, 'repo'))
  writeFileSync(join(home, 'repo', 'a.ts'), 'export function twice(value: number): number {\n  return value * 2\n}\n')
  async function* samples(): AsyncGenerator<Sample> {
    yield {
      kind: 'text',
      text: 'Một câu chuyện ngắn về những con sông ở miền Trung.',
      origin: { source: 's', line: 1 },
    }
  }
  const { manifest } = await run({
    name: 'mixed',
    paths: [join(home, 'repo')],
    sources: [{ text: records(3) }],
    samples: samples(),
  })
  assert.deepEqual(
    manifest.sources.map(source => source.kind),
    ['folder', 'text', 'samples'],
  )
  assert.equal(manifest.kinds.completion, 3)
})

test('the list has the newest versions; damaged ones and foreign folders are left out', async context => {
  const { home, file, run } = setup(context)
  assert.deepEqual(listDatasets(home), [])
  const path = file('a.jsonl', records(10))
  await run({ name: 'b', paths: [path] })
  await run({ name: 'a', paths: [path] })
  await run({ name: 'a', paths: [path] })
  mkdirSync(join(datasetsFolder(home), 'foreign'))
  mkdirSync(join(datasetsFolder(home), 'damaged', 'v1'), { recursive: true })
  assert.deepEqual(
    listDatasets(home).map(({ name, version }) => `${name} ${version}`),
    ['a 2', 'b 1'],
  )
  assert.equal(openDataset(home, 'a', 1).version, 1)
  assert.throws(() => openDataset(home, 'a', 3), { code: 'not_found', message: /1, 2/ })
  assert.throws(() => openDataset(home, 'damaged'), { code: 'conflict' })
  const { folder } = openDataset(home, 'b')
  writeFileSync(join(folder, 'train.jsonl'), 'broken\n')
  await assert.rejects(Array.fromAsync(readPart(openDataset(home, 'b'), 'train')), {
    code: 'conflict',
    message: /line 1/,
  })
})

test('a dataset in use is not deleted; a deleted one is gone and starts anew', async context => {
  const { home, file, run } = setup(context)
  const path = file('a.jsonl', records(10))
  await run({ name: 'one', paths: [path] })
  const inUse = (name: string) => (name === 'one' ? 'job 7' : undefined)
  assert.throws(() => deleteDataset({ home, inUse }, 'one'), { code: 'conflict', message: /job 7/ })
  assert.deepEqual(versionsOf(home, 'one'), [1])
  deleteDataset({ home }, 'one')
  assert.deepEqual(readdirSync(datasetsFolder(home)), [])
  assert.throws(() => deleteDataset({ home }, 'one'), { code: 'not_found' })
  assert.throws(() => deleteDataset({ home }, '../training_data'), { code: 'invalid_request' })
  assert.equal((await run({ name: 'one', paths: [path] })).version, 1)
})

test('imports that end at once get numbers of their own', async context => {
  const { home, file, run } = setup(context)
  const path = file('a.jsonl', records(30))
  const datasets = await Promise.all(Array.from({ length: 4 }, () => run({ name: 'one', paths: [path] })))
  assert.deepEqual(datasets.map(dataset => dataset.version).sort(), [1, 2, 3, 4])
  for (const version of versionsOf(home, 'one'))
    assert.equal(openDataset(home, 'one', version).manifest.version, version)
  assert.deepEqual(readdirSync(datasetsFolder(home)), ['one'])
})

test('a record that grows when it is written is read again', async context => {
  const { file, run } = setup(context)
  const control = '\u0001'.repeat(4 * 2 ** 20)
  const dataset = await run({
    name: 'one',
    paths: [file('a.csv', `prompt,completion\nWhat is it?,x${control}y\n`)],
    filters: { control_characters: false, repetition: false, too_long: false, empty: false },
    shares: { train: 1, validation: 0, test: 0 },
  })
  const [sample] = await Array.fromAsync(readPart(dataset, 'train'))
  assert.ok(sample?.kind === 'completion' && sample.completion.length === control.length + 2)
})
