/** A kill at any moment of an import leaves whole versions only, and the next import removes what was left. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { datasetsFolder, importDataset, openDataset, readPart, versionsOf } from '../../server/training/datasets.ts'
import { PARTS } from '../../server/wire/dataset.ts'

const CHILD = resolve(import.meta.dirname, '..', 'helpers', 'import_dataset.ts')
const KILLS = 12

/** Numbers in [0, 1), the same ones every time. */
function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

test('kill -9 at any moment of an import', { timeout: 120_000 }, async context => {
  const home = mkdtempSync(join(tmpdir(), 'ai-hub-kill-'))
  context.after(() => rmSync(home, { recursive: true, force: true, maxRetries: 5 }))
  const path = join(home, 'a.jsonl')
  const lines = Array.from({ length: 150 }, (_, index) =>
    JSON.stringify({ prompt: `q ${index * 7919}`, completion: `a ${index * 31} b` }),
  )
  writeFileSync(path, lines.join('\n'))
  const random = seeded(20)
  const folder = datasetsFolder(home)
  let acknowledged = 0
  let halves = 0
  for (let round = 0; round < KILLS; round++) {
    const child = spawn(process.execPath, [CHILD, home, 'one', path], { stdio: ['ignore', 'pipe', 'inherit'] })
    // After none to two whole imports, so many turns of the event loop are waited through: that ends somewhere in the next.
    const whole = Math.floor(random() * 3)
    const turns = Math.floor(random() * 3000)
    let done = -1
    for await (const line of createInterface({ input: child.stdout })) {
      acknowledged = Math.max(acknowledged, Number(line) || 0)
      if (++done === whole) break
    }
    for (let turn = 0; turn < turns; turn++) await new Promise(resolve => setImmediate(resolve))
    const closed = once(child, 'close')
    child.kill('SIGKILL')
    await closed
    if (existsSync(folder) && readdirSync(folder).some(name => name.startsWith('.'))) halves++
    const versions = versionsOf(home, 'one')
    assert.ok(versions.length >= acknowledged, 'a version that was told of is there')
    assert.deepEqual(
      versions,
      Array.from({ length: versions.length }, (_, index) => index + 1),
    )
    for (const version of versions.slice(-2)) {
      const dataset = openDataset(home, 'one', version)
      let count = 0
      for (const part of PARTS) for await (const _ of readPart(dataset, part)) count++
      const { train, validation, test: held } = dataset.manifest.counts
      assert.equal(count, train + validation + held)
    }
  }
  context.diagnostic(`${halves} of ${KILLS} kills hit an import, ${versionsOf(home, 'one').length} versions`)
  assert.ok(halves > 0, 'no kill hit an import')
  await importDataset({ home, now: () => 0 }, { name: 'one', paths: [path] }, new AbortController().signal)
  assert.deepEqual(readdirSync(folder), ['one'])
})
