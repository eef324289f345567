/** An engine over a model file in this process, so that tests see tokens and not transports. */

import { createTurns, type Turns } from '../../server/lib/turns.ts'
import { loadNative } from '../../server/native/llama.ts'
import type { Generate, GenerateEvent, LoadOptions } from '../../server/wire/worker.ts'
import { type Context, createContext } from '../../server/worker/context.ts'
import { Engine } from '../../server/worker/engine.ts'
import { UNCUT } from '../../server/worker/heal.ts'
import { loadModel, type Model } from '../../server/worker/model.ts'
import type { Job } from '../../server/worker/run.ts'
import { plainParser } from '../../server/worker/text.ts'

export const LOAD: LoadOptions = {
  path: '',
  device: 'cpu',
  library: 'cpu',
  gpuLayers: 0,
  contextTokens: 512,
  slots: 4,
  // Native threads busy-wait: one is enough for tests, and two would fight with everything else.
  threads: 1,
  batchTokens: 128,
  promptCacheBytes: 64 * 2 ** 20,
  kvType: 'f32',
  flashAttention: 'off',
  useMmap: true,
  poll: 0,
}

export type Result = {
  events: GenerateEvent[]
  /** By choice. */
  texts: string[]
  finishReasons: string[]
  cachedTokens: number
  tokens: number[][]
  done: Extract<GenerateEvent, { type: 'done' }> | undefined
  error: Extract<GenerateEvent, { type: 'error' }> | undefined
}

export type TestEngine = {
  engine: Engine
  model: Model
  context: Context
  pool: ReturnType<ReturnType<typeof loadNative>['threadpool']>
  turns: Turns
  /** Runs one generation to its end; `onEvent` sees its events as they come. */
  generate(
    prompt: string | number[],
    request?: Partial<Generate>,
    job?: Partial<Job>,
    onEvent?: (event: GenerateEvent, id: number) => void,
  ): Promise<Result>
}

export async function testEngine(path: string, options: Partial<LoadOptions> = {}): Promise<TestEngine> {
  const native = loadNative('cpu')
  const load = { ...LOAD, ...options, path }
  const model = await loadModel(native, load, () => undefined)
  const pool = native.threadpool(load.threads, load.poll)
  const turns = createTurns()
  const context = await createContext(model, load, { embeddings: false, slots: load.slots }, pool, turns)
  type Listener = {
    events: GenerateEvent[]
    resolve(result: Result): void
    onEvent: ((event: GenerateEvent, id: number) => void) | undefined
  }
  const listeners = new Map<number, Listener>()
  const engine = new Engine(model, context, {
    slots: load.slots,
    promptCacheBytes: load.promptCacheBytes,
    putIdleAside: load.device === 'cpu',
    emit(events) {
      for (const event of events) {
        const listener = listeners.get(event.id)
        listener?.events.push(event)
        listener?.onEvent?.(event, event.id)
        if (event.type === 'done' || event.type === 'error') listener?.resolve(collect(listener.events))
      }
    },
  })
  let id = 0
  return {
    engine,
    model,
    context,
    pool,
    turns,
    generate(prompt, request = {}, job = {}, onEvent) {
      const own = ++id
      const { promise, resolve } = Promise.withResolvers<Result>()
      listeners.set(own, { events: [], resolve, onEvent })
      const tokens = typeof prompt === 'string' ? [...model.tokenize(prompt, true, true)] : prompt
      engine.submit({
        id: own,
        prompt: tokens,
        stops: request.stop ?? [],
        grammar: undefined,
        createParser: plainParser,
        preserved: new Set(),
        adapters: [],
        infill: false,
        cut: UNCUT,
        ...job,
        request: {
          prompt:
            typeof prompt === 'string' ? { type: 'text', text: prompt, special: true } : { type: 'tokens', tokens },
          format: { type: 'text' },
          sampling: { temperature: 0 },
          maxTokens: 32,
          stop: [],
          n: 1,
          cachePrompt: true,
          adapters: [],
          ...request,
        },
      })
      return promise
    },
  }
}

function collect(events: GenerateEvent[]): Result {
  const texts: string[] = []
  const tokens: number[][] = []
  const finishReasons: string[] = []
  let cachedTokens = 0
  for (const event of events) {
    if (event.type === 'start') cachedTokens = event.cachedTokens
    if (event.type === 'delta') {
      texts[event.choice] = (texts[event.choice] ?? '') + (event.content ?? '')
      tokens[event.choice] = [...(tokens[event.choice] ?? []), ...(event.tokens ?? [])]
    }
    if (event.type === 'end') finishReasons[event.choice] = event.finishReason
  }
  return {
    events,
    texts,
    tokens,
    finishReasons,
    cachedTokens,
    done: events.find(event => event.type === 'done'),
    error: events.find(event => event.type === 'error'),
  }
}
