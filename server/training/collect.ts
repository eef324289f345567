/** What the user made of the hub's suggestions, kept for training: a line of JSON each, written with the user's consent only. */
import { closeSync, fstatSync, mkdirSync, openSync, readSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import * as z from 'zod'
import { HubError } from '../lib/error.ts'
import type { Sample } from '../wire/sample.ts'
import { RecordError } from './formats_chat.ts'

const Text = z.string().max(256 * 1024)
const Outcome = z.enum(['accepted', 'rejected', 'edited'])

/** `final` is what stands there in the end: of an edited suggestion, or what the user wrote after rejecting one. */
export const CollectedRecord = z.discriminatedUnion('collected', [
  z.strictObject({
    collected: z.literal('completion'),
    /** ms since 1970 */
    at: z.number(),
    path: z.string().max(1024).optional(),
    language: z.string().max(64).optional(),
    prefix: Text,
    suffix: Text,
    suggestion: Text,
    outcome: Outcome,
    final: Text.optional(),
  }),
  z.strictObject({
    collected: z.literal('edit'),
    at: z.number(),
    path: z.string().max(1024).optional(),
    language: z.string().max(64).optional(),
    instruction: Text,
    before: Text,
    suggestion: Text,
    outcome: Outcome,
    final: Text.optional(),
  }),
])
export type CollectedRecord = z.infer<typeof CollectedRecord>

/** HOME/training_data/collected */
export const collectedFolder = (home: string): string => join(home, 'training_data', 'collected')

/**
 * Appends the record when the user has agreed to it; gives whether it was written.
 * A line that an earlier crash cut off is closed first, so that it costs itself only.
 */
export function recordSample(home: string, record: CollectedRecord, options: { optIn: boolean }): boolean {
  if (!options.optIn) return false
  const parsed = CollectedRecord.safeParse(record)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]
    throw new HubError('invalid_request', `The record is wrong at '${issue?.path.join('.')}': ${issue?.message}.`)
  }
  const folder = collectedFolder(home)
  mkdirSync(folder, { recursive: true })
  const file = openSync(join(folder, `${record.collected}s.jsonl`), 'a+')
  try {
    const { size } = fstatSync(file)
    const last = Buffer.alloc(1)
    const isCut = size > 0 && readSync(file, last, 0, 1, size - 1) === 1 && last[0] !== 0x0a
    writeSync(file, `${isCut ? '\n' : ''}${JSON.stringify(parsed.data)}\n`)
  } finally {
    closeSync(file)
  }
  return true
}

export function isCollected(record: { [key: string]: unknown }): boolean {
  return record.collected === 'completion' || record.collected === 'edit'
}

/**
 * An accepted suggestion is learned as it is, an edited one as it became; where the user's own text is known beside
 * another suggestion, it is preferred to it. A rejection alone teaches nothing that could be written down.
 * @throws RecordError
 */
export function collectedSamples(value: unknown): Sample[] {
  const parsed = CollectedRecord.safeParse(value)
  if (!parsed.success)
    throw new RecordError(`The record is wrong at '${parsed.error.issues[0]?.path.join('.') ?? ''}'.`)
  const record = parsed.data
  const final = record.outcome === 'accepted' ? record.suggestion : record.final
  if (final === undefined || final.trim() === '') return []
  const samples: Sample[] = []
  const prompt =
    record.collected === 'completion'
      ? completionPrompt(record.prefix, record.suffix, record.path)
      : editPrompt(record.instruction, record.before, record.path)
  if (record.collected === 'completion') {
    const { prefix, suffix, path } = record
    samples.push({ kind: 'infill', prefix, middle: final, suffix, ...(path !== undefined && { path }) })
  } else {
    samples.push({
      kind: 'chat',
      messages: [
        { role: 'user', content: prompt },
        { role: 'assistant', content: final },
      ],
    })
  }
  if (final !== record.suggestion) {
    samples.push({
      kind: 'preference',
      messages: [{ role: 'user', content: prompt }],
      chosen: final,
      rejected: record.suggestion,
    })
  }
  return samples
}

const inFile = (path: string | undefined): string => (path === undefined ? '' : ` in ${path}`)

function completionPrompt(prefix: string, suffix: string, path: string | undefined): string {
  return `Write the code that belongs at <CURSOR>${inFile(path)}. Answer with that code only.\n\n${prefix}<CURSOR>${suffix}`
}

export function editPrompt(instruction: string, before: string, path: string | undefined): string {
  return `${instruction}\n\nChange this code${inFile(path)}. Answer with the changed code only.\n\n${before}`
}
