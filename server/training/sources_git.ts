/** The git history of a workspace as samples: a commit's message and the code before it, to the code behind it. */
import { execFile } from 'node:child_process'
import { basename, resolve } from 'node:path'
import { HubError } from '../lib/error.ts'
import type { Sample } from '../wire/sample.ts'
import { editPrompt } from './collect.ts'
import { isCodePath } from './formats.ts'
import { judge } from './sources_code.ts'
import { infillSample } from './sources_infill.ts'
import { pathInsideHome } from './sources_path.ts'

export type GitOptions = {
  /** Newest commits that are looked at (1000). */
  maxCommits?: number
  /** A commit that touches more code files is a move or a reformat, and left out (8). */
  maxFiles?: number
}

/** Nothing of a repository's own settings may run a program or ask another machine. */
const SAFE = ['-c', 'core.fsmonitor=false', '-c', 'protocol.allow=never', '-c', 'log.showSignature=false']
const ENVIRONMENT = { GIT_OPTIONAL_LOCKS: '0', GIT_TERMINAL_PROMPT: '0', GIT_NO_LAZY_FETCH: '1', LC_ALL: 'C' }
/** A hub that was started by a hook of git would otherwise read that hook's repository. */
const environment = (): NodeJS.ProcessEnv => ({
  ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('GIT_'))),
  ...ENVIRONMENT,
})
const MAX_FILE_BYTES = 256 * 1024
const MAX_OUTPUT = 64 * 2 ** 20
/** Unchanged lines kept around a change, and the most characters that one side of it may have. */
const CONTEXT_LINES = 20
const MOST_CHARACTERS = 8000

/** The commit that the workspace is at. @throws HubError as gitSamples does */
export async function gitHead(folder: string, signal: AbortSignal): Promise<string> {
  return (await git(folder, ['rev-parse', 'HEAD'], signal)).toString('utf8').trim()
}

/**
 * A folder of the home may belong to a repository above it, or only point to one elsewhere.
 * @throws HubError invalid_request when its history lies outside of `within`, a real path
 */
export async function checkGitInside(folder: string, within: string, signal: AbortSignal): Promise<void> {
  const answer = await git(folder, ['rev-parse', '--show-toplevel', '--absolute-git-dir'], signal)
  for (const path of answer.toString('utf8').trim().split('\n')) await pathInsideHome(within, path, 'git')
}

/**
 * Two samples for each changed code file: an edit (chat), and where something was written the gap it was written into (infill).
 * @throws HubError not_found when git is not installed, invalid_request when the folder is no repository with a commit
 */
export async function* gitSamples(folder: string, options: GitOptions, signal: AbortSignal): AsyncGenerator<Sample> {
  const { maxCommits = 1000, maxFiles = 8 } = options
  const name = basename(resolve(folder))
  const log = ['log', '--no-merges', '--no-color', `--max-count=${maxCommits}`, '--format=%H%x00%B%x00%x01']
  const commits = (await git(folder, [...log, 'HEAD', '--', '.'], signal)).toString('utf8')
  for (const commit of commits.split('\0\x01')) {
    const [id = '', body = ''] = commit.trim().split('\0')
    if (!/^[0-9a-f]{40,64}$/.test(id)) continue
    const changes = await changesOf(folder, id, signal)
    if (changes.length === 0 || changes.length > maxFiles) continue
    const blobs = await readBlobs(
      folder,
      changes.flatMap(change => [change.before, change.after]),
      signal,
    )
    for (const { path, before, after } of changes) {
      const [old, now] = [blobs.get(before), blobs.get(after)]
      if (old === undefined || now === undefined) continue
      const verdict = judge(path, now)
      if (!('text' in verdict)) continue
      const text = old.toString('utf8').replaceAll('\r\n', '\n')
      const origin = { source: `${name}@${id.slice(0, 12)}:${path}` }
      // The path is the one that the folder's own code has, so that a file's samples of both are in one part.
      const shown = `${name}/${path}`
      for (const sample of changeSamples(text, verdict.text.replaceAll('\r\n', '\n'), body.trim(), shown)) {
        yield { ...sample, origin }
      }
    }
  }
}

