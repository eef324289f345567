/** Child program: logits of every position of one sequence through libllama with an F32 KV cache. Arguments: model, tokens as JSON, and an adapter with its scale; logits go to stdout as float32. */
import { writeSync } from 'node:fs'
import { loadNative } from '../../server/native/llama.ts'
import { FLASH_ATTENTION, KV_TYPE, LOAD_MODE } from '../../server/native/structs.ts'
import { Batch } from '../../server/worker/batch.ts'

const [path, json, adapter, scale] = process.argv.slice(2)
const tokens = JSON.parse(json!) as number[]
const native = loadNative('cpu')
const model = native.model_load_from_file(path!, {
  ...native.model_default_params(),
  n_gpu_layers: 0,
  load_mode: LOAD_MODE.none,
  // Without repacked weights quantised products are rounded as the trainer's are.
  use_extra_bufts: false,
})
if (model === null) throw new Error(`libllama cannot load ${path}`)
const context = native.init_from_model(model, {
  ...native.context_default_params(),
  n_ctx: 256,
  n_batch: 256,
  n_ubatch: 256,
  n_outputs_max: tokens.length,
  n_threads: 1,
  n_threads_batch: 1,
  type_k: KV_TYPE.f32,
  type_v: KV_TYPE.f32,
  flash_attn_type: FLASH_ATTENTION.off,
})
if (context === null) throw new Error('libllama makes no context')
if (adapter !== undefined) {
  const loaded = native.adapter_lora_init(model, adapter)
  if (loaded === null) throw new Error(`libllama cannot load ${adapter}`)
  native.set_adapters_lora(context, [loaded], 1, [Number(scale)])
}
const batch = new Batch(native, 256)
tokens.forEach((token, i) => {
  batch.add(token, i, 0, true)
})
const status = native.decode(context, batch.raw)
if (status !== 0) throw new Error(`llama_decode gave ${status}`)
const vocabulary = native.vocab_n_tokens(native.model_get_vocab(model))
for (let i = 0; i < tokens.length; i++) {
  const row = Buffer.from(native.view(native.get_logits_ith(context, i)!, vocabulary * 4))
  for (let at = 0; at < row.length; ) at += writeSync(1, row, at)
}
