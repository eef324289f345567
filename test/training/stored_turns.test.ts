/** Stored answers as training samples: the answer is learned, what came before is context, a refusal is heeded. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MIGRATIONS, migrate, readMigrations } from '../../server/storage/migrate.ts'
import { openSqlite } from '../../server/storage/sqlite.ts'
import { storeChat } from '../../server/storage/stored_chats.ts'
import { conversationSamples } from '../../server/training/sources_conversations.ts'
import { storedTurns } from '../../server/training/stored_turns.ts'
import { Sample } from '../../server/wire/sample.ts'

test('only what was kept, and of that only the answer, is learned', async context => {
  const db = openSqlite(':memory:')
  context.after(() => db.close())
  migrate(db, readMigrations(MIGRATIONS), () => 0)
  const store = (id: string, metadata: { [key: string]: string }, finish: string) =>
    storeChat(db, {
      id,
      createdMs: 0,
      model: 'm',
      metadata,
      messages: [
        {
          role: 'system',
          content: [
            { type: 'text', text: 'Be ' },
            { type: 'text', text: 'brief.' },
          ],
        },
        { role: 'user', content: 'Xin chào' },
        { role: 'assistant', content: 'Chào bạn!' },
        { role: 'user', content: 'Tên gì?' },
      ],
      tools: [{ type: 'function', function: { name: 'look', parameters: { type: 'object' } } }],
      response: { choices: [{ message: { content: `Hub ${id}` }, finish_reason: finish }] },
    })
  store('a', {}, 'stop')
  store('b', { training: 'no' }, 'stop')
  store('cut', {}, 'length')
  const samples: Sample[] = []
  for await (const sample of conversationSamples(storedTurns(db))) samples.push(Sample.parse(sample))
  assert.deepEqual(samples, [
    {
      kind: 'chat',
      messages: [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: 'Xin chào' },
        { role: 'assistant', content: 'Chào bạn!', weight: 0 },
        { role: 'user', content: 'Tên gì?' },
        { role: 'assistant', content: 'Hub a' },
      ],
      tools: [{ name: 'look', parameters: { type: 'object' } }],
      origin: { source: 'conversation a' },
    },
  ])
})
