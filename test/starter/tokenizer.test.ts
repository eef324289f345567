/** The starter model's tokenizer: what it trains, that every text survives it, and that libllama cuts text the same way. */
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { loadGgml } from '../../server/native/ggml.ts'
import { GGML_TYPE } from '../../server/native/ggml_api.ts'
import {
  parametersOf,
  quantise,
  readVocabulary,
  type Shape,
  writeQuantised,
  writeSkeleton,
} from '../../training_data/starter/gguf.ts'
import { ABOUT, LARGE_SHAPE, SHAPE, VOCABULARY } from '../../training_data/starter/recipe.ts'
import { SPECIAL, splitPieces, Tokenizer, trainTokenizer } from '../../training_data/starter/tokenizer.ts'
import { testEngine } from '../helpers/engine.ts'

const ROOT = resolve(import.meta.dirname, '..', '..')
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8')
const SOURCES = ['server/trainer/data.ts', 'server/wire/settings.ts', 'README.md', 'training_data/starter/talk.ts'].map(
  read,
)
const vocabulary = trainTokenizer(
  SOURCES.map(text => ({ text, weight: 1 })),
  1200,
)
const tokenizer = new Tokenizer(vocabulary)

test('the vocabulary: bytes, merges, special tokens, each once; the same texts give the same one', () => {
  assert.equal(vocabulary.tokens.length, 1200)
  assert.equal(new Set(vocabulary.tokens).size, 1200)
  assert.deepEqual(vocabulary.tokens.slice(-SPECIAL.length), [...SPECIAL])
  assert.ok(vocabulary.tokens.includes('Ġconst'))
  const again = trainTokenizer(
    SOURCES.map(text => ({ text, weight: 1 })),
    1200,
  )
  assert.deepEqual(again, vocabulary)
})

test('the most frequent pair is merged first, and counts follow the merges', () => {
  // Pairs: ab 5 times, then abc 3 times.
  const { merges } = trainTokenizer(
    [
      { text: 'abc ', weight: 3 },
      { text: 'ab ', weight: 2 },
    ],
    256 + SPECIAL.length + 2,
  )
  assert.deepEqual(merges, ['a b', 'ab c'])
})

test('every text survives, and its pieces are the text', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 200 }), text => {
      // A lone surrogate is no text: UTF-8 has no bytes for it.
      const whole = text.toWellFormed()
      assert.equal(splitPieces(whole).join(''), whole)
      assert.equal(tokenizer.decode(tokenizer.encode(whole)), whole)
    }),
    { seed: 11, numRuns: 100 },
  )
})

test('libllama gives the very same tokens, for code, Vietnamese, spaces and odd characters', async context => {
  const folder = mkdtempSync(join(tmpdir(), 'starter-tokenizer-'))
  context.after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }))
  const path = join(folder, 'skeleton.gguf')
  const shape = { ...SHAPE, width: 64, layers: 1, feedForward: 64, headSize: 32, heads: 2, kvHeads: 1 }
  writeSkeleton(path, shape, vocabulary, ABOUT)
  const quantised = join(folder, 'quantised.gguf')
  writeQuantised(path, quantised, shape, vocabulary, ABOUT)
  assert.deepEqual(readVocabulary(quantised), vocabulary)
  const engine = await testEngine(quantised)
  context.after(() => engine.engine.close())
  const same = (text: string): void =>
    assert.deepEqual(
      [...engine.model.tokenize(text, false, false)],
      tokenizer.encode(text),
      JSON.stringify(text.slice(0, 80)),
    )
  for (const text of SOURCES) same(text)
  for (const text of [
    "I'M he'Ll don't\r\n\r\n  \t x",
    '   \n\n   a  b\t\tc ',
    '\u00a0x\u3000y \u2028z\u0085 \ufeff a\u200b',
    'Tie\u0302\u0301ng Vie\u0323t: Đặt tệp vào thư mục.',
    '👨‍👩‍👧 😀 ①②½ Ⅻ ٣ 123 4,567.89',
    '<|im_end|> <|fim_prefix|> is text here',
    '(){}[];:=>!==&&||??.?`$a`//**/',
  ])
    same(text)
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', maxLength: 120 }), text => {
      const whole = text.toWellFormed().replaceAll('\0', '')
      if (whole !== '') same(whole)
    }),
    { seed: 13, numRuns: 100 },
  )
  const ids = [...engine.model.tokenize(SPECIAL.join(''), false, true)]
  assert.deepEqual(
    ids,
    SPECIAL.map(token => tokenizer.special(token)),
  )
})

test('both shapes give a file of the size that is allowed', () => {
  // Q8_0 takes 34 bytes for 32 numbers.
  const mebibytes = (shape: Shape): number => (parametersOf(shape, VOCABULARY) * 34) / 32 / 2 ** 20
  assert.ok(mebibytes(SHAPE) < 12)
  assert.ok(mebibytes(LARGE_SHAPE) < 40)
})

test('Q8_0 to the byte as ggml has it', () => {
  const values = Float32Array.from({ length: 256 }, (_, i) => Math.sin(i * 1.7) * (i < 32 ? 0 : i / 50))
  const expected = new Uint8Array(272)
  loadGgml().quantize_chunk(GGML_TYPE.Q8_0, values, expected, 0, 1, 256, null)
  const dequantised = (bytes: Uint8Array): number[] => [...new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length)]
  assert.deepEqual(dequantised(quantise(values)), dequantised(expected))
})
