/** Runs model-written code with its tests in a child process that has no files, no network and no children, and little time and memory. */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { HubError } from '../lib/error.ts'
import type { Sample } from '../wire/sample.ts'
import { nodeGuardUrl, PYTHON_GUARD } from './sandbox_guard.ts'

export type SandboxLimits = {
  /** Wall-clock time of one run. */
  timeoutMs: number
  /** Heap of the code; on Linux its whole resident memory as well. */
  memoryBytes: number
}

export const LIMITS: SandboxLimits = { timeoutMs: 10_000, memoryBytes: 512 * 2 ** 20 }

/** `unavailable`: there is no such interpreter on this machine, so that nothing can be said of the answer. */
export type SandboxOutcome = 'passed' | 'failed' | 'timeout' | 'memory' | 'output' | 'no_code' | 'unavailable'
export type SandboxRun = {
  outcome: SandboxOutcome
  /** The end of what it wrote to stderr. */
  said: string
}

type SampleTests = NonNullable<Sample['tests']>
type Language = SampleTests['language']

/** Bytes of output after which the child is stopped. */
const MOST_OUTPUT = 256 * 1024
const SAID_LETTERS = 2000
/** Kept until the end, when the guard's long address is taken out of it. */
const KEPT_LETTERS = 40_000
const MEMORY_CHECK_MS = 50
/** Time beyond its own after which a child ends by itself, should the hub have ended without stopping it. */
const ORPHAN_MS = 5000

const FENCE_NAMES: { [language in Language]: readonly string[] } = {
  javascript: ['javascript', 'js', 'jsx', 'mjs', 'node'],
  typescript: ['typescript', 'ts', 'tsx'],
  python: ['python', 'py', 'python3'],
}

/**
 * The code of an answer: its first fenced block that names the language, else its first fenced block, else all of it.
 * An unclosed fence reaches to the end, since an answer may have been cut off.
 */
