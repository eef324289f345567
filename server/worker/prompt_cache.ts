/** KV of idle conversations in RAM: what a slot held before another conversation took it, to be brought back without evaluation. */
import type { Native } from '../native/llama.ts'
import type { Pointer } from '../native/structs.ts'
import { commonPrefix } from './slots.ts'

/** Fewer tokens than this are evaluated again sooner than they are moved. */
const LEAST_TOKENS = 64

type Entry = { tokens: readonly number[]; adapterKey: string; state: Uint8Array }

export class PromptCache {
  readonly #native: Native
  readonly #context: Pointer
  readonly #limit: number
  /** The least recently used first. */
  readonly #entries: Entry[] = []
  #bytes = 0

  /** @param limit bytes of RAM at most; 0 switches the cache off */
  constructor(native: Native, context: Pointer, limit: number) {
    this.#native = native
    this.#context = context
    this.#limit = limit
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Copies the KV of a sequence to RAM; tells whether it can now be had from there. Short ones are not kept. */
  save(sequence: number, tokens: readonly number[], adapterKey: string): boolean {
    if (tokens.length < LEAST_TOKENS || this.#limit === 0) return false
    for (const entry of this.#entries) {
      if (entry.adapterKey === adapterKey && commonPrefix(entry.tokens, tokens) === tokens.length) return true
    }
    const size = Number(this.#native.state_seq_get_size(this.#context, sequence))
    if (size === 0 || size > this.#limit) return false
    // What this state continues is covered by it.
    for (const entry of [...this.#entries]) {
      if (entry.adapterKey === adapterKey && commonPrefix(entry.tokens, tokens) === entry.tokens.length) {
        this.#drop(entry)
      }
    }
    while (this.#bytes + size > this.#limit) this.#drop(this.#entries[0]!)
    const state = Buffer.allocUnsafeSlow(size)
    const written = Number(this.#native.state_seq_get_data(this.#context, state, size, sequence))
    if (written === 0) return false
    this.#entries.push({
      tokens: [...tokens],
      adapterKey,
      state: written === size ? state : state.subarray(0, written),
    })
    this.#bytes += written
    return true
  }

  /** Tokens of the prompt that the best entry covers. */
  covers(prompt: readonly number[], adapterKey: string, canCut: boolean): number {
    const entry = this.#best(prompt, adapterKey, canCut)
    return entry === undefined ? 0 : commonPrefix(entry.tokens, prompt)
  }

  /** Puts the best entry into a sequence and gives its tokens, all of which the sequence then holds; undefined when it does not fit. */
  restore(
    sequence: number,
    prompt: readonly number[],
    adapterKey: string,
    canCut: boolean,
  ): readonly number[] | undefined {
    const entry = this.#best(prompt, adapterKey, canCut)
    if (entry === undefined) return undefined
    this.#entries.splice(this.#entries.indexOf(entry), 1)
    this.#entries.push(entry)
    const read = Number(this.#native.state_seq_set_data(this.#context, entry.state, entry.state.length, sequence))
    return read === 0 ? undefined : entry.tokens
  }

  /** Drops what was computed with adapters of which one is no more. */
  forget(isGone: (adapterKey: string) => boolean): void {
    for (const entry of [...this.#entries]) if (isGone(entry.adapterKey)) this.#drop(entry)
  }

  #best(prompt: readonly number[], adapterKey: string, canCut: boolean): Entry | undefined {
    let best: Entry | undefined
    let length = LEAST_TOKENS - 1
    for (const entry of this.#entries) {
      if (entry.adapterKey !== adapterKey) continue
      const shared = commonPrefix(entry.tokens, prompt)
      if (!canCut && (shared !== entry.tokens.length || shared >= prompt.length)) continue
      if (shared > length) {
        best = entry
        length = shared
      }
    }
    return best
  }

  #drop(entry: Entry): void {
    this.#entries.splice(this.#entries.indexOf(entry), 1)
    this.#bytes -= entry.state.length
  }
}
