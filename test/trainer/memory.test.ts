/** The memory plan against what a model really allocates, and against the sizes that must fit; no weights of those are needed. */
import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { HubError } from '../../server/lib/error.ts'
import { type Ggml, loadGgml } from '../../server/native/ggml.ts'
import type { Pointer } from '../../server/native/structs.ts'
import { readGguf } from '../../server/trainer/gguf_read.ts'
import { writeGguf } from '../../server/trainer/gguf_write.ts'
import { describePlan, fitMemory, planMemory } from '../../server/trainer/memory.ts'
import { openModel } from '../../server/trainer/model.ts'
import type { LoraSettings, OpenOptions } from '../../server/trainer/types.ts'
import { LoraTarget } from '../../server/wire/trainer.ts'
import { EIGHT_BILLION, FOURTEEN_BILLION, modelHeader } from '../bench/train_shapes.ts'
import { randomRow, temporary, writeFamilyModel } from '../helpers/family_models.ts'
import { ADAMW, openOptions } from '../helpers/trainer.ts'

const folder = temporary('memory')
after(() => rmSync(folder, { recursive: true, force: true }))
const path = join(folder, 'llama.gguf')
writeFamilyModel(path, { architecture: 'llama', types: ['Q4_K', 'Q6_K'] })
const GIB = 2 ** 30

const lora = (changes: Partial<LoraSettings> = {}): OpenOptions['mode'] => ({
  type: 'lora',
  lora: { rank: 16, alpha: 32, rsLora: false, targets: LoraTarget.options, dropout: 0, ...changes },
})

/** Counts what the library takes for device buffers, while `work` runs: the most at any moment. */
async function mostBytes(work: () => Promise<void>): Promise<number> {
  const ggml = loadGgml('cpu')
  const { backend_alloc_ctx_tensors, backend_buffer_free, gallocr_alloc_graph, gallocr_free, compute } = ggml
  const bytes = new Map<Pointer, number>()
  let most = 0
  const count = (owner: Pointer, size: number | bigint): void => {
    bytes.set(owner, Number(size))
    most = Math.max(
      most,
      [...bytes.values()].reduce((sum, each) => sum + each, 0),
    )
  }
  Object.assign(ggml, {
    // Only where things lie matters here, not their values.
    compute: async () => undefined,
    backend_alloc_ctx_tensors(context, backend) {
      const buffer = backend_alloc_ctx_tensors(context, backend)
      if (buffer !== null) count(buffer, ggml.backend_buffer_get_size(buffer))
      return buffer
    },
    backend_buffer_free(buffer) {
      bytes.delete(buffer)
      backend_buffer_free(buffer)
    },
    gallocr_alloc_graph(allocator, graph) {
      const enough = gallocr_alloc_graph(allocator, graph)
      count(allocator, ggml.gallocr_get_buffer_size(allocator, 0))
      return enough
    },
    gallocr_free(allocator) {
      bytes.delete(allocator)
      gallocr_free(allocator)
    },
  } satisfies Partial<Ggml>)
  try {
    await work()
  } finally {
    Object.assign(ggml, { backend_alloc_ctx_tensors, backend_buffer_free, gallocr_alloc_graph, gallocr_free, compute })
  }
  assert.equal(bytes.size, 0, 'a buffer was left behind')
  return most
}

/** Everything that a run may do: rows of each length with few, some and all tokens as targets, validation, preferences, parity and a step. */
async function everything(options: OpenOptions): Promise<number> {
  return mostBytes(async () => {
    const model = await openModel(options)
    try {
      await model.logits(randomRow([Math.min(48, ...options.buckets)], 200, 1))
      for (const length of options.buckets) {
        for (const share of [0.25, 0.5, 1]) {
          const row = randomRow([length], 200, 1)
          row.weights = row.weights.map((_, i) => (i > 0 && i <= length * share ? 1 : 0))
          await model.evaluate(row)
          await model.accumulate(row, 1)
          if (options.mode.type === 'lora')
            await model.accumulatePreference({ chosen: row, rejected: row }, { beta: 0.1, lossScale: 1 })
        }
      }
      // Rows of ever other layouts, each with a graph of its own.
      const longest = Math.max(...options.buckets)
      for (const length of [8, 12, 16, 24, 31, 48].filter(each => each <= longest)) {
        const row = randomRow(new Array<number>(Math.floor(longest / length)).fill(length), 200, 1)
        row.weights.fill(1, 1)
        await model.accumulate(row, 1)
        await model.evaluate(row)
      }
      await model.step(1e-3, ADAMW)
    } finally {
      model.free()
    }
  })
}