export function extractCode(answer: string, language: Language): string {
  const blocks = [
    ...answer.matchAll(/^[ \t]*(`{3,}|~{3,})[ \t]*([\w+#.-]*)[^\n]*\n([\s\S]*?)(?:^[ \t]*\1[ \t]*$|(?![\s\S]))/gm),
  ]
  const named = blocks.find(block => FENCE_NAMES[language].includes(block[2]!.toLowerCase()))
  return (named ?? blocks[0])?.[3] ?? answer
}

/** The program that a sample's tests check when the model answered `answer`: infill and completion answers stand in their surroundings. */
export function codeOf(sample: Sample, answer: string, language: Language): string {
  switch (sample.kind) {
    case 'infill':
      return sample.prefix + answer + sample.suffix
    case 'completion':
      // A prompt that is prose is answered with a fenced block; one that is code goes on in the answer.
      return /^[ \t]*(```|~~~)/m.test(answer) ? extractCode(answer, language) : sample.prompt + answer
    default:
      return extractCode(answer, language)
  }
}

/**
 * Runs `code` with the tests behind it. It passes when both end without an error and the end of the tests was reached.
 * @throws HubError cancelled
 */
export async function runTests(
  code: string,
  tests: SampleTests,
  signal: AbortSignal,
  limits: SandboxLimits = LIMITS,
): Promise<SandboxRun> {
  if (signal.aborted) throw new HubError('cancelled', 'The evaluation was cancelled.')
  if (code.trim() === '') return { outcome: 'no_code', said: 'the answer holds no code' }
  // An answer that ends the process early must not count as passed, so the end of the tests says a word that nobody can guess.
  const mark = randomUUID()
  if (tests.language === 'python') {
    const python = await findPython()
    if (python === undefined) return { outcome: 'unavailable', said: 'there is no Python 3 on this machine' }
    const job = { code: `${code}\n\n${tests.code}\n`, ...pythonLimits(limits), mark }
    return watch(
      start(python, ['-I', '-B', '-X', 'utf8', '-c', PYTHON_GUARD]),
      JSON.stringify(job),
      mark,
      signal,
      limits,
    )
  }
  const heap = Math.max(16, Math.floor(limits.memoryBytes / 2 ** 20))
  // Threads are for the guard; code under test cannot import them.
  const args = ['--permission', '--allow-worker', '--no-warnings', `--max-old-space-size=${heap}`]
  args.push('--import', nodeGuardUrl(limits.timeoutMs + ORPHAN_MS))
  // Enums and parameter properties are common in what models write; stripping types alone refuses them.
  if (tests.language === 'typescript') args.push('--experimental-transform-types', '--input-type=module-typescript')
  const program = `${code}\n;\n${tests.code}\n;process.stdout.write(${JSON.stringify(`\n${mark}\n`)})\n`
  return watch(start(process.execPath, [...args, '-']), program, mark, signal, limits)
}

/** Seconds of CPU, and seconds after which it ends itself. */
function pythonLimits({ memoryBytes, timeoutMs }: SandboxLimits) {
  return { memoryBytes, seconds: Math.ceil(timeoutMs / 1000) + 1, endsSeconds: (timeoutMs + ORPHAN_MS) / 1000 }
}

function start(command: string, args: string[]): ChildProcess {
  // Nothing of the hub's environment is for that code; Windows alone needs to know where it is installed.
  const { SYSTEMROOT } = process.env
  return spawn(command, args, {
    cwd: tmpdir(),
    env: SYSTEMROOT === undefined ? {} : { SYSTEMROOT },
    stdio: 'pipe',
    windowsHide: true,
  })
}

function watch(
  child: ChildProcess,
  input: string,
  mark: string,
  signal: AbortSignal,
  limits: SandboxLimits,
): Promise<SandboxRun> {
  return new Promise((resolve, reject) => {
    let output = ''
    let said = ''
    let written = 0
    let stopped: SandboxOutcome | undefined
    const stop = (outcome: SandboxOutcome) => {
      stopped ??= outcome
      child.kill('SIGKILL')
    }
    const take = (chunk: string) => {
      written += chunk.length
      if (written > MOST_OUTPUT) stop('output')
    }
    child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
      // The word at the end is all that matters of it.
      output = (output + chunk).slice(-2 * mark.length)
      take(chunk)
    })
    child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
      said = (said + chunk).slice(-KEPT_LETTERS)
      take(chunk)
    })
    const abort = () => child.kill('SIGKILL')
    signal.addEventListener('abort', abort, { once: true })
    const timer = setTimeout(() => stop('timeout'), limits.timeoutMs)
    // Buffers lie outside of the heap that Node limits; only Linux tells cheaply how much another process holds.
    const memory = setInterval(() => {
      if (child.pid === undefined) return
      void residentBytes(child.pid).then(bytes => {
        if (bytes > limits.memoryBytes + BASE_BYTES) stop('memory')
      })
    }, MEMORY_CHECK_MS)
    const clean = () => {
      clearTimeout(timer)
      clearInterval(memory)
      signal.removeEventListener('abort', abort)
    }
    child.once('error', error => {
      clean()
      resolve({ outcome: 'unavailable', said: error.message })
    })
    child.once('close', code => {
      clean()
      said = said.replaceAll(nodeGuardUrl(limits.timeoutMs + ORPHAN_MS), 'guard').slice(-SAID_LETTERS)
      if (signal.aborted) reject(new HubError('cancelled', 'The evaluation was cancelled.'))
      else if (stopped !== undefined) resolve({ outcome: stopped, said })
      else if (/heap out of memory|MemoryError/.test(said)) resolve({ outcome: 'memory', said })
      else resolve({ outcome: code === 0 && output.trimEnd().endsWith(mark) ? 'passed' : 'failed', said })
    })
    // A child that ends before it has read everything is told by its exit.
    child.stdin?.on('error', () => undefined)
    child.stdin?.end(input)
  })
}

/** What an interpreter holds before any code runs. */
const BASE_BYTES = 128 * 2 ** 20

/** Resident memory of a process, 0 where that cannot be read. */
async function residentBytes(pid: number): Promise<number> {
  if (process.platform !== 'linux') return 0
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024
}

let python: Promise<string | undefined> | undefined

/** The command that starts Python 3.10 or newer, looked for once. */
export function findPython(): Promise<string | undefined> {
  python ??= (async () => {
    for (const command of ['python3', 'python']) {
      if (await answersAsPython(command)) return command
    }
    return undefined
  })()
  return python
}

function answersAsPython(command: string): Promise<boolean> {
  return new Promise(resolve => {
    const child = spawn(command, ['-I', '-c', 'import sys; sys.exit(0 if sys.version_info >= (3, 10) else 1)'], {
      stdio: 'ignore',
      windowsHide: true,
    })
    child.once('error', () => resolve(false))
    child.once('close', code => resolve(code === 0))
  })
}
