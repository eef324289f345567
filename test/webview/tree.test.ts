/** What the chat page works out by itself: branches, titles, requests, and events out of pieces. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { ConversationMessage } from '../../server/wire/conversations.ts'
import { branchOf, childrenOf, lastLeaf, titleOf, tooMany, toRequest, withoutOldest } from '../../webview/chat/tree.ts'
import { createEventReader } from '../../webview/sse.ts'

const node = (id: string, parent: string | null) => ({ id, parent })
const tree = [node('a', null), node('b', 'a'), node('c', 'a'), node('d', 'b'), node('e', 'c'), node('f', 'c')]
const message = (changes: Partial<ConversationMessage>): ConversationMessage => ({
  id: 'x',
  parent: null,
  created_at: 0,
  role: 'user',
  content: '',
  ...changes,
})

test('a branch leads from the first message to its leaf, and a fork is followed to what was written last', () => {
  assert.deepEqual(
    branchOf(tree, 'd').map(({ id }) => id),
    ['a', 'b', 'd'],
  )
  assert.deepEqual(
    branchOf(tree, 'gone').map(({ id }) => id),
    ['a', 'c', 'f'],
  )
  assert.deepEqual([lastLeaf(childrenOf(tree), 'a'), lastLeaf(childrenOf(tree), 'b')], ['f', 'd'])
  assert.deepEqual(branchOf([], null), [])
})

test('the meter tells how many messages do not fit, in whole turns, and never the last question', () => {
  const branch = ['user', 'assistant', 'user', 'tool', 'assistant', 'user'].map(role => ({ role }))
  const tokens = [10, 20, 30, 40, 50, 60]
  assert.deepEqual(
    [1000, 210, 209, 180, 179, 60, 1].map(room => tooMany(branch, tokens, room)),
    [0, 0, 2, 2, 5, 5, 5],
  )
})

test('a title is the first line, cut at a word', () => {
  assert.equal(titleOf('  ## Sông   Hồng\nchảy về đâu?'), 'Sông Hồng')
  assert.equal(titleOf('word '.repeat(30)), `${'word '.repeat(11)}word…`)
  assert.equal(titleOf('x'.repeat(80)), `${'x'.repeat(60)}…`)
})

test('a request has the system prompt, the calls of tools and their results, and no empty answers', () => {
  const call = { id: 'call_1', name: 'weather', arguments: '{}' }
  const branch = [
    message({ content: 'Hi' }),
    message({ role: 'assistant', content: '' }),
    message({ role: 'assistant', tool_calls: [call] }),
    message({ role: 'tool', content: 'sunny', tool_call_id: 'call_1' }),
  ]
  assert.deepEqual(toRequest(branch, 'Be brief.'), [
    { role: 'system', content: 'Be brief.' },
    { role: 'user', content: 'Hi' },
    {
      role: 'assistant',
      content: null,
      tool_calls: [{ id: 'call_1', type: 'function', function: { name: 'weather', arguments: '{}' } }],
    },
    { role: 'tool', content: 'sunny', tool_call_id: 'call_1' },
  ])
})

test('the oldest question goes with all that answered it; the system prompt and the last question stay', () => {
  const roles = (text: string) =>
    text.split('').map(role => ({ role: { s: 'system', u: 'user', a: 'assistant' }[role] }))
  const cut = (text: string) =>
    withoutOldest(roles(text))
      ?.map(({ role }) => role?.[0])
      .join('')
  assert.deepEqual(
    [cut('suaua'), cut('uaaau'), cut('uauau'), cut('su'), cut('ua')],
    ['sua', 'u', 'uau', undefined, undefined],
  )
})

test('events come out whole, wherever the pieces break', () => {
  const stream = 'data: {"a":1}\n\n: keep-alive\n\nevent: x\ndata: two\ndata: lines\n\ndata: [DONE]\n\n'
  fc.assert(
    fc.property(fc.array(fc.nat(stream.length)), cuts => {
      const read = createEventReader()
      const places = [0, ...cuts.sort((a, b) => a - b), stream.length]
      const found = places.slice(1).flatMap((end, index) => read(stream.slice(places[index], end)))
      assert.deepEqual(found, ['{"a":1}', 'two\nlines', '[DONE]'])
    }),
    { seed: 3 },
  )
})
