/** The C structs that cross the border by value, field by field from llama.h and ggml-cpu.h of the pinned release (v0.4.0; v0.5.0 is the same). */

export type Pointer = bigint

/** enum values used by the engine, from llama.h and ggml.h. */
export const LOAD_MODE = { none: 0, mmap: 1 } as const
export const KV_TYPE = { f32: 0, f16: 1, q8_0: 8 } as const
export const FLASH_ATTENTION = { auto: -1, off: 0, on: 1 } as const
export const POOLING = { unspecified: -1, none: 0, mean: 1, cls: 2, last: 3, rank: 4 } as const
export const DEVICE_TYPE = { cpu: 0, gpu: 1, integrated: 2, accelerator: 3, meta: 4 } as const

export const MODEL_PARAMS = {
  devices: 'void *',
  tensor_buft_overrides: 'void *',
  n_gpu_layers: 'int32_t',
  split_mode: 'int32_t',
  load_mode: 'int32_t',
  lazy_mode: 'int32_t',
  main_gpu: 'int32_t',
  tensor_split: 'void *',
  progress_callback: 'void *',
  progress_callback_user_data: 'void *',
  kv_overrides: 'void *',
  vocab_only: 'bool',
  check_tensors: 'bool',
  use_extra_bufts: 'bool',
  no_host: 'bool',
  no_alloc: 'bool',
  load_mtp: 'bool',
} as const

export const CONTEXT_PARAMS = {
  n_ctx: 'uint32_t',
  n_batch: 'uint32_t',
  n_ubatch: 'uint32_t',
  n_seq_max: 'uint32_t',
  n_rs_seq: 'uint32_t',
  n_outputs_max: 'uint32_t',
  n_outputs_max_per_seq: 'uint32_t',
  n_threads: 'int32_t',
  n_threads_batch: 'int32_t',
  ctx_type: 'int32_t',
  rope_scaling_type: 'int32_t',
  pooling_type: 'int32_t',
  attention_type: 'int32_t',
  flash_attn_type: 'int32_t',
  rope_freq_base: 'float',
  rope_freq_scale: 'float',
  yarn_ext_factor: 'float',
  yarn_attn_factor: 'float',
  yarn_beta_fast: 'float',
  yarn_beta_slow: 'float',
  yarn_orig_ctx: 'uint32_t',
  defrag_thold: 'float',
  cb_eval: 'void *',
  cb_eval_user_data: 'void *',
  type_k: 'int32_t',
  type_v: 'int32_t',
  abort_callback: 'void *',
  abort_callback_data: 'void *',
  embeddings: 'bool',
  offload_kqv: 'bool',
  no_perf: 'bool',
  op_offload: 'bool',
  swa_full: 'bool',
  kv_unified: 'bool',
  samplers: 'void *',
  n_samplers: 'size_t',
  ctx_other: 'void *',
} as const

export const BATCH = {
  n_tokens: 'int32_t',
  token: 'void *',
  embd: 'void *',
  pos: 'void *',
  n_seq_id: 'void *',
  seq_id: 'void *',
  logits: 'void *',
} as const

export const SAMPLER_CHAIN_PARAMS = { no_perf: 'bool' } as const

type CValue<T> = T extends 'bool'
  ? boolean
  : T extends 'void *'
    ? Pointer | null
    : T extends 'size_t'
      ? number | bigint
      : number
type CStruct<T> = { -readonly [K in keyof T]: CValue<T[K]> }
export type ModelParams = CStruct<typeof MODEL_PARAMS>
export type ContextParams = CStruct<typeof CONTEXT_PARAMS>
export type RawBatch = CStruct<typeof BATCH>
export type ThreadpoolParams = {
  cpumask: boolean[]
  n_threads: number
  prio: number
  poll: number
  strict_cpu: boolean
  paused: boolean
}

/** Default values that the library must give back; a shifted layout shows here before any model is touched. */
export const MODEL_DEFAULTS: Partial<ModelParams> = {
  devices: null,
  tensor_buft_overrides: null,
  tensor_split: null,
  progress_callback: null,
  kv_overrides: null,
  split_mode: 1,
  main_gpu: 0,
  vocab_only: false,
  check_tensors: false,
  use_extra_bufts: true,
  no_alloc: false,
}
export const CONTEXT_DEFAULTS: Partial<ContextParams> = {
  n_ctx: 512,
  n_batch: 2048,
  n_ubatch: 512,
  n_seq_max: 1,
  pooling_type: -1,
  flash_attn_type: -1,
  yarn_ext_factor: -1,
  type_k: 1,
  type_v: 1,
  embeddings: false,
  offload_kqv: true,
  swa_full: true,
  kv_unified: false,
  samplers: null,
  ctx_other: null,
}
