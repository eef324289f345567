/** /v1/chats: begun, written, searched, changed, exported, deleted; what is wrong is refused by name. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { conversationRoutes } from '../../server/http/conversations.ts'
import { MIGRATIONS, migrate, readMigrations } from '../../server/storage/migrate.ts'
import { openSqlite } from '../../server/storage/sqlite.ts'
import type {
  Conversation,
  ConversationExport,
  ConversationList,
  ConversationWhole,
} from '../../server/wire/conversations.ts'
import { testHub } from '../helpers/hub.ts'

async function start(context: { after(close: () => void | Promise<void>): void }) {
  const db = openSqlite(':memory:')
  migrate(db, readMigrations(MIGRATIONS), () => 0)
  context.after(() => db.close())
  let clock = 1000
  const hub = await testHub(context as never, { routes: () => conversationRoutes({ db, now: () => clock++ }) })
  async function call<T>(method: string, path: string, body?: unknown): Promise<{ status: number; json: T }> {
    const response = await fetch(hub.url + path, {
      method,
      ...(body !== undefined && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
    })
    return { status: response.status, json: (await response.json()) as T }
  }
  const begin = async (body: object = {}) => (await call<Conversation>('POST', '/v1/chats', body)).json
  return { call, begin }
}
type Failure = { error: { code: string; param: string | null; message: string } }

test('a chat is begun, written, read, changed, listed and deleted', async context => {
  const { call, begin } = await start(context)
  const chat = await begin({ title: 'Xin chào', model: 'm', options: { system: 'Be brief.' } })
  assert.deepEqual([chat.training, chat.leaf, chat.created_at], [false, null, 1000])
  const question = { parent: null, role: 'user', content: 'Hỏi' }
  const answer = { parent: 'q', role: 'assistant', content: 'Đáp', finish: 'stop', first_token_ms: 12.5 }
  assert.equal((await call('PUT', `/v1/chats/${chat.id}/messages/q`, question)).status, 200)
  assert.equal((await call('PUT', `/v1/chats/${chat.id}/messages/a`, answer)).status, 200)
  const whole = await call<ConversationWhole>('GET', `/v1/chats/${chat.id}`)
  assert.equal(whole.json.leaf, 'a')
  assert.deepEqual(whole.json.messages, [
    { ...question, id: 'q', created_at: 1001 },
    { ...answer, id: 'a', created_at: 1002 },
  ])
  await call('PUT', `/v1/chats/${chat.id}/messages/a`, { ...answer, feedback: 'good' })
  const changed = await call<Conversation>('PATCH', `/v1/chats/${chat.id}`, { title: 'Mới', training: true, leaf: 'q' })
  assert.deepEqual([changed.json.title, changed.json.training, changed.json.leaf], ['Mới', true, 'q'])
  const list = await call<ConversationList>('GET', '/v1/chats')
  assert.deepEqual(
    list.json.data.map(({ id, title }) => ({ id, title })),
    [{ id: chat.id, title: 'Mới' }],
  )
  assert.deepEqual((await call('DELETE', `/v1/chats/${chat.id}`)).json, {
    object: 'chat.deleted',
    id: chat.id,
    deleted: true,
  })
  assert.equal((await call('GET', `/v1/chats/${chat.id}`)).status, 404)
})

test('search finds, and the list comes in pages', async context => {
  const { call, begin } = await start(context)
  const ids: string[] = []
  for (const title of ['Sông Hồng', 'Sông Hương', 'Núi']) ids.push((await begin({ title })).id)
  const found = await call<ConversationList>('GET', '/v1/chats?search=song%20hong')
  assert.deepEqual(
    found.json.data.map(({ id, excerpt }) => ({ id, excerpt })),
    [{ id: ids[0], excerpt: 'Sông Hồng' }],
  )
  const both = await call<ConversationList>('GET', '/v1/chats?search=song&limit=1')
  assert.deepEqual([both.json.data.length, both.json.has_more], [1, true])
  const first = await call<ConversationList>('GET', '/v1/chats?limit=2')
  assert.deepEqual([first.json.data.map(({ id }) => id), first.json.has_more], [[ids[2], ids[1]], true])
  const rest = await call<ConversationList>('GET', `/v1/chats?limit=2&after=${ids[1]}`)
  assert.deepEqual([rest.json.data.map(({ id }) => id), rest.json.has_more], [[ids[0]], false])
})

test('an export is the branch as Markdown, or everything as JSON', async context => {
  const { call, begin } = await start(context)
  const { id } = await begin({ title: 'Đồ ăn / ngon?', model: 'm', options: { system: 'Ngắn.' } })
  await call('PUT', `/v1/chats/${id}/messages/q`, { parent: null, role: 'user', content: 'Phở?' })
  await call('PUT', `/v1/chats/${id}/messages/a`, { parent: 'q', role: 'assistant', content: 'Cũ' })
  const kept = { parent: 'q', role: 'assistant', content: '**Có**', reasoning: 'Nghĩ\nkỹ' }
  await call('PUT', `/v1/chats/${id}/messages/b`, kept)
  const markdown = (await call<ConversationExport>('GET', `/v1/chats/${id}/export`)).json
  assert.equal(markdown.filename, 'Đồ-ăn-ngon.md')
  assert.equal(
    markdown.content,
    '# Đồ ăn / ngon?\n\n_m_\n\n## System\n\nNgắn.\n\n## User\n\nPhở?\n\n## Assistant\n\n> Nghĩ\n> kỹ\n\n**Có**\n',
  )
  const json = (await call<ConversationExport>('GET', `/v1/chats/${id}/export?format=json`)).json
  assert.deepEqual(
    (JSON.parse(json.content) as ConversationWhole).messages.map(message => message.id),
    ['q', 'a', 'b'],
  )
})

test('what is wrong is refused, and named', async context => {
  const { call, begin } = await start(context)
  const { id } = await begin()
  const message = { parent: null, role: 'user', content: 'x' }
  await call('PUT', `/v1/chats/${id}/messages/q`, message)
  const cases: [method: string, path: string, body: unknown, status: number, param: string][] = [
    ['PUT', `/v1/chats/${id}/messages/a`, { ...message, parent: 'nobody' }, 400, 'parent'],
    ['PUT', `/v1/chats/${id}/messages/q`, { ...message, role: 'assistant' }, 409, 'role'],
    ['PUT', `/v1/chats/${id}/messages/q`, { ...message, color: 'red' }, 400, 'color'],
    ['PUT', '/v1/chats/none/messages/q', message, 404, 'id'],
    ['PATCH', `/v1/chats/${id}`, { leaf: 'nobody' }, 400, 'leaf'],
    ['PATCH', `/v1/chats/${id}`, { options: { temperature: 9 } }, 400, 'options.temperature'],
    ['PATCH', '/v1/chats/none', { title: 'x' }, 404, 'id'],
    ['DELETE', '/v1/chats/none', undefined, 404, 'id'],
    ['GET', '/v1/chats?limit=0', undefined, 400, 'limit'],
    ['GET', `/v1/chats?search=x&after=${id}`, undefined, 400, 'after'],
    ['GET', '/v1/chats?after=none', undefined, 404, 'id'],
    ['GET', `/v1/chats/${id}/export?format=pdf`, undefined, 400, 'format'],
  ]
  for (const [method, path, body, status, param] of cases) {
    const answer = await call<Failure>(method, path, body)
    assert.deepEqual([answer.status, answer.json.error.param], [status, param], `${method} ${path}`)
  }
})
