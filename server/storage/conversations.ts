/** The tables of conversations: trees of messages, and a search that takes text with and without diacritics. */
import type { ConversationMessage, ConversationOptions, ConversationUpdate } from '../wire/conversations.ts'
import type { Database, Statement } from './database.ts'

export type StoredConversation = {
  id: string
  createdMs: number
  updatedMs: number
  title: string
  model: string
  options: ConversationOptions
  training: boolean
  leaf: string | null
}

type Row = {
  id: string
  created_ms: number
  updated_ms: number
  title: string
  model: string
  options: string
  training: number
  leaf: string | null
}
type MessageRow = { id: string; parent: string | null; created_ms: number; role: string; content: string; data: string }

const COLUMNS = 'c.id, c.created_ms, c.updated_ms, c.title, c.model, c.options, c.training, c.leaf'
/** A search looks at so many places at most, the best ones. */
const PLACES = 1000
/** Characters of a message that are searched: the index of a whole book would hold everything else up. */
const SEARCHED = 200_000
/** Characters of an excerpt before and behind the place. */
const BEFORE = 30
const BEHIND = 90

/** Durable when it returns. */
export function createConversation(db: Database, conversation: StoredConversation): void {
  const { id, createdMs, updatedMs, title, model, options, training, leaf } = conversation
  db.batch([
    {
      sql: 'insert into conversations (id, created_ms, updated_ms, title, model, options, training, leaf) values (?, ?, ?, ?, ?, ?, ?, ?)',
      params: [id, createdMs, updatedMs, title, model, JSON.stringify(options), Number(training), leaf],
    },
    ...indexTitle(id, title),
  ])
}

export function findConversation(db: Database, id: string): StoredConversation | undefined {
  const row = db.all<Row>(`select ${COLUMNS} from conversations c where c.id = ?`, id)[0]
  return row && fromRow(row)
}

/** The latest first. @param after those behind the conversation of this id */
export function listConversations(
  db: Database,
  { after, limit }: { after?: string | undefined; limit: number },
): StoredConversation[] {
  const where =
    after === undefined
      ? ''
      : 'where (c.updated_ms, c.number) < (select updated_ms, number from conversations where id = ?)'
  const order = 'order by c.updated_ms desc, c.number desc limit ?'
  const params = after === undefined ? [limit] : [after, limit]
  return db.all<Row>(`select ${COLUMNS} from conversations c ${where} ${order}`, ...params).map(fromRow)
}

/**
 * Conversations with a title or a message that has all the words, the best first; the last word may be the beginning of
 * one. Words as they are written count more than those that are equal without diacritics.
 */
export function searchConversations(
  db: Database,
  query: string,
  limit: number,
): (StoredConversation & { excerpt: string })[] {
  const words = query.normalize('NFC').match(/[\p{L}\p{M}\p{N}]+/gu) ?? []
  if (words.length === 0) return []
  const all = (list: string[]) => list.map(word => `"${word}"`).join(' AND ')
  const match = `text : (${all(words)} *) OR folded : (${all(words.map(fold))} *)`
  const rows = db.all<Row & { found: string | null }>(
    `with hits as (
       select rowid as place, bm25(conversation_search, 5.0, 1.0) as rank
       from conversation_search where conversation_search match ? order by rank limit ${PLACES}
     )
     select ${COLUMNS}, m.content as found, min(hits.rank) as rank
     from hits
     left join conversation_messages m on m.number = hits.place
     join conversations c on c.id = coalesce(m.conversation, (select id from conversations where number = -hits.place))
     group by c.number order by rank, c.updated_ms desc limit ?`,
    match,
    limit,
  )
  return rows.map(row => ({ ...fromRow(row), excerpt: excerptOf(row.found ?? row.title, words) }))
}

/** @returns the conversation as it is now, undefined when there is none */
export function updateConversation(
  db: Database,
  id: string,
  changes: ConversationUpdate,
): StoredConversation | undefined {
  const before = findConversation(db, id)
  if (before === undefined) return undefined
  const {
    title = before.title,
    model = before.model,
    training = before.training,
    options = before.options,
    leaf = before.leaf,
  } = changes
  db.batch([
    {
      sql: 'update conversations set title = ?, model = ?, training = ?, options = ?, leaf = ? where id = ?',
      params: [title, model, Number(training), JSON.stringify(options), leaf, id],
    },
    ...(title === before.title ? [] : indexTitle(id, title)),
  ])
  return { ...before, title, model, training, options, leaf }
}

/** @returns whether there was one */
export function deleteConversation(db: Database, id: string): boolean {
  if (findConversation(db, id) === undefined) return false
  db.batch([
    {
      sql: `delete from conversation_search where rowid in (
              select number from conversation_messages where conversation = ?
              union all select -number from conversations where id = ?)`,
      params: [id, id],
    },
    { sql: 'delete from conversation_messages where conversation = ?', params: [id] },
    { sql: 'delete from conversations where id = ?', params: [id] },
  ])
  return true
}

