/** From raw model output to ghost text, by table; and what must hold for any output. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { isEnough, toGhost } from '../../server/assistant/ghost.ts'
import { placeAt } from '../../server/assistant/place.ts'
import { CASES, type Case } from './ghost_cases.ts'

const file = (language = 'typescript') => ({ uri: 'file:///a.ts', path: 'a.ts', language })

function show({ at, raw, language, invoked = false, cut = false }: Case) {
  const offset = at.indexOf('|')
  const place = placeAt(at.slice(0, offset) + at.slice(offset + 1), offset, file(language), !invoked)
  return place === undefined ? undefined : toGhost(raw, place, !cut)
}

for (const one of CASES) {
  test(`ghost text: ${one.name}`, () => {
    const ghost = show(one)
    assert.deepEqual(ghost ?? null, one.shows === null ? null : { text: one.shows, replace: one.replace ?? 0 })
  })
}

const piece = fc.constantFrom(
  'foo(',
  ')',
  '\n',
  '\n  ',
  '\n    ',
  '}',
  ' {',
  '"a"',
  "'",
  '`',
  ';',
  ',',
  'return x',
  'const a = 1',
  ']',
  '[',
  ' ',
  '\t',
  '\r\n',
  'tiếng Việt',
  '😀',
  '// so',
  'if (a)',
  ':',
  '.b',
)
const text = fc.array(piece, { maxLength: 14 }).map(pieces => pieces.join(''))

test('whatever the model writes: what is replaced stays in the text, and stopping early shows the same', () => {
  fc.assert(
    fc.property(text, text, text, (before, after, raw) => {
      const place = placeAt(before + after, before.length, file(), false)
      if (place === undefined) return
      const ghost = toGhost(raw, place, true)
      if (ghost !== undefined) {
        assert.ok(ghost.text.trim() !== '')
        assert.ok(ghost.replace <= place.lineSuffix.length)
        assert.ok(
          isSubsequence(place.lineSuffix.slice(0, ghost.replace), ghost.text),
          'editors show a replacement only so',
        )
      }
      for (let end = 0; end < raw.length; end++) {
        if (!isEnough(raw.slice(0, end), place)) continue
        assert.deepEqual(toGhost(raw.slice(0, end), place, true), ghost)
        break
      }
    }),
    { seed: 7, numRuns: 5000 },
  )
})

function isSubsequence(part: string, whole: string): boolean {
  let at = 0
  for (const character of whole) if (character === part[at]) at++
  return at === part.length
}
