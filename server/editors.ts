/** The language server behind its door: what editors reach, put together. */
import { randomBytes } from 'node:crypto'
import type { Outcome } from './assistant/complete.ts'
import { createLspDoor, type LspDoor } from './http/lsp.ts'
import { HubError } from './lib/error.ts'
import type { Log } from './lib/log.ts'
import type { Models } from './models/models.ts'
import { recordSample } from './training/collect.ts'

export type Editors = LspDoor & {
  /** Opens the door; it goes into hub.json. */
  readonly token: string
}

export function openEditors(deps: {
  home: string
  models: Models
  defaultModel(purpose: 'chat' | 'code'): string | undefined
  version: string
  log: Log
}): Editors {
  const { home, log } = deps
  const token = randomBytes(24).toString('hex')
  const collect = (outcome: Outcome): void => {
    try {
      recordSample(home, toRecord(outcome), { optIn: true })
    } catch (thrown) {
      // A full disk costs the sample, not the editing.
      log.warn('a sample was not kept', { reason: HubError.from(thrown).message })
    }
  }
  const door = createLspDoor({
    token,
    log,
    async open() {
      const { connect } = await import('./lsp/connection.ts')
      return socket => void connect({ ...deps, collect, now: () => performance.now(), wait: waitUnlessAborted }, socket)
    },
  })
  return { ...door, token }
}

function toRecord({ type, path, language, place, text }: Outcome): Parameters<typeof recordSample>[1] {
  return {
    collected: 'completion',
    at: Date.now(),
    path,
    language,
    prefix: place.before + place.linePrefix,
    suffix: place.lineSuffix + place.after,
    suggestion: text,
    outcome: type,
  }
}

/** Resolves after so many ms, or at once when the signal aborts. */
function waitUnlessAborted(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    if (signal.aborted) return resolve()
    const timer = setTimeout(done, ms)
    function done(): void {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    signal.addEventListener('abort', done, { once: true })
  })
}
