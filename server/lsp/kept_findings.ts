/** Findings outlive the hub: a small file of home has them, so that an editor that connects again shows what it showed. */
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as z from 'zod'
import { CATEGORIES, SEVERITIES } from '../assistant/review.ts'

const KeptFinding = z.object({
  line: z.int().min(0),
  severity: z.enum(SEVERITIES),
  category: z.enum(CATEGORIES),
  reason: z.string(),
  replacement: z.string().optional(),
  hash: z.string(),
  /** The line as it was reviewed, by which it is found again. */
  text: z.string(),
})
const KeptFile = z.object({ uri: z.string(), found: z.array(KeptFinding) })
export type KeptFile = z.infer<typeof KeptFile>
const Stored = z.object({ files: z.array(KeptFile) })

const FILE = 'review_findings.json'
/** The files that were reviewed longest ago are forgotten first. */
const MOST_FILES = 300
const MOST_OF_FILE = 200

export function readKept(home: string): KeptFile[] {
  try {
    return Stored.parse(JSON.parse(readFileSync(join(home, FILE), 'utf8'))).files
  } catch {
    // None yet, or a damaged file: another review finds them again.
    return []
  }
}

/** Keeps what is found in a file now, in place of what was. @throws Error of the file system */
export function keep(home: string, { uri, found }: KeptFile): void {
  const kept = readKept(home)
  const others = kept.filter(file => file.uri !== uri)
  if (found.length === 0 && others.length === kept.length) return
  const files = found.length === 0 ? others : [...others, { uri, found: found.slice(0, MOST_OF_FILE) }]
  const path = join(home, FILE)
  // It holds lines of the user's code.
  writeFileSync(`${path}.${process.pid}`, JSON.stringify({ files: files.slice(-MOST_FILES) }), { mode: 0o600 })
  renameSync(`${path}.${process.pid}`, path)
}
