/** The table of chat answers that clients asked to keep (`store: true`), each with what was asked. */
import type { Database } from './database.ts'

/** `messages`, `tools` and `response` are plain JSON values in OpenAI's form; the answer is in `response`. */
export type StoredChat = {
  id: string
  createdMs: number
  model: string
  metadata: { [key: string]: string }
  messages: unknown[]
  tools: unknown[]
  response: unknown
}

type Row = {
  number: number
  id: string
  created_ms: number
  model: string
  metadata: string
  messages: string
  tools: string
  response: string
}
const COLUMNS = 'number, id, created_ms, model, metadata, messages, tools, response'

/** Durable when it returns. */
export function storeChat(db: Database, chat: StoredChat): void {
  const { id, createdMs, model, metadata, messages, tools, response } = chat
  db.batch([
    {
      sql: 'insert into stored_chats (id, created_ms, model, metadata, messages, tools, response) values (?, ?, ?, ?, ?, ?, ?)',
      params: [id, createdMs, model, ...[metadata, messages, tools, response].map(value => JSON.stringify(value))],
    },
  ])
}

export function readChat(db: Database, id: string): StoredChat | undefined {
  const row = db.all<Row>(`select ${COLUMNS} from stored_chats where id = ?`, id)[0]
  return row && fromRow(row)
}

export type ChatFilter = {
  model?: string | undefined
  metadata?: { [key: string]: string }
  /** Those behind this one in the order asked for. */
  after?: string | undefined
  order: 'asc' | 'desc'
  limit: number
}

/** At most `limit`, in the order they came or newest first. */
export function listChats(db: Database, { model, metadata = {}, after, order, limit }: ChatFilter): StoredChat[] {
  const wanted = Object.entries(metadata)
  const conditions = [
    ...(model === undefined ? [] : ['model = ?']),
    ...(after === undefined
      ? []
      : [`number ${order === 'asc' ? '>' : '<'} (select number from stored_chats where id = ?)`]),
    ...wanted.map(() => 'exists (select 1 from json_each(metadata) where key = ? and value = ?)'),
  ]
  const where = conditions.length === 0 ? '' : `where ${conditions.join(' and ')}`
  const params = [model, after, ...wanted.flat(), limit].filter(value => value !== undefined)
  const sql = `select ${COLUMNS} from stored_chats ${where} order by number ${order} limit ?`
  return db.all<Row>(sql, ...params).map(fromRow)
}

/** Every stored answer, oldest first, read in pages so that a long list takes no memory. */
export function* eachChat(db: Database, filter: Pick<ChatFilter, 'model' | 'metadata'> = {}): Generator<StoredChat> {
  let after: string | undefined
  for (;;) {
    const page = listChats(db, { ...filter, after, order: 'asc', limit: 200 })
    yield* page
    after = page.at(-1)?.id
    if (page.length < 200) return
  }
}

/** @returns the chat as it is now, undefined when there is none */
export function updateChatMetadata(
  db: Database,
  id: string,
  metadata: { [key: string]: string },
): StoredChat | undefined {
  const row = db.all<Row>(
    `update stored_chats set metadata = ? where id = ? returning ${COLUMNS}`,
    JSON.stringify(metadata),
    id,
  )[0]
  return row && fromRow(row)
}

/** @returns whether there was one */
export function deleteChat(db: Database, id: string): boolean {
  return db.all('delete from stored_chats where id = ? returning id', id).length > 0
}

function fromRow(row: Row): StoredChat {
  return {
    id: row.id,
    createdMs: row.created_ms,
    model: row.model,
    metadata: JSON.parse(row.metadata) as { [key: string]: string },
    messages: JSON.parse(row.messages) as unknown[],
    tools: JSON.parse(row.tools) as unknown[],
    response: JSON.parse(row.response) as unknown,
  }
}
