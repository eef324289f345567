/** What a page may say to the extension, and where its requests may go: well formed or nothing. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { apiPath, fileName, readMessage } from '../../extension/panel_door.ts'
import { FromPanel } from '../../server/wire/panel.ts'

const HUB = 'http://127.0.0.1:8000'
const RUNS = { seed: 7, numRuns: 2000 }

test('every message of the pages is taken as it is', () => {
  const messages: FromPanel[] = [
    { type: 'request', id: 1, method: 'GET', path: '/v1/chats', stream: false },
    { type: 'request', id: 2, method: 'POST', path: '/v1/chat/completions', stream: true, body: { model: 'a' } },
    { type: 'upload', id: 3, filename: 'sums.jsonl', bytes: new ArrayBuffer(8) },
    { type: 'cancel', id: 2 },
    { type: 'listen' },
    { type: 'insert', text: 'const a = 1' },
    { type: 'apply', text: 'const a = 1', language: 'ts' },
    { type: 'apply', text: '', language: '', file: 'src/a.ts' },
    { type: 'open', page: 'dashboard', route: 'training/1' },
    { type: 'open', page: 'chat' },
    { type: 'leave', letters: [{ path: '/v1/chats/a/messages/b', body: { role: 'assistant' } }] },
    { type: 'leave', letters: [] },
    { type: 'keep', key: 'draft.new', value: 'xin chào', own: true, at: 1 },
    { type: 'keep', key: 'draft.new', own: false, at: 2 },
    { type: 'copy', text: 'a' },
    { type: 'save', filename: 'a.md', content: '# a' },
  ]
  for (const message of messages) assert.deepEqual(readMessage(message), message)
  // None is forgotten here when one more is made.
  assert.deepEqual(
    [...new Set(messages.map(({ type }) => type))].sort(),
    FromPanel.options.map(({ shape }) => shape.type.value).sort(),
  )
})

test('what is taken of anything at all is a message of the schema, with nothing beside it', () => {
  const types = FromPanel.options.map(({ shape }) => shape.type.value)
  const value = fc.oneof(
    fc.anything({ withNullPrototype: true, withBigInt: true }),
    fc.constantFrom(...types, 'GET', '/v1/a', -1, 2 ** 60),
  )
  const message = fc.oneof(
    fc.anything(),
    fc.record(
      {
        type: fc.oneof(fc.constantFrom(...types), value),
        ...Object.fromEntries(
          [
            'id',
            'method',
            'path',
            'body',
            'stream',
            'text',
            'language',
            'file',
            'page',
            'route',
            'key',
            'value',
            'letters',
          ].map(name => [name, value]),
        ),
        filename: value,
        content: value,
        bytes: fc.oneof(value, fc.constant(new ArrayBuffer(1))),
        __proto__: value,
      },
      { requiredKeys: ['type'] },
    ),
  )
  let taken = 0
  fc.assert(
    fc.property(message, hostile => {
      const read = readMessage(hostile)
      if (read === undefined) return
      taken++
      const { success, data } = FromPanel.safeParse(read)
      assert.ok(success)
      assert.deepEqual(Object.keys(read).sort(), Object.keys(data).sort())
    }),
    RUNS,
  )
  assert.ok(taken > 20)
})

test('a message that fits its schema is refused for its size only', () => {
  assert.equal(readMessage({ type: 'copy', text: 'a'.repeat(16 * 2 ** 20 + 1) }), undefined)
  assert.equal(
    readMessage({ type: 'request', id: 1, method: 'GET', path: `/${'a'.repeat(5000)}`, stream: false }),
    undefined,
  )
})

test('requests go to the API of the hub', () => {
  for (const path of [
    '/v1/chats?limit=50&search=%C4%91',
    '/v1/chats/a%2Fb',
    '/v1/training/adapters/base:name',
    '/apply-template',
  ]) {
    assert.equal(apiPath(HUB, path), path)
  }
  assert.equal(apiPath(HUB, '/v1/chats/../models/status'), '/v1/models/status')
  assert.equal(apiPath(`${HUB}/hub`, '/v1/models'), '/v1/models')
})

test('requests go nowhere else', () => {
  for (const path of [
    '',
    'v1/chats',
    'http://example.com/v1/chats',
    '//example.com/v1/chats',
    '/\\example.com/v1/chats',
    '\\\\example.com/v1',
    '@example.com/v1/chats',
    ':80@example.com/v1/chats',
    '.example.com/v1/chats',
    '1/v1/chats',
    '/v1',
    '/',
    '/docs',
    '/pages/chat.js',
    '/lsp',
    '/v1/../lsp',
    '/v1/%2e%2e/lsp',
    '/v1/.%2E/docs',
    '/v1/chats#/..',
    '/v1/a b',
    '/v1/a\r\nHost: example.com',
    '/v1/\u0000',
    '/v1/\t../docs',
    '/apply-template/x',
  ]) {
    assert.equal(apiPath(HUB, path), undefined, JSON.stringify(path))
  }
  assert.equal(apiPath(`${HUB}/hub`, '/../v1/models'), undefined)
})

test('whatever a page asks for, the host and the port are the hub, and the path is of its API', () => {
  const piece = fc.constantFrom(
    '/',
    '//',
    '\\',
    '..',
    '.',
    '%2e',
    '%2f',
    '@',
    ':',
    '?',
    '#',
    'v1',
    'lsp',
    'example.com',
    '\n',
    ' ',
    'đ',
  )
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string({ unit: 'binary' }),
        fc.array(piece).map(parts => parts.join('')),
      ),
      path => {
        for (const hostile of [path, `/v1/${path}`]) {
          const read = apiPath(HUB, hostile)
          if (read === undefined) continue
          const url = new URL(HUB + read)
          assert.equal(url.origin, HUB)
          assert.equal(url.pathname + url.search, read)
          assert.match(read, /^\/(v1\/|health|apply-template|tokenize|detokenize)/)
        }
      },
    ),
    RUNS,
  )
})

test('a file name is one name, on Windows as well', () => {
  assert.equal(fileName('Phố-cũ.md'), 'Phố-cũ.md')
  assert.equal(fileName('../../etc/passwd'), 'etc-passwd')
  assert.equal(fileName('C:\\a\\b.md'), 'C-a-b.md')
  assert.equal(fileName(' . '), 'chat')
  assert.equal(fileName('a\u202egnp.exe'), 'a-gnp.exe')
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), name => {
      const safe = fileName(name)
      assert.match(safe, /^[^<>:"/\\|?*\p{Cc}]{1,120}$/u)
      assert.doesNotMatch(safe, /^\.|[. ]$/)
    }),
    RUNS,
  )
})
