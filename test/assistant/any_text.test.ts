/** Whatever a document holds, places in it are found within it, and edits stay apart and whole. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { blockAround, type Edit, fitIn, selectedOrBlock, wholeLines } from '../../server/assistant/code.ts'
import { commentsOf, notCode } from '../../server/assistant/comments.ts'
import { declarationAt, docEdit } from '../../server/assistant/doc_comments.ts'
import { fix } from '../../server/assistant/fix.ts'
import { identifierAt, placesOf } from '../../server/assistant/name.ts'
import { placeAt } from '../../server/assistant/place.ts'
import { translate, translationOf } from '../../server/assistant/translate.ts'
import { edited, scriptedAsk } from '../helpers/scripted_ask.ts'

const signal = new AbortController().signal
const piece = fc.constantFrom(
  ...[
    '{',
    '}',
    '(',
    ')',
    '// ',
    '/* ',
    ' */',
    '/** ',
    '# ',
    '"',
    "'",
    '`',
    '"""',
    '\\',
    '\n',
    '\n',
    '\r\n',
    '  ',
    '\t',
  ],
  ...['def f(a):', 'function f(a) {', 'class A', 'import x', 'from y import (', '@param a của', ' * ', 'chữ', 'words'],
  ...['😀', 'e\u0302\u0301', 'foo', '--', '#!', ';', ' = ', 'fn f()', '@Tag', '-- ', '<!--', '-->', '\0'],
)
const text = fc.array(piece, { maxLength: 40 }).map(pieces => pieces.join(''))
const language = fc.constantFrom(
  'typescript',
  'python',
  'rust',
  'go',
  'java',
  'csharp',
  'lua',
  'html',
  'shellscript',
  'x',
)
const place = fc.tuple(text, language, fc.nat(200), fc.nat(60)).map(([given, language, at, length]) => {
  const start = Math.min(at, given.length)
  return { path: 'a', language, text: given, start, end: Math.min(given.length, start + length) }
})
const options = { seed: 11, numRuns: 800 }

function assertApart(given: string, edits: readonly Edit[]): void {
  const sorted = [...edits].sort((a, b) => a.start - b.start || a.end - b.end)
  for (const [index, { start, end }] of sorted.entries()) {
    assert.ok(0 <= start && start <= end && end <= given.length)
    assert.ok(start >= (sorted[index - 1]?.end ?? 0), 'the edits overlap')
  }
}

test('blocks and selections are whole lines around their place', () => {
  fc.assert(
    fc.property(place, code => {
      const block = blockAround(code.text, code.start)
      for (const { start, end } of [block, wholeLines(code), selectedOrBlock(code)]) {
        assert.ok(0 <= start && start <= end && end <= code.text.length)
        assert.ok(start === 0 || code.text[start - 1] === '\n')
        assert.ok(end === code.text.length || /^\r?\n/.test(code.text.slice(end)) || start === end)
      }
    }),
    options,
  )
})

test('comments, names and declarations lie within the text, in order', () => {
  fc.assert(
    fc.property(place, code => {
      for (const found of [commentsOf(code.text, code.language), notCode(code.text, code.language)]) {
        assertApart(
          code.text,
          found.map(each => ({ ...each, text: '' })),
        )
      }
      const identifier = identifierAt(code)
      if (identifier !== undefined) {
        assert.ok(placesOf(code.text, code.language, identifier.name).some(({ start }) => start === identifier.start))
      }
      const declaration = declarationAt(code)
      if (declaration === undefined) return
      const description = { summary: 'What it is.', parameters: [], returns: '' }
      const edit = docEdit(code, declaration, description)
      assertApart(code.text, [edit])
      assert.match(edited(code.text, [edit]), /what it is\./i)
    }),
    options,
  )
})

test('an answer is fitted in or refused, and the rest of the text stays', () => {
  fc.assert(
    fc.property(place, text, (code, answer) => {
      const lines = wholeLines(code)
      try {
        assertApart(code.text, [fitIn(lines, answer)])
      } catch (thrown) {
        assert.equal((thrown as { code?: string }).code, 'unusable_answer', String(thrown))
      }
    }),
    options,
  )
})

test('fixes and translations are edits that lie apart', async () => {
  await fc.assert(
    fc.asyncProperty(place, text, async (code, answer) => {
      const answers = { code: answer, import: "import z from 'z'", translations: ['dịch ra'] }
      const refused = (thrown: { code?: string }): Edit[] => {
        assert.match(String(thrown.code), /^(unusable_answer|invalid_request)$/, String(thrown))
        return []
      }
      assertApart(code.text, await fix(scriptedAsk([answers]).ask, code, 'wrong', signal).catch(refused))
      if (translationOf(code) === undefined) return
      const edits = await translate(scriptedAsk([answers]).ask, code, signal).catch(refused)
      assertApart(code.text, edits)
      const comments = commentsOf(code.text, code.language)
      for (const { start, end } of edits) {
        const [first, last] = [start, end].map(at => comments.findIndex(each => each.start <= at && at <= each.end))
        assert.ok(first !== -1 && last !== -1, 'only comments are edited')
      }
    }),
    { ...options, numRuns: 300 },
  )
})

test('the place at the start of a text that begins with a line end', () => {
  const file = { uri: 'file:///a.ts', language: 'typescript', path: 'a.ts' }
  const { before, linePrefix, lineSuffix, after } = placeAt('\nfoo\n', 0, file, true)!
  assert.deepEqual([before, linePrefix, lineSuffix, after], ['', '', '', '\nfoo\n'])
})
