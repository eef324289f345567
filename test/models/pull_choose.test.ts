/** Which file of a repository is taken: the quantisation that was named, else the best that fits; and the suggestions for a machine. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fitOfSize, type ModelSpace } from '../../server/models/estimate.ts'
import { chooseVariant, quantOf, type RemoteFile, stemOf, variantsOf } from '../../server/models/pull_choose.ts'
import { parsePullName } from '../../server/models/pull_name.ts'
import { DEFAULT_ENDPOINT } from '../../server/models/pull_remote.ts'
import { KNOWN, suggest } from '../../server/models/suggested.ts'
import { SPACE } from '../helpers/pulls.ts'

const GB = 1e9
const files = (sizes: { [path: string]: number }): RemoteFile[] =>
  Object.entries(sizes).map(([path, bytes]) => ({ path, bytes: bytes * GB }))
const choose = (
  sizes: { [path: string]: number },
  wanted: { quant?: string; path?: string } = {},
  space = SPACE,
): string => chooseVariant(variantsOf(files(sizes)), wanted, bytes => fitOfSize(bytes, space), 'maker/repo').path

test('the quantisation that a name says', () => {
  const names = {
    'Qwen3-4B-Q4_K_M.gguf': 'Q4_K_M',
    'qwen2.5-coder-1.5b-instruct-q8_0.gguf': 'Q8_0',
    'nomic-embed-text-v1.5.f16.gguf': 'F16',
    'model-fp16.gguf': 'F16',
    'gemma-3-27b-UD-Q4_K_XL.gguf': 'Q4_K_XL',
    'UD-IQ2_XXS/big-UD-IQ2_XXS-00001-of-00002.gguf': 'IQ2_XXS',
    'gpt-oss-20b-mxfp4.gguf': 'MXFP4',
    'BF16/x.gguf': 'BF16',
    'x-Q4_0-Q8_0.gguf': 'Q8_0',
    'x-Q4_0_4_4.gguf': 'Q4_0',
    'plain.gguf': undefined,
    'xq4_0x.gguf': undefined,
  }
  for (const [name, quant] of Object.entries(names)) assert.equal(quantOf(name), quant, name)
  assert.equal(stemOf('Qwen2.5-Coder-1.5B-Q8_0-GGUF'), stemOf('qwen2.5-coder-1.5b-q8_0'))
  assert.equal(stemOf('Qwen3-4B-GGUF'), stemOf('Qwen3-4B-UD-Q4_K_M'))
})

test('projectors, importance matrices and incomplete split models are no models; parts belong together', () => {
  const variants = variantsOf(
    files({
      'a-Q4_K_M.gguf': 2,
      'mmproj-a-f16.gguf': 1,
      'imatrix_unsloth.gguf': 1,
      'README.md': 1,
      'Q8_0/a-Q8_0-00002-of-00002.gguf': 1,
      'Q8_0/a-Q8_0-00001-of-00002.gguf': 2,
      'a-Q6_K-00001-of-00002.gguf': 2,
    }),
  )
  assert.deepEqual(
    variants.map(({ quant, bytes, files: [first], path }) => [quant, bytes, first?.path === path]),
    [
      ['Q4_K_M', 2 * GB, true],
      ['Q8_0', 3 * GB, true],
    ],
  )
})

test('Q4_K_M when it fits, else the next finer, else the next coarser', () => {
  const all = { 'a-Q2_K.gguf': 2, 'a-Q3_K_M.gguf': 3, 'a-Q4_K_M.gguf': 4, 'a-Q5_K_M.gguf': 5, 'a-F16.gguf': 14 }
  assert.equal(choose(all), 'a-Q4_K_M.gguf')
  assert.equal(choose({ 'a-Q2_K.gguf': 2, 'a-Q6_K.gguf': 6, 'a-Q8_0.gguf': 8 }), 'a-Q6_K.gguf')
  assert.equal(choose(all, {}, { ...SPACE, deviceBytes: 4.5 * GB }), 'a-Q3_K_M.gguf')
  // Unquantised only where there is nothing else.
  assert.equal(choose({ 'a-F16.gguf': 2, 'a-Q3_K_M.gguf': 1 }), 'a-Q3_K_M.gguf')
  assert.equal(choose({ 'a-F16.gguf': 2 }), 'a-F16.gguf')
  assert.equal(choose({ 'plain.gguf': 2 }), 'plain.gguf')
  // On a graphics card the whole model there beats a finer one half there.
  const card: ModelSpace = { ...SPACE, device: 'vulkan', deviceBytes: 4.5 * GB, mainBytes: 16 * GB }
  assert.equal(choose(all, {}, card), 'a-Q3_K_M.gguf')
  assert.equal(choose({ 'a-Q4_K_M.gguf': 9 }, {}, card), 'a-Q4_K_M.gguf')
})

test('one that is named is taken whether it fits or not; what is not there is answered with what is', () => {
  const all = { 'a-Q4_K_M.gguf': 4, 'a-UD-Q4_K_M.gguf': 4.1, 'a-Q8_0.gguf': 80 }
  assert.equal(choose(all, { quant: 'q8_0' }), 'a-Q8_0.gguf')
  assert.equal(choose(all, { quant: 'Q4_K_M' }), 'a-Q4_K_M.gguf')
  assert.equal(choose(all, { quant: 'UD-Q4_K_M' }), 'a-UD-Q4_K_M.gguf')
  assert.equal(choose(all, { path: 'a-UD-Q4_K_M.gguf' }), 'a-UD-Q4_K_M.gguf')
  assert.throws(() => choose(all, { quant: 'Q5_K_M' }), {
    code: 'not_found',
    message: /has no Q5_K_M\. There is Q4_K_M \(4\.0 GB\).*Q8_0 \(80\.0 GB\)/,
  })
  assert.throws(() => choose(all, { path: 'b.gguf' }), { code: 'not_found', message: /no model b\.gguf/ })
  assert.throws(() => choose({ 'a-Q8_0.gguf': 80 }), {
    code: 'insufficient_memory',
    message: /its smallest, Q8_0, needs about 8\d\.\d GB/,
  })
})

test('suggestions fit the machine, lead with the best of each purpose, and are names that can be pulled', () => {
  for (const known of KNOWN) {
    for (const quant of Object.keys(known.quants)) {
      assert.equal(parsePullName(`${known.repo}:${quant}`, DEFAULT_ENDPOINT).kind, 'repo')
      assert.equal(quantOf(`x-${quant}.gguf`), quant)
    }
  }
  assert.equal(new Set(KNOWN.map(({ id }) => id)).size, KNOWN.length)

  const small = suggest({ ...SPACE, deviceBytes: 3 * GB }, () => false)
  assert.ok(small.length > 3)
  assert.ok(small.every(({ memory }) => memory.fit === 'memory' && memory.need_bytes <= 3 * GB))

  const cpu = suggest({ ...SPACE, deviceBytes: 20 * GB }, (_, quant) => quant === 'MXFP4')
  const first = (list: typeof cpu, purpose: string) =>
    list.find(({ best_for }) => best_for.some(each => each === purpose))?.id
  // A processor is quick enough only for few active parameters.
  assert.equal(first(cpu, 'completion'), 'qwen2.5-coder-1.5b')
  assert.ok(!['qwen3-8b', 'qwen3-14b'].includes(first(cpu, 'chat') ?? ''))
  assert.match(cpu.find(({ id }) => id === 'qwen3-14b')?.reason ?? '', /answers slowly here/)
  assert.deepEqual(
    cpu.filter(({ installed }) => installed).map(({ id }) => id),
    ['gpt-oss-20b'],
  )
  assert.deepEqual(
    new Set(cpu.flatMap(({ best_for }) => best_for)),
    new Set(['chat', 'code', 'completion', 'embedding']),
  )

  const card = suggest({ ...SPACE, device: 'cuda', deviceBytes: 12 * GB, mainBytes: 16 * GB }, () => false)
  assert.equal(first(card, 'completion'), 'qwen2.5-coder-7b')
  assert.equal(card.find(({ id }) => id === first(card, 'chat'))?.memory.fit, 'device')
  assert.deepEqual(
    suggest({ ...SPACE, deviceBytes: 0 }, () => false),
    [],
  )
})
