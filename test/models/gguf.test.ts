/** The GGUF header reader: facts of real and made models, words for damaged, hostile and foreign files. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import fc from 'fast-check'
import { HubError } from '../../server/lib/error.ts'
import { readGguf, sha256 } from '../../server/models/gguf.ts'
import { readGgufHeader, shortfall } from '../../server/models/gguf_header.ts'
import type { Limits } from '../../server/models/gguf_reader.ts'
import { GgufFacts } from '../../server/wire/model.ts'
import {
  bool,
  ggufHeader,
  i32s,
  type Metadata,
  makeModel,
  modelParts,
  str,
  strings,
  TINY,
  u32,
  writeGguf,
} from '../helpers/gguf_file.ts'
import { needsModels, testModels } from '../helpers/models.ts'

const folder = mkdtempSync(join(tmpdir(), 'hub-gguf-'))
after(() => rmSync(folder, { recursive: true, force: true }))

const write = (bytes: Uint8Array | string, name = 'file.gguf'): string => {
  const path = join(folder, name)
  writeFileSync(path, bytes)
  return path
}

/** The words with which a file is refused. */
async function refusal(bytes: Uint8Array | string, limits?: Partial<Limits>): Promise<string> {
  try {
    await readGguf(write(bytes), limits)
  } catch (error) {
    assert.ok(error instanceof HubError, String(error))
    assert.equal(error.code, 'model_broken')
    assert.match(error.message, /^file\.gguf /)
    return error.message
  }
  return assert.fail('the file was accepted')
}

const long = (value: bigint | number): Buffer => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}
const word = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}
/** A file whose beginning is right and whose rest is as given. */
const file = (tensors: bigint | number, keys: bigint | number, ...rest: Buffer[]): Buffer =>
  Buffer.concat([Buffer.from('GGUF'), word(3), long(tensors), long(keys), ...rest])
const key = (text: string): Buffer => Buffer.concat([long(text.length), Buffer.from(text)])

test('the facts of a made model', async () => {
  const path = join(folder, 'tiny.gguf')
  makeModel(path, { ...TINY, architecture: 'qwen2', type: 'Q8_0', chatTemplate: '{{ messages }}', pooling: 'mean' })
  const facts = await readGguf(path)
  assert.deepEqual(facts, {
    architecture: 'qwen2',
    name: 'random qwen2',
    // 2 * 284 * 64 embeddings and output, 64 norm, and per layer 2 norms, attention 64 * (64 + 32 + 32 + 64), its biases, 3 * 64 * 128
    parameters: 2 * 284 * 64 + 64 + 2 * (2 * 64 + 64 * 192 + 128 + 3 * 64 * 128),
    quantization: 'Q8_0',
    context_length: 512,
    embedding_size: 64,
    layers: 2,
    heads: 4,
    kv_heads: 2,
    kv_bytes_per_token: 2 * 2 * (16 + 16) * 2,
    vocabulary_size: 284,
    tokenizer: 'gpt2',
    chat_template: '{{ messages }}',
    fim: true,
    kind: 'model',
    pooling: 'mean',
    license: 'mit',
  })
  assert.ok(GgufFacts.safeParse(facts).success)
})

test('the facts of the real models', needsModels, async () => {
  const models = testModels() ?? ''
  for (const [name, quantization] of [
    ['F32', 'F32'],
    ['F16', 'F16'],
    ['Q8_0', 'Q8_0'],
    ['Q4_0', 'Q4_0'],
    ['chat-F16', 'F16'],
  ] as const) {
    const facts = await readGguf(join(models, `stories260K-${name}.gguf`))
    assert.equal(facts.architecture, 'llama')
    assert.equal(facts.quantization, quantization)
    assert.equal(facts.parameters, name.startsWith('Q') ? 279_232 : 260_032)
    assert.equal(facts.layers, 5)
    assert.equal(facts.heads, 8)
    assert.equal(facts.kv_heads, 4)
    assert.equal(facts.kv_bytes_per_token, 5 * 4 * (8 + 8) * 2)
    assert.equal(facts.vocabulary_size, 512)
    assert.equal(facts.fim, false)
    assert.equal(facts.chat_template !== undefined, name === 'chat-F16')
  }
})

