/** Which base models can be trained, and the words with which the others are refused. */
import assert from 'node:assert/strict'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { FAMILIES } from '../../server/trainer/families/all.ts'
import { alternating, readNumbers, ropeParameters } from '../../server/trainer/families/family.ts'
import { gemma3 } from '../../server/trainer/families/gemma3.ts'
import { readGguf, tensorChunks } from '../../server/trainer/gguf_read.ts'
import { f32Value, stringValue, u32Value, writeGguf } from '../../server/trainer/gguf_write.ts'
import { planMemory } from '../../server/trainer/memory.ts'
import { openModel } from '../../server/trainer/model.ts'
import type { LoraSettings } from '../../server/trainer/types.ts'
import { randomRow, temporary, writeFamilyModel } from '../helpers/family_models.ts'
import { openOptions } from '../helpers/trainer.ts'

const folder = temporary('families')
after(() => rmSync(folder, { recursive: true, force: true }))
const good = join(folder, 'good.gguf')
writeFamilyModel(good, { architecture: 'llama' })

/** The good model with some metadata and tensors changed. */
function spoil(
  name: string,
  change: {
    metadata?: [string, Uint8Array][]
    without?: string
    shape?: { [tensor: string]: number[] }
    rename?: string
  },
): string {
  const file = readGguf(good)
  const path = join(folder, `${name}.gguf`)
  const metadata = new Map([...file.metadata, ...(change.metadata ?? [])])
  const tensors = file.tensors
    .filter(tensor => tensor.name !== change.without)
    .map(tensor => ({
      ...tensor,
      name: tensor.name === 'blk.1.ffn_norm.weight' ? (change.rename ?? tensor.name) : tensor.name,
      shape: change.shape?.[tensor.name] ?? tensor.shape,
      data: () => tensorChunks(good, tensor),
    }))
  writeGguf(path, metadata, tensors)
  return path
}

const refused: { [what: string]: { path: () => string; words: RegExp } } = {
  'an unknown architecture': {
    path: () => spoil('unknown', { metadata: [['general.architecture', stringValue('falcon')]] }),
    words: /architecture falcon cannot be trained; these can: llama, mistral, .*phi3/,
  },
  'a mixture of experts': {
    path: () => spoil('experts', { metadata: [['llama.expert_count', u32Value(8)]] }),
    words: /mixture of experts/,
  },
  'a missing tensor': {
    path: () => spoil('missing', { without: 'blk.1.attn_k.weight' }),
    words: /no tensor blk\.1\.attn_k\.weight/,
  },
  'a tensor of another shape': {
    path: () => spoil('shape', { shape: { 'blk.0.attn_k.weight': [32, 64] } }),
    words: /blk\.0\.attn_k\.weight is 32 x 64 x 1 x 1 instead of 64 x 32/,
  },
  'a tensor that the family does not use': {
    path: () => spoil('odd', { rename: 'blk.1.attn_sinks.weight' }),
    words: /attn_sinks\.weight is not known/,
  },
  'a file that is no GGUF': {
    path: () => {
      const path = join(folder, 'text.gguf')
      writeFileSync(path, 'this is a text')
      return path
    },
    words: /text\.gguf is not a GGUF file/,
  },
  'a truncated file': {
    path: () => {
      const path = join(folder, 'short.gguf')
      writeFileSync(path, readFileSync(good).subarray(0, -5000))
      return path
    },
    words: /truncated/,
  },
}
for (const [what, { path, words }] of Object.entries(refused)) {
  test(`${what} is refused`, async () => {
    await assert.rejects(openModel(openOptions(path())), words)
  })
}

// A number that the library would not take ends the process there, in the plan already.
const sizes: [what: string, key: string, value: number, words: RegExp][] = [
  ['no width', 'embedding_length', 0, /embedding_length is 0 and must be a whole number from 1/],
  ['no heads', 'attention.head_count', 0, /head_count is 0/],
  ['heads that share no number of K and V heads', 'attention.head_count_kv', 3, /a multiple of its 3 heads of K and V/],
  ['no heads of K and V', 'attention.head_count_kv', 0, /head_count_kv is 0/],
  ['heads of half a number', 'attention.key_length', 2.5, /key_length is 2\.5/],
  ['rotation beyond the head', 'rope.dimension_count', 1024, /dimension_count is 1024 and must be even, and at most/],
  ['rotation of an odd number', 'rope.dimension_count', 3, /dimension_count is 3 and must be even/],
  ['no layers', 'block_count', 0, /block_count is 0/],
  ['four billion layers', 'block_count', 2 ** 32 - 1, /block_count is 4294967295 and must be a whole number from 1 to/],
  ['no context', 'context_length', 0, /context_length is 0/],
  ['no rope base', 'rope.freq_base', Number.NaN, /freq_base is NaN and must be above 0/],
  ['a window below nothing', 'attention.sliding_window', -4, /sliding_window is -4/],
]
for (const [what, key, value, words] of sizes) {
  test(`a base with ${what} is refused by the plan and by the model`, async () => {
    const name = `llama.${key}`
    const path = spoil(key, {
      metadata: [[name, Number.isInteger(value) && value >= 0 ? u32Value(value) : f32Value(value)]],
    })
    assert.throws(() => planMemory(path, openOptions(path)), words)
    await assert.rejects(openModel(openOptions(path)), words)
  })
}

