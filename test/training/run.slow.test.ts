/** One run of the trainer program: how it ends, and what is said of each end. */
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, test } from 'node:test'
import { silentLog } from '../../server/lib/log.ts'
import { type Run, startRun } from '../../server/training/run.ts'
import type { FromTrainer } from '../../server/wire/trainer.ts'
import type { Script } from '../helpers/scripted_trainer.ts'

const SCRIPT = resolve(import.meta.dirname, '../helpers/scripted_trainer.ts')
const folder = mkdtempSync(join(tmpdir(), 'hub-run-'))
after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }))

type Started = { run: Run; messages: FromTrainer[]; at(step: number): Promise<void>; path(name: string): string }

function begin(name: string, script: Script, hungMs?: number): Started {
  const path = (ending: string) => join(folder, `${name}.${ending}`)
  writeFileSync(path('tokens'), JSON.stringify(script))
  const messages: FromTrainer[] = []
  const waiting = new Map<number, () => void>()
  const run = startRun(
    { script: SCRIPT, log: silentLog, ...(hungMs !== undefined && { hungMs, pingMs: 20 }) },
    {
      base: 'base',
      tokens: path('tokens'),
      output: path('gguf'),
      checkpoint: path('checkpoint'),
      checkpointEverySteps: 3,
    },
    message => {
      messages.push(message)
      if (message.type === 'progress') waiting.get(message.step)?.()
    },
  )
  return { run, messages, path, at: step => new Promise(found => waiting.set(step, found)) }
}

test('a run that is done says so once its process is gone', async () => {
  const { run, path } = begin('done', { steps: 4 })
  const end = await run.ended
  assert.equal(end.type === 'finished' && end.result.steps, 4)
  assert.throws(() => process.kill(run.pid!, 0), { code: 'ESRCH' })
  assert.ok(existsSync(path('gguf')) && !existsSync(path('checkpoint')))
})

test('stopped, it leaves a checkpoint; a run that has not begun is ended at once', async () => {
  const held = begin('held', { steps: 9, holdAt: 5 })
  await held.at(5)
  assert.deepEqual(await held.run.stop(), { type: 'stopped' })
  assert.deepEqual(JSON.parse(readFileSync(held.path('checkpoint'), 'utf8')), { step: 5 })
  const early = begin('early', { steps: 9 })
  assert.deepEqual(await early.run.stop(), { type: 'stopped' })
  assert.equal(existsSync(early.path('gguf')), false)
})

test('a trainer that hangs is ended and counts as crashed', async () => {
  const { run } = begin('hangs', { steps: 9, hangAt: 4 }, 500)
  const end = await run.ended
  assert.equal(end.type, 'crashed')
  assert.match(end.type === 'crashed' ? end.error.message : '', /was ended: it did not answer/)
})

test('one that hangs when it should stop is ended as well', async () => {
  const { run, at } = begin('stubborn', { steps: 9, hangAt: 4 })
  await at(4)
  assert.deepEqual(await run.stop(1), { type: 'stopped' })
})

test('what it says of a failure is passed on', async () => {
  const { run } = begin('fails', { steps: 9, failAt: 2 })
  const end = await run.ended
  assert.equal(end.type === 'failed' && end.error.code, 'insufficient_storage')
})
