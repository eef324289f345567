/** What git says of a working copy: what is staged, and how a branch differs from another. */
import { execFile } from 'node:child_process'
import type { Staged } from '../assistant/commit.ts'
import { HubError } from '../lib/error.ts'

/** A file as the change leaves it, with the lines that are new in it (from 0, `to` left out). */
export type ChangedFile = { path: string; lines: { from: number; to: number }[]; text: string }

/** Nothing of a repository's own settings may run a program, ask another machine or wait for a password. */
const SAFE = [
  '--literal-pathspecs',
  '-c',
  'core.fsmonitor=false',
  '-c',
  'protocol.allow=never',
  '-c',
  'log.showSignature=false',
]
const ENVIRONMENT = { GIT_OPTIONAL_LOCKS: '0', GIT_TERMINAL_PROMPT: '0', GIT_NO_LAZY_FETCH: '1', LC_ALL: 'C' }
/** With renames, so that of a file that moved only what changed in it is new. */
const DIFF = ['diff', '--no-color', '--no-ext-diff', '--no-textconv', '--find-renames', '--ignore-submodules']
const MAX_OUTPUT = 32 * 2 ** 20
const MAX_TEXT = 400_000
const MOST_FILES = 200
const MOST_DIFF_OF_FILE = 5000
/** Written by tools; nobody reviews them. */
const GENERATED =
  /(^|\/)(package-lock\.json|yarn\.lock|pnpm-lock\.yaml|Cargo\.lock|poetry\.lock|uv\.lock|go\.sum|[^/]+\.min\.(js|css)|[^/]+\.(map|svg|snap))$/

/** The top folder of the working copy. @throws HubError not_found without git, invalid_request where there is no repository */
export async function gitRoot(folder: string, signal: AbortSignal): Promise<string> {
  return (await git(folder, ['rev-parse', '--show-toplevel'], signal)).trim()
}

export function stagedFiles(root: string, signal: AbortSignal): Promise<ChangedFile[]> {
  return changedFiles(root, ['--cached'], '', signal)
}

/**
 * What the current branch changed since it left another.
 * @param base its name; by default the one that the remote calls its own, else main or master
 */
export async function branchFiles(root: string, base: string | undefined, signal: AbortSignal): Promise<ChangedFile[]> {
  const names = base === undefined ? ['refs/remotes/origin/HEAD', 'main', 'master'] : [base]
  for (const name of names) {
    const args = ['rev-parse', '--verify', '--quiet', '--end-of-options', `${name}^{commit}`]
    const commit = await git(root, args, signal).catch((thrown: unknown) => {
      if (signal.aborted) throw thrown
      return ''
    })
    if (commit.trim() === '') continue
    const common = (await git(root, ['merge-base', commit.trim(), 'HEAD'], signal)).trim()
    return changedFiles(root, [common, 'HEAD'], 'HEAD', signal)
  }
  throw new HubError(
    'invalid_request',
    `There is no branch '${base ?? 'main'}' in ${root} to compare with. Name another.`,
  )
}

/** What a commit of the staged changes would hold. */
export async function staged(root: string, signal: AbortSignal): Promise<Staged> {
  const summary = await git(root, [...DIFF, '--cached', '--name-status'], signal)
  const whole = await git(root, [...DIFF, '--cached', '-U2'], signal)
  const diff = whole
    .split(/^(?=diff --git )/m)
    .map(part => {
      const name = /^diff --git a\/(.*?) b\//.exec(part)?.[1] ?? ''
      return part.slice(0, GENERATED.test(name) ? 200 : MOST_DIFF_OF_FILE)
    })
    .join('')
  const subjects = await git(root, ['log', '-8', '--no-merges', '--format=%s'], signal).catch((thrown: unknown) => {
    if (signal.aborted) throw thrown
    // The first commit has none before it.
    return ''
  })
  return { summary: summary.trim(), diff, subjects: subjects.split('\n').filter(line => line !== '') }
}

async function changedFiles(
  root: string,
  between: string[],
  tree: string,
  signal: AbortSignal,
): Promise<ChangedFile[]> {
  const listed = await git(root, [...DIFF, ...between, '--name-status', '-z', '--diff-filter=AMTR', '--'], signal)
  const changes = changesOf(listed).filter(({ path }) => !GENERATED.test(path))
  const files: ChangedFile[] = []
  for (const { path, old } of changes.slice(0, MOST_FILES)) {
    const text = await git(root, ['cat-file', 'blob', `${tree}:${path}`], signal).catch((thrown: unknown) => {
      if (signal.aborted) throw thrown
      // A submodule is no file.
      return '\0'
    })
    if (text.length > MAX_TEXT || text.includes('\0')) continue
    const names = old === undefined ? [path] : [old, path]
    const lines = linesOf(await git(root, [...DIFF, ...between, '-U0', '--', ...names], signal))
    if (lines.length > 0) files.push({ path, lines, text })
  }
  return files
}

/** `M\0path\0` of each, and of a file that moved `R100\0old\0path\0`. */
function changesOf(listed: string): { path: string; old?: string }[] {
  const fields = listed.split('\0')
  const changes: { path: string; old?: string }[] = []
  for (let at = 0; at + 1 < fields.length; ) {
    const status = fields[at++]!
    const first = fields[at++]!
    if (status.startsWith('R')) changes.push({ path: fields[at++]!, old: first })
    else changes.push({ path: first })
  }
  return changes
}

/** New lines by the heads of a diff's hunks; near ones are taken together. */
function linesOf(diff: string): { from: number; to: number }[] {
  const ranges: { from: number; to: number }[] = []
  for (const [, start, count] of diff.matchAll(/^@@ -\S+ \+(\d+)(?:,(\d+))? @@/gm)) {
    const from = Number(start) - 1
    const to = from + Number(count ?? 1)
    if (to <= from) continue
    const last = ranges.at(-1)
    if (last !== undefined && from - last.to <= 6) last.to = to
    else ranges.push({ from, to })
  }
  return ranges
}

function git(folder: string, args: string[], signal: AbortSignal): Promise<string> {
  // An editor that was started by a hook of git would otherwise hand that hook's repository on.
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith('GIT_'))
  const env = { ...Object.fromEntries(own), ...ENVIRONMENT }
  return new Promise((resolve, reject) => {
    const options = { cwd: folder, signal, maxBuffer: MAX_OUTPUT, windowsHide: true, env }
    const child = execFile('git', [...SAFE, ...args], options, (error, stdout, stderr) => {
      if (error === null) resolve(stdout)
      else if (signal.aborted) reject(new HubError('cancelled', 'The request was cancelled.'))
      else if (error.code === 'ENOENT') {
        reject(new HubError('not_found', `git was not found, or there is no folder ${folder}. Install git.`))
      } else {
        const reason = stderr.trim().split('\n')[0] || error.message
        reject(new HubError('invalid_request', `git cannot tell what changed in ${folder}: ${reason}`))
      }
    })
    child.stdin?.on('error', () => {})
    child.stdin?.end()
  })
}
