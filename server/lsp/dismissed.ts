/** Findings that the user wants to see no more: hashes in a small file of home, nothing of the code itself. */
import { createHash } from 'node:crypto'
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as z from 'zod'
import { HubError } from '../lib/error.ts'

const Stored = z.object({ dismissed: z.array(z.string()) })
const FILE = 'dismissed_findings.json'
/** The oldest are forgotten first. */
const MOST = 20_000

/** The same for every review of the same line in the same file, whatever the model's words are. */
export function findingHash(path: string, category: string, line: string): string {
  return createHash('sha256')
    .update(JSON.stringify([path, category, line.trim()]))
    .digest('hex')
    .slice(0, 32)
}

export function readDismissed(home: string): Set<string> {
  try {
    return new Set(Stored.parse(JSON.parse(readFileSync(join(home, FILE), 'utf8'))).dismissed)
  } catch {
    // None yet, or a damaged file: the findings are shown again.
    return new Set()
  }
}

/** @throws HubError insufficient_storage when it cannot be kept */
export function dismiss(home: string, hash: string): void {
  const all = [...readDismissed(home)].filter(each => each !== hash)
  const text = JSON.stringify({ dismissed: [...all, hash].slice(-MOST) }, undefined, 1)
  const path = join(home, FILE)
  try {
    writeFileSync(`${path}.${process.pid}`, text)
    renameSync(`${path}.${process.pid}`, path)
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new HubError('insufficient_storage', `${path} cannot be written: ${reason}.`, { cause })
  }
}
