/** Vectors of texts: a context of its own with pooling, made on first use. */
import { HubError } from '../lib/error.ts'
import type { Turns } from '../lib/turns.ts'
import type { Threadpool } from '../native/llama.ts'
import { POOLING } from '../native/structs.ts'
import type { Answer, LoadOptions } from '../wire/worker.ts'
import { type Context, createContext, declaredPooling } from './context.ts'
import type { Model } from './model.ts'

/** Inputs evaluated in one decode. */
const SEQUENCES = 16
/** An input must fit one decode, whose buffers grow with it. */
const MOST_TOKENS = 2048

export class Embedder {
  readonly #model: Model
  readonly #options: LoadOptions
  readonly #pool: Threadpool
  readonly #turns: Turns
  #context: Promise<Context> | undefined
  #last: Promise<unknown> = Promise.resolve()

  constructor(model: Model, options: LoadOptions, pool: Threadpool, turns: Turns) {
    this.#model = model
    this.#options = options
    this.#pool = pool
    this.#turns = turns
  }

  /** The model's own pooling; mean where it declares none, which is what chat models need. */
  #pooling(): number {
    const declared = declaredPooling(this.#model)
    if (declared === POOLING.rank) {
      throw new HubError('invalid_request', 'this is a reranking model; it gives scores, not embeddings', {
        param: 'model',
      })
    }
    return declared === undefined || declared === POOLING.none || declared < 0 ? POOLING.mean : declared
  }

  #open(): Promise<Context> {
    const trained = this.#model.native.model_n_ctx_train(this.#model.pointer)
    const tokens = Math.min(this.#options.contextTokens, trained > 0 ? trained : MOST_TOKENS, MOST_TOKENS)
    const purpose = { embeddings: true as const, slots: SEQUENCES, tokens, pooling: this.#pooling() }
    // In turn with the loading of adapters, which a new context counts.
    this.#context ??= this.#turns(() =>
      createContext(this.#model, this.#options, purpose, this.#pool, this.#turns),
    ).catch(thrown => {
      this.#context = undefined
      throw thrown
    })
    return this.#context
  }

  /** @throws HubError context_length_exceeded, invalid_request, cancelled */
  embed(inputs: (string | number[])[], signal: AbortSignal): Promise<Answer['embed']> {
    // One batch belongs to one call at a time.
    const turn = this.#last.then(() => this.#embed(inputs, signal))
    this.#last = turn.catch(() => undefined)
    return turn
  }

  async #embed(inputs: (string | number[])[], signal: AbortSignal): Promise<Answer['embed']> {
    const context = await this.#open()
    const tokenised = inputs.map((input, index) => {
      const param = `input.${index}`
      const tokens = typeof input === 'string' ? this.#model.tokenize(input, true, true) : Int32Array.from(input)
      if (typeof input !== 'string') this.#model.checkTokens(input, param)
      if (tokens.length === 0)
        throw new HubError('invalid_request', `${param} is empty; give at least one token`, { param })
      if (tokens.length > context.batch.capacity) {
        throw new HubError(
          'context_length_exceeded',
          `${param} has ${tokens.length} tokens, and this model embeds at most ${context.batch.capacity} at once; split it`,
          { param },
        )
      }
      return tokens
    })
    const vectors: string[] = []
    for (let from = 0; from < tokenised.length; ) {
      if (signal.aborted) throw new HubError('cancelled', 'the request was cancelled')
      let to = from
      context.batch.clear()
      while (to < tokenised.length && to - from < SEQUENCES && tokenised[to]!.length <= context.batch.room) {
        tokenised[to]!.forEach((token, position) => {
          context.batch.add(token, position, to - from, true)
        })
        to++
      }
      if (context.memory !== null) this.#model.native.memory_clear(context.memory, false)
      const code = await context.decode()
      if (code !== 0) throw new HubError('internal', `the native library could not embed (code ${code})`)
      for (let sequence = 0; sequence < to - from; sequence++) vectors.push(this.#read(context, sequence))
      from = to
    }
    return { vectors, tokens: tokenised.map(tokens => tokens.length) }
  }

  #read(context: Context, sequence: number): string {
    const { native, embeddingSize } = this.#model
    const pointer = native.get_embeddings_seq(context.pointer, sequence)
    if (pointer === null)
      throw new HubError('invalid_request', 'this model gives no embeddings; choose an embedding or chat model', {
        param: 'model',
      })
    const vector = Float32Array.from(new Float32Array(native.view(pointer, embeddingSize * 4)))
    let squares = 0
    for (const value of vector) squares += value * value
    const norm = Math.sqrt(squares)
    if (norm > 0) for (let index = 0; index < vector.length; index++) vector[index] = vector[index]! / norm
    return Buffer.from(vector.buffer).toString('base64')
  }

  async free(): Promise<void> {
    const context = await this.#context?.catch(() => undefined)
    context?.free()
  }
}
