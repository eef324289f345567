/** A home with tiny models for a hub that the editor starts, and the end of that hub. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { HubRecord } from '../../server/lib/home.ts'
import { makeModel } from '../helpers/gguf_file.ts'
import { RANDOM_CHAT } from '../helpers/real_hub.ts'
import type { Closing } from './editor.ts'

export type Home = {
  folder: string
  /** For the process that starts the hub. */
  env: { [name: string]: string }
  /** What hub.json says now. */
  record(): HubRecord | undefined
  /** Waits until a hub answers that is not the one of this process id. */
  otherThan(pid: number, timeoutMs: number): Promise<HubRecord>
  /** Asks the hub itself. @throws Error when it refuses */
  ask(path: string, body?: unknown): Promise<unknown>
  /** The last lines that the hub wrote. */
  log(): string
}

/** The first answers from a script, also to editors, since the best model for code is the largest; the second is a model that can be trained. */
export const SCRIPTED = 'scripted-coder'
export const TINY_CHAT = 'tiny-chat'

/**
 * A home for a hub on a free port with one thread, which ends with the test.
 * @param realOnly without the scripted model and its worker
 * @param worker that all models run in
 */
export function makeHome(
  context: Closing,
  { realOnly = false, worker = resolve(import.meta.dirname, 'scripted_worker.ts') } = {},
): Home {
  const folder = mkdtempSync(join(tmpdir(), 'ai-hub-host-'))
  for (const [models, name] of [
    ['code_models', SCRIPTED],
    ['chat_models', TINY_CHAT],
  ] as const) {
    if (realOnly && name === SCRIPTED) continue
    mkdirSync(join(folder, 'local_models', models), { recursive: true })
    makeModel(join(folder, 'local_models', models, `${name}.gguf`), RANDOM_CHAT)
  }
  const settings = { port: 0, threads: 1, poll: 0, contextTokens: 2048, device: 'cpu' }
  writeFileSync(join(folder, 'settings.json'), JSON.stringify(settings))
  const record = (): HubRecord | undefined => {
    try {
      return HubRecord.parse(JSON.parse(readFileSync(join(folder, 'hub.json'), 'utf8')))
    } catch {
      return undefined
    }
  }
  context.after(async () => {
    const pid = record()?.pid
    if (pid !== undefined) await end(pid)
    rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 })
  })
  return {
    folder,
    env: {
      AI_HUB_HOME: folder,
      ...(!realOnly && { AI_HUB_WORKER: worker }),
    },
    record,
    async otherThan(pid, timeoutMs) {
      for (const last = Date.now() + timeoutMs; Date.now() < last; await delay(200)) {
        const found = record()
        if (found === undefined || found.pid === pid) continue
        if (
          await fetch(`${found.url}/health`).then(
            ({ ok }) => ok,
            () => false,
          )
        )
          return found
      }
      throw new Error(`no other hub than ${pid} came up`)
    },
    async ask(path, body) {
      const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }
      const response = await fetch(`${record()!.url}${path}`, body === undefined ? {} : init)
      if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`)
      return response.json()
    },
    log() {
      try {
        return readFileSync(join(folder, 'logs', 'hub.log'), 'utf8')
          .split('\n')
          .slice(-40)
          .join('\n')
      } catch {
        return 'the hub has written nothing'
      }
    },
  }
}

/** First asked, then ended. */
async function end(pid: number): Promise<void> {
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    for (let waited = 0; waited < 10_000; waited += 100) {
      try {
        process.kill(pid, waited === 0 ? signal : 0)
      } catch {
        return
      }
      await delay(100)
    }
  }
}
