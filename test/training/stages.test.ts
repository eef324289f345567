/** A job's own datasets: which names they take, and that they spoil none of the user's. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { importDataset, openDataset, readReport, versionsOf } from '../../server/training/datasets.ts'
import type { Job } from '../../server/training/job_state.ts'
import { jobStages, type StageDeps } from '../../server/training/stages.ts'
import type { TrainingRequest } from '../../server/wire/training.ts'
import { countingLease } from '../helpers/counting_lease.ts'

const never = new AbortController().signal
const unused = () => assert.fail('not asked in this stage')

function setUp(context: TestContext) {
  const home = mkdtempSync(join(tmpdir(), 'hub-stages-'))
  context.after(() => rmSync(home, { recursive: true, force: true, maxRetries: 5 }))
  let held = 0
  const acquire = async () => {
    held++
    return { ...countingLease(), release: () => void held-- }
  }
  const stages = jobStages({
    home,
    models: { acquire, get: unused },
    adapters: { get: unused, look: unused, publish: unused },
    now: () => 0,
  } as unknown as StageDeps)
  const path = (name: string, from: number, to: number): string => {
    const file = join(home, name)
    const lines = Array.from({ length: to - from }, (_, i) => ({
      prompt: `What is ${(from + i) * 7919}?`,
      completion: `It is the number ${from + i} of the list.`,
    }))
    writeFileSync(file, lines.map(line => JSON.stringify(line)).join('\n'))
    return file
  }
  const bring = (data: string, validation?: string) => {
    const request = {
      model: 'base',
      data: { type: 'path', path: data },
      ...(validation !== undefined && { validation: { type: 'path', path: validation } }),
    } as TrainingRequest
    const job: Job = {
      id: 'x',
      createdMs: 0,
      status: 'queued',
      request,
      state: { lostSteps: 0, restarts: 0, crashes: 0 },
    }
    return stages.importData(job, home, never)
  }
  return { home, path, bring, held: () => held }
}

test('data that was once used with a validation file still has parts of its own afterwards', async context => {
  const { home, path, bring } = setUp(context)
  const data = path('talk.jsonl', 0, 200)
  const whole = await bring(data, path('check.jsonl', 500, 520))
  assert.deepEqual([whole.training, whole.validation], [200, 20])
  const split = await bring(data)
  assert.ok(split.validation > 0 && split.training < 200)
  assert.ok(openDataset(home, split.dataset.name, split.dataset.version).manifest.counts.test > 0)
  assert.deepEqual((await bring(data)).dataset, split.dataset, 'the same bytes are not read again')
  assert.deepEqual((await bring(data, path('check.jsonl', 500, 520))).dataset, whole.dataset)
})

test('a dataset that the user made of something else gets no version from a job', async context => {
  const { home, path, bring } = setUp(context)
  const input = { name: 'talk', paths: [path('a.jsonl', 0, 40), path('b.jsonl', 40, 80)] }
  await importDataset({ home, now: () => 0 }, input, never)
  const { dataset } = await bring(path('talk.jsonl', 100, 150))
  assert.deepEqual(dataset, { name: 'talk-2', version: 1 })
  assert.deepEqual(versionsOf(home, 'talk'), [1])
  // The file has grown: that is a version of the job's own.
  assert.deepEqual((await bring(path('talk.jsonl', 100, 170))).dataset, { name: 'talk-2', version: 2 })
})

test('the report of a job’s data is by the tokens of its base, which is given back', async context => {
  const { home, path, bring, held } = setUp(context)
  const { dataset } = await bring(path('talk.jsonl', 0, 50))
  const report = readReport(openDataset(home, dataset.name))
  assert.equal(report.tokens.exact, true)
  assert.equal(
    report.findings.find(({ id }) => id === 'perplexity')?.limit,
    'Measured on 50 samples, chosen by content.',
  )
  assert.equal(held(), 0)
})
