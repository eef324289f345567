/** One worker process seen from the hub: loads its model, carries requests to it, and says what became of them when it dies. */
import { Child, type Exit, explainExit } from '../lib/child.ts'
import { HubError } from '../lib/error.ts'
import { EventQueue } from '../lib/event_queue.ts'
import type { Log } from '../lib/log.ts'
import type {
  Answer,
  Ask,
  FromWorker,
  Generate,
  GenerateEvent,
  LoadOptions,
  ModelInfo,
  ToWorker,
  WorkerStats,
} from '../wire/worker.ts'

/** Aborting the signal ends a worker that is still loading. */
export type StartWorker = (
  options: LoadOptions,
  report: (fraction: number) => void,
  signal: AbortSignal,
) => Promise<WorkerProcess>

type WorkerChild = Child<ToWorker, FromWorker, WorkerStats>

const startChild = ({ script, log, args = [] }: { script: string; log: Log; args?: string[] }): WorkerChild =>
  new Child({ script, log, args }, () => undefined)

/** A worker without a model, started while the hub itself still starts, for the first load. */
export type Spare = {
  /** undefined when there is none, or when it has loaded other libraries. */
  take(library: LoadOptions['library']): WorkerChild | undefined
  close(): Promise<void>
}

/** @param library loaded ahead, where it is known already @param keepMs it ends unused after so long */
export function prepareWorker(
  deps: { script: string; log: Log },
  library: LoadOptions['library'] | undefined,
  keepMs: number,
): Spare {
  let child: WorkerChild | undefined = startChild({ ...deps, args: library === undefined ? [] : [library] })
  const release = () => {
    const released = child
    child = undefined
    clearTimeout(timer)
    return released
  }
  const close = async () => release()?.close({ type: 'exit' })
  const take = (wanted: LoadOptions['library']) => {
    if (library === undefined || library === wanted) return release()
    void close()
    return undefined
  }
  const timer = setTimeout(() => void close(), keepMs)
  timer.unref()
  void child.exited.then(() => {
    child = undefined
  })
  return { take, close }
}

type Unary = { resolve(answer: Answer[keyof Answer]): void; reject(error: Error): void }

export class WorkerProcess {
  readonly info: ModelInfo
  readonly #child: Child<ToWorker, FromWorker, WorkerStats>
  readonly #streams = new Map<number, EventQueue<GenerateEvent>>()
  readonly #unary = new Map<number, Unary>()
  #nextId = 1
  #dead: HubError | undefined

  private constructor(child: Child<ToWorker, FromWorker, WorkerStats>, info: ModelInfo) {
    this.#child = child
    this.info = info
  }

  /**
   * @param deps.script path of the worker program @param deps.spare gives a process that was started ahead, if there is one
   * @throws HubError model_load_failed, insufficient_memory, worker_crashed
   */
  static async start(
    deps: { script: string; log: Log; spare?: (library: LoadOptions['library']) => WorkerChild | undefined },
    options: LoadOptions,
    report: (fraction: number) => void,
    signal: AbortSignal,
  ): Promise<WorkerProcess> {
    let worker: WorkerProcess | undefined
    const loaded = Promise.withResolvers<ModelInfo>()
    const child = deps.spare?.(options.library) ?? startChild(deps)
    child.receive = message => {
      if (message.type === 'progress') report(message.fraction)
      else if (message.type === 'ready') loaded.resolve(message.info)
      else if (message.type === 'failed') loaded.reject(HubError.fromBody(message.error))
      else if (worker !== undefined) worker.#receive(message)
    }
    void child.exited.then(exit => {
      const error = exit.expected
        ? new HubError('shutting_down', 'the model was unloaded')
        : explainExit("the model's process", exit)
      loaded.reject(error)
      if (worker !== undefined) worker.#bury(error)
    })
    const abort = () => void child.close({ type: 'exit' })
    signal.addEventListener('abort', abort, { once: true })
    child.send({ type: 'load', options })
    try {
      worker = new WorkerProcess(child, await loaded.promise)
      return worker
    } catch (thrown) {
      await child.close({ type: 'exit' })
      throw thrown
    } finally {
      signal.removeEventListener('abort', abort)
    }
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  get stats(): WorkerStats | undefined {
    return this.#child.stats
  }

  get exited(): Promise<Exit> {
    return this.#child.exited
  }

  /** @param bytes resident memory above which the worker is killed */
  limitMemory(bytes: number): void {
    this.#child.memoryLimitBytes = bytes
  }

  get memoryLimitBytes(): number | undefined {
    return this.#child.memoryLimitBytes
  }

  ping(): Promise<WorkerStats | undefined> {
    return this.#child.ping()
  }

  async *generate(request: Generate, signal: AbortSignal): AsyncGenerator<GenerateEvent, void> {
    if (this.#dead !== undefined) throw this.#dead
    if (signal.aborted) throw cancelled()
    const id = this.#nextId++
    const stream = new EventQueue<GenerateEvent>()
    this.#streams.set(id, stream)
    const abort = () => {
      this.#streams.delete(id)
      this.#child.send({ type: 'cancel', id })
      stream.fail(cancelled())
    }
    signal.addEventListener('abort', abort, { once: true })
    this.#child.send({ type: 'ask', id, ask: { type: 'generate', request } })
    let finished = false
    try {
      for await (const event of stream) {
        if (event.type === 'error') {
          finished = true
          throw HubError.fromBody(event.error)
        }
        finished = event.type === 'done'
        yield event
      }
    } finally {
      signal.removeEventListener('abort', abort)
      // A consumer that stopped reading early leaves the request running in the worker.
      if (this.#streams.delete(id) && !finished) this.#child.send({ type: 'cancel', id })
    }
  }

  async ask<T extends keyof Answer>(ask: Extract<Ask, { type: T }>, signal: AbortSignal): Promise<Answer[T]> {
    if (this.#dead !== undefined) throw this.#dead
    if (signal.aborted) throw cancelled()
    const id = this.#nextId++
    const answer = Promise.withResolvers<Answer[keyof Answer]>()
    this.#unary.set(id, answer)
    const abort = () => {
      this.#child.send({ type: 'cancel', id })
      answer.reject(cancelled())
    }
    signal.addEventListener('abort', abort, { once: true })
    this.#child.send({ type: 'ask', id, ask })
    try {
      // The worker answers an ask with the answer of its type; wire/worker.ts pairs them.
      return (await answer.promise) as Answer[T]
    } finally {
      signal.removeEventListener('abort', abort)
      this.#unary.delete(id)
    }
  }

  close(): Promise<void> {
    return this.#child.close({ type: 'exit' })
  }

  #receive(message: FromWorker): void {
    switch (message.type) {
      case 'events':
        for (const event of message.events) {
          const stream = this.#streams.get(event.id)
          stream?.push(event)
          if (event.type === 'done' || event.type === 'error') {
            this.#streams.delete(event.id)
            stream?.end()
          }
        }
        break
      case 'answer':
        this.#unary.get(message.id)?.resolve(message.answer)
        break
      case 'refused':
        this.#unary.get(message.id)?.reject(HubError.fromBody(message.error))
        break
    }
  }

  #bury(error: HubError): void {
    this.#dead = error
    for (const stream of this.#streams.values()) stream.fail(error)
    for (const unary of this.#unary.values()) unary.reject(error)
    this.#streams.clear()
    this.#unary.clear()
  }
}

const cancelled = () => new HubError('cancelled', 'the request was cancelled')
