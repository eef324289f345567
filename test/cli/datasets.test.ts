/** `ai-hub datasets`: what a check prints, and what import, list and show do. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type DatasetsAction, parseCommandLine } from '../../server/cli/args.ts'
import { runDatasets } from '../../server/cli/datasets.ts'

function setup(context: TestContext) {
  const home = mkdtempSync(join(tmpdir(), 'ai-hub-cli-datasets-'))
  context.after(() => rmSync(home, { recursive: true, force: true, maxRetries: 5 }))
  const run = async (action: DatasetsAction, json = false): Promise<{ code: number; text: string }> => {
    let text = ''
    const write = (piece: string) => {
      text += piece
    }
    const terminal = { write, colour: false }
    const none = () => Promise.reject(new Error('no hub is needed'))
    const deps = { home, now: () => 0, terminal, notes: terminal, findHub: none, startHub: none }
    const code = await runDatasets(deps, { ...action, json }, new AbortController().signal)
    return { code, text }
  }
  const file = (name: string, lines: unknown[]): string => {
    const path = join(home, name)
    writeFileSync(path, lines.map(line => (typeof line === 'string' ? line : JSON.stringify(line))).join('\n'))
    return path
  }
  return { home, run, file }
}
const good = Array.from({ length: 30 }, (_, index) => ({
  instruction: `Cộng ${index * 7919} với ${index * 31}.`,
  input: '',
  output: `Kết quả là ${index * 7950}, xem mục ${index}.`,
}))
const importing = (dataset: string, paths: string[], more: object = {}): DatasetsAction => ({
  action: 'import',
  dataset,
  paths,
  append: false,
  refuse: false,
  git: false,
  ...more,
})

test('a check says format, malformed lines and findings, writes nothing, and fails when lines are malformed', async context => {
  const { run, file } = setup(context)
  const path = file('a.jsonl', [...good, good[3], 'oops', { instruction: 'x' }])
  const { code, text } = await run({ action: 'check', paths: [path] })
  assert.equal(code, 1)
  assert.match(text, /a\.jsonl +file +instruction/)
  assert.match(text, /2 malformed lines\n {2}a\.jsonl:32 {2}.*\n {2}a\.jsonl:33 {2}'output' is missing/)
  assert.match(text, /31 samples \(31 chat\)/)
  assert.match(text, /\[duplicate_exact\]/)
  assert.equal((await run({ action: 'check', paths: [file('b.jsonl', good)] })).code, 0)
  assert.match((await run({ action: 'list' })).text, /no dataset yet/)
})

test('a check as JSON', async context => {
  const { run, file } = setup(context)
  const { text } = await run({ action: 'check', paths: [file('a.jsonl', [...good, 'oops'])] }, true)
  const value = JSON.parse(text) as { problems: { count: number }; report: { samples: number }; sources: unknown[] }
  assert.equal(value.problems.count, 1)
  assert.equal(value.report.samples, 30)
  assert.equal(value.sources.length, 1)
})

test('import, list and show', async context => {
  const { run, file } = setup(context)
  const path = file('a.jsonl', good)
  const made = await run(importing('vi', [path]))
  assert.equal(made.code, 0)
  assert.match(made.text, /^vi, version 1\n/)
  await run(importing('vi', [path], { append: true }))
  assert.match((await run({ action: 'list' })).text, /vi +2 +/)
  const [row] = JSON.parse((await run({ action: 'list' }, true)).text) as { name: string }[]
  assert.equal(row?.name, 'vi')
  const shown = await run({ action: 'show', dataset: 'vi', version: 1, samples: 2 })
  assert.equal(shown.text.match(/"kind": "chat"/g)?.length, 2)
  await assert.rejects(run({ action: 'show', dataset: 'nope', samples: 1 }), { code: 'not_found' })
  await assert.rejects(
    run(importing('vi', [file('bad.jsonl', ['oops', ...good.map(each => JSON.stringify(each))])], { refuse: true })),
    {
      code: 'invalid_request',
    },
  )
  await assert.rejects(run(importing('vi', [path], { format: 'nope' })), {
    code: 'invalid_request',
    message: /sharegpt/,
  })
})

test('the command line of datasets', () => {
  const parse = (line: string) => parseCommandLine(line.split(' '), [])
  assert.deepEqual(parse('datasets list'), { name: 'datasets', json: false, action: 'list' })
  assert.deepEqual(parse('datasets check a b --format text --json'), {
    name: 'datasets',
    json: true,
    format: 'text',
    action: 'check',
    paths: ['a', 'b'],
  })
  assert.deepEqual(parse('datasets import n a --append --home h'), {
    name: 'datasets',
    home: 'h',
    json: false,
    ...importing('n', ['a'], { append: true }),
  })
  assert.deepEqual(parse('datasets show n --version 2'), {
    name: 'datasets',
    json: false,
    action: 'show',
    dataset: 'n',
    version: 2,
    samples: 3,
  })
  for (const [line, message] of [
    ['datasets', /Say what to do/],
    ['datasets chek a', /Did you mean "check"/],
    ['datasets check', /Name a file/],
    ['datasets import n', /Name the dataset and its files/],
    ['datasets show', /Name the dataset/],
    ['datasets show a b', /too many/],
    ['datasets list a', /too many/],
    ['datasets list --append', /no option "--append"/],
    ['datasets show a --samples x', /whole number/],
  ] as const) {
    assert.throws(() => parse(line), { name: 'UsageError', message }, line)
  }
})
