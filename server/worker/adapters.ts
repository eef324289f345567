/** The adapters beside a loaded model: in the context that all share, or with one of its own for an adapter that is always on. */
import { HubError } from '../lib/error.ts'
import type { Turns } from '../lib/turns.ts'
import { runAsync } from '../native/llama.ts'
import type { Pointer } from '../native/structs.ts'
import type { Answer, Ask, Generate } from '../wire/worker.ts'
import type { Engine } from './engine.ts'
import type { Model } from './model.ts'
import type { Job } from './run.ts'

/** An engine over a context that has one adapter for good. */
export type OwnEngine = { engine: Engine; free(): void }
type Adapter = { id: number; pointer: Pointer; own?: OwnEngine & { scale: number } }

export class Adapters {
  readonly #model: Model
  readonly #shared: Engine
  readonly #turns: Turns
  readonly #createOwn: () => Promise<OwnEngine>
  readonly #adapters = new Map<string, Adapter>()
  /** Never given twice, so that KV of an adapter that is gone is nobody's. */
  #ids = 0

  constructor(parts: { model: Model; shared: Engine; turns: Turns; createOwn(): Promise<OwnEngine> }) {
    this.#model = parts.model
    this.#shared = parts.shared
    this.#turns = parts.turns
    this.#createOwn = parts.createOwn
  }

  get engines(): Engine[] {
    const own = [...this.#adapters.values()].flatMap(adapter => adapter.own?.engine ?? [])
    return [this.#shared, ...own]
  }

  /** What a request's adapters are here, and the engine that works on it. @throws HubError invalid_request */
  resolve(request: Generate): { engine: Engine; adapters: Job['adapters'] } {
    // At scale 0 an adapter changes nothing, and the base's own KV serves.
    const used = request.adapters
      .filter(({ scale }) => scale !== 0)
      .map(({ name, scale }) => {
        const adapter = this.#adapters.get(name)
        if (adapter !== undefined) return { ...adapter, scale }
        const known = [...this.#adapters.keys()].join(', ') || 'none'
        throw new HubError('invalid_request', `no adapter "${name}" is loaded beside this model (loaded: ${known})`, {
          param: 'adapters',
        })
      })
    const [first, second] = used
    // Any other strength, and any company, is worked on in the shared context.
    const own = second === undefined && first?.own?.scale === first?.scale ? first?.own : undefined
    return {
      engine: own?.engine ?? this.#shared,
      adapters: used.map(({ id, pointer, scale }) => ({ id, pointer, scale })),
    }
  }

  /** @throws HubError conflict, invalid_request when it does not fit the model, insufficient_memory */
  async load({ name, path, own }: Extract<Ask, { type: 'load_adapter' }>): Promise<Answer['load_adapter']> {
    if (this.#adapters.has(name)) throw new HubError('conflict', `an adapter "${name}" is loaded already`)
    const before = process.memoryUsage.rss()
    // In turn with the decodes: they count the nodes of all adapters of the model while this adds to them.
    const pointer = await this.#turns(() => this.#read(path))
    const adapter: Adapter = { id: ++this.#ids, pointer }
    if (own !== undefined) {
      try {
        adapter.own = { ...(await this.#turns(this.#createOwn)), scale: own.scale }
      } catch (thrown) {
        void this.#turns(async () => this.#model.native.adapter_lora_free(pointer))
        throw thrown
      }
    }
    this.#adapters.set(name, adapter)
    return { bytes: Math.max(0, process.memoryUsage.rss() - before) }
  }

  async #read(path: string): Promise<Pointer> {
    const { native, pointer: model } = this.#model
    const said: string[] = []
    native.listen(line => said.push(line))
    try {
      const pointer = await runAsync(native.adapter_lora_init, model, path)
      if (pointer !== null) return pointer
      const why = said.find(line => line.includes('failed')) ?? said.at(-1) ?? 'no reason given'
      throw new HubError('invalid_request', `the adapter does not fit this model: ${why.replace(/^\w+: /, '')}`, {
        param: 'model',
      })
    } finally {
      native.silence()
    }
  }

  /** Requests that have it go on; its memory is freed after the last of them. @throws HubError not_found */
  unload(name: string): Answer['unload_adapter'] {
    const adapter = this.#adapters.get(name)
    if (adapter === undefined) throw new HubError('not_found', `no adapter "${name}" is loaded`)
    const { id, pointer, own } = adapter
    this.#adapters.delete(name)
    const free = async () => {
      own?.free()
      this.#model.native.adapter_lora_free(pointer)
    }
    const freeInTurn = () => void this.#turns(free)
    this.#shared.forgetAdapter(id, () => {
      if (own === undefined) freeInTurn()
      else own.engine.forgetAdapter(id, freeInTurn)
    })
    return {}
  }
}
