/** The table of model profiles: what loading and running a model file took on this machine. */
import type { Database } from './database.ts'

/** A file changed on disk is another model: size and time must match for a profile to be believed. */
export type ProfileKey = {
  model: string
  bytes: number
  modifiedMs: number
  device: string
  contextTokens: number
}

/** Averages lean to recent samples; an absent one was never measured. */
export type Profile = ProfileKey & {
  loadMs?: number
  residentBytes?: number
  deviceBytes?: number
  /** tokens per second */
  promptPerSecond?: number
  /** tokens per second, of one stream */
  generationPerSecond?: number
  /** Generations measured. */
  samples: number
  updatedMs: number
}

/** What one load or one generation showed; give what was measured. */
export type Measured = {
  loadMs?: number
  residentBytes?: number
  deviceBytes?: number
  promptPerSecond?: number
  generationPerSecond?: number
}

type Row = {
  model: string
  bytes: number
  modified_ms: number
  device: string
  context_tokens: number
  load_ms: number | null
  resident_bytes: number | null
  device_bytes: number | null
  prompt_per_second: number | null
  generation_per_second: number | null
  generation_samples: number
  updated_ms: number
}

/** Samples after which an average no longer slows down: the newest then weighs 1/20. */
const WINDOW = 20

/** Adds a measurement to the model's profile, durable when it returns. What is known of an older version of the file is dropped. */
export function recordProfile(db: Database, key: ProfileKey, measured: Measured, nowMs: number): void {
  const mean = (column: string, samples: string) =>
    `${column} = case when excluded.${column} is null then ${column} when ${column} is null then excluded.${column}
       else ${column} + (excluded.${column} - ${column}) / min(${samples} + 1, ${WINDOW}) end,
     ${samples} = ${samples} + excluded.${samples}`
  const count = (value: number | undefined) => (value === undefined ? 0 : 1)
  db.batch([
    {
      sql: 'delete from profiles where model = ? and (bytes <> ? or modified_ms <> ?)',
      params: [key.model, key.bytes, key.modifiedMs],
    },
    {
      sql: `insert into profiles (model, bytes, modified_ms, device, context_tokens, load_ms, loads, resident_bytes, device_bytes,
              prompt_per_second, prompt_samples, generation_per_second, generation_samples, updated_ms)
            values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            on conflict do update set
              ${mean('load_ms', 'loads')},
              ${mean('prompt_per_second', 'prompt_samples')},
              ${mean('generation_per_second', 'generation_samples')},
              resident_bytes = coalesce(excluded.resident_bytes, resident_bytes),
              device_bytes = coalesce(excluded.device_bytes, device_bytes),
              updated_ms = excluded.updated_ms`,
      params: [
        key.model,
        key.bytes,
        key.modifiedMs,
        key.device,
        key.contextTokens,
        measured.loadMs ?? null,
        count(measured.loadMs),
        measured.residentBytes ?? null,
        measured.deviceBytes ?? null,
        measured.promptPerSecond ?? null,
        count(measured.promptPerSecond),
        measured.generationPerSecond ?? null,
        count(measured.generationPerSecond),
        nowMs,
      ],
    },
  ])
}

/** The profile of exactly this file, device and context size. */
export function readProfile(db: Database, key: ProfileKey): Profile | undefined {
  const row = db.all<Row>(
    'select * from profiles where model = ? and bytes = ? and modified_ms = ? and device = ? and context_tokens = ?',
    key.model,
    key.bytes,
    key.modifiedMs,
    key.device,
    key.contextTokens,
  )[0]
  return row && fromRow(row)
}

/** The latest profile of exactly this file, on whatever device. */
export function latestProfile(
  db: Database,
  key: Pick<ProfileKey, 'model' | 'bytes' | 'modifiedMs'>,
): Profile | undefined {
  const row = db.all<Row>(
    'select * from profiles where model = ? and bytes = ? and modified_ms = ? order by updated_ms desc limit 1',
    key.model,
    key.bytes,
    key.modifiedMs,
  )[0]
  return row && fromRow(row)
}

/** All profiles, by model, device and context size. */
export function listProfiles(db: Database): Profile[] {
  return db.all<Row>('select * from profiles order by model, device, context_tokens').map(fromRow)
}

function fromRow(row: Row): Profile {
  return {
    model: row.model,
    bytes: row.bytes,
    modifiedMs: row.modified_ms,
    device: row.device,
    contextTokens: row.context_tokens,
    ...(row.load_ms !== null && { loadMs: row.load_ms }),
    ...(row.resident_bytes !== null && { residentBytes: row.resident_bytes }),
    ...(row.device_bytes !== null && { deviceBytes: row.device_bytes }),
    ...(row.prompt_per_second !== null && { promptPerSecond: row.prompt_per_second }),
    ...(row.generation_per_second !== null && { generationPerSecond: row.generation_per_second }),
    samples: row.generation_samples,
    updatedMs: row.updated_ms,
  }
}
