/** A program of one answer: the serving library's logits for some tokens. It is started by path and ends with its parent. */
import { loadNative, runAsync } from '../native/llama.ts'
import { FLASH_ATTENTION, KV_TYPE, LOAD_MODE } from '../native/structs.ts'
import type { ParityAnswer, ParityRequest } from './parity.ts'

// A decode cannot be stopped from here, and exiting would wait for it.
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'))

process.once('message', (request: ParityRequest) => {
  answer(request).then(
    logits => finish({ type: 'logits', logits }),
    error => finish({ type: 'failed', message: error instanceof Error ? error.message : String(error) }),
  )
})

function finish(message: ParityAnswer): void {
  process.send?.(message, undefined, undefined, () => process.exit(0))
}

async function answer({ path, tokens, threads }: ParityRequest): Promise<Float32Array> {
  const native = loadNative('cpu')
  const said: string[] = []
  native.listen(line => said.push(line))
  const n = tokens.length
  const model = await runAsync(native.model_load_from_file, path, {
    ...native.model_default_params(),
    n_gpu_layers: 0,
    load_mode: LOAD_MODE.mmap,
    // Repacked weights would be a second copy in memory, and another rounding.
    use_extra_bufts: false,
  })
  if (model === null) throw new Error(said.find(line => line.includes('error')) ?? said.at(-1) ?? 'it does not load')
  const context = await runAsync(native.init_from_model, model, {
    ...native.context_default_params(),
    n_ctx: n,
    n_batch: n,
    n_ubatch: n,
    n_outputs_max: n,
    n_threads: threads,
    n_threads_batch: threads,
    type_k: KV_TYPE.f32,
    type_v: KV_TYPE.f32,
    flash_attn_type: FLASH_ATTENTION.off,
  })
  if (context === null) throw new Error(said.at(-1) ?? 'no context can be made')
  native.silence()
  const batch = native.batch_init(n, 0, 1)
  batch.n_tokens = n
  new Int32Array(native.view(batch.token!, n * 4)).set(tokens)
  new Int32Array(native.view(batch.pos!, n * 4)).set(Array.from({ length: n }, (_, index) => index))
  new Int32Array(native.view(batch.n_seq_id!, n * 4)).fill(1)
  for (const pointer of new BigUint64Array(native.view(batch.seq_id!, n * 8))) {
    new Int32Array(native.view(pointer, 4))[0] = 0
  }
  new Int8Array(native.view(batch.logits!, n)).fill(1)
  const code = await runAsync(native.decode, context, batch)
  if (code !== 0) throw new Error(`its decode failed with code ${code}`)
  const vocabularySize = native.vocab_n_tokens(native.model_get_vocab(model))
  const logits = new Float32Array(n * vocabularySize)
  for (let i = 0; i < n; i++) {
    const row = native.get_logits_ith(context, i)
    if (row === null) throw new Error(`it gave no logits for token ${i}`)
    logits.set(new Float32Array(native.view(row, vocabularySize * 4)), i * vocabularySize)
  }
  return logits
}
