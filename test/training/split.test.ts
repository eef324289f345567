/** The split: by what is asked alone, near its shares, and the same for ever. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { normalise, partOf, splitKey } from '../../server/training/split.ts'
import type { Part } from '../../server/wire/dataset.ts'
import type { Sample, SampleMessage } from '../../server/wire/sample.ts'

const turns = (...texts: string[]): SampleMessage[] =>
  texts.map((content, index) => ({ role: index % 2 === 0 ? 'user' : 'assistant', content }))
const chat = (...texts: string[]): Sample => ({ kind: 'chat', messages: turns(...texts) })
const numbered = Array.from({ length: 5000 }, (_, index) => chat(`question ${index}`, 'a'))

test('the parts have nearly their shares', () => {
  const counts: { [part in Part]: number } = { train: 0, validation: 0, test: 0 }
  for (const sample of numbered) counts[partOf(sample)]++
  assert.ok(Math.abs(counts.validation - 250) < 60, `${counts.validation}`)
  assert.ok(Math.abs(counts.test - 250) < 60, `${counts.test}`)
  assert.equal(counts.train + counts.validation + counts.test, 5000)
})

test('recorded places stay what they are: another hash would mix test parts that are on disk', () => {
  const found = numbered
    .slice(0, 60)
    .flatMap((sample, index) => (partOf(sample) === 'train' ? [] : [`${index} ${partOf(sample)}`]))
  assert.deepEqual(found, [
    '12 test',
    '20 test',
    '29 test',
    '35 test',
    '38 test',
    '40 test',
    '47 validation',
    '53 validation',
  ])
})

test('the same prompt is in one part, whatever is answered, its case, spacing and Unicode form', () => {
  const text = fc.string({ unit: 'grapheme', maxLength: 40 })
  fc.assert(
    fc.property(text, text, text, fc.string(), (prompt, one, other, salt) => {
      const forms: Sample[] = [
        chat(prompt, one),
        chat(prompt, other, 'and then?', one),
        chat(` ${prompt.normalize('NFD')}\n`, other),
        { kind: 'chat', messages: [{ role: 'system', content: other }, ...turns(prompt, one)] },
        { kind: 'preference', messages: [{ role: 'user', content: prompt }], chosen: one, rejected: other },
      ]
      if (prompt.trim() === '') return
      const keys = new Set(forms.map(splitKey))
      assert.equal(keys.size, 1)
      assert.equal(new Set(forms.map(sample => partOf(sample, salt))).size, 1)
    }),
    { seed: 11, numRuns: 400 },
  )
})

test('other shares move nothing into or out of the test part', () => {
  for (const sample of numbered.slice(0, 1000)) {
    const before = partOf(sample, 's', { train: 0.9, validation: 0.05, test: 0.05 })
    const after = partOf(sample, 's', { train: 0.65, validation: 0.3, test: 0.05 })
    assert.equal(before === 'test', after === 'test')
    if (before === 'validation') assert.equal(after, 'validation')
  }
})

test('shares of nothing and of all', () => {
  for (const sample of numbered.slice(0, 100)) {
    assert.equal(partOf(sample, 's', { train: 1, validation: 0, test: 0 }), 'train')
    assert.equal(partOf(sample, 's', { train: 0, validation: 0, test: 1 }), 'test')
    assert.equal(partOf(sample, 's', { train: 0, validation: 1, test: 0 }), 'validation')
  }
})

test('all samples of a code file are together, pieces of a text are not', () => {
  const origin = { source: 'repo/a.ts' }
  const infill = (prefix: string): Sample => ({ kind: 'infill', prefix, middle: 'm', suffix: 's', path: 'repo/a.ts' })
  const keys = [infill('x'), infill('y'), { kind: 'text', text: 'whole', origin } as const].map(splitKey)
  assert.equal(new Set(keys).size, 1)
  const piece = (text: string, line: number): Sample => ({ kind: 'text', text, origin: { source: 'a.txt', line } })
  assert.notEqual(splitKey(piece('one', 1)), splitKey(piece('two', 9)))
})

test('normalising twice is normalising once', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), text => {
      assert.equal(normalise(normalise(text)), normalise(text))
    }),
    { seed: 3, numRuns: 500 },
  )
})