test('FIM tokens are found by their texts in real vocabularies', needsModels, async () => {
  const vocabularies = join(testModels() ?? '', 'vocab')
  const all = { prefix: true, suffix: true, middle: true }
  const none = { prefix: false, suffix: false, middle: false }
  for (const [name, fim, size] of [
    ['deepseek-coder', all, 32256],
    ['starcoder', all, 49152],
    ['llama-bpe', none, 128256],
  ] as const) {
    const header = await readGgufHeader(join(vocabularies, `ggml-vocab-${name}.gguf`))
    assert.deepEqual(header.fimTokens, fim, name)
    assert.deepEqual(header.metadata.get('tokenizer.ggml.tokens'), { length: size })
    await assert.rejects(readGguf(join(vocabularies, `ggml-vocab-${name}.gguf`)), /a vocabulary but no weights/)
  }
})

test('head counts per layer, key and value lengths and the commonest tensor type', async () => {
  const { metadata, tensors } = modelParts({ ...TINY, type: 'Q4_0', fim: false })
  const { 'general.file_type': _, ...rest } = metadata
  const path = join(folder, 'hybrid.gguf')
  const changed: Metadata = {
    ...rest,
    'llama.attention.head_count_kv': i32s([0, 4]),
    'llama.attention.key_length': u32(24),
    'llama.attention.value_length': u32(8),
  }
  writeGguf(path, changed, tensors)
  const facts = await readGguf(path)
  assert.equal(facts.kv_heads, 4)
  assert.equal(facts.kv_bytes_per_token, 4 * (24 + 8) * 2)
  assert.equal(facts.quantization, 'Q4_0')
  assert.equal(facts.fim, false)
})

test('tensor infos give place and size', async () => {
  const path = join(folder, 'tensors.gguf')
  makeModel(path, { ...TINY, type: 'F16' })
  const { tensors, version, headerBytes, fileBytes } = await readGgufHeader(path)
  assert.equal(version, 3)
  assert.deepEqual(tensors[0], {
    name: 'token_embd.weight',
    type: 'F16',
    shape: [64, 284],
    elements: 64 * 284,
    offset: 0,
    bytes: 64 * 284 * 2,
  })
  const last = tensors.at(-1)
  assert.ok(last)
  assert.equal(Math.ceil(headerBytes / 32) * 32 + last.offset + last.bytes, fileBytes)
})

test('version 2 is read', async () => {
  const path = join(folder, 'v2.gguf')
  makeModel(path, TINY)
  const bytes = readFileSync(path)
  bytes.writeUInt32LE(2, 4)
  assert.equal((await readGguf(write(bytes))).layers, 2)
})

test('what is no model by itself has its kind', async () => {
  const path = join(folder, 'adapter.gguf')
  writeGguf(path, { 'general.architecture': str('llama'), 'general.type': str('adapter') }, [])
  assert.equal((await readGguf(path)).kind, 'adapter')
  writeGguf(path, { 'general.architecture': str('clip') }, [])
  assert.equal((await readGguf(path)).kind, 'mmproj')
})

test('foreign files are named for what they are', async () => {
  assert.match(await refusal('<!DOCTYPE html><html>'), /web page/)
  assert.match(await refusal('version https://git-lfs.github.com/spec/v1\n'), /Git LFS pointer/)
  assert.match(await refusal('PK\x03\x04 and more bytes'), /zip/)
  assert.match(await refusal(Buffer.concat([long(500), Buffer.from('{"__metadata__"')])), /safetensors/)
  assert.match(await refusal('tjggabcdefghijklmnop'), /older GGML/)
  assert.match(await refusal('just a text, no model'), /does not begin with "GGUF"/)
  assert.match(await refusal(Buffer.concat([Buffer.from('GGUF'), word(1), long(0), long(0)])), /version 1/)
  assert.match(await refusal(Buffer.concat([Buffer.from('GGUF'), word(4), long(0), long(0)])), /version 4/)
  assert.match(
    await refusal(Buffer.concat([Buffer.from('GGUF'), Buffer.of(0, 0, 0, 3), long(0), long(0)])),
    /big-endian/,
  )
  assert.match(await refusal(ggufHeader({ 'general.name': str('x') }, [])), /does not name its architecture/)
  assert.match(await refusal(ggufHeader({ 'general.architecture': str('flux') }, [])), /no language model/)
})

