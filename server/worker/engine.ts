/**
 * Continuous batching over one context: sequences join and leave between decode calls, prompts are evaluated in chunks beside
 * the generating ones, and KV is shared wherever prompts begin alike. Everything but the decode itself runs on the JS thread.
 */
import { HubError } from '../lib/error.ts'
import type { GenerateEvent } from '../wire/worker.ts'
import { type Context, logitsRow, OUTPUT_ROWS } from './context.ts'
import { distribution, tokenLogprob } from './logprobs.ts'
import type { Model } from './model.ts'
import { PromptCache } from './prompt_cache.ts'
import {
  createRun,
  createSequence,
  doneEvent,
  endEvents,
  type Job,
  type Run,
  type Sequence,
  sampleNext,
  startEvent,
} from './run.ts'
import { Candidates } from './sampling.ts'
import { commonPrefix, evenChunk, place, type SlotView, share } from './slots.ts'

/** A prompt chunk may hold up the generating streams for about so long, and a client that left for so long when nobody generates. */
const CHUNK_MS = { beside: 250, alone: 1000 }
/** Chunk in tokens until the speed is known. */
const FIRST_CHUNK = 128
const LEAST_CHUNK = 64
/** Decode steps that one set of adapters gets before another takes its turn. */
const ADAPTER_STEPS = 8
/** Restoring KV from RAM costs a copy; it must save at least so many tokens. */
const WORTH_RESTORING = 32
/** Tokens of idle conversations that may stay in the KV on the CPU: the library looks at cells in steps of so many. */
const IDLE_TOKENS = 256
/** Quiet time after which idle conversations are copied to RAM. */
const REST_MS = 20

type Slot = SlotView & {
  cache: number[]
  sequence: Sequence | undefined
  /** Cells that belong to the slot `sharedFrom` as well. */
  shared: number
  sharedFrom: number
}
type Row = {
  slot: Slot
  from: number
  count: number /** batch index of the first token with logits, -1 for none */
  output: number
  promptLogits: boolean
}

export class Engine {
  readonly #model: Model
  readonly #context: Context
  readonly #slots: Slot[]
  readonly #candidates: Candidates
  readonly #promptCache: PromptCache
  readonly #putAside: boolean
  readonly #emit: (events: GenerateEvent[]) => void
  readonly #now: () => number
  #queue: Sequence[] = []
  #runs = new Map<number, Run>()
  #events: GenerateEvent[] = []
  #running = false
  #rest: NodeJS.Timeout | undefined
  #closed = false
  #arrivals = 0
  #msPerPromptToken: number | undefined
  #adapterKey = ''
  #adapterSteps = 0
  #forgotten: { id: number; free(): void }[] = []
  decodedTokens = 0
  decodeSteps = 0

