/** The tables of conversations: what goes in comes out, search takes words with and without diacritics, and nothing is left of what was deleted. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  branchOf,
  createConversation,
  deleteConversation,
  findConversation,
  fold,
  listConversations,
  messagesOf,
  putMessage,
  type StoredConversation,
  searchConversations,
  trainableConversations,
  updateConversation,
} from '../../server/storage/conversations.ts'
import type { Database } from '../../server/storage/database.ts'
import { MIGRATIONS, migrate, readMigrations } from '../../server/storage/migrate.ts'
import { openSqlite } from '../../server/storage/sqlite.ts'
import { conversationSamples } from '../../server/training/sources_conversations.ts'
import { storedTurns } from '../../server/training/stored_turns.ts'
import type { ConversationMessage } from '../../server/wire/conversations.ts'

async function withDb(use: (db: Database) => void | Promise<void>): Promise<void> {
  const db = openSqlite(':memory:')
  try {
    migrate(db, readMigrations(MIGRATIONS), () => 0)
    await use(db)
  } finally {
    db.close()
  }
}
const chat = (id: string, changes: Partial<StoredConversation> = {}): StoredConversation => ({
  id,
  createdMs: 1,
  updatedMs: 1,
  title: '',
  model: 'm',
  options: {},
  training: false,
  leaf: null,
  ...changes,
})
const message = (id: string, parent: string | null, content: string, changes = {}): ConversationMessage => ({
  id,
  parent,
  role: 'user',
  content,
  created_at: 2,
  ...changes,
})

test('a conversation and its messages come back as they were put, written again without a second copy', () =>
  withDb(db => {
    const made = chat('c', { title: 'Sông', options: { system: 'Kurz.', temperature: 0.5 } })
    createConversation(db, made)
    assert.deepEqual(findConversation(db, 'c'), made)
    const question = message('q', null, 'Hỏi')
    const answer = message('a', 'q', 'Đáp', { role: 'assistant', model: 'm', finish: 'stopped' })
    putMessage(db, 'c', question, 10)
    putMessage(db, 'c', answer, 11)
    const whole = { ...answer, content: 'Đáp xong', finish: 'stop' as const }
    putMessage(db, 'c', whole, 12)
    assert.deepEqual(messagesOf(db, 'c'), [question, whole])
    assert.deepEqual(findConversation(db, 'c'), { ...made, updatedMs: 12, leaf: 'a' })
    assert.equal(searchConversations(db, 'xong', 9).length, 1)
  }))

test('words without diacritics find text with them, and words with them find their own kind first', () =>
  withDb(db => {
    createConversation(db, chat('street', { title: 'Đường Trần Hưng Đạo' }))
    createConversation(db, chat('friend'))
    putMessage(db, 'friend', message('q', null, 'Người bạn thân nhất của tôi'), 5)
    createConversation(db, chat('sell'))
    putMessage(db, 'sell', message('q', null, 'Cửa hàng bán sách'), 6)
    const found = (query: string) => searchConversations(db, query, 9).map(one => one.id)
    assert.deepEqual(found('duong dao'), ['street'])
    assert.deepEqual(found('tran hu'), ['street'])
    assert.deepEqual(found('bạn'), ['friend', 'sell'])
    assert.deepEqual(found('bán'), ['sell', 'friend'])
    assert.deepEqual(found('ba\u0323n'), ['friend', 'sell'])
    assert.deepEqual(found('NGƯỜI thân'), ['friend'])
    assert.deepEqual(found('bạn sách'), ['sell'])
    assert.deepEqual(found('bạn hàng'), ['sell'])
    assert.deepEqual(found('thân sách'), [])
    assert.deepEqual(found('" OR * ) -'), [])
    assert.equal(searchConversations(db, 'nhat', 9)[0]?.excerpt, 'Người bạn thân nhất của tôi')
  }))

test('an excerpt shows the place that was found', () =>
  withDb(db => {
    createConversation(db, chat('c'))
    putMessage(db, 'c', message('q', null, `${'trước '.repeat(50)}Thuật toán ${'sau '.repeat(50)}`), 5)
    const excerpt = searchConversations(db, 'thuat toan', 9)[0]?.excerpt ?? ''
    assert.match(excerpt, /^….*Thuật toán sau .*…$/)
    assert.ok(excerpt.length < 140)
  }))

test('any text that was put is found by any of its words, folded or not', () =>
  withDb(db => {
    createConversation(db, chat('c'))
    const letters = fc.constantFrom(...'aạăâbcdđeêghioôơuưyáàảãÁĐ')
    const word = fc.string({ unit: letters, minLength: 1, maxLength: 8 })
    fc.assert(
      fc.property(fc.array(word, { minLength: 1, maxLength: 6 }), fc.nat(), (words, pick) => {
        putMessage(db, 'c', message('q', null, words.join(' ')), 5)
        const one = words[pick % words.length]!
        return [one, fold(one), one.normalize('NFD')].every(query => searchConversations(db, query, 1).length === 1)
      }),
      { seed: 7, numRuns: 150 },
    )
  }))

test('folding keeps the place of every character', () => {
  assert.equal(fold('Đường Trần'), 'duong tran')
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), text => fold(text).length === text.normalize('NFC').length),
    { seed: 7 },
  )
})

test('the list is the latest first, in pages without a gap', () =>
  withDb(db => {
    for (let index = 0; index < 7; index++) createConversation(db, chat(`c${index}`, { updatedMs: index >> 1 }))
    const seen: string[] = []
    for (let after: string | undefined; ; after = seen.at(-1)) {
      const page = listConversations(db, { after, limit: 3 })
      seen.push(...page.map(one => one.id))
      if (page.length < 3) break
    }
    assert.deepEqual(seen, ['c6', 'c5', 'c4', 'c3', 'c2', 'c1', 'c0'])
  }))

test('a changed title is found by its new words only, and nothing of a deleted conversation is left', () =>
  withDb(db => {
    createConversation(db, chat('c', { title: 'cũ' }))
    putMessage(db, 'c', message('q', null, 'nội dung'), 5)
    updateConversation(db, 'c', { title: 'mới', training: true })
    assert.deepEqual(
      ['cu', 'moi', 'noi dung'].map(query => searchConversations(db, query, 9).length),
      [0, 1, 1],
    )
    assert.equal(deleteConversation(db, 'c'), true)
    assert.equal(deleteConversation(db, 'c'), false)
    assert.equal(updateConversation(db, 'c', { title: 'x' }), undefined)
    for (const table of ['conversations', 'conversation_messages', 'conversation_search']) {
      assert.deepEqual(db.all(`select * from ${table}`), [])
    }
  }))

test('a branch is the way from the first message to its leaf', () => {
  const tree = [message('a', null, ''), message('b', 'a', ''), message('c', 'a', ''), message('d', 'c', '')]
  const ids = (leaf: string | null) => branchOf(tree, leaf).map(one => one.id)
  assert.deepEqual(
    [ids('b'), ids('d'), ids(null), ids('gone')],
    [
      ['a', 'b'],
      ['a', 'c', 'd'],
      ['a', 'c', 'd'],
      ['a', 'c', 'd'],
    ],
  )
})

test('only conversations with the switch on become samples, of the branch that was looked at, without bad answers', () =>
  withDb(async db => {
    for (const id of ['off', 'on']) {
      createConversation(db, chat(id, { training: id === 'on', options: { system: 'Ngắn gọn.' } }))
      putMessage(db, id, message('q', null, 'Thủ đô?'), 1)
      putMessage(db, id, message('bad', 'q', 'Huế', { role: 'assistant', finish: 'stop', feedback: 'bad' }), 2)
      putMessage(db, id, message('good', 'q', 'Hà Nội', { role: 'assistant', finish: 'stop' }), 3)
      putMessage(db, id, message('q2', 'good', 'Và?'), 4)
      putMessage(db, id, message('cut', 'q2', 'Nửa', { role: 'assistant', finish: 'stopped' }), 5)
    }
    assert.deepEqual(
      trainableConversations(db).map(one => one.id),
      ['on'],
    )
    assert.deepEqual(await Array.fromAsync(conversationSamples(storedTurns(db))), [
      {
        kind: 'chat',
        messages: [
          { role: 'system', content: 'Ngắn gọn.' },
          { role: 'user', content: 'Thủ đô?' },
          { role: 'assistant', content: 'Hà Nội' },
          { role: 'user', content: 'Và?' },
          { role: 'assistant', content: 'Nửa', weight: 0 },
        ],
        origin: { source: 'conversation on' },
      },
    ])
    updateConversation(db, 'on', { leaf: 'bad' })
    assert.deepEqual(await Array.fromAsync(conversationSamples(storedTurns(db))), [])
  }))
