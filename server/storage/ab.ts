/** The tables of A/B tests: the tests, and what was said of the answers of each conversation. */
import type { Database } from './database.ts'

export type StoredAbTest = {
  id: string
  name: string
  createdMs: number
  stoppedMs: number | undefined
  /** The training room's own JSON. */
  settings: unknown
}

export type Variant = 'base' | 'candidate'
export type AbSignal = 'good' | 'bad' | 'accepted' | 'rejected'

/** Of one variant; `score` is the sum over conversations of their share of good signals. */
export type AbTotals = { conversations: number; good: number; bad: number; score: number }

type Row = { id: string; name: string; created_ms: number; stopped_ms: number | null; settings: string }

/** @throws the database's error when a running test has the name already */
export function insertAbTest(db: Database, test: StoredAbTest): void {
  const { id, name, createdMs, stoppedMs, settings } = test
  db.batch([
    {
      sql: 'insert into ab_tests (id, name, created_ms, stopped_ms, settings) values (?, ?, ?, ?, ?)',
      params: [id, name, createdMs, stoppedMs ?? null, JSON.stringify(settings)],
    },
  ])
}

/** Newest first. */
export function listAbTests(db: Database): StoredAbTest[] {
  return db
    .all<Row>('select id, name, created_ms, stopped_ms, settings from ab_tests order by created_ms desc, id')
    .map(row => ({
      id: row.id,
      name: row.name,
      createdMs: row.created_ms,
      stoppedMs: row.stopped_ms ?? undefined,
      settings: JSON.parse(row.settings) as unknown,
    }))
}

/** A test that is stopped stays so with its first time. */
export function stopAbTest(db: Database, id: string, nowMs: number): void {
  db.batch([{ sql: 'update ab_tests set stopped_ms = ? where id = ? and stopped_ms is null', params: [nowMs, id] }])
}

/** Notes a conversation, once. */
export function noteConversation(db: Database, test: string, key: string, variant: Variant, nowMs: number): void {
  db.batch([
    {
      sql: 'insert into ab_conversations (test, key, variant, created_ms) values (?, ?, ?, ?) on conflict do nothing',
      params: [test, key, variant, nowMs],
    },
  ])
}

/** @returns the variant of the conversation, or undefined when it is not known */
export function countSignal(db: Database, test: string, key: string, signal: AbSignal): Variant | undefined {
  // The column is one of four words of this program, never a caller's text.
  const column = { good: 'good', bad: 'bad', accepted: 'accepted', rejected: 'rejected' }[signal]
  return db.all<{ variant: Variant }>(
    `update ab_conversations set ${column} = ${column} + 1 where test = ? and key = ? returning variant`,
    test,
    key,
  )[0]?.variant
}

/** Conversations that were sent to each variant. */
export function countConversations(db: Database, test: string): { [variant in Variant]: number } {
  const rows = db.all<{ variant: Variant; count: number }>(
    'select variant, count(*) as count from ab_conversations where test = ? group by variant',
    test,
  )
  const of = (variant: Variant) => rows.find(row => row.variant === variant)?.count ?? 0
  return { base: of('base'), candidate: of('candidate') }
}

/** Votes, or completions taken and left, over the conversations that have any. */
export function sumSignals(
  db: Database,
  test: string,
  metric: 'vote' | 'completion',
): { [variant in Variant]: AbTotals } {
  const [good, bad] = metric === 'vote' ? ['good', 'bad'] : ['accepted', 'rejected']
  const rows = db.all<AbTotals & { variant: Variant }>(
    `select variant, count(*) as conversations, sum(${good}) as good, sum(${bad}) as bad,
       sum(${good} * 1.0 / (${good} + ${bad})) as score
     from ab_conversations where test = ? and ${good} + ${bad} > 0 group by variant`,
    test,
  )
  const of = (variant: Variant): AbTotals => {
    const row = rows.find(each => each.variant === variant)
    return {
      conversations: row?.conversations ?? 0,
      good: row?.good ?? 0,
      bad: row?.bad ?? 0,
      score: row?.score ?? 0,
    }
  }
  return { base: of('base'), candidate: of('candidate') }
}
