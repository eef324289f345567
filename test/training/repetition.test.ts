/** Loops and cut ends of answers, and the answers that only look like them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { findRepetition, findTruncation } from '../../server/training/repetition.ts'
import { CODE, ENGLISH, prose, REPETITION_TRAPS, seeded, VIETNAMESE } from '../helpers/dirty_data.ts'

test('loops are found', () => {
  for (const text of [
    `${ENGLISH[0]}\n`.repeat(6),
    `${VIETNAMESE[0]} ${'và cứ như thế mãi mãi '.repeat(10)}`,
    `Sure. ${'ha '.repeat(40)}`,
    `The list: ${'red green blue and red green then blue '.repeat(12)}.`,
  ])
    assert.ok(findRepetition(text), text)
})

test('tables, code, lists and songs are no loops', () => {
  for (const text of [...REPETITION_TRAPS, ...CODE, prose(seeded(1)), '', 'a', '='.repeat(500)])
    assert.equal(findRepetition(text), undefined, text)
})

const CUT: [text: string, why: string][] = [
  ['Here it is:\n```js\nconst a = 1\n', 'a code block is not closed'],
  ['The server waits for the', 'it ends in the middle of a sentence'],
  ['Bạn hãy kiểm tra lại dữ liệu và', 'it ends in the middle of a sentence'],
  ['First, second,', 'it ends in the middle of a sentence'],
  ['One is here. Two is there. The third one of them stands somewhere', 'its last sentence has no end'],
  ['function a(b) {\n  if (b) {\n    return [1, 2', '3 brackets are not closed'],
]
for (const [text, why] of CUT) test(`cut off: ${JSON.stringify(text)}`, () => assert.equal(findTruncation(text), why))

test('whole answers are not cut off', () => {
  for (const text of [
    ...ENGLISH,
    ...VIETNAMESE,
    ...CODE,
    '42',
    'Yes',
    'Hà Nội',
    '- one\n- two items of the list',
    '',
    'See https://example.com/a',
    'print("(")',
  ])
    assert.equal(findTruncation(text), undefined, text)
})
