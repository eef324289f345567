/** Edits cut down to what they change. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { minimal } from '../../server/assistant/minimal.ts'
import { edited } from '../helpers/scripted_ask.ts'

const whole = (text: string, now: string) => minimal(text, { start: 0, end: text.length, text: now })

test('only what changed is edited', () => {
  const cases: [old: string, now: string, edits: [old: string, now: string][]][] = [
    ['a\nb\nc\n', 'a\nb\nc\n', []],
    ["f {\n  return 'forty-two'\n}\n", 'f {\n  return 42\n}\n', [["'forty-two'", '42']]],
    ['a\nb\n', 'a\nx\nb\n', [['', 'x\n']]],
    ['a\nb\nc\n', 'a\nc\n', [['b\n', '']]],
    [
      'one(a)\ntwo(b)\nthree\n',
      'one(x)\ntwo(y)\nthree\n',
      [
        ['a', 'x'],
        ['b', 'y'],
      ],
    ],
    [
      'a\nb\nc\nd\ne\n',
      'a\nB\nc\nD\nnew\ne\n',
      [
        ['b', 'B'],
        ['d\n', 'D\nnew\n'],
      ],
    ],
    ['a.lenght\r\nb\r\n', 'a.length\r\nb\r\n', [['lenght', 'length']]],
    ['say("😀")', 'say("😁")', [['😀', '😁']]],
    ['Tie\u0302\u0301ng', 'Tie\u0302\u0300ng', [['Tie\u0302\u0301ng', 'Tie\u0302\u0300ng']]],
    ['', 'a\n', [['', 'a\n']]],
  ]
  for (const [old, now, edits] of cases) {
    assert.deepEqual(
      whole(old, now).map(({ start, end, text }) => [old.slice(start, end), text]),
      edits,
      old,
    )
  }
})

test('the outcome is the same, the edits are in order and apart, and no character is torn', () => {
  const line = fc.string({ unit: fc.constantFrom('a', 'b', ' ', '(', '😀', '\u0301'), maxLength: 5 })
  const text = fc
    .array(fc.tuple(line, fc.constantFrom('\n', '\r\n')), { maxLength: 8 })
    .map(lines => lines.flat().join(''))
  fc.assert(
    fc.property(text, text, line, (old, now, last) => {
      const edits = whole(`${old}${last}`, now)
      assert.equal(edited(`${old}${last}`, edits), now)
      for (const [index, edit] of edits.entries()) {
        assert.ok(edit.start <= edit.end && edit.start >= (edits[index - 1]?.end ?? 0))
        assert.ok(edit.text.isWellFormed())
      }
    }),
    { seed: 7, numRuns: 1000 },
  )
})
