/** A worker: the process of one loaded model. It is started by path, speaks wire/worker.ts over IPC, and ends with its parent. */
import { HubError } from '../lib/error.ts'
import { loadNative, type Native } from '../native/llama.ts'
import type { Ask, FromWorker, GenerateEvent, LoadOptions, ToWorker } from '../wire/worker.ts'
import { Loaded } from './loaded.ts'

const send = (message: FromWorker): void => {
  // A parent that died cannot be told anything; `disconnect` ends this process.
  if (process.connected) process.send?.(message, undefined, undefined, () => undefined)
}

let loaded: Loaded | undefined
let native: Native | undefined
const unary = new Map<number, AbortController>()

// A worker that is started ahead loads the libraries it was told of; if that fails, the load will say so.
const ahead = process.argv[2] as LoadOptions['library'] | undefined
if (ahead !== undefined) {
  try {
    loadNative(ahead)
  } catch {
    // Said by the load that needs them.
  }
}

process.on('message', (message: ToWorker) => {
  switch (message.type) {
    case 'load':
      void load(message)
      break
    case 'ask':
      void ask(message.id, message.ask)
      break
    case 'cancel':
      unary.get(message.id)?.abort()
      loaded?.cancel(message.id)
      break
    case 'ping':
      send({ type: 'pong', id: message.id, stats: loaded?.stats() ?? emptyStats() })
      break
    case 'exit':
      leave()
      break
  }
})
process.on('disconnect', leave)
// The hub decides when a worker ends; a Ctrl+C in its terminal reaches the whole group.
process.on('SIGINT', () => undefined)

async function load({ options }: Extract<ToWorker, { type: 'load' }>): Promise<void> {
  try {
    native = loadNative(options.library)
    loaded = await Loaded.create(native, options, {
      progress: fraction => send({ type: 'progress', fraction }),
      events: (events: GenerateEvent[]) => send({ type: 'events', events }),
    })
    send({ type: 'ready', info: loaded.info })
  } catch (thrown) {
    send({ type: 'failed', error: HubError.from(thrown).toBody() })
  }
}

async function ask(id: number, question: Ask): Promise<void> {
  try {
    if (loaded === undefined) throw new HubError('internal', 'the worker was asked before it had a model')
    if (question.type === 'generate') {
      loaded.generate(id, question.request)
      return
    }
    const control = new AbortController()
    unary.set(id, control)
    send({ type: 'answer', id, answer: await loaded.answer(question, control.signal) })
  } catch (thrown) {
    const error = HubError.from(thrown).toBody()
    if (question.type === 'generate') send({ type: 'events', events: [{ type: 'error', id, error }] })
    else send({ type: 'refused', id, error })
  } finally {
    unary.delete(id)
  }
}

function emptyStats() {
  return {
    busy: 0,
    queued: 0,
    kvUsedTokens: 0,
    kvTotalTokens: 0,
    rssBytes: process.memoryUsage.rss(),
    decodedTokens: 0,
    decodeSteps: 0,
    promptCacheBytes: 0,
  }
}

/** The operating system takes the memory back faster and more surely than freeing it piece by piece does. */
function leave(): void {
  native?.silence()
  process.exit(0)
}