/** Writes a message, or writes it again: its parent, role and time stay then. The branch that ends with it is looked at. */
export function putMessage(db: Database, conversation: string, message: ConversationMessage, nowMs: number): void {
  const { id, parent, created_at, role, content, ...data } = message
  const searched = content.slice(0, SEARCHED)
  db.batch([
    {
      sql: `insert into conversation_messages (conversation, id, parent, created_ms, role, content, data) values (?, ?, ?, ?, ?, ?, ?)
            on conflict (conversation, id) do update set content = excluded.content, data = excluded.data`,
      params: [conversation, id, parent, created_at, role, content, JSON.stringify(data)],
    },
    {
      sql: 'delete from conversation_search where rowid = (select number from conversation_messages where conversation = ? and id = ?)',
      params: [conversation, id],
    },
    {
      sql: `insert into conversation_search (rowid, text, folded)
            select number, ?, ? from conversation_messages where conversation = ? and id = ?`,
      params: [searched.normalize('NFC'), fold(searched), conversation, id],
    },
    { sql: 'update conversations set updated_ms = ?, leaf = ? where id = ?', params: [nowMs, id, conversation] },
  ])
}

export function findMessage(db: Database, conversation: string, id: string): ConversationMessage | undefined {
  const row = db.all<MessageRow>(
    'select id, parent, created_ms, role, content, data from conversation_messages where conversation = ? and id = ?',
    conversation,
    id,
  )[0]
  return row && fromMessageRow(row)
}

/** All messages of all branches, in the order they were written: a message stands behind its parent. */
export function messagesOf(db: Database, conversation: string): ConversationMessage[] {
  return db
    .all<MessageRow>(
      'select id, parent, created_ms, role, content, data from conversation_messages where conversation = ? order by number',
      conversation,
    )
    .map(fromMessageRow)
}

/** Those whose users let them be learned from, oldest first. */
export function trainableConversations(db: Database): StoredConversation[] {
  return db.all<Row>(`select ${COLUMNS} from conversations c where c.training = 1 order by c.number`).map(fromRow)
}

/** The branch that ends with `leaf`, first message first; without a leaf, or with one that is gone, the last written one's. */
export function branchOf<T extends { id: string; parent: string | null }>(messages: T[], leaf: string | null): T[] {
  const byId = new Map(messages.map(message => [message.id, message]))
  const branch: T[] = []
  let current = (leaf === null ? undefined : byId.get(leaf)) ?? messages.at(-1)
  while (current !== undefined) {
    branch.push(current)
    current = current.parent === null ? undefined : byId.get(current.parent)
  }
  return branch.reverse()
}

/** Lower case without diacritics, đ as d. Of text in NFC, a character at each place of the character it stands for. */
export function fold(text: string): string {
  let folded = ''
  for (const character of text.normalize('NFC')) {
    let plain = folds.get(character)
    if (plain === undefined) {
      plain = foldOne(character)
      if (folds.size < MOST_FOLDS) folds.set(character, plain)
    }
    folded += plain
  }
  return folded
}
/** A text has few different characters, and working one out costs a hundred times what looking it up does. */
const folds = new Map<string, string>()
/** What one language uses, Chinese included. */
const MOST_FOLDS = 20_000

function foldOne(character: string): string {
  const plain = character.normalize('NFD').replace(/\p{M}/gu, '').replace(/đ/g, 'd').replace(/Đ/g, 'd').toLowerCase()
  return plain.length === character.length ? plain : character.toLowerCase().slice(0, character.length)
}

function indexTitle(id: string, title: string): Statement[] {
  return [
    {
      sql: 'delete from conversation_search where rowid = (select -number from conversations where id = ?)',
      params: [id],
    },
    {
      sql: 'insert into conversation_search (rowid, text, folded) select -number, ?, ? from conversations where id = ?',
      params: [title.normalize('NFC'), fold(title), id],
    },
  ]
}

/** A few words around the first place where one of the words begins. */
function excerptOf(text: string, words: string[]): string {
  const plain = text.normalize('NFC').replace(/\s+/g, ' ').trim()
  const folded = fold(plain)
  const places = words.map(word => folded.indexOf(fold(word))).filter(place => place >= 0)
  const place = places.length === 0 ? 0 : Math.min(...places)
  const start = place <= BEFORE ? 0 : plain.lastIndexOf(' ', place - BEFORE) + 1 || place - BEFORE
  const end = Math.min(plain.length, place + BEHIND)
  return `${start > 0 ? '…' : ''}${plain.slice(start, end)}${end < plain.length ? '…' : ''}`
}

function fromRow(row: Row): StoredConversation {
  return {
    id: row.id,
    createdMs: row.created_ms,
    updatedMs: row.updated_ms,
    title: row.title,
    model: row.model,
    options: JSON.parse(row.options) as ConversationOptions,
    training: row.training === 1,
    leaf: row.leaf,
  }
}

function fromMessageRow({ id, parent, created_ms, role, content, data }: MessageRow): ConversationMessage {
  return { ...(JSON.parse(data) as object), id, parent, created_at: created_ms, role, content } as ConversationMessage
}
