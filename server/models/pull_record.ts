/** What is kept of a download beside its `.part`: `NAME.gguf.pull.json`, by which it goes on after a stop or a kill of the hub. */
import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as z from 'zod'
import { ModelFolder } from '../wire/model.ts'

export const PullRecord = z.object({
  version: z.literal(1),
  id: z.string().regex(/^pull_\w{1,40}$/),
  /** What to ask for to get the very same again. */
  model: z.string(),
  source: z.string(),
  folder: ModelFolder,
  /** The caller named the folder: what the file says does not move it. */
  isFolderAsked: z.boolean(),
  quant: z.string().optional(),
  files: z
    .array(
      z.object({
        url: z.string(),
        /** A plain file name, see safeFileName. */
        name: z.string().regex(/^[^\\/]+\.gguf$/i),
        bytes: z.number().optional(),
        sha256: z.string().optional(),
        validator: z.string().optional(),
      }),
    )
    .min(1),
  createdAt: z.number(),
  /** It ended without the model: it goes on only when somebody asks. */
  ended: z.enum(['failed', 'cancelled']).optional(),
  error: z.string().optional(),
})
export type PullRecord = z.infer<typeof PullRecord>

const ENDING = '.pull.json'

/** Absolute paths of a file of the download. */
export const targetOf = (root: string, record: PullRecord, name: string): string => join(root, record.folder, name)
export const partOf = (root: string, record: PullRecord, name: string): string => `${targetOf(root, record, name)}.part`
const recordPath = (root: string, record: PullRecord): string =>
  `${targetOf(root, record, record.files[0]?.name ?? '')}${ENDING}`

/** The same file as far as can be known: a query of its address is a signature, and changes. */
export function isSame(a: PullRecord['files'][number], b: PullRecord['files'][number]): boolean {
  const plain = (url: string) => url.split('?', 1)[0]
  return a.name === b.name && a.sha256 === b.sha256 && plain(a.url) === plain(b.url)
}

/** Whole or not at all: a hub that is killed while it writes finds the old one. */
export function writeRecord(root: string, record: PullRecord): void {
  const path = recordPath(root, record)
  writeFileSync(`${path}.new`, `${JSON.stringify(record, undefined, 2)}\n`)
  renameSync(`${path}.new`, path)
}

export function removeRecord(root: string, record: PullRecord): void {
  rmSync(recordPath(root, record), { force: true })
}

/** All that an earlier hub left, the oldest first; what cannot be read is none. */
export function readRecords(root: string): PullRecord[] {
  return ModelFolder.options
    .flatMap(folder =>
      listFolder(join(root, folder))
        .filter(name => name.endsWith(ENDING))
        .flatMap(name => {
          const record = parse(join(root, folder, name))
          // One that was copied elsewhere speaks of other files.
          return record?.folder === folder && `${record.files[0]?.name}${ENDING}` === name ? [record] : []
        }),
    )
    .sort((a, b) => a.createdAt - b.createdAt)
}

function parse(path: string): PullRecord | undefined {
  try {
    return PullRecord.safeParse(JSON.parse(readFileSync(path, 'utf8'))).data
  } catch {
    return undefined
  }
}

function listFolder(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}
