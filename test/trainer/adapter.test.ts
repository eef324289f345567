/** Adapter and model files: what is written is read back, and an adapter of another base, rank or alpha is refused. */
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import * as fc from 'fast-check'
import { HubError } from '../../server/lib/error.ts'
import {
  checkAdapter,
  readAdapter,
  type Trained,
  writeAdapter,
  writeModel,
  writtenAlpha,
} from '../../server/trainer/adapter.ts'
import { readGguf, scalar, tensorChunks } from '../../server/trainer/gguf_read.ts'
import { fromHalf, toHalf } from '../../server/trainer/gguf_write.ts'
import { makeModel, modelParts, type Tensor, TINY, writeGguf } from '../helpers/gguf_file.ts'

const folder = mkdtempSync(join(tmpdir(), 'trainer-adapter-'))
after(() => rmSync(folder, { recursive: true, force: true }))
const path = join(folder, 'adapter.gguf')

const tensors = new Map([
  [
    'blk.0.attn_q.weight.lora_a',
    { shape: [4, 2] as [number, number], values: Float32Array.of(1, -2, 3, 4, 0.5, 6, 7, 8) },
  ],
  ['blk.0.attn_q.weight.lora_b', { shape: [2, 3] as [number, number], values: Float32Array.of(1, 2, 3, 4, 5, -0.25) }],
])
const trained: Trained = {
  names: [...tensors.keys()],
  shape: name => tensors.get(name)!.shape,
  get: name => tensors.get(name)!.values,
}
const facts = { architecture: 'llama', alpha: 32, basePath: '/models/base.gguf', baseSha256: 'ab'.repeat(32) }
const refused = (message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof HubError, String(error))
  assert.match(error.message, message)
  return true
}

test('an adapter is read back as it was written, in F32 and in F16', () => {
  for (const type of ['F32', 'F16'] as const) {
    writeAdapter(path, trained, { ...facts, type })
    const adapter = readAdapter(path)
    assert.deepEqual(adapter, {
      name: 'adapter.gguf',
      architecture: 'llama',
      alpha: 32,
      baseSha256: facts.baseSha256,
      tensors,
    })
    checkAdapter(adapter, trained, facts)
  }
})

test('rank-stabilised scaling is written as the alpha that gives it', () => {
  assert.equal(writtenAlpha({ alpha: 32, rank: 16, rsLora: false }), 32)
  // alpha / sqrt(16) = written / 16
  assert.equal(writtenAlpha({ alpha: 32, rank: 16, rsLora: true }), 128)
})