test('a file or folder that cannot be read is refused in words', async () => {
  await assert.rejects(readGguf(join(folder, 'absent.gguf')), /cannot be opened \(ENOENT\)/)
  await assert.rejects(readGguf(folder), /is no file/)
})

test('hostile headers are refused', async () => {
  const architecture = Buffer.concat([key('general.architecture'), word(8), key('llama')])
  const cases: [string, Buffer, RegExp][] = [
    ['a string of 2^60 bytes', file(0, 1, key('a'), word(8), long(2n ** 60n)), /the length of "a" is 1e\+18/],
    ['a string of 2^40 bytes', file(0, 1, key('a'), word(8), long(2n ** 40n)), /header claims to be longer/],
    ['a key of 2^63 bytes', file(0, 1, long(2n ** 63n)), /length of a metadata key/],
    ['a key of 70,000 bytes', file(0, 1, long(70_000), Buffer.alloc(70_000)), /length of a metadata key is 70000/],
    ['2^60 keys', file(0, 2n ** 60n), /its key count is/],
    ['a million keys', file(0, 1_000_000), /claims 1000000 metadata keys/],
    ['2^64 - 1 tensors', file(2n ** 64n - 1n, 0), /its tensor count is/],
    ['a million tensors', file(1_000_000, 0), /claims 1000000 tensors/],
    ['nested arrays', file(0, 1, key('a'), word(9), word(9), long(1), word(9), long(1)), /array of arrays/],
    ['an array of 2^53 numbers', file(0, 1, key('a'), word(9), word(12), long(2n ** 53n - 1n)), /longer than/],
    ['an array of unknown type', file(0, 1, key('a'), word(9), word(77), long(1)), /unknown type 77/],
    ['an unknown type', file(0, 1, key('a'), word(13)), /unknown type 13/],
    ['a key twice', file(0, 2, architecture, architecture), /twice/],
    ['an alignment of 3', file(0, 1, key('general.alignment'), word(4), word(3)), /no power of two/],
    ['an alignment of 0', file(0, 1, key('general.alignment'), word(4), word(0)), /no power of two/],
    ['a tensor of 5 dimensions', file(1, 0, key('t'), word(5), Buffer.alloc(64)), /5 dimensions/],
    ['a tensor name of 64 bytes', file(1, 0, key('t'.repeat(64)), Buffer.alloc(64)), /length of a tensor name/],
    [
      'a tensor of 2^80 elements',
      file(1, 0, key('t'), word(2), long(2n ** 40n), long(2n ** 40n), word(0), long(0)),
      /absurdly large/,
    ],
    ['a tensor of unknown type', file(1, 0, key('t'), word(1), long(32), word(99), long(0)), /type 99.*does not know/],
    ['a row of half a block', file(1, 0, key('t'), word(1), long(16), word(2), long(0)), /no whole number of Q4_0/],
    ['an offset beyond the file', file(1, 0, key('t'), word(1), long(32), word(0), long(2n ** 40n)), /lies at/],
    ['an offset that overflows', file(1, 0, key('t'), word(1), long(32), word(0), long(2n ** 63n)), /the offset of/],
    ['control characters in a key', file(0, 1, key('a\n\x1b[31m'), word(99)), /"a\\n\\u001b\[31m"/],
  ]
  for (const [name, bytes, expected] of cases) assert.match(await refusal(bytes), expected, name)
})