async function agrees(path: string, changes: Partial<OpenOptions>): Promise<void> {
  const options = openOptions(path, { logitsTokens: 48, ...changes })
  const plan = planMemory(path, options)
  const real = await everything(options)
  assert.ok(Math.abs(plan.totalBytes / real - 1) <= 0.02, `planned ${plan.totalBytes}, taken ${real}`)
  assert.equal(plan.totalBytes, plan.weightsBytes + plan.parameterBytes + plan.computeBytes)
}

const full: OpenOptions['mode'] = { type: 'full', randomStart: true }
const CASES: { [name: string]: Partial<OpenOptions> } = {
  'LoRA with layers recomputed': { mode: lora(), buckets: [256] },
  'LoRA that keeps everything': { mode: lora(), buckets: [256], checkpoint: false },
  'LoRA of few projections and rank 3': { mode: lora({ rank: 3, targets: ['attn_q', 'ffn_down'] }), buckets: [128] },
  dropout: { mode: lora({ dropout: 0.1 }), buckets: [128] },
  'dropout and several row lengths': { mode: lora({ dropout: 0.1 }), buckets: [64, 512, 128] },
  'several row lengths': { mode: lora(), buckets: [64, 512, 128] },
  'many row lengths close by': { mode: lora(), buckets: [96, 104, 112, 120, 128] },
  'rows of one chunk': { mode: lora(), buckets: [16, 32] },
  'chunks of attention and head': { mode: lora(), buckets: [256], attentionChunk: 64, headRows: 32 },
  'more logits than a row trains on': { mode: lora({ rank: 1 }), buckets: [48], headRows: 4 },
  'all weights': { mode: full, buckets: [128] },
  'all weights and several row lengths': { mode: full, buckets: [64, 256] },
}
for (const [name, changes] of Object.entries(CASES)) {
  test(`the plan agrees with what is taken to 2 %: ${name}`, () => agrees(path, changes))
}

for (const family of ['mistral3', 'qwen2', 'qwen3', 'gemma2', 'gemma3', 'phi3']) {
  test(`the plan of a ${family} agrees with what is taken`, async () => {
    const path = join(folder, `${family}.gguf`)
    writeFamilyModel(path, { architecture: family })
    await agrees(path, { buckets: [64, 128] })
    await agrees(path, { buckets: [64, 128], mode: full })
  })
}

test('a bare skeleton, metadata and vocabulary without tensors, is planned and trained from a random start', async () => {
  const skeleton = join(folder, 'skeleton.gguf')
  writeGguf(skeleton, readGguf(join(folder, 'llama.gguf')).metadata, [])
  const options = openOptions(skeleton, { mode: { type: 'full', randomStart: true }, buckets: [128] })
  await agrees(skeleton, { mode: full, buckets: [128] })
  for (const mode of [lora(), { type: 'full', randomStart: false } as const]) {
    assert.throws(
      () => planMemory(skeleton, { ...options, mode }),
      /has no tensor token_embd\.weight; it is incomplete/,
    )
    await assert.rejects(openModel({ ...options, mode }), /has no tensor token_embd\.weight; it is incomplete/)
  }
})

test('a skeleton without a vocabulary is refused', () => {
  const bare = join(folder, 'bare.gguf')
  const metadata = [...readGguf(path).metadata].filter(([key]) => !key.startsWith('tokenizer.'))
  writeGguf(bare, metadata, [])
  const options = openOptions(bare, { mode: { type: 'full', randomStart: true } })
  assert.throws(() => planMemory(bare, options), /no token_embd\.weight and no vocabulary/)
})

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