test('a base whose tensors do not fit its numbers is refused by the plan, which does not end the process', () => {
  for (const what of ['a missing tensor', 'a tensor of another shape', 'a tensor that the family does not use']) {
    const { path, words } = refused[what]!
    const base = path()
    assert.throws(() => planMemory(base, openOptions(base)), words)
  }
})

test('settings that make no adapter are refused', async () => {
  const lora = { rank: 4, alpha: 8, rsLora: false, targets: ['attn_q'], dropout: 0 }
  const tries: [LoraSettings, RegExp][] = [
    [{ ...lora, rank: 0 }, /rank/],
    [{ ...lora, targets: ['attn_x'] }, /attn_x is no target/],
    [{ ...lora, targets: [] }, /no target was given/],
    [{ ...lora, dropout: 1 }, /dropout/],
  ]
  for (const [settings, words] of tries)
    await assert.rejects(openModel(openOptions(good, { mode: { type: 'lora', lora: settings } })), words)
  await assert.rejects(openModel(openOptions(good, { device: 'CUDA9' })), /no device CUDA9/)
})

test('of projections that a family keeps in one tensor, part cannot be chosen', () => {
  const path = join(folder, 'phi3.gguf')
  writeFamilyModel(path, { architecture: 'phi3' })
  const plan = (...targets: string[]) =>
    planMemory(
      path,
      openOptions(path, { mode: { type: 'lora', lora: { rank: 4, alpha: 8, rsLora: false, targets, dropout: 0 } } }),
    )
  assert.throws(
    () => plan('attn_q', 'attn_v'),
    /attn_q, attn_k, attn_v in one tensor.*all of them or none, not just attn_q, attn_v/,
  )
  assert.throws(() => plan('ffn_up'), /ffn_gate, ffn_up in one tensor \(blk\.0\.ffn_up\.weight\).*not just ffn_up/)
  plan('attn_q', 'attn_k', 'attn_v')
  plan('ffn_gate', 'ffn_up', 'attn_output')
})

test('rows that do not fit are refused', async () => {
  const model = await openModel(openOptions(good, { buckets: [16] }))
  try {
    const row = randomRow([10], model.vocabularySize, 1)
    await assert.rejects(model.accumulate(randomRow([17], 200, 1), 1), /17 tokens is longer than 16/)
    row.tokens[3] = model.vocabularySize
    await assert.rejects(model.evaluate(row), /token 3 of a row is/)
    row.tokens[3] = 1
    row.positions[9] = 512
    await assert.rejects(model.evaluate(row), /position 512, but the base model's context is 512/)
  } finally {
    model.free()
  }
})

test('Gemma 3 attends to everything in each sixth layer, with its other rope base', () => {
  const numbers = readNumbers(
    {
      'general.architecture': 'gemma3',
      'gemma3.block_count': 12,
      'gemma3.embedding_length': 64,
      'gemma3.feed_forward_length': 96,
      'gemma3.attention.head_count': 4,
      'gemma3.context_length': 512,
      'gemma3.attention.layer_norm_rms_epsilon': 1e-6,
      'gemma3.attention.sliding_window': 128,
      'gemma3.rope.freq_base': 1e6,
      'gemma3.rope.scaling.factor': 8,
    },
    100,
  )
  const windows = Array.from({ length: 12 }, (_, layer) => gemma3.window!(numbers, layer))
  assert.deepEqual(windows, [128, 128, 128, 128, 128, 0, 128, 128, 128, 128, 128, 0])
  assert.deepEqual(ropeParameters(gemma3, numbers, true).slice(3, 5), [10000, 1])
  assert.deepEqual(ropeParameters(gemma3, numbers, false).slice(3, 5), [1e6, 1 / 8])
  assert.equal(alternating(2)({ ...numbers, windowLayers: [false, true] }, 1), 128)
})

test('each family has its own name', () => {
  const names = FAMILIES.map(family => family.architecture)
  assert.equal(new Set(names).size, names.length)
})
