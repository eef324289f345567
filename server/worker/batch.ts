/** A batch of tokens in C memory with typed-array views on it, so that an asynchronous decode never sees memory that JS may move. */
import type { Native } from '../native/llama.ts'
import type { RawBatch } from '../native/structs.ts'

export class Batch {
  readonly raw: RawBatch
  readonly capacity: number
  readonly #native: Native
  readonly #token: Int32Array
  readonly #position: Int32Array
  readonly #logits: Int8Array
  /** One sequence id per token; C wants a pointer to each. */
  readonly #sequence: Int32Array[]

  constructor(native: Native, capacity: number) {
    const { view } = native
    const raw = native.batch_init(capacity, 0, 1)
    this.#native = native
    this.capacity = capacity
    this.raw = raw
    this.#token = new Int32Array(view(raw.token!, capacity * 4))
    this.#position = new Int32Array(view(raw.pos!, capacity * 4))
    this.#logits = new Int8Array(view(raw.logits!, capacity))
    new Int32Array(view(raw.n_seq_id!, capacity * 4)).fill(1)
    const pointers = new BigUint64Array(view(raw.seq_id!, capacity * 8))
    this.#sequence = Array.from({ length: capacity }, (_, index) => new Int32Array(view(pointers[index]!, 4)))
  }

  get size(): number {
    return this.raw.n_tokens
  }

  get room(): number {
    return this.capacity - this.raw.n_tokens
  }

  clear(): void {
    this.raw.n_tokens = 0
  }

  /** Appends one token and gives its index, by which its logits are asked for after the decode. */
  add(token: number, position: number, sequence: number, logits: boolean): number {
    const index = this.raw.n_tokens++
    this.#token[index] = token
    this.#position[index] = position
    this.#sequence[index]![0] = sequence
    this.#logits[index] = logits ? 1 : 0
    return index
  }

  free(): void {
    this.#native.batch_free(this.raw)
  }
}
