/** From tokens to text: characters stay whole, stop texts never leak, log probabilities stay in step. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { TokenLogprob } from '../../server/wire/worker.ts'
import { plainParser, TextStream } from '../../server/worker/text.ts'

const logprob = (id: number): TokenLogprob => ({ token: String(id), id, logprob: -id, bytes: [], top: [] })

function run(pieces: Buffer[], stops: string[], minIndent = 0) {
  const stream = new TextStream({ parser: plainParser(), stops, minIndent })
  let text = ''
  const ids: number[] = []
  for (const [index, piece] of pieces.entries()) {
    const delta = stream.push(index, piece, logprob(index))
    text += delta.content
    ids.push(...delta.logprobs.map(entry => entry.id))
    if (stream.stopped !== undefined) break
  }
  const last = stream.end()
  ids.push(...last.logprobs.map(entry => entry.id))
  return { text: text + last.content, ids, stopped: stream.stopped }
}

test('any text in any cut comes out whole, up to the first stop text (property)', () => {
  const alphabet = fc.constantFrom('a', 'b', 'ạ', '😀', '\n', ' ', 'đ', 'x')
  fc.assert(
    fc.property(
      fc.array(alphabet, { maxLength: 40 }),
      fc.array(fc.array(alphabet, { minLength: 1, maxLength: 4 }), { maxLength: 3 }),
      fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 40 }),
      (characters, stopLists, cuts) => {
        const text = characters.join('')
        const stops = stopLists.map(list => list.join(''))
        const bytes = Buffer.from(text)
        const pieces: Buffer[] = []
        for (let at = 0, index = 0; at < bytes.length; index++) {
          const length = cuts[index % cuts.length]!
          pieces.push(bytes.subarray(at, at + length))
          at += length
        }
        const first = Math.min(...stops.map(stop => text.indexOf(stop)).filter(index => index >= 0), text.length)
        const result = run(pieces, stops)
        assert.equal(result.text, text.slice(0, first))
        assert.equal(result.stopped !== undefined, first < text.length)
      },
    ),
    { seed: 3, numRuns: 1000 },
  )
})

test('log probabilities cover exactly the tokens whose text was given', () => {
  const pieces = ['Hello', ' wor', 'ld', ' END', ' never'].map(piece => Buffer.from(piece))
  assert.deepEqual(run(pieces, []).ids, [0, 1, 2, 3, 4])
  assert.deepEqual(run(pieces, ['END']), { text: 'Hello world ', ids: [0, 1, 2, 3], stopped: 'END' })
  assert.deepEqual(run(pieces, ['world']), { text: 'Hello ', ids: [0, 1], stopped: 'world' })
})

test('a line with less indentation than asked for ends the text before it', () => {
  const pieces = ['  a()\n', '  b()\n', '\n  c()', '\n}', '\nrest'].map(piece => Buffer.from(piece))
  assert.equal(run(pieces, [], 2).text, '  a()\n  b()\n\n  c()')
})
