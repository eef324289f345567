/** Logs: one line of fields per event, to stderr or a file; never a prompt, a document or code above debug. */
import { appendFileSync, mkdirSync, renameSync, statSync } from 'node:fs'
import { dirname } from 'node:path'

const LEVELS = ['debug', 'info', 'warn', 'error'] as const
export type Level = (typeof LEVELS)[number]
export type Fields = { [name: string]: string | number | boolean | null | undefined }

/** One scope's log. `child` narrows the scope. */
export type Log = {
  [L in Level]: (event: string, fields?: Fields) => void
} & { child(scope: string): Log }

/** A line is written whole or not at all; a sink that fails (a full disk) is skipped, never thrown at the caller. */
export type Sink = (line: string) => void

/** @param options.level may be a function, for a level that changes while the hub runs */
export function createLog(options: {
  scope: string
  level: Level | (() => Level)
  sinks: Sink[]
  now?: () => Date
}): Log {
  const { scope, level, sinks, now = () => new Date() } = options
  const least = () => LEVELS.indexOf(typeof level === 'function' ? level() : level)
  const write =
    (at: Level) =>
    (event: string, fields: Fields = {}) => {
      if (LEVELS.indexOf(at) < least()) return
      let line = `${now().toISOString()} ${at.padEnd(5)} ${scope}: ${event}`
      for (const [name, value] of Object.entries(fields)) {
        if (value !== undefined) line += ` ${name}=${formatValue(value)}`
      }
      for (const sink of sinks) {
        try {
          sink(`${line}\n`)
        } catch {
          // Logging is never a reason to fail; the other sinks still get the line.
        }
      }
    }
  return {
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    child: child => createLog({ ...options, scope: `${scope}.${child}` }),
  }
}

export const silentLog: Log = createLog({ scope: 'silent', level: 'error', sinks: [] })

export function stderrSink(line: string): void {
  process.stderr.write(line)
}

/** Appends to a file and keeps one older generation once it has grown to `maxBytes`. */
export function fileSink(path: string, maxBytes = 10 * 2 ** 20): Sink {
  let size: number | undefined
  return line => {
    if (size === undefined) {
      mkdirSync(dirname(path), { recursive: true })
      size = statSync(path, { throwIfNoEntry: false })?.size ?? 0
    }
    if (size > maxBytes) {
      renameSync(path, `${path}.1`)
      size = 0
    }
    appendFileSync(path, line)
    size += Buffer.byteLength(line)
  }
}

function formatValue(value: Fields[string]): string {
  if (typeof value !== 'string') return String(value)
  return /^[\w./:@+-]+$/.test(value) ? value : JSON.stringify(value)
}
