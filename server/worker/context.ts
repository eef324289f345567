/** A native context over the model: its KV cache, its thread pool, and one decode at a time. */
import { HubError } from '../lib/error.ts'
import type { Turns } from '../lib/turns.ts'
import { type Native, runAsync, type Threadpool } from '../native/llama.ts'
import { FLASH_ATTENTION, KV_TYPE, POOLING, type Pointer } from '../native/structs.ts'
import type { LoadOptions } from '../wire/worker.ts'
import { Batch } from './batch.ts'
import type { Model } from './model.ts'

/** Logits of so many rows are reserved at most: more slots than this never ask in one batch, and prompt log probabilities go in such steps. */
export const OUTPUT_ROWS = 64

export type Context = {
  pointer: Pointer
  /** null for a model without KV (an encoder) */
  memory: Pointer | null
  /** Longest sequence, in tokens; the library rounds what was asked up. */
  sequenceTokens: number
  batch: Batch
  /** 0, or llama_decode's code: 1 = no room in the KV, negative = fatal. */
  decode(): Promise<number>
  free(): void
}

/** @param turns contexts of one model share its cores, so their decodes take turns */
export async function createContext(
  model: Model,
  options: LoadOptions,
  purpose: { embeddings: false; slots: number } | { embeddings: true; slots: number; tokens: number; pooling: number },
  pool: Threadpool,
  turns: Turns,
): Promise<Context> {
  const { native } = model
  const said: string[] = []
  native.listen(line => said.push(line))
  const tokens = purpose.embeddings ? purpose.tokens : options.contextTokens
  const batchTokens = purpose.embeddings ? tokens : Math.min(options.batchTokens, tokens)
  try {
    const pointer = await runAsync(native.init_from_model, model.pointer, {
      ...native.context_default_params(),
      n_ctx: tokens,
      n_batch: batchTokens,
      // One decode is one physical batch: an embedding needs its whole input in it, and a cut of a prompt wants no second one.
      n_ubatch: batchTokens,
      n_seq_max: purpose.slots,
      n_outputs_max: purpose.embeddings ? 0 : Math.max(OUTPUT_ROWS, purpose.slots),
      n_threads: options.threads,
      n_threads_batch: options.threads,
      type_k: KV_TYPE[options.kvType],
      type_v: KV_TYPE[options.kvType],
      flash_attn_type: FLASH_ATTENTION[options.flashAttention],
      kv_unified: true,
      no_perf: true,
      embeddings: purpose.embeddings,
      pooling_type: purpose.embeddings ? purpose.pooling : POOLING.unspecified,
    })
    if (pointer === null) {
      throw new HubError(
        'insufficient_memory',
        `no context of ${tokens} tokens could be made (${said.at(-1) ?? 'no reason given'}); set a smaller context size`,
      )
    }
    native.attach_threadpool(pointer, pool.pointer, pool.pointer)
    const batch = new Batch(native, batchTokens)
    return {
      pointer,
      memory: native.get_memory(pointer),
      sequenceTokens: native.n_ctx_seq(pointer),
      batch,
      // Handing a decode to another thread costs a millisecond, which tokens cannot afford; an embedding's long one must
      // not keep this thread from answering.
      decode: () =>
        turns(async () =>
          purpose.embeddings
            ? runAsync<[Pointer, typeof batch.raw], number>(native.decode, pointer, batch.raw)
            : native.decode(pointer, batch.raw),
        ),
      free() {
        batch.free()
        native.free(pointer)
      },
    }
  } finally {
    native.silence()
  }
}

/** The pooling that the GGUF declares, or undefined. */
export function declaredPooling(model: Model): number | undefined {
  const architecture = model.metadata('general.architecture')
  const value = architecture === undefined ? undefined : model.metadata(`${architecture}.pooling_type`)
  return value === undefined ? undefined : Number(value)
}

/** Views by address: a new ArrayBuffer over half a megabyte for every token would keep the garbage collector busy. */
const rows = new Map<Pointer, Float32Array>()

/** The logits of one row of the last decode, [vocabulary]; C memory, overwritten by the next one. */
export function logitsRow(native: Native, context: Pointer, index: number, vocabularySize: number): Float32Array {
  const pointer = native.get_logits_ith(context, index)
  if (pointer === null) throw new HubError('internal', `the decode gave no logits for row ${index}`)
  let row = rows.get(pointer)
  if (row === undefined || row.length !== vocabularySize) {
    // The library moves its buffer when it grows; views of the old one are dropped unread.
    if (rows.size > 4 * OUTPUT_ROWS) rows.clear()
    row = new Float32Array(native.view(pointer, vocabularySize * 4))
    rows.set(pointer, row)
  }
  return row
}
