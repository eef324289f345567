/** The table of stored responses, one row per turn. */
import { HubError } from '../lib/error.ts'
import type { Database } from './database.ts'

/** One turn as it is stored; `input` and `response` are plain JSON values. */
export type StoredResponse = {
  id: string
  createdMs: number
  model: string
  status: string
  previousId: string | undefined
  /** The input items of this turn alone, without those of the turns before. */
  input: unknown[]
  response: unknown
}

type Row = {
  id: string
  created_ms: number
  model: string
  status: string
  previous_id: string | null
  input: string
  response: string
}
const COLUMNS = 'id, created_ms, model, status, previous_id, input, response'

/** Durable when it returns. A response of the same id is replaced. */
export function storeResponse(db: Database, stored: StoredResponse): void {
  const { id, createdMs, model, status, previousId, input, response } = stored
  db.batch([
    {
      sql: `insert or replace into responses (${COLUMNS}) values (?, ?, ?, ?, ?, ?, ?)`,
      params: [id, createdMs, model, status, previousId ?? null, JSON.stringify(input), JSON.stringify(response)],
    },
  ])
}

export function readResponse(db: Database, id: string): StoredResponse | undefined {
  const row = db.all<Row>(`select ${COLUMNS} from responses where id = ?`, id)[0]
  return row && fromRow(row)
}

/** Deletes responses made before a time in Unix seconds. */
export function pruneResponses(db: Database, before: number): void {
  db.batch([{ sql: 'delete from responses where created_ms < ?', params: [before * 1000] }])
}

/** @returns whether there was one */
export function deleteResponse(db: Database, id: string): boolean {
  return db.all('delete from responses where id = ? returning id', id).length > 0
}

/**
 * The conversation that ends with this response, oldest turn first.
 * @throws HubError not_found when the response, or one that it continues, is not stored (any more)
 */
export function readConversation(db: Database, id: string): StoredResponse[] {
  const rows = db.all<Row & { depth: number }>(
    `with recursive chain (link, depth) as (
       select ?, 0
       union all
       select previous_id, depth + 1 from chain join responses on id = link where previous_id is not null
     )
     select ${COLUMNS}, depth from chain join responses on id = link order by depth desc`,
    id,
  )
  const oldest = rows[0]
  if (oldest === undefined) {
    throw new HubError(
      'not_found',
      `There is no stored response '${id}'. It was never stored (store: false) or was deleted; send the conversation as input items instead.`,
    )
  }
  if (oldest.previous_id !== null) {
    throw new HubError(
      'not_found',
      `Response '${id}' continues '${oldest.previous_id}', which is deleted; send the conversation as input items instead.`,
    )
  }
  return rows.map(fromRow)
}

function fromRow(row: Row): StoredResponse {
  return {
    id: row.id,
    createdMs: row.created_ms,
    model: row.model,
    status: row.status,
    previousId: row.previous_id ?? undefined,
    input: JSON.parse(row.input) as unknown[],
    response: JSON.parse(row.response) as unknown,
  }
}
