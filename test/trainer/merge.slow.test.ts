/** Merging an adapter into its base: the new file alone gives what base and adapter give together. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { readGguf, scalar, tensorChunks } from '../../server/trainer/gguf_read.ts'
import { type MergeTask, mergeAdapter } from '../../server/trainer/merge.ts'
import { engineLogits, largestDifference, meanDivergence } from '../helpers/adapter_logits.ts'
import { type FamilyModel, temporary, writeFamilyModel } from '../helpers/family_models.ts'
import { makeSplitModel, TINY } from '../helpers/gguf_file.ts'
import { type RandomAdapter, writeRandomAdapter } from '../helpers/random_adapter.ts'

const TOKENS = Array.from({ length: 24 }, (_, i) => (i * 37 + 5) % 256)

function prepare(
  t: TestContext,
  model: FamilyModel,
  adapter: RandomAdapter = {},
): { base: string; adapter: string; task(more?: Partial<MergeTask>): MergeTask; output: string } {
  const folder = temporary('merge')
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const [base, file, output] = ['base', 'adapter', 'merged'].map(name => join(folder, `${name}.gguf`)) as [
    string,
    string,
    string,
  ]
  writeFamilyModel(base, model)
  writeRandomAdapter(file, base, { strength: 0.7, ...adapter })
  return {
    base,
    adapter: file,
    output,
    task: (more = {}) => ({ base: [base], adapter: file, output, scale: 1, type: 'same', threads: 1, ...more }),
  }
}

for (const architecture of ['llama', 'phi3', 'gemma3']) {
  test(`${architecture}: a merged F32 model gives the logits of base and adapter`, async t => {
    const { base, adapter, output, task } = prepare(t, { architecture })
    const reported: number[] = []
    const bytes = await mergeAdapter(task({ scale: 0.5 }), fraction => reported.push(fraction))
    assert.equal(statSync(output).size, bytes)
    assert.equal(reported.at(-1), 1)
    const together = engineLogits(base, TOKENS, { path: adapter, scale: 0.5 })
    assert.ok(largestDifference(together, engineLogits(base, TOKENS)) > 0.1)
    const difference = largestDifference(engineLogits(output, TOKENS), together)
    assert.ok(difference < 1e-4, `differs by ${difference}`)
  })
}

test('tensors without an adapter are copied byte for byte, and so is the metadata', async t => {
  const { base, output, task } = prepare(
    t,
    { architecture: 'qwen2', types: ['Q4_K', 'Q6_K', 'Q8_0', 'F16', 'BF16'] },
    { targets: ['attn_q', 'ffn_down'] },
  )
  await mergeAdapter(task())
  const [before, after] = [readGguf(base), readGguf(output)]
  const bytes = (path: string, tensor: Parameters<typeof tensorChunks>[1]) =>
    Buffer.concat([...tensorChunks(path, tensor)])
  for (const tensor of before.tensors) {
    const made = after.tensors.find(({ name }) => name === tensor.name)!
    assert.equal(made.type, tensor.type, tensor.name)
    const changed = /attn_q\.weight|ffn_down\.weight/.test(tensor.name)
    assert.equal(bytes(base, tensor).equals(bytes(output, made)), !changed, tensor.name)
  }
  assert.equal(scalar(after.metadata.get('general.finetune')), 'adapter')
  after.metadata.delete('general.finetune')
  assert.deepEqual(after.metadata, before.metadata)
})

test('quantised merges stay near base and adapter, the finer the nearer', async t => {
  const { base, adapter, output, task } = prepare(
    t,
    { architecture: 'llama', types: ['Q4_K', 'Q6_K'] },
    { strength: 0.4 },
  )
  const together = engineLogits(base, TOKENS, { path: adapter, scale: 1 })
  const divergence = async (type: MergeTask['type']) => {
    await mergeAdapter(task({ type }))
    const logits = engineLogits(output, TOKENS)
    return meanDivergence(together, logits, logits.length / TOKENS.length)
  }
  const [f16, q8, q4] = [await divergence('F16'), await divergence('Q8_0'), await divergence('Q4_K_M')]
  // The base itself is computed with activations of 8 bits.
  assert.ok(f16 < 5e-3, `F16 differs by ${f16} nats`)
  assert.ok(q8 < 0.02, `Q8_0 differs by ${q8} nats`)
  assert.ok(q4 < 0.4, `Q4_K_M differs by ${q4} nats`)
  assert.ok(q8 < q4)
})

test('a mixture gives more bits to the output and to the value and down projections of the last layers', async t => {
  const { output, task } = prepare(t, { architecture: 'llama', types: ['Q8_0', 'Q4_K'] })
  await mergeAdapter(task({ type: 'Q4_K_M' }))
  const { tensors } = readGguf(output)
  const six = tensors.filter(({ type }) => type === 14).map(({ name }) => name)
  assert.deepEqual(six, ['output.weight', 'blk.1.attn_v.weight', 'blk.1.ffn_down.weight'])
  assert.ok(tensors.every(({ type, shape }) => (shape.length === 1 ? type === 0 : type === 12 || type === 14)))
})

test('rows that no block divides get the next finer type', async t => {
  const { output, task } = prepare(t, { architecture: 'llama', types: ['F32'] })
  await mergeAdapter(task({ type: 'Q4_K_M' }))
  const { metadata, tensors } = readGguf(output)
  assert.equal(scalar(metadata.get('general.file_type')), 15)
  const type = (name: string) => tensors.find(tensor => tensor.name === name)!.type
  // Rows of 64 and 96 hold no blocks of 256.
  assert.equal(type('blk.0.attn_q.weight'), 8)
  assert.equal(type('blk.0.attn_norm.weight'), 0)
  assert.equal(type('rope_freqs.weight'), 0)
})

test('a split base becomes one file', async t => {
  const folder = temporary('merge-split')
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const base = makeSplitModel(folder, 'base', 3, { ...TINY })
  const adapter = join(folder, 'adapter.gguf')
  const output = join(folder, 'merged.gguf')
  writeRandomAdapter(adapter, base[0]!, {})
  const without = readGguf(base[0]!)
  await assert.rejects(mergeAdapter({ base: base.slice(1), adapter, output, scale: 1, type: 'same', threads: 1 }), {
    code: 'conflict',
  })
  await mergeAdapter({ base, adapter, output, scale: 1, type: 'same', threads: 1 })
  const { metadata, tensors } = readGguf(output)
  assert.equal(metadata.get('split.count'), undefined)
  assert.ok(tensors.length > without.tensors.length)
  assert.equal(
    largestDifference(engineLogits(output, TOKENS), engineLogits(base[0]!, TOKENS, { path: adapter, scale: 1 })) < 1e-4,
    true,
  )
})

test('what does not fit is refused, and a failed merge leaves the file of before', async t => {
  const { base, adapter, output, task } = prepare(t, { architecture: 'llama' })
  await mergeAdapter(task())
  const before = readFileSync(output)
  await assert.rejects(mergeAdapter(task({ output: base })), { code: 'conflict' })
  writeRandomAdapter(adapter, base, { architecture: 'qwen2' })
  await assert.rejects(mergeAdapter(task()), { code: 'conflict', message: /for qwen2/ })
  const other = join(adapter, '..', 'other.gguf')
  writeFamilyModel(other, { architecture: 'llama', types: ['Q4_K'] })
  writeRandomAdapter(adapter, other)
  await assert.rejects(mergeAdapter(task()), { code: 'conflict', message: /blk\.0\.attn_q\.weight is 64 x 64/ })
  assert.ok(readFileSync(output).equals(before))
  assert.deepEqual(
    readdirSync(join(output, '..')).filter(name => name.endsWith('.part')),
    [],
  )
})
