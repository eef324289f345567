/** The table of API keys: what is known of each; the keys themselves are not in it. */
import type { Database } from './database.ts'

export type StoredKey = {
  id: string
  /** SHA-256 of the key, in hexadecimal. */
  hash: string
  /** Its first and last letters, by which a person knows it. */
  first: string
  last: string
  name: string
  role: 'use' | 'admin'
  /** Chats made with it are kept for training unless a request says otherwise. */
  training: boolean
  requestsPerMinute: number | null
  createdMs: number
  expiresMs: number | null
  lastUsedMs: number | null
}

type Row = {
  id: string
  hash: string
  first: string
  last: string
  name: string
  role: 'use' | 'admin'
  training: number
  requests_per_minute: number | null
  created_ms: number
  expires_ms: number | null
  last_used_ms: number | null
}

const COLUMNS = 'id, hash, first, last, name, role, training, requests_per_minute, created_ms, expires_ms, last_used_ms'

/** Durable when it returns. */
export function insertKey(db: Database, key: StoredKey): void {
  const { id, hash, first, last, name, role, training, requestsPerMinute, createdMs, expiresMs, lastUsedMs } = key
  db.batch([
    {
      sql: `insert into api_keys (${COLUMNS}) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      params: [
        id,
        hash,
        first,
        last,
        name,
        role,
        Number(training),
        requestsPerMinute,
        createdMs,
        expiresMs,
        lastUsedMs,
      ],
    },
  ])
}

/** All of them, the oldest first. */
export function listKeys(db: Database): StoredKey[] {
  return db.all<Row>(`select ${COLUMNS} from api_keys order by number`).map(toKey)
}

export function readKey(db: Database, id: string): StoredKey | undefined {
  const row = db.all<Row>(`select ${COLUMNS} from api_keys where id = ?`, id)[0]
  return row && toKey(row)
}

export function findKey(db: Database, hash: string): StoredKey | undefined {
  const row = db.all<Row>(`select ${COLUMNS} from api_keys where hash = ?`, hash)[0]
  return row && toKey(row)
}

export type KeyChanges = Partial<Pick<StoredKey, 'name' | 'role' | 'training' | 'requestsPerMinute' | 'expiresMs'>>

/** @returns the key as it is now, undefined when there is none */
export function updateKey(db: Database, id: string, changes: KeyChanges): StoredKey | undefined {
  const before = readKey(db, id)
  if (before === undefined) return undefined
  const { name, role, training, requestsPerMinute, expiresMs } = { ...before, ...changes }
  const sql = `update api_keys set name = ?, role = ?, training = ?, requests_per_minute = ?, expires_ms = ?
    where id = ? returning ${COLUMNS}`
  const row = db.all<Row>(sql, name, role, Number(training), requestsPerMinute, expiresMs, id)[0]
  return row && toKey(row)
}

export function touchKey(db: Database, id: string, usedMs: number): void {
  db.batch([{ sql: 'update api_keys set last_used_ms = ? where id = ?', params: [usedMs, id] }])
}

/** @returns whether there was one */
export function deleteKey(db: Database, id: string): boolean {
  return db.all('delete from api_keys where id = ? returning id', id).length > 0
}

function toKey(row: Row): StoredKey {
  const { id, hash, first, last, name, role } = row
  return {
    id,
    hash,
    first,
    last,
    name,
    role,
    training: row.training === 1,
    requestsPerMinute: row.requests_per_minute,
    createdMs: row.created_ms,
    expiresMs: row.expires_ms,
    lastUsedMs: row.last_used_ms,
  }
}
