/** Large files are read in pieces: the memory of a process that reads 200 MiB stays where it was. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { resolve } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import * as z from 'zod'

const CHILD = resolve(import.meta.dirname, '..', 'helpers', 'read_large.ts')
const Result = z.object({ samples: z.number(), problems: z.number(), before: z.number(), peak: z.number() })
const MOST_BYTES = 150 * 2 ** 20

for (const container of ['jsonl', 'json', 'csv']) {
  test(`200 MiB of ${container}`, { timeout: 120_000 }, async context => {
    const { stdout } = await promisify(execFile)(process.execPath, [CHILD, container, '200'])
    const { samples, problems, before, peak } = Result.parse(JSON.parse(stdout))
    context.diagnostic(`${samples} samples, ${Math.round((peak - before) / 2 ** 20)} MiB more at the peak`)
    assert.equal(problems, 0)
    assert.ok(samples > 80_000)
    assert.ok(peak - before < MOST_BYTES)
  })
}
