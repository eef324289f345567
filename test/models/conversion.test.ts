/** The converter as the hub runs it: results, errors with their codes, and nothing left behind by one that is cancelled. */
import assert from 'node:assert/strict'
import { readdirSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { test } from 'node:test'
import { silentLog } from '../../server/lib/log.ts'
import { convert } from '../../server/models/conversion.ts'
import type { ConvertTask } from '../../server/wire/adapter.ts'
import { temporary } from '../helpers/family_models.ts'
import { makeModel, TINY } from '../helpers/gguf_file.ts'
import { writeRandomAdapter } from '../helpers/random_adapter.ts'

const deps = { script: resolve(import.meta.dirname, '../../server/trainer/convert.ts'), log: silentLog }

test('a cancelled merge leaves nothing, one that fails says why, and a whole one gives its size', async t => {
  const folder = temporary('conversion')
  t.after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }))
  const [base, adapter, output] = ['base', 'adapter', 'out'].map(name => join(folder, `${name}.gguf`)) as [
    string,
    string,
    string,
  ]
  makeModel(base, { ...TINY, embedding: 256, feedForward: 1024, layers: 4 })
  writeRandomAdapter(adapter, base)
  const task: ConvertTask = { kind: 'merge', base: [base], adapter, output, scale: 1, type: 'Q8_0', threads: 1 }
  const stop = new AbortController()
  await assert.rejects(
    convert(deps, task, () => stop.abort(), stop.signal),
    { code: 'cancelled' },
  )
  assert.deepEqual(readdirSync(folder).sort(), ['adapter.gguf', 'base.gguf'])
  const never = new AbortController().signal
  await assert.rejects(
    convert(deps, { ...task, output: base }, () => undefined, never),
    { code: 'conflict' },
  )
  const reported: number[] = []
  const { bytes } = await convert(deps, task, fraction => reported.push(fraction), never)
  assert.ok(bytes > 1e6)
  assert.equal(reported.at(-1), 1)
  assert.deepEqual(
    reported,
    [...reported].sort((a, b) => a - b),
  )
})
