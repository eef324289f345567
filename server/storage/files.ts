/** The table of uploaded files: what is known of each; its bytes lie in a folder of their own. */
import type { Database, Value } from './database.ts'

export type StoredFile = {
  id: string
  createdMs: number
  purpose: string
  filename: string
  bytes: number
  /** In hexadecimal. */
  sha256: string
  expiresMs?: number
}

type Row = {
  id: string
  created_ms: number
  purpose: string
  filename: string
  bytes: number
  sha256: string
  expires_ms: number | null
}

const COLUMNS = 'id, created_ms, purpose, filename, bytes, sha256, expires_ms'

/** Durable when it returns. */
export function insertFile(db: Database, file: StoredFile): void {
  const { id, createdMs, purpose, filename, bytes, sha256, expiresMs } = file
  db.batch([
    {
      sql: `insert into files (${COLUMNS}) values (?, ?, ?, ?, ?, ?, ?)`,
      params: [id, createdMs, purpose, filename, bytes, sha256, expiresMs ?? null],
    },
  ])
}

export function readFile(db: Database, id: string): StoredFile | undefined {
  const row = db.all<Row>(`select ${COLUMNS} from files where id = ?`, id)[0]
  return row && toFile(row)
}

/** @param page `after` is the id of the last file of the page before; one that is gone ends the list */
export function listFiles(
  db: Database,
  page: { purpose?: string; after?: string; limit: number; order: 'asc' | 'desc' },
): { files: StoredFile[]; hasMore: boolean } {
  const conditions = ['1 = 1']
  const params: Value[] = []
  if (page.purpose !== undefined) {
    conditions.push('purpose = ?')
    params.push(page.purpose)
  }
  if (page.after !== undefined) {
    conditions.push(`number ${page.order === 'asc' ? '>' : '<'} (select number from files where id = ?)`)
    params.push(page.after)
  }
  const rows = db.all<Row>(
    `select ${COLUMNS} from files where ${conditions.join(' and ')} order by number ${page.order} limit ?`,
    ...params,
    page.limit + 1,
  )
  return { files: rows.slice(0, page.limit).map(toFile), hasMore: rows.length > page.limit }
}

/** Files whose time is over. */
export function expiredFiles(db: Database, nowMs: number): StoredFile[] {
  return db.all<Row>(`select ${COLUMNS} from files where expires_ms <= ?`, nowMs).map(toFile)
}

export function deleteFile(db: Database, id: string): void {
  db.batch([{ sql: 'delete from files where id = ?', params: [id] }])
}

function toFile(row: Row): StoredFile {
  return {
    id: row.id,
    createdMs: row.created_ms,
    purpose: row.purpose,
    filename: row.filename,
    bytes: row.bytes,
    sha256: row.sha256,
    ...(row.expires_ms !== null && { expiresMs: row.expires_ms }),
  }
}
