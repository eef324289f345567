/** Token files: what is written is read back, and every kind of damage is told in words. */
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import * as fc from 'fast-check'
import { HubError } from '../../server/lib/error.ts'
import { makeDataSet, readTokenFile, type Sequence, type TokenFile, writeTokenFile } from '../../server/trainer/data.ts'

const folder = mkdtempSync(join(tmpdir(), 'trainer-data-'))
after(() => rmSync(folder, { recursive: true, force: true }))
const path = join(folder, 'tokens.bin')

const sequence = (tokens: number[], weights: number[] = tokens.map((_, i) => (i === 0 ? 0 : 1))): Sequence => ({
  tokens: Int32Array.from(tokens),
  weights: Float32Array.from(weights),
})
const options = {
  kind: 'samples' as const,
  vocabularySize: 10,
  contextLength: 16,
  rowTokens: 8,
  share: 0,
  seed: 1,
}
const file = (...sequences: Sequence[]): TokenFile => ({ kind: 'samples', vocabularySize: 10, sequences })
const refused = (message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof HubError, String(error))
  assert.match(error.message, message)
  return true
}

test('any token file is read back as it was written', () => {
  const sequences = fc.array(
    fc
      .array(fc.tuple(fc.nat(2 ** 31 - 1), fc.float({ min: 0, max: 4, noNaN: true })), { minLength: 2, maxLength: 9 })
      .map(pairs =>
        sequence(
          pairs.map(([token]) => token),
          pairs.map(([, weight], i) => (i === 0 ? 0 : weight)),
        ),
      ),
  )
  fc.assert(
    fc.property(sequences, written => {
      writeTokenFile(path, file(...written))
      const { sha256, ...read } = readTokenFile(path)
      assert.deepEqual(read, file(...written))
      assert.match(sha256, /^[0-9a-f]{64}$/)
    }),
    { seed: 7, numRuns: 50 },
  )
})

test('the first token of a sequence is never a target', () => {
  writeTokenFile(path, file(sequence([1, 2, 3], [5, 1, 1])))
  assert.deepEqual([...readTokenFile(path).sequences[0]!.weights], [0, 1, 1])
})

test('a damaged token file is refused with what is wrong', () => {
  writeTokenFile(path, file(sequence([1, 2, 3]), sequence([4, 5])))
  const good = readFileSync(path)
  const spoil = (change: (bytes: Buffer) => Buffer | undefined) => {
    const bytes = Buffer.from(good)
    writeFileSync(path, change(bytes) ?? bytes)
    return () => readTokenFile(path)
  }
  assert.throws(() => readTokenFile(join(folder, 'none')), refused(/cannot be read/))
  assert.throws(
    spoil(() => Buffer.from('hello')),
    refused(/is not a token file/),
  )
  assert.throws(
    spoil(bytes => bytes.subarray(0, -1)),
    refused(/has \d+ bytes where its header says \d+/),
  )
  const change = (at: number, value: number) => spoil(bytes => void bytes.writeUInt32LE(value, at))
  assert.throws(change(4, 9), refused(/version 9/))
  assert.throws(change(8, 5), refused(/of kind 5/))
  // The length of the first sequence: too long for the file, and too short to learn from.
  assert.throws(change(32, 2 ** 31), refused(/ends within sequence 0/))
  assert.throws(change(32, 1), refused(/sequence \(0\) of 1 tokens/))
  assert.throws(
    spoil(bytes => void bytes.writeFloatLE(Number.NaN, 32 + 4 + 12 + 4)),
    refused(/token 1 of sequence 0 the weight NaN/),
  )
  const odd = { ...file(sequence([1, 2])), kind: 'preferences' as const }
  writeTokenFile(path, odd)
  assert.throws(() => readTokenFile(path), refused(/without its rejected one/))
})

test('no damage at all makes the reader do anything but refuse in words', () => {
  writeTokenFile(path, file(sequence([1, 2, 3]), sequence([4, 5])))
  const good = readFileSync(path)
  fc.assert(
    fc.property(fc.nat(good.length - 1), fc.nat(255), fc.nat(good.length), (at, byte, end) => {
      const bytes = Buffer.from(good)
      bytes[at] = byte
      writeFileSync(path, bytes.subarray(0, end))
      try {
        readTokenFile(path)
      } catch (error) {
        assert.ok(error instanceof HubError)
      }
    }),
    { seed: 3, numRuns: 300 },
  )
})

test('data that does not fit the model or the rows is refused by sample', () => {
  const make =
    (tokens: TokenFile, changed: Partial<typeof options> = {}) =>
    () =>
      makeDataSet({ tokens }, { ...options, ...changed })
  assert.throws(
    make(file(sequence([1, 2]), sequence([1, 10]))),
    refused(/token sample 1, token 1: id 10 is out of range.*0 to 9/),
  )
  assert.throws(make(file(sequence([-1, 2]))), refused(/id -1 is out of range/))
  assert.throws(make(file(sequence([1, 2, 3, 4, 5, 6, 7, 8, 9]))), refused(/9 tokens and a row holds 8/))
  assert.throws(make(file(sequence([1, 2])), { rowTokens: 17 }), refused(/longer than the model's context of 16/))
  assert.throws(make(file(sequence([1, 2], [0, 0]))), refused(/no sample with a target/))
  assert.throws(
    make({ ...file(sequence([1, 2]), sequence([1, 2])), kind: 'preferences' }),
    refused(/holds preferences/),
  )
})

test('data of another vocabulary is refused, before its ids are looked at', () => {
  const good = file(sequence([1, 2]))
  const foreign = { ...file(sequence([1, 20])), vocabularySize: 32 }
  const words = refused(
    /file was made with a vocabulary of 32, and the base model has 10 tokens; tokenize the data with/,
  )
  assert.throws(() => makeDataSet({ tokens: foreign }, options), words)
  assert.throws(() => makeDataSet({ tokens: good, validation: foreign }, options), words)
})

test('nothing to validate on is refused', () => {
  const one = file(sequence([1, 2]))
  const masked = file(sequence([1, 2], [0, 0]))
  assert.throws(
    () => makeDataSet({ tokens: one, validation: masked }, options),
    refused(/validation file has no sample/),
  )
  assert.throws(
    () => makeDataSet({ tokens: one }, { ...options, share: 0.1 }),
    refused(/one sample.*validationShare to 0/),
  )
  assert.equal(
    makeDataSet({ tokens: file(sequence([1, 2]), sequence([3, 4])) }, { ...options, share: 0.1 }).validation.length,
    1,
  )
})

test('samples without a target are left out and counted', () => {
  const data = makeDataSet({ tokens: file(sequence([1, 2], [0, 0]), sequence([3, 4])) }, options)
  assert.equal(data.empty, 1)
  assert.deepEqual(data.training, [[sequence([3, 4])]])
})

test('a share for validation is taken by the seed, and nothing is lost or doubled', () => {
  const all = Array.from({ length: 20 }, (_, i) => sequence([i % 10, (i * 3) % 10, i % 7]))
  const make = (seed: number) => makeDataSet({ tokens: file(...all) }, { ...options, share: 0.25, seed })
  const data = make(1)
  assert.equal(data.validation.length, 5)
  assert.deepEqual(new Set([...data.training, ...data.validation].map(([one]) => one)), new Set(all))
  assert.deepEqual(make(1), data)
  assert.notDeepEqual(make(2).validation, data.validation)
})