test('an adapter that does not fit is refused with the reason', () => {
  writeAdapter(path, trained, { ...facts, type: 'F32' })
  const adapter = readAdapter(path)
  const check =
    (changed: Partial<typeof facts>, others: Partial<Trained> = {}) =>
    () =>
      checkAdapter(adapter, { ...trained, ...others }, { ...facts, ...changed })
  assert.throws(check({ baseSha256: 'cd'.repeat(32) }), refused(/trained on another base file \(sha256 abababababab/))
  assert.throws(check({ architecture: 'qwen2' }), refused(/it is for llama, and the base is qwen2/))
  assert.throws(check({ alpha: 16 }), refused(/alpha is 32 and the job's is 16/))
  assert.throws(check({}, { shape: () => [8, 2] }), refused(/is 4 x 2 and should be 8 x 2; set the rank/))
  assert.throws(
    check({}, { names: trained.names.slice(1) }),
    refused(/has blk.0.attn_q.weight.lora_a, which the job does not/),
  )
  assert.throws(check({}, { names: [...trained.names, 'blk.1'] }), refused(/has no blk.1/))
  // An adapter of another program says nothing of its base: the shapes decide.
  checkAdapter({ ...adapter, baseSha256: undefined }, trained, { ...facts, baseSha256: 'cd'.repeat(32) })
  const spoiled = new Map(tensors).set('blk.0.attn_q.weight.lora_b', {
    shape: [2, 3],
    values: new Float32Array(6).fill(Number.NaN),
  })
  assert.throws(() => checkAdapter({ ...adapter, tensors: spoiled }, trained, facts), refused(/not finite/))
})

test('a model is no adapter', () => {
  const base = join(folder, 'base.gguf')
  makeModel(base, TINY)
  assert.throws(() => readAdapter(base), refused(/is not a LoRA adapter/))
})

test('a whole model keeps the metadata and the untrained tensors of its base', () => {
  const base = join(folder, 'base.gguf')
  makeModel(base, { ...TINY, chatTemplate: 'x' })
  const before = readGguf(base)
  const name = 'blk.1.ffn_up.weight'
  const norm = 'output_norm.weight'
  const values = new Map([
    [name, new Float32Array(64 * 128).fill(0.25)],
    [norm, new Float32Array(64).fill(2)],
  ])
  const changed: Trained = {
    names: [...values.keys()],
    shape: one => (one === norm ? [64, 1] : [64, 128]),
    get: one => values.get(one)!,
  }
  const full = join(folder, 'full.gguf')
  writeModel(full, changed, { basePath: base, type: 'F16' })
  const written = readGguf(full)
  for (const [key, value] of before.metadata) {
    if (key !== 'general.file_type') assert.deepEqual(written.metadata.get(key), value, key)
  }
  assert.equal(scalar(written.metadata.get('general.file_type')), 1)
  const bytes = (gguf: typeof before, one: string) =>
    Buffer.concat([...tensorChunks(gguf.path, gguf.tensors.find(tensor => tensor.name === one)!)])
  for (const tensor of before.tensors) {
    const now = written.tensors.find(other => other.name === tensor.name)!
    assert.deepEqual(now.shape, tensor.shape)
    if (!values.has(tensor.name)) assert.deepEqual(bytes(written, tensor.name), bytes(before, tensor.name))
  }
  assert.deepEqual(new Set(new Uint16Array(Uint8Array.from(bytes(written, name)).buffer)), new Set([toHalf(0.25)]))
  // A vector stays F32.
  assert.equal(bytes(written, norm).readFloatLE(0), 2)
  assert.equal(bytes(written, norm).length, 256)
})

test('halves are rounded to the nearest, ties to even', () => {
  const cases = [
    [0, 0],
    [1, 0x3c00],
    [-2, 0xc000],
    [65504, 0x7bff],
    [65520, 0x7c00],
    [1 + 2 ** -11, 0x3c00],
    [1 + 3 * 2 ** -11, 0x3c02],
    [2 ** -24, 1],
    [2 ** -25, 0],
    [1.5 * 2 ** -24, 2],
    [Number.POSITIVE_INFINITY, 0x7c00],
  ] as const
  for (const [value, half] of cases) assert.equal(toHalf(value), half, String(value))
  assert.ok(Number.isNaN(fromHalf(toHalf(Number.NaN))))
  for (let half = 0; half < 0x7c00; half++) {
    assert.equal(toHalf(fromHalf(half)), half)
    assert.equal(toHalf(fromHalf(half | 0x8000)), half | 0x8000)
  }
})

test('a GGUF that is cut or spoiled anywhere is refused in words', () => {
  const { metadata, tensors: parts } = modelParts({ ...TINY, embedding: 8, feedForward: 8, layers: 1 })
  const whole = join(folder, 'whole.gguf')
  writeGguf(whole, metadata, parts)
  const good = readFileSync(whole)
  const spoiled = join(folder, 'spoiled.gguf')
  fc.assert(
    fc.property(fc.nat(9000), fc.nat(255), fc.nat(good.length - 1), (at, byte, end) => {
      const bytes = Buffer.from(good.subarray(0, end))
      if (at < bytes.length) bytes[at] = byte
      writeFileSync(spoiled, bytes)
      assert.throws(() => readGguf(spoiled), HubError)
    }),
    { seed: 5, numRuns: 200 },
  )
})

test('a header that no library could take is refused in words', () => {
  const path = join(folder, 'header.gguf')
  const write = (change: (tensor: Tensor) => void) => {
    const { metadata, tensors } = modelParts({ ...TINY, embedding: 8, feedForward: 8, layers: 1 })
    change(tensors[1]!)
    writeGguf(path, metadata, tensors)
    return () => readGguf(path)
  }
  const rename = (tensor: Tensor) => {
    tensor.name = 'token_embd.weight'
  }
  const reshape = (shape: number[]) => (tensor: Tensor) => {
    tensor.shape = shape
    tensor.data = [new Uint8Array(4 * shape.reduce((product, n) => product * n, 1))]
  }
  assert.throws(write(rename), refused(/header.gguf has two tensors token_embd.weight/))
  assert.throws(write(reshape([2, 2, 2, 1, 1])), refused(/of shape 2 x 2 x 2 x 1 x 1/))
  assert.throws(write(reshape([0])), refused(/of shape 0/))
})
