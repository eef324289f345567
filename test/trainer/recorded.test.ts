/** Losses and gradient norms of three steps of every family, as recorded: a change that shifts the numbers shows here. Record again with RECORD=1. */
import assert from 'node:assert/strict'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { FAMILIES } from '../../server/trainer/families/all.ts'
import { openModel } from '../../server/trainer/model.ts'
import type { OpenOptions } from '../../server/trainer/types.ts'
import { type FamilyModel, randomRow, temporary, writeFamilyModel } from '../helpers/family_models.ts'
import { ADAMW, openOptions } from '../helpers/trainer.ts'

type Recorded = { [run: string]: { losses: number[]; gradientNorms: number[] } }

const FIXTURE = join(import.meta.dirname, '../fixtures/trainer_recorded.json')
const folder = temporary('recorded')
after(() => rmSync(folder, { recursive: true, force: true }))

const runs: { [run: string]: FamilyModel & { full?: boolean } } = {
  ...Object.fromEntries(FAMILIES.map(({ architecture }) => [architecture, { architecture }])),
  'llama Q4_K and Q6_K': { architecture: 'llama', types: ['Q4_K', 'Q6_K'] },
  'qwen2 Q8_0': { architecture: 'qwen2', types: ['Q8_0'] },
  'qwen3 in full': { architecture: 'qwen3', full: true },
  'gemma2 in full': { architecture: 'gemma2', full: true },
}

async function train(name: string): Promise<Recorded[string]> {
  const { full = false, ...model } = runs[name]!
  const path = join(folder, `${name}.gguf`)
  writeFamilyModel(path, model)
  const changes: Partial<OpenOptions> = full ? { mode: { type: 'full', randomStart: true } } : {}
  const opened = await openModel(openOptions(path, { buckets: [64], seed: 11, ...changes }))
  try {
    const losses: number[] = []
    const gradientNorms: number[] = []
    for (let step = 0; step < 3; step++) {
      const row = randomRow([21, 30], 200, step)
      const weight = row.weights.reduce((sum, each) => sum + each, 0)
      losses.push(await opened.accumulate(row, 1 / weight))
      gradientNorms.push((await opened.step(full ? 1e-3 : 1e-2, ADAMW)).gradientNorm)
    }
    return { losses, gradientNorms }
  } finally {
    opened.free()
  }
}

if (process.env.RECORD === '1') {
  const recorded: Recorded = {}
  for (const name of Object.keys(runs)) recorded[name] = await train(name)
  writeFileSync(FIXTURE, `${JSON.stringify(recorded, null, 2)}\n`)
}
const recorded = JSON.parse(readFileSync(FIXTURE, 'utf8')) as Recorded

test('every run is recorded', () => assert.deepEqual(Object.keys(recorded), Object.keys(runs)))

for (const name of Object.keys(runs)) {
  test(`${name}: losses and gradient norms are the recorded ones`, async () => {
    const now = await train(name)
    // Kernels of other CPUs add in another order; with quantised activations that shows more.
    const tolerance = runs[name]!.types === undefined ? 2e-4 : 5e-3
    for (const kind of ['losses', 'gradientNorms'] as const) {
      now[kind].forEach((value, i) => {
        const expected = recorded[name]![kind][i]!
        assert.ok(
          Math.abs(value - expected) <= tolerance * Math.abs(expected),
          `${kind} ${i}: ${value}, not ${expected}`,
        )
      })
    }
  })
}