test('limits hold while reading', async () => {
  const many: Metadata = { 'general.architecture': str('llama') }
  for (let i = 0; i < 200; i++) many[`key.${i}`] = bool(true)
  assert.match(await refusal(ggufHeader(many, []), { keys: 100 }), /claims 201 metadata keys; 100 is the limit/)
  assert.match(await refusal(ggufHeader(many, []), { keptBytes: 1000 }), /more than 1000 bytes of text/)
  assert.match(await refusal(ggufHeader(many, []), { headerBytes: 1000 }), /longer than 1000 bytes/)
  const vocabulary = { ...many, 'tokenizer.ggml.tokens': strings(Array.from({ length: 5000 }, (_, i) => `token ${i}`)) }
  const header = await readGgufHeader(write(ggufHeader(vocabulary, [])), { keptBytes: 8000 })
  assert.deepEqual(header.metadata.get('tokenizer.ggml.tokens'), { length: 5000 }, 'tokens are counted, not kept')
})

test('a truncated file says how much is there, wherever it ends', async () => {
  const path = join(folder, 'whole.gguf')
  makeModel(path, TINY)
  const whole = readFileSync(path)
  const { headerBytes } = await readGgufHeader(path)
  assert.match(
    await refusal(whole.subarray(0, -1)),
    new RegExp(`not whole: ${whole.length - 1} of ${whole.length} bytes`),
  )
  await fc.assert(
    fc.asyncProperty(fc.nat(whole.length - 1), async length => {
      truncateSync(write(whole), length)
      const error: unknown = await readGguf(join(folder, 'file.gguf')).catch(error => error)
      const { neededBytes } = shortfall(error) ?? assert.fail(String(error))
      assert.ok(neededBytes > length && neededBytes <= whole.length)
      if (length > headerBytes) assert.equal(neededBytes, whole.length)
    }),
    { seed: 1, numRuns: 200 },
  )
})

test('space that is reserved and still empty is not whole, rather than foreign', async () => {
  for (const bytes of [Buffer.alloc(0), Buffer.from('GG'), Buffer.alloc(5000)]) {
    const error: unknown = await readGguf(write(bytes)).catch(error => error)
    assert.ok(shortfall(error), String(error))
  }
})

test('a spoilt header is read or refused, never worse', async () => {
  const path = join(folder, 'small.gguf')
  const { metadata, tensors } = modelParts({ ...TINY, layers: 1, type: 'Q4_0' })
  writeGguf(path, { ...metadata, 'general.tags': strings(['a', 'b']), 'llama.numbers': i32s([1, 2, 3]) }, tensors)
  const whole = readFileSync(path)
  const { headerBytes } = await readGgufHeader(path)
  const spoil = fc.record({
    at: fc.nat(headerBytes - 1),
    bytes: fc.oneof(
      fc.uint8Array({ minLength: 1, maxLength: 8 }),
      fc.constantFrom(...[0xff, 0x7f, 0x80, 0].map(byte => new Uint8Array(8).fill(byte))),
    ),
  })
  const before = process.memoryUsage().rss
  await fc.assert(
    fc.asyncProperty(fc.array(spoil, { minLength: 1, maxLength: 4 }), async spoils => {
      const bytes = Buffer.from(whole)
      for (const { at, bytes: by } of spoils) bytes.set(by.subarray(0, headerBytes - at), at)
      try {
        assert.ok(GgufFacts.safeParse(await readGguf(write(bytes))).success)
      } catch (error) {
        assert.ok(error instanceof HubError, String(error))
        assert.equal(error.code, 'model_broken')
      }
    }),
    { seed: 7, numRuns: 1500 },
  )
  assert.ok(process.memoryUsage().rss - before < 200 * 2 ** 20, 'no length of the file became memory')
})

test('random bytes after the magic are read or refused', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 400 }), async tail => {
      const error: unknown = await readGguf(write(file(1, 2, Buffer.from(tail)))).then(
        () => undefined,
        error => error,
      )
      assert.ok(error instanceof HubError && error.code === 'model_broken', String(error))
    }),
    { seed: 3, numRuns: 500 },
  )
})

test('the checksum is that of the bytes, and stops when asked', async () => {
  const bytes = Buffer.alloc(3_000_000, 'abc')
  const path = write(bytes)
  assert.equal(await sha256(path, new AbortController().signal), createHash('sha256').update(bytes).digest('hex'))
  await assert.rejects(sha256(path, AbortSignal.abort()), { code: 'cancelled' })
  await assert.rejects(sha256(join(folder, 'absent'), new AbortController().signal), { code: 'not_found' })
})
