/** The seam to a database: what every table file uses and every driver gives. */

export type Value = string | number | bigint | null | Uint8Array
export type Statement = { sql: string; params: Value[] }

export type Database = {
  /** Rows of one reading statement (or a writing one with `returning`), parameters by position as `?`. */
  all<T>(sql: string, ...params: Value[]): T[]
  /** All statements in one transaction: when it returns they are durable, when it throws none of them happened. */
  batch(statements: Statement[]): void
  close(): void
}