/** One region is changed: from the first line that differs to the last. Nothing is made of a change without words about it. */
export function changeSamples(before: string, after: string, message: string, path: string): Sample[] {
  const [old, now] = [before.split('\n'), after.split('\n')]
  let first = 0
  while (first < old.length && first < now.length && old[first] === now[first]) first++
  let last = 0
  while (last < old.length - first && last < now.length - first && old.at(-1 - last) === now.at(-1 - last)) last++
  const samples: Sample[] = []
  const excerpt = (lines: string[]): string =>
    lines.slice(Math.max(0, first - CONTEXT_LINES), lines.length - Math.max(0, last - CONTEXT_LINES)).join('\n')
  const [from, to] = [excerpt(old), excerpt(now)]
  if (from === to) return []
  if (message !== '' && to.trim() !== '' && from.length <= MOST_CHARACTERS && to.length <= MOST_CHARACTERS) {
    samples.push({
      kind: 'chat',
      messages: [
        { role: 'user', content: editPrompt(message, from, path) },
        { role: 'assistant', content: to },
      ],
    })
  }
  const start = now.slice(0, first).reduce((sum, line) => sum + line.length + 1, 0)
  const middle = now.slice(first, now.length - last).join('\n')
  if (middle.trim() !== '' && middle.length <= MOST_CHARACTERS / 4) {
    samples.push(infillSample(after, { start, end: start + middle.length }, path))
  }
  return samples
}

type Change = { path: string; before: string; after: string }

/** Code files that a commit changed in place; new and deleted ones have only one side. */
async function changesOf(folder: string, commit: string, signal: AbortSignal): Promise<Change[]> {
  const args = ['diff-tree', '-r', '-z', '--no-commit-id', '--no-renames', '--no-ext-diff', '--diff-filter=M']
  // Only below the folder, which need not be the top of its repository.
  const output = (await git(folder, [...args, '--raw', '--relative', '--full-index', commit], signal)).toString('utf8')
  const fields = output.split('\0')
  const changes: Change[] = []
  for (let index = 0; index + 1 < fields.length; index += 2) {
    const [, mode, before, after] = fields[index]!.split(' ')
    const path = fields[index + 1]!
    // 120000 is a link, 160000 a submodule.
    if (mode?.startsWith('100') && before !== undefined && after !== undefined && isCodePath(path)) {
      changes.push({ path, before, after })
    }
  }
  return changes
}

/** Blobs by id, in one run of git; those above the bound are left out. */
async function readBlobs(folder: string, ids: string[], signal: AbortSignal): Promise<Map<string, Buffer>> {
  const input = (wanted: string[]): string => wanted.map(id => `${id}\n`).join('')
  const sizes = (await git(folder, ['cat-file', '--batch-check'], signal, input(ids))).toString('utf8').split('\n')
  const small = ids.filter((_, index) => Number(sizes[index]?.split(' ')[2] ?? Number.NaN) <= MAX_FILE_BYTES)
  const output = await git(folder, ['cat-file', '--batch'], signal, input(small))
  const blobs = new Map<string, Buffer>()
  for (let at = 0; at < output.length; ) {
    const end = output.indexOf(0x0a, at)
    const [id, type, size] = output.toString('utf8', at, end).split(' ')
    if (end < 0 || type !== 'blob') break
    blobs.set(id!, output.subarray(end + 1, end + 1 + Number(size)))
    at = end + 2 + Number(size)
  }
  return blobs
}

function git(folder: string, args: string[], signal: AbortSignal, input?: string): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const options = {
      cwd: folder,
      signal,
      maxBuffer: MAX_OUTPUT,
      windowsHide: true,
      encoding: 'buffer' as const,
      env: environment(),
    }
    const child = execFile('git', [...SAFE, ...args], options, (error, stdout, stderr) => {
      if (error === null) resolve(stdout)
      else reject(signal.aborted ? error : explain(folder, error, stderr.toString('utf8')))
    })
    // A git that ended early closes its input; its own words say why.
    child.stdin?.on('error', () => {})
    child.stdin?.end(input ?? '')
  })
}

function explain(folder: string, error: Error & { code?: unknown }, stderr: string): HubError {
  if (error.code === 'ENOENT') {
    return new HubError(
      'not_found',
      `git was not found, or there is no folder ${folder}. Install git to make samples of a history.`,
      { cause: error },
    )
  }
  // What git printed is empty when it was cut off, by the bound of its output say.
  const reason = stderr.trim().split('\n')[0] || error.message
  return new HubError('invalid_request', `The git history of ${folder} cannot be read: ${reason}`, { cause: error })
}
