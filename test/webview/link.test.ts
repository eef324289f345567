/** Addresses that lead into the chat page. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readLink } from '../../webview/chat/link.ts'

test('a link names a model or two, with every character that an id may have', () => {
  assert.deepEqual(readLink('model=alpha'), { model: 'alpha', second: '' })
  assert.deepEqual(readLink('model=base:name@1'), { model: 'base:name@1', second: '' })
  const [base, adapter] = ['chat, large/Mô hình 3', 'x:50%']
  assert.deepEqual(readLink(`compare=${encodeURIComponent(base)},${encodeURIComponent(adapter)}`), {
    model: base,
    second: adapter,
  })
})

test('what is no link changes nothing', () => {
  for (const route of ['', 'model=', 'model', 'chat=1', 'model=%', '#model=a', 'compare=,b']) {
    assert.equal(readLink(route), undefined, route)
  }
})