  constructor(
    model: Model,
    context: Context,
    options: {
      slots: number
      promptCacheBytes: number
      putIdleAside: boolean
      emit: (events: GenerateEvent[]) => void
      now?: () => number
    },
  ) {
    this.#model = model
    this.#context = context
    this.#emit = options.emit
    this.#putAside = options.putIdleAside
    this.#now = options.now ?? (() => performance.now())
    this.#candidates = new Candidates(model.native, model.vocabularySize)
    this.#promptCache = new PromptCache(model.native, context.pointer, options.promptCacheBytes)
    this.#slots = Array.from({ length: options.slots }, (_, id) => ({
      id,
      busy: false,
      cache: [],
      adapterKey: '',
      pending: [],
      lastUsed: 0,
      sequence: undefined,
      shared: 0,
      sharedFrom: -1,
    }))
  }

  get stats() {
    return {
      busy: this.#slots.filter(slot => slot.busy).length,
      queued: this.#queue.length,
      kvUsedTokens: this.#slots.reduce((sum, slot) => sum + slot.cache.length - slot.shared, 0),
      kvTotalTokens: this.#context.sequenceTokens,
      promptCacheBytes: this.#promptCache.bytes,
    }
  }

  /** @throws HubError context_length_exceeded, invalid_request */
  submit(job: Job): void {
    const { request } = job
    if (job.prompt.length === 0)
      throw new HubError('invalid_request', 'the prompt is empty; give at least one token', { param: 'prompt' })
    if (job.prompt.length + 1 > this.#context.sequenceTokens) {
      throw new HubError(
        'context_length_exceeded',
        `the prompt has ${job.prompt.length} tokens, and the context of this model holds ${this.#context.sequenceTokens}; shorten it or raise the context size`,
        { param: request.prompt.type === 'chat' ? 'messages' : 'prompt' },
      )
    }
    if (request.ignoreEos === true && job.grammar !== undefined) {
      throw new HubError('invalid_request', 'ignore_eos and an output grammar exclude each other; leave one out', {
        param: 'ignore_eos',
      })
    }
    const run = createRun(job, this.#now())
    try {
      for (let choice = 0; choice < request.n; choice++)
        run.sequences.push(createSequence(this.#model, this.#candidates, run, choice, this.#arrivals++))
    } catch (thrown) {
      for (const sequence of run.sequences) sequence.sampler.free()
      throw thrown
    }
    this.#runs.set(job.id, run)
    this.#queue.push(...run.sequences)
    this.#wake()
  }

  /** Ends a request without a further event; what it computed stays in the KV for others. */
  cancel(id: number): void {
    const run = this.#runs.get(id)
    if (run !== undefined) run.cancelled = true
  }

  /** Ends the use of an adapter, once no request has it any more, and then calls `free` between two decodes. */
  forgetAdapter(id: number, free: () => void): void {
    this.#forgotten.push({ id, free })
    this.#wake()
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#rest)
  }

  #wake(): void {
    if (this.#running || this.#closed) return
    this.#running = true
    // Requests that arrive in one turn of the event loop start in one batch.
    setImmediate(() => void this.#loop())
  }

  async #loop(): Promise<void> {
    try {
      while (!this.#closed) {
        this.#sweep()
        this.#forget()
        this.#admit()
        const rows = this.#fill()
        if (rows.length === 0) break
        const startedMs = this.#now()
        this.#flush()
        const code = await this.#context.decode()
        if (code === 0) this.#commit(rows, this.#now() - startedMs)
        else this.#fail(rows, code)
        await new Promise(setImmediate)
      }
    } catch (thrown) {
      // A fault of ours must not leave a client waiting for ever.
      for (const run of [...this.#runs.values()]) this.#abandon(run, HubError.from(thrown))
    } finally {
      this.#flush()
      this.#running = false
    }
    if (this.#queue.length > 0) this.#wake()
    else if (this.#putAside && !this.#closed) this.#rest ??= setTimeout(() => this.#copyIdle(), REST_MS).unref()
  }

  /** While nobody waits: KV of idle conversations is copied to RAM, so that putting it aside later costs nothing. */
  #copyIdle(): void {
    this.#rest = undefined
    for (const slot of this.#slots) {
      if (!slot.busy && !this.#running) this.#promptCache.save(slot.id, slot.cache, slot.adapterKey)
    }
  }

  #flush(): void {
    if (this.#events.length === 0) return
    const events = this.#events
    this.#events = []
    this.#emit(events)
  }

  // Sequences in and out of slots.

  #sweep(): void {
    this.#queue = this.#queue.filter(sequence => {
      if (!sequence.run.cancelled) return true
      sequence.sampler.free()
      return false
    })
    for (const slot of this.#slots) {
      if (slot.sequence?.run.cancelled === true) this.#vacate(slot).sampler.free()
    }
    for (const [id, run] of this.#runs) if (run.cancelled) this.#runs.delete(id)
  }

  #forget(): void {
    this.#forgotten = this.#forgotten.filter(({ id, free }) => {
      if ([...this.#runs.values()].some(run => run.adapters.some(adapter => adapter.id === id))) return true
      const isGone = (key: string) => key.split('+').some(part => part.startsWith(`${id}@`))
      for (const slot of this.#slots) if (isGone(slot.adapterKey)) this.#clear(slot)
      this.#promptCache.forget(isGone)
      if (isGone(this.#adapterKey)) {
        this.#model.native.set_adapters_lora(this.#context.pointer, [], 0, [])
        this.#adapterKey = ''
      }
      free()
      return false
    })
  }

  #admit(): void {
    for (const sequence of [...this.#queue]) {
      if (this.#slots.every(slot => slot.busy)) return
      const { run, tokens } = sequence
      // The first choice gives the prompt's log probabilities; the others begin when they are complete.
      if (run.promptLogprobs !== undefined && sequence.choice > 0 && run.firstTokenMs === undefined) continue
      // Log probabilities of the prompt need every position evaluated.
      const reuse = run.request.cachePrompt && run.promptLogprobs === undefined
      const placement = place(this.#slots, tokens, run.adapterKey, { reuse, canCut: this.#model.canCut })
      if (placement === 'wait') continue
      if (placement === undefined) return
      const used = this.#slots.reduce(
        (sum, slot) => sum + (slot.sequence === undefined ? 0 : slot.sequence.tokens.length - slot.shared),
        0,
      )
      const busy = this.#slots.some(slot => slot.busy)
      // A long one waits at the front until the others leave it room; letting shorter ones pass would starve it.
      if (busy && used + tokens.length - placement.reuse + 1 > this.#context.sequenceTokens) return
      this.#queue.splice(this.#queue.indexOf(sequence), 1)
      this.#occupy(sequence, this.#slots[placement.slot]!, placement.reuse, placement.donor, reuse)
    }
  }

  #occupy(sequence: Sequence, slot: Slot, wanted: number, donor: number | undefined, mayRestore: boolean): void {
    const { native, canCut } = this.#model
    const memory = this.#context.memory!
    const { run, tokens } = sequence
    let reuse = wanted
    const restores = mayRestore && this.#promptCache.covers(tokens, run.adapterKey, canCut) >= reuse + WORTH_RESTORING
    if (donor !== undefined || restores || reuse < slot.cache.length / 2) {
      this.#promptCache.save(slot.id, slot.cache, slot.adapterKey)
    }
    this.#tidy(slot, donor)
    slot.shared = 0
    const restored = restores ? this.#restore(slot, tokens, run.adapterKey) : undefined
    if (restored !== undefined) {
      reuse = restored
    } else if (donor !== undefined) {
      native.memory_seq_rm(memory, slot.id, -1, -1)
      native.memory_seq_cp(memory, donor, slot.id, 0, reuse)
      slot.shared = reuse
      slot.sharedFrom = donor
    } else if (restores) {
      // The slot was emptied for a state that then did not fit.
      reuse = 0
    }
    if (!native.memory_seq_rm(memory, slot.id, reuse, -1)) {
      native.memory_seq_rm(memory, slot.id, -1, -1)
      reuse = 0
      slot.shared = 0
    }
    slot.cache = tokens.slice(0, reuse)
    slot.adapterKey = run.adapterKey
    slot.sequence = sequence
    slot.busy = true
    slot.pending = tokens
    if (!sequence.primed) sequence.sampler.prime(run.prompt)
    sequence.primed = true
    if (run.startedMs === undefined) {
      run.startedMs = this.#now()
      run.usage.cachedTokens = reuse
      if (run.request.echo !== true) this.#events.push(startEvent(this.#model, run))
    }
  }

  /**
   * Attention runs over every cell up to the last one in use, also those of other sequences, so KV that nobody uses makes
   * each step slower. On the CPU, where RAM is where the KV is anyway, idle conversations are put aside.
   */
  #tidy(target: Slot, donor: number | undefined): void {
    if (!this.#putAside) return
    const idle = this.#slots.filter(slot => !slot.busy && slot !== target && slot.id !== donor && slot.cache.length > 0)
    let tokens = idle.reduce((sum, slot) => sum + slot.cache.length, 0)
    for (const slot of idle.sort((a, b) => a.lastUsed - b.lastUsed)) {
      if (tokens <= IDLE_TOKENS) return
      tokens -= slot.cache.length
      if (this.#promptCache.save(slot.id, slot.cache, slot.adapterKey)) this.#clear(slot)
    }
  }

  /** KV from RAM into the slot; gives the tokens of the prompt that it then covers. */
  #restore(slot: Slot, tokens: readonly number[], adapterKey: string): number | undefined {
    this.#model.native.memory_seq_rm(this.#context.memory!, slot.id, -1, -1)
    slot.cache = []
    const held = this.#promptCache.restore(slot.id, tokens, adapterKey, this.#model.canCut)
    return held === undefined ? undefined : Math.min(commonPrefix(held, tokens), tokens.length - 1)
  }

  /** The slot's sequence leaves; its KV stays unless the request asked otherwise. */
  #vacate(slot: Slot): Sequence {
    const sequence = slot.sequence!
    slot.sequence = undefined
    slot.busy = false
    slot.pending = []
    slot.lastUsed = this.#now()
    if (!sequence.run.request.cachePrompt) this.#clear(slot)
    return sequence
  }

  #clear(slot: Slot): void {
    this.#model.native.memory_seq_rm(this.#context.memory!, slot.id, -1, -1)
    slot.cache = []
    slot.shared = 0
    // Cells that others share stay; from now on each counts them as its own.
    for (const other of this.#slots) if (other.sharedFrom === slot.id) other.shared = 0
  }

  // One step.

  #fill(): Row[] {
    const { batch } = this.#context
    batch.clear()
    const live = this.#slots.filter(slot => slot.busy)
    if (live.length === 0) return []
    this.#chooseAdapters(live)
    const mine = live.filter(slot => slot.adapterKey === this.#adapterKey)
    const rows: Row[] = []
    const waiting: Slot[] = []
    for (const slot of mine) {
      const { tokens, generated } = slot.sequence!
      const from = slot.cache.length
      if (generated > 0 && tokens.length - from === 1) {
        rows.push({ slot, from, count: 1, output: batch.add(tokens[from]!, from, slot.id, true), promptLogits: false })
      } else {
        waiting.push(slot)
      }
    }
    let outputs = rows.length + waiting.length
    const limit = this.#chunk(rows.length > 0) - rows.length
    const granted = share(
      waiting.map(slot => slot.sequence!.tokens.length - slot.cache.length),
      Math.max(0, Math.min(limit, batch.room)),
    )
    waiting.forEach((slot, index) => {
      const { tokens, run, choice } = slot.sequence!
      const from = slot.cache.length
      const scored = run.promptLogprobs !== undefined && choice === 0
      // Tokens before the first one whose probability is wanted need no logits, which are most of the work in a large vocabulary.
      const unscored = scored ? (run.request.logprobsFrom ?? 1) - 1 - from : 0
      const promptLogits = scored && unscored <= 0
      let count = evenChunk(tokens.length - from, granted[index]!)
      if (unscored > 0) count = Math.min(count, unscored)
      if (promptLogits) {
        count = Math.max(1, Math.min(count, OUTPUT_ROWS - outputs))
        outputs += count
      }
      let output = -1
      for (let position = from; position < from + count; position++) {
        const wants = promptLogits || position === tokens.length - 1
        const at = batch.add(tokens[position]!, position, slot.id, wants)
        if (wants && output < 0) output = at
      }
      if (count > 0) rows.push({ slot, from, count, output, promptLogits })
    })
    return rows
  }

  /** Tokens of one decode call. */
  #chunk(beside: boolean): number {
    const { capacity } = this.#context.batch
    if (this.#msPerPromptToken === undefined) return Math.min(FIRST_CHUNK, capacity)
    const tokens = Math.floor((beside ? CHUNK_MS.beside : CHUNK_MS.alone) / this.#msPerPromptToken)
    return Math.min(capacity, Math.max(LEAST_CHUNK + this.#slots.length, tokens))
  }

  /** A context has one set of adapters per decode; sets take turns of some steps, because each change costs a new graph. */
  #chooseAdapters(live: Slot[]): void {
    const keys = [...new Set(live.map(slot => slot.adapterKey))]
    const stay = keys.includes(this.#adapterKey) && (keys.length === 1 || this.#adapterSteps < ADAPTER_STEPS)
    if (!stay) {
      const next = keys[(keys.indexOf(this.#adapterKey) + 1) % keys.length]!
      this.#adapterSteps = 0
      if (next !== this.#adapterKey) {
        const { adapters } = live.find(slot => slot.adapterKey === next)!.sequence!.run
        const code = this.#model.native.set_adapters_lora(
          this.#context.pointer,
          adapters.map(adapter => adapter.pointer),
          adapters.length,
          adapters.map(adapter => adapter.scale),
        )
        if (code !== 0) throw new HubError('internal', `the adapters could not be set (code ${code})`)
        this.#adapterKey = next
      }
    }
    this.#adapterSteps++
  }

  #commit(rows: Row[], elapsedMs: number): void {
    const size = this.#context.batch.size
    this.decodeSteps++
    this.decodedTokens += size
    if (size >= LEAST_CHUNK) {
      const measured = elapsedMs / size
      this.#msPerPromptToken =
        this.#msPerPromptToken === undefined ? measured : 0.7 * this.#msPerPromptToken + 0.3 * measured
    }
    for (const row of rows) {
      const { slot, from, count } = row
      const sequence = slot.sequence!
      for (let position = from; position < from + count; position++) slot.cache.push(sequence.tokens[position]!)
      if (sequence.run.cancelled) continue
      if (row.promptLogits) this.#takePromptLogprobs(row, sequence)
      if (slot.cache.length === sequence.tokens.length && row.output >= 0) {
        this.#advance(slot, sequence, row.promptLogits ? row.output + count - 1 : row.output)
      }
    }
  }

  #takePromptLogprobs(row: Row, sequence: Sequence): void {
    const { run } = sequence
    for (let index = 0; index < row.count; index++) {
      const next = run.prompt[row.from + index + 1]
      if (next === undefined || run.promptLogprobs === undefined) return
      const logits = logitsRow(
        this.#model.native,
        this.#context.pointer,
        row.output + index,
        this.#model.vocabularySize,
      )
      const likelihood = distribution(logits, run.request.topLogprobs ?? 0)
      // By position, not appended: a sequence that lost its place in the KV evaluates its prompt again.
      run.promptLogprobs[row.from + index + 1] = tokenLogprob(this.#model, next, likelihood)
    }
  }

  #advance(slot: Slot, sequence: Sequence, output: number): void {
    const { run } = sequence
    if (run.firstTokenMs === undefined) {
      run.firstTokenMs = this.#now()
      if (run.request.echo === true) this.#events.push(startEvent(this.#model, run))
    }
    if (run.request.maxTokens === 0) {
      this.#finish(slot, 'length')
      return
    }
    const { ended, event } = sampleNext(this.#model, this.#context, sequence, output, this.#now())
    if (event !== undefined) this.#events.push(event)
    if (ended !== undefined) this.#finish(slot, ended)
  }

  #finish(slot: Slot, reason: 'stop' | 'length'): void {
    const sequence = this.#vacate(slot)
    const { run } = sequence
    sequence.sampler.free()
    this.#events.push(...endEvents(sequence, reason))
    run.sequences.splice(run.sequences.indexOf(sequence), 1)
    if (run.sequences.length > 0) return
    this.#runs.delete(run.id)
    this.#events.push(doneEvent(run, this.#now()))
  }

  // When a decode does not succeed.

  #fail(rows: Row[], code: number): void {
    if (code !== 1) {
      const error = new HubError(
        'internal',
        `the native library could not decode (code ${code}); the request was ended`,
      )
      for (const run of new Set(rows.map(row => row.slot.sequence!.run))) this.#abandon(run, error)
      for (const row of rows) this.#clear(row.slot)
      return
    }
    // No room in the KV: idle conversations go to RAM first, then the youngest sequence waits for its turn again.
    const idle = this.#slots
      .filter(slot => !slot.busy && slot.cache.length > 0)
      .sort((a, b) => a.lastUsed - b.lastUsed)[0]
    if (idle !== undefined) {
      this.#promptCache.save(idle.id, idle.cache, idle.adapterKey)
      this.#clear(idle)
      return
    }
    const busy = this.#slots
      .filter(slot => slot.sequence !== undefined)
      .sort((a, b) => b.sequence!.arrival - a.sequence!.arrival)
    const youngest = busy[0]!
    if (busy.length === 1) {
      this.#finish(youngest, 'length')
      return
    }
    const sequence = this.#vacate(youngest)
    this.#clear(youngest)
    this.#queue.unshift(sequence)
  }

  #abandon(run: Run, error: HubError): void {
    this.#runs.delete(run.id)
    run.cancelled = true
    this.#sweep()
    this.#events.push({ type: 'error', id: run.id, error: error.toBody() })
  }
}
