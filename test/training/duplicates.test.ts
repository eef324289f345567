/** Hashes, sets and filters of the search for duplicates: nothing is forgotten, and near duplicates are told from relatives. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fingerprint, HashSet, KeyTable, NearCandidates } from '../../server/training/duplicates.ts'
import { prose, randomText, seeded } from '../helpers/dirty_data.ts'

const hash = (...texts: string[]) => {
  const { high, low } = fingerprint(texts)
  return `${high} ${low}`
}

test('a fingerprint ignores case and white space, and nothing else', () => {
  assert.equal(hash('Hello  World\n'), hash(' hello world'))
  assert.notEqual(hash('hello world'), hash('helloworld'))
  assert.notEqual(hash('a b', 'c'), hash('a', 'b c'))
  assert.notEqual(hash('a+b'), hash('a-b'))
  assert.notEqual(hash('bạn'), hash('bán'))
})

test('100,000 different texts have different fingerprints', () => {
  const seen = new Set<string>()
  for (let i = 0; i < 100_000; i++) seen.add(hash(`sample ${i}`))
  assert.equal(seen.size, 100_000)
})

test('a hash set knows what was put in; a full one says how many it refused', () => {
  const set = new HashSet(1 << 12)
  const random = seeded(1)
  const hashes = Array.from(
    { length: 3000 },
    () => [Math.floor(random() * 2 ** 32), Math.floor(random() * 2 ** 32)] as const,
  )
  for (const [high, low] of hashes) assert.equal(set.add(high, low), false)
  for (const [high, low] of hashes) assert.equal(set.has(high, low), true)
  assert.equal(set.add(0, 0), false)
  assert.equal(set.add(0, 0), true)
  for (let i = 0; i < 3000; i++) set.add(i, i + 7)
  assert.ok(set.refused > 0)
  for (const [high, low] of hashes) assert.equal(set.add(high, low), true)
})

test('a key table gives back the last number of each key', () => {
  const table = new KeyTable()
  for (let i = 0; i < 20_000; i++) assert.equal(table.swap(i * 7919, i), -1)
  for (let i = 0; i < 20_000; i++) assert.equal(table.swap(i * 7919, i + 1), i)
  assert.equal(table.get(3), -1)
  assert.equal(table.size, 20_000)
})

/** Of 150 pairs of texts of 200 words, with every `period`th word changed in one, how many are found. */
function found(period: number): { pairs: number; wrong: number } {
  const random = seeded(period)
  const pairs = Array.from({ length: 150 }, () => {
    const words = Array.from({ length: 200 }, () => randomText(random, 5, 'abcdefghij'))
    const other = words.map((word, i) => (i % period === 1 ? randomText(random, 6, 'abcdefghij') : word))
    return [words.join(' '), other.join(' ')]
  })
  const texts = [...pairs.map(([text]) => text!), ...pairs.map(([, other]) => other!)]
  const first = new NearCandidates()
  for (const text of texts) first.add(fingerprint([text]).words, 1)
  const second = first.finish()
  let right = 0
  let wrong = 0
  for (const [i, text] of texts.entries()) {
    const match = second.match(i, fingerprint([text]).words, 1)
    if (match?.sample === i - 150) right++
    else if (match !== undefined) wrong++
  }
  return { pairs: right, wrong }
}

test('texts of similarity 0.91 are found, of 0.5 not, and never the wrong one', t => {
  // A changed word changes three of 198 shingles on each side: 3 words give (198 - 9) / (198 + 9), 22 words 132 / 264.
  const close = found(67)
  const far = found(9)
  t.diagnostic(`of 150 pairs found at similarity 0.91: ${close.pairs}, at 0.5: ${far.pairs}`)
  assert.ok(close.pairs >= 147)
  assert.equal(far.pairs, 0)
  assert.equal(close.wrong + far.wrong, 0)
})

test('the same text under another salt is not similar', () => {
  const { words } = fingerprint([prose(seeded(1))])
  const first = new NearCandidates()
  first.add(words, 1)
  first.add(words, 1)
  first.add(words, 2)
  const second = first.finish()
  assert.equal(second.match(0, words, 1), undefined)
  assert.deepEqual(second.match(1, words, 1), { sample: 0, similarity: 1 })
  assert.equal(second.match(2, words, 2), undefined)
})
