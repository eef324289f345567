/** Files of the llama.cpp release that the native libraries were built from, out of the source bundle inside node-llama-cpp. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sourceBundle } from '../../server/native/bins.ts'

/** Text of the files, by path; undefined when the bundle or git is not there. */
export function releaseFiles(paths: readonly string[]): Map<string, string> | undefined {
  const bundle = sourceBundle()
  if (bundle === undefined) return undefined
  const folder = mkdtempSync(join(tmpdir(), 'ai-hub-bundle-'))
  const git = (...args: string[]) =>
    execFileSync('git', ['-C', folder, ...args], {
      encoding: 'utf8',
      maxBuffer: 64 * 2 ** 20,
      stdio: ['ignore', 'pipe', 'ignore'],
    })
  try {
    git('init', '--bare', '--quiet')
    git('fetch', '--quiet', bundle, 'HEAD')
    return new Map(paths.map(path => [path, git('show', `FETCH_HEAD:${path}`)]))
  } catch {
    return undefined
  } finally {
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
  }
}
