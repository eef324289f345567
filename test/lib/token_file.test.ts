/** The token file as the hub writes it: the trainer reads back exactly what was put in, and no other file ever appears. */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import fc from 'fast-check'
import { TokenFileWriter } from '../../server/lib/token_file.ts'
import { readTokenFile, writeTokenFile } from '../../server/trainer/data.ts'

const folder = mkdtempSync(join(tmpdir(), 'ai-hub-tokens-'))
after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }))

const VOCABULARY = 151_936
const sequence = fc
  .array(fc.tuple(fc.nat(VOCABULARY - 1), fc.float({ min: 0, max: 1, noNaN: true })), { minLength: 2, maxLength: 40 })
  .map(pairs => ({ tokens: pairs.map(([token]) => token), weights: pairs.map(([, weight]) => weight) }))

test('the trainer reads back exactly what was written, byte for byte as its own writer writes it', async () => {
  const path = join(folder, 'same.tokens')
  const own = join(folder, 'own.tokens')
  await fc.assert(
    fc.asyncProperty(fc.array(sequence, { maxLength: 8 }), fc.boolean(), async (sequences, pairs) => {
      const kind = pairs ? 'preferences' : 'samples'
      const written = pairs ? sequences.slice(0, sequences.length & ~1) : sequences
      const writer = await TokenFileWriter.create(path, { kind, vocabularySize: VOCABULARY })
      for (const { tokens, weights } of written) await writer.append(tokens, weights)
      const { bytes, tokens } = await writer.close()
      const read = readTokenFile(path)
      assert.deepEqual([read.kind, read.vocabularySize], [kind, VOCABULARY])
      assert.deepEqual(
        read.sequences.map(one => [[...one.tokens], [...one.weights]]),
        written.map(one => [one.tokens, one.weights.map((weight, index) => (index === 0 ? 0 : weight))]),
      )
      writeTokenFile(own, {
        kind,
        vocabularySize: VOCABULARY,
        sequences: written.map(one => ({
          tokens: Int32Array.from(one.tokens),
          weights: Float32Array.from(one.weights),
        })),
      })
      assert.deepEqual(readFileSync(path), readFileSync(own))
      assert.equal(bytes, readFileSync(path).length)
      assert.equal(
        tokens,
        written.reduce((sum, one) => sum + one.tokens.length, 0),
      )
    }),
    { numRuns: 60, seed: 5 },
  )
})

test('more than one chunk is written in order', async () => {
  const path = join(folder, 'deep', 'big.tokens')
  const writer = await TokenFileWriter.create(path, { kind: 'samples', vocabularySize: 1000 })
  const weights = new Float32Array(50_000).fill(1)
  for (let index = 0; index < 8; index++) await writer.append(new Int32Array(50_000).fill(index), weights)
  assert.deepEqual([writer.sequences, writer.tokens], [8, 400_000])
  await writer.close()
  assert.deepEqual(
    readTokenFile(path).sequences.map(({ tokens }) => [tokens.length, tokens[0], tokens.at(-1)]),
    Array.from({ length: 8 }, (_, index) => [50_000, index, index]),
  )
})

test('an abandoned file leaves the old one, and nothing beside it', async () => {
  const place = join(folder, 'abandoned')
  mkdirSync(place)
  const path = join(place, 'data.tokens')
  writeFileSync(path, 'before')
  const writer = await TokenFileWriter.create(path, { kind: 'samples', vocabularySize: 10 })
  await writer.append([1, 2], [0, 1])
  await writer.abandon()
  assert.equal(readFileSync(path, 'utf8'), 'before')
  assert.deepEqual(readdirSync(place), ['data.tokens'])
})

test('what the trainer would refuse is refused when it is written', async () => {
  const path = join(folder, 'refused.tokens')
  const writer = await TokenFileWriter.create(path, { kind: 'preferences', vocabularySize: 10 })
  const refused = { code: 'invalid_request' }
  await assert.rejects(writer.append([1], [0]), refused)
  await assert.rejects(writer.append([1, 10], [0, 1]), refused)
  await assert.rejects(writer.append([1, -1], [0, 1]), refused)
  await assert.rejects(writer.append([1, 2], [0, Number.NaN]), refused)
  await assert.rejects(writer.append([1, 2], [0, -1]), refused)
  await assert.rejects(writer.append([1, 2], [1]), refused)
  await writer.append([1, 2], [0, 1])
  await assert.rejects(writer.close(), /without its rejected one/)
  assert.ok(!existsSync(path))
})

test('a folder that is a file is named', async () => {
  writeFileSync(join(folder, 'file'), '')
  await assert.rejects(
    TokenFileWriter.create(join(folder, 'file', 'a.tokens'), { kind: 'samples', vocabularySize: 10 }),
    { code: 'invalid_request', message: /a\.tokens cannot be written/ },
  )
})
