/** Trials of a search in the real trainer: rates that learn beat rates that do not, and nothing is left behind. */
import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, test } from 'node:test'
import { silentLog } from '../../server/lib/log.ts'
import { TokenFileWriter } from '../../server/lib/token_file.ts'
import { search } from '../../server/training/search.ts'
import { trainerTrial } from '../../server/training/trial.ts'
import { makeModel, TINY } from '../helpers/gguf_file.ts'

const folder = mkdtempSync(join(tmpdir(), 'ai-hub-trial-'))
after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }))
const never = new AbortController().signal
const deps = { script: resolve(import.meta.dirname, '../../server/trainer/main.ts'), log: silentLog }
const job = {
  base: join(folder, 'tiny.gguf'),
  tokens: join(folder, 'data.tokens'),
  output: join(folder, 'unused.gguf'),
  validationShare: 0.25,
  rowTokens: 32,
  rowsPerStep: 2,
  threads: 1,
}

test('a search over the real trainer finds the rate that learns', async () => {
  makeModel(job.base, { ...TINY, embedding: 32, feedForward: 64 })
  const writer = await TokenFileWriter.create(job.tokens, { kind: 'samples', vocabularySize: 284 })
  for (let index = 0; index < 24; index++) {
    await writer.append([5 + (index % 3), 20, 21, 22, 23, 24], [0, 1, 1, 1, 1, 1])
  }
  await writer.close()
  const trials = join(folder, 'trials')
  const { best, trials: done } = await search(
    trainerTrial(deps, job, trials),
    {
      candidates: [
        { learning_rate: 1e-7, rank: 4 },
        { learning_rate: 1e-2, rank: 4 },
      ],
      firstSteps: 4,
      factor: 2,
    },
    never,
  )
  assert.deepEqual(best, { learning_rate: 1e-2, rank: 4 })
  assert.ok(done[0]!.validationLoss! < done[1]!.validationLoss! - 0.2)
  assert.deepEqual(
    done.map(({ rounds }) => rounds.map(({ steps }) => steps)),
    [[4, 8], [4]],
  )
  assert.deepEqual(readdirSync(trials), [])
})

test('a trial that cannot run says why, and one that is cancelled ends', async () => {
  const settings = { learning_rate: 1e-3, rank: 4 }
  const trial = trainerTrial(deps, { ...job, base: join(folder, 'none.gguf') }, join(folder, 'trials'))
  await assert.rejects(trial(settings, 2, never), { message: /none\.gguf/ })
  const control = new AbortController()
  const running = trainerTrial(deps, job, join(folder, 'trials'))(settings, 100_000, control.signal)
  control.abort()
  await assert.rejects(running, { code: 'cancelled' })
  assert.throws(() => trainerTrial(deps, { ...job, validationShare: 0 }, folder), { param: 'validation' })
})
