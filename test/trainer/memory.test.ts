/** The memory plan against what a model really allocates, and against the sizes that must fit; no weights of those are needed. */
import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { HubError } from '../../server/lib/error.ts'
import { TARGETS } from '../../server/trainer/lora.ts'
import { describePlan, fitMemory, type Plan, planMemory } from '../../server/trainer/memory.ts'
import { openModel } from '../../server/trainer/model.ts'
import type { LoraSettings, OpenOptions } from '../../server/trainer/types.ts'
import { EIGHT_BILLION, FOURTEEN_BILLION, modelHeader } from '../bench/train_shapes.ts'
import { randomRow, temporary, writeFamilyModel } from '../helpers/family_models.ts'
import { openOptions } from '../helpers/trainer.ts'

const folder = temporary('memory')
after(() => rmSync(folder, { recursive: true, force: true }))
const path = join(folder, 'llama.gguf')
writeFamilyModel(path, { architecture: 'llama', types: ['Q4_K', 'Q6_K'] })
const GIB = 2 ** 30

const lora = (changes: Partial<LoraSettings> = {}): OpenOptions['mode'] => ({
  type: 'lora',
  lora: { rank: 16, alpha: 32, rsLora: false, targets: [...TARGETS], dropout: 0, ...changes },
})

/** A row of the longest bucket that is all targets has the largest graph. */
async function allocated(options: OpenOptions): Promise<Omit<Plan, 'totalBytes'>> {
  const model = await openModel(options)
  try {
    const row = randomRow([Math.max(...options.buckets)], 200, 1)
    row.weights.fill(1, 1)
    await model.accumulate(row, 1)
    return model.memory()
  } finally {
    model.free()
  }
}

const CASES: { [name: string]: Partial<OpenOptions> } = {
  'LoRA with layers recomputed': { mode: lora(), buckets: [256] },
  'LoRA that keeps everything': { mode: lora(), buckets: [256], checkpoint: false },
  'LoRA of few projections and rank 3': { mode: lora({ rank: 3, targets: ['attn_q', 'ffn_down'] }), buckets: [128] },
  dropout: { mode: lora({ dropout: 0.1 }), buckets: [128] },
  'several row lengths': { mode: lora(), buckets: [64, 512, 128] },
  'chunks of attention and head': { mode: lora(), buckets: [256], attentionChunk: 64, headRows: 32 },
  'all weights': { mode: { type: 'full', randomStart: false }, buckets: [128] },
}
for (const [name, changes] of Object.entries(CASES)) {
  test(`the plan agrees with what is allocated to 2 %: ${name}`, async () => {
    const options = openOptions(path, changes)
    const plan = planMemory(path, options)
    const real = await allocated(options)
    const total = real.weightsBytes + real.parameterBytes + real.computeBytes
    assert.equal(plan.weightsBytes, real.weightsBytes)
    assert.equal(plan.parameterBytes, real.parameterBytes)
    assert.ok(Math.abs(plan.totalBytes / total - 1) <= 0.02, `planned ${plan.totalBytes}, allocated ${total}`)
    assert.equal(plan.totalBytes, plan.weightsBytes + plan.parameterBytes + plan.computeBytes)
  })
}

for (const family of ['qwen3', 'gemma2', 'gemma3', 'phi3']) {
  test(`the plan of a ${family} agrees with what is allocated`, async () => {
    const path = join(folder, `${family}.gguf`)
    writeFamilyModel(path, { architecture: family })
    const options = openOptions(path, { buckets: [128] })
    const { totalBytes, ...parts } = planMemory(path, options)
    const real = await allocated(options)
    const total = real.weightsBytes + real.parameterBytes + real.computeBytes
    assert.ok(Math.abs(totalBytes / total - 1) <= 0.02, `${JSON.stringify(parts)} against ${JSON.stringify(real)}`)
  })
}

const real = { library: 'cpu', device: 'CPU', mode: lora(), checkpoint: true } as const
const gibibytes = (shape: typeof EIGHT_BILLION, length: number): number =>
  planMemory(modelHeader(shape), { ...real, buckets: [length] }).totalBytes / GIB

for (const [name, shape, length, most] of [
  ['8B', EIGHT_BILLION, 1024, 6.7],
  ['8B', EIGHT_BILLION, 2048, 8],
  ['8B', EIGHT_BILLION, 4096, 11],
  ['14B', FOURTEEN_BILLION, 2048, 15],
] as const) {
  test(`${name} in Q4_K_M with rank 16 on all projections trains rows of ${length} in ${most} GiB`, () => {
    const planned = gibibytes(shape, length)
    assert.ok(planned <= most, `${planned} GiB`)
  })
}

test('a plan takes no memory for what it plans', () => {
  const before = process.memoryUsage.rss()
  planMemory(modelHeader(EIGHT_BILLION), { ...real, buckets: [2048] })
  assert.ok(process.memoryUsage.rss() - before < 256 * 2 ** 20)
})

test('the memory for computing grows with the length of the rows, not with its square', () => {
  const at = (length: number) => planMemory(modelHeader(EIGHT_BILLION), { ...real, buckets: [length] }).computeBytes
  assert.ok(at(8192) / at(4096) < 2.2, `${at(8192)} against ${at(4096)}`)
})

test('what fits is chosen in the order of speed: nothing recomputed, layers recomputed, shorter rows', () => {
  const options = { ...real, checkpoint: false, buckets: [256, 1024, 512] }
  const header = modelHeader({ ...EIGHT_BILLION, layers: 8 })
  const plain = planMemory(header, options).totalBytes
  const recomputed = planMemory(header, { ...options, checkpoint: true }).totalBytes
  const shorter = planMemory(header, { ...options, checkpoint: true, buckets: [512] }).totalBytes
  assert.ok(shorter < recomputed && recomputed < plain)
  const choose = (freeBytes: number) => {
    const { buckets, checkpoint, plan } = fitMemory(header, options, { freeBytes, shortest: 512 })
    assert.ok(plan.totalBytes <= freeBytes)
    return { buckets, checkpoint }
  }
  assert.deepEqual(choose(plain), { buckets: [256, 512, 1024], checkpoint: false })
  assert.deepEqual(choose(plain - 1), { buckets: [256, 512, 1024], checkpoint: true })
  // Short rows may fit without recomputing even where long ones do not with it.
  assert.deepEqual(choose(recomputed - 1).buckets, [256, 512])
})

test('what does not fit is refused with the figures', () => {
  const options = { ...real, buckets: [512, 1024] }
  const header = modelHeader(EIGHT_BILLION)
  const least = planMemory(header, { ...options, buckets: [512] })
  assert.throws(
    () => fitMemory(header, options, { freeBytes: 4 * GIB, shortest: 512 }),
    error =>
      error instanceof HubError &&
      error.code === 'insufficient_memory' &&
      error.message.includes(describePlan(least)) &&
      error.message.includes('4096 MiB are free'),
  )
})

test('a sample that is longer than the rows that fit refuses the run, rather than losing the sample', () => {
  const options = { ...real, buckets: [512, 1024] }
  const header = modelHeader(EIGHT_BILLION)
  const short = planMemory(header, { ...options, buckets: [512] }).totalBytes
  assert.deepEqual(fitMemory(header, options, { freeBytes: short, shortest: 400 }).buckets, [512])
  assert.throws(() => fitMemory(header, options, { freeBytes: short, shortest: 600 }), /MiB are free/)
})
