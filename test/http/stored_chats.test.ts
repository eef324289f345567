/** Stored chat completions: kept only when asked for, listed, filtered, changed and deleted, through npm's openai as well. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import OpenAI from 'openai'
import { coreRoutes } from '../../server/http/all.ts'
import { chatKeeper, storedChatRoutes } from '../../server/http/stored_chats.ts'
import { MIGRATIONS, migrate, readMigrations } from '../../server/storage/migrate.ts'
import { openSqlite } from '../../server/storage/sqlite.ts'
import { eachChat } from '../../server/storage/stored_chats.ts'
import { testHub } from '../helpers/hub.ts'

async function start(context: { after(close: () => void | Promise<void>): void }) {
  const db = openSqlite(':memory:')
  migrate(db, readMigrations(MIGRATIONS), () => 0)
  context.after(() => db.close())
  const hub = await testHub(context as never, {
    deps: { storeChat: chatKeeper(db) },
    routes: deps => [...coreRoutes(deps), ...storedChatRoutes({ db })],
  })
  return { db, hub, client: new OpenAI({ baseURL: `${hub.url}/v1`, apiKey: 'none' }) }
}
const messages = [{ role: 'user' as const, content: 'Xin chào' }]

test('an answer is kept only with store: true, streamed or not', async context => {
  const { db, client } = await start(context)
  await client.chat.completions.create({ model: 'fake', messages })
  await client.chat.completions.create({ model: 'fake', messages, store: false })
  assert.deepEqual([...eachChat(db)], [])
  const whole = await client.chat.completions.create({
    model: 'fake',
    messages,
    store: true,
    metadata: { app: 'tutor' },
  })
  const stream = await client.chat.completions.create({ model: 'fake', messages, store: true, stream: true })
  let text = ''
  let id = ''
  for await (const chunk of stream) {
    id = chunk.id
    text += chunk.choices[0]?.delta.content ?? ''
  }
  const kept = [...eachChat(db)]
  assert.deepEqual(
    kept.map(chat => chat.id),
    [whole.id, id],
  )
  assert.deepEqual(kept[0]!.messages, messages)
  assert.deepEqual(kept[0]!.metadata, { app: 'tutor' })
  const streamed = kept[1]!.response as OpenAI.Chat.ChatCompletion
  assert.equal(streamed.choices[0]!.message.content, text)
  assert.notEqual(text, '')
})

test('kept answers are listed in pages, filtered by metadata, renamed and deleted', async context => {
  const { client } = await start(context)
  const ids: string[] = []
  for (let index = 0; index < 5; index++) {
    const metadata = { topic: index % 2 === 0 ? 'even' : 'odd' }
    ids.push((await client.chat.completions.create({ model: 'fake', messages, store: true, metadata })).id)
  }
  const seen: string[] = []
  for await (const chat of client.chat.completions.list({ limit: 2 })) seen.push(chat.id)
  assert.deepEqual(seen, ids)
  const newest = await client.chat.completions.list({ limit: 1, order: 'desc' })
  assert.equal(newest.data[0]!.id, ids[4])
  const odd = await client.chat.completions.list({ metadata: { topic: 'odd' } })
  assert.deepEqual(
    odd.data.map(chat => chat.id),
    [ids[1], ids[3]],
  )
  const changed = await client.chat.completions.update(ids[0]!, { metadata: { topic: 'new' } })
  assert.deepEqual((changed as unknown as { metadata: unknown }).metadata, { topic: 'new' })
  const asked = await client.chat.completions.messages.list(ids[0]!)
  assert.deepEqual(
    asked.data.map(({ role, content }) => ({ role, content })),
    messages as unknown as typeof asked.data,
  )
  await client.chat.completions.delete(ids[0]!)
  await assert.rejects(client.chat.completions.retrieve(ids[0]!), /no stored chat/)
  await assert.rejects(client.chat.completions.delete(ids[0]!), /no stored chat/)
})

test('what the list does not know is refused by name', async context => {
  const { hub } = await start(context)
  for (const [query, param] of [
    ['limit=0', 'limit'],
    ['limit=1000', 'limit'],
    ['color=red', 'color'],
  ]) {
    const { status, json } = await hub.get(`/v1/chat/completions?${query}`)
    assert.equal(status, 400, query)
    assert.equal((json as { error: { param: string } }).error.param, param)
  }
  assert.equal((await hub.get('/v1/chat/completions?after=nothing')).status, 404)
})
