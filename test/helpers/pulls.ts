/** Downloads into a folder of their own, beside a real registry, from a server that plays the model hub. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { silentLog } from '../../server/lib/log.ts'
import type { ModelSpace } from '../../server/models/estimate.ts'
import { createRemote } from '../../server/models/pull_remote.ts'
import { createPulls, type Pulls, type PullsDeps } from '../../server/models/pulls.ts'
import { createRegistry, type Registry } from '../../server/models/registry.ts'
import { ModelFolder } from '../../server/wire/model.ts'
import { type PullOut, PullRequest } from '../../server/wire/pull.ts'
import { type ModelOptions, makeModel, makeSplitModel, TINY } from './gguf_file.ts'

export const SPACE: ModelSpace = {
  device: 'cpu',
  deviceBytes: 16e9,
  mainBytes: 0,
  load: { contextTokens: 4096, batchTokens: 512, kvType: 'f16' },
}

export type Place = {
  root: string
  pulls: Pulls
  registry: Registry
  /** All that was told, in order. */
  told: PullOut[]
  /** What the waits between tries asked for, in ms; they do not really wait. */
  waits: number[]
  /** Asks, and resolves with the record when the download has ended. */
  pull(model: string, more?: Partial<PullRequest>): Promise<PullOut>
  create(model: string, more?: Partial<PullRequest>): Promise<PullOut>
  ended(id: string): Promise<PullOut>
  /** Resolves with the first record told that fulfils the condition. */
  until(condition: (pull: PullOut) => boolean): Promise<PullOut>
  /** Resolves when so many bytes of a running download are on the disk. */
  received(bytes: number): Promise<void>
  /** Names of all files below the folders, `folder/name`. */
  files(): string[]
  /** Ends this hub's downloads and registry and begins another one's on the same folder. */
  restart(more?: Partial<PullsDeps>): Promise<void>
}

export async function pullPlace(
  context: { after(close: () => Promise<void>): void },
  options: { endpoint: string; token?: string } & Partial<PullsDeps>,
): Promise<Place> {
  const { endpoint, token, ...more } = options
  const home = mkdtempSync(join(tmpdir(), 'hub-pulls-'))
  const root = join(home, 'local_models')
  const listeners = new Set<(pull: PullOut) => void>()
  let ids = 0
  const open = async (deps: Partial<PullsDeps>) => {
    const registry = createRegistry({ folder: root, log: silentLog, settleMs: 1 })
    await registry.start()
    const pulls = createPulls({
      root,
      remote: createRemote({ endpoint, token }),
      registry,
      space: async () => SPACE,
      freeDisk: async () => 1e12,
      wait: (ms, signal) => {
        place.waits.push(ms)
        // The wait for the list is real, and ended by its signal; the one between tries is over at once.
        return ms === 10_000
          ? new Promise(resolve => signal.addEventListener('abort', () => resolve()))
          : Promise.resolve()
      },
      silenceMs: 20_000,
      changed(pull) {
        place.told.push(pull)
        for (const listener of [...listeners]) listener(pull)
      },
      log: silentLog,
      now: Date.now,
      newId: () => `pull_${++ids}`,
      ...more,
      ...deps,
    })
    return { registry, pulls }
  }
  const place: Place = {
    root,
    told: [],
    waits: [],
    ...({} as Pick<Place, 'pulls' | 'registry'>),
    create: (model, request = {}) =>
      place.pulls.create(PullRequest.parse({ model, ...request }), new AbortController().signal),
    async pull(model, request) {
      const { id, state } = await place.create(model, request)
      if (state === 'done') return (await place.create(model, request)) as PullOut
      return place.ended(id)
    },
    ended: async id => {
      const isEnd = (pull: PullOut) => pull.id === id && ['done', 'failed', 'cancelled'].includes(pull.state)
      const now = place.pulls.list().find(isEnd)
      return now ?? place.until(isEnd)
    },
    until: condition =>
      new Promise(resolve => {
        const listener = (pull: PullOut) => {
          if (!condition(pull)) return
          listeners.delete(listener)
          resolve(pull)
        }
        listeners.add(listener)
      }),
    async received(bytes) {
      const isThere = () => place.pulls.list().some(pull => pull.state === 'running' && pull.bytes === bytes)
      while (!isThere()) await new Promise(setImmediate)
    },
    files: () =>
      ModelFolder.options.flatMap(folder => readdirSync(join(root, folder)).map(name => `${folder}/${name}`)).sort(),
    async restart(deps = {}) {
      await place.pulls.close()
      await place.registry.close()
      Object.assign(place, await open(deps))
      place.pulls.start()
    },
  }
  Object.assign(place, await open({}))
  context.after(async () => {
    await place.pulls.close()
    await place.registry.close()
    rmSync(home, { recursive: true, force: true, maxRetries: 5 })
  })
  place.pulls.start()
  return place
}

/** The bytes of a whole model; one with a chat template, unless it is to have none. */
export function modelBytes(options: Partial<ModelOptions> & { isBare?: boolean } = {}): Buffer {
  const { isBare = false, ...more } = options
  const folder = mkdtempSync(join(tmpdir(), 'hub-pull-model-'))
  try {
    const path = join(folder, 'model.gguf')
    makeModel(path, { ...TINY, ...(!isBare && { chatTemplate: '{{ messages }}' }), ...more })
    return readFileSync(path)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

export function splitModelBytes(parts: number): Buffer[] {
  const folder = mkdtempSync(join(tmpdir(), 'hub-pull-split-'))
  try {
    mkdirSync(folder, { recursive: true })
    return makeSplitModel(folder, 'model', parts, TINY).map(path => readFileSync(path))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
