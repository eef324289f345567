/** The language server behind its door: what editors reach, put together. */
import { randomUUID } from 'node:crypto'
import type { Outcome } from './assistant/outcomes.ts'
import { createLspDoor, type LspDoor } from './http/lsp.ts'
import { HubError } from './lib/error.ts'
import type { Log } from './lib/log.ts'
import type { Models } from './models/models.ts'
import { type AbTests, userKey } from './training/ab_test.ts'
import { recordSample } from './training/collect.ts'

export function openEditors(deps: {
  home: string
  models: Models
  defaultModel(purpose: 'chat' | 'code'): string | undefined
  version: string
  log: Log
  /** Splits a model's name of the editor's settings between two models, and takes what became of their suggestions. */
  abTests: Pick<AbTests, 'resolve' | 'completion'>
}): LspDoor {
  const { home, log, abTests } = deps
  const collect = (outcome: Outcome): void => {
    try {
      recordSample(home, toRecord(outcome), { optIn: true })
    } catch (thrown) {
      // A full disk costs the sample, not the editing.
      log.warn('a sample was not kept', { reason: HubError.from(thrown).message })
    }
  }
  return createLspDoor({
    log,
    async open() {
      const { connect } = await import('./lsp/connection.ts')
      return socket => {
        const session = abSession(() => performance.now())
        const models: Models = {
          ...deps.models,
          acquire: (id, signal) => deps.models.acquire(abTests.resolve(id, session.key()), signal),
        }
        const counted = (model: string, type: Outcome['type']): void => {
          if (type !== 'edited') abTests.completion(model, session.last(), type === 'accepted')
        }
        const now = () => performance.now()
        void connect({ ...deps, models, collect, counted, now, wait: waitUnlessAborted }, socket)
      }
    },
  })
}

/** An editor stays open for days: a half hour of it counts as one conversation with a model. */
const AB_SESSION_MS = 30 * 60_000

export function abSession(now: () => number): { key(): string; last(): string } {
  let sinceMs = now()
  let key = userKey(randomUUID())
  return {
    key() {
      if (now() - sinceMs > AB_SESSION_MS) {
        sinceMs = now()
        key = userKey(randomUUID())
      }
      return key
    },
    // What was shown under the old key is told under it.
    last: () => key,
  }
}

function toRecord({ type, path, language, place, text, final }: Outcome): Parameters<typeof recordSample>[1] {
  return {
    collected: 'completion',
    at: Date.now(),
    path,
    language,
    prefix: place.before + place.linePrefix,
    suffix: place.lineSuffix + place.after,
    suggestion: text,
    outcome: type,
    ...(final !== undefined && { final }),
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
