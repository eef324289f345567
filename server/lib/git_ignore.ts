/** What git's ignore files say of the paths of a folder. */
import { readFile, stat } from 'node:fs/promises'
import { dirname, join, relative, sep } from 'node:path'
import ignore, { type Ignore } from 'ignore'

/** Rules of an ignore file, for paths relative to its folder. */
export type Rules = { folder: string; rules: Ignore }

/** git asks the rules from the nearest folder outwards; within one file the last rule that fits decides. */
export function isIgnored(all: readonly Rules[], path: string, isFolder: boolean): boolean {
  for (const { folder, rules } of all.toReversed()) {
    const inner = relative(folder, path).split(sep).join('/')
    const { ignored, unignored } = rules.test(isFolder ? `${inner}/` : inner)
    if (ignored) return true
    if (unignored) return false
  }
  return false
}

export async function readRules(folder: string, name: string): Promise<Rules | undefined> {
  const text = await readFile(join(folder, name), 'utf8').catch(() => undefined)
  return text === undefined ? undefined : { folder, rules: ignore().add(text) }
}

/** A folder inside a repository obeys the ignore files above it too, up to the one with `.git`. */
export async function rulesAbove(root: string): Promise<Rules[]> {
  const found: Rules[] = []
  for (let folder = root; ; folder = dirname(folder)) {
    const own = folder === root ? undefined : await readRules(folder, '.gitignore')
    if (own !== undefined) found.unshift(own)
    if ((await stat(join(folder, '.git')).catch(() => undefined)) !== undefined) {
      const text = await readFile(join(folder, '.git', 'info', 'exclude'), 'utf8').catch(() => undefined)
      if (text !== undefined) found.unshift({ folder, rules: ignore().add(text) })
      return found
    }
    // Not in a repository: what lies above is none of its business.
    if (dirname(folder) === folder) return []
  }
}
