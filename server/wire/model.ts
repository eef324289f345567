/** A model as the registry knows it: what its file says, what its folder and sidecar say, and whether it is loaded. */
import * as z from 'zod'

export const ModelFolder = z.enum(['chat_models', 'code_models', 'vietnamese_models', 'custom_models'])
export type ModelFolder = z.infer<typeof ModelFolder>

/** Default sampling of a model, in the names of the HTTP API. */
export const SamplingDefaults = z.strictObject({
  temperature: z.number().min(0).max(5).optional(),
  top_k: z.int().min(0).optional(),
  top_p: z.number().min(0).max(1).optional(),
  min_p: z.number().min(0).max(1).optional(),
  repeat_penalty: z.number().min(0).max(10).optional(),
  frequency_penalty: z.number().min(-2).max(2).optional(),
  presence_penalty: z.number().min(-2).max(2).optional(),
})
export type SamplingDefaults = z.infer<typeof SamplingDefaults>

/** The optional file NAME.model.json beside NAME.gguf. Unknown keys are kept, so that cards may say more. */
export const Sidecar = z.looseObject({
  description: z.string().optional(),
  /** `chat`, `code`, `completion`, `embedding`, `translation`, ... */
  specialties: z.array(z.string()).optional(),
  /** BCP 47: `en`, `vi`, ... */
  languages: z.array(z.string()).optional(),
  sampling: SamplingDefaults.optional(),
  /** Id of a smaller model with the same vocabulary. */
  draft_model: z.string().optional(),
  /** Never unloaded to make room. */
  pin: z.boolean().optional(),
  /** Too small to be of use: whoever lists it says so, and how to get a real model. */
  toy: z.boolean().optional(),
  context_size: z.int().min(64).optional(),
  gpu_layers: z.int().min(-1).optional(),
  slots: z.int().min(1).max(64).optional(),
  /** Jinja text that replaces the template of the GGUF. */
  chat_template: z.string().optional(),
})
export type Sidecar = z.infer<typeof Sidecar>

/** What the GGUF header says, read without the weights. */
export const GgufFacts = z.object({
  architecture: z.string(),
  name: z.string().optional(),
  parameters: z.number(),
  /** `Q4_K_M`, `Q8_0`, `F16`, ... as the file type says, else by the commonest tensor type. */
  quantization: z.string(),
  context_length: z.int(),
  embedding_size: z.int(),
  layers: z.int(),
  heads: z.int(),
  kv_heads: z.int(),
  /** Bytes that one token of KV cache takes at f16. */
  kv_bytes_per_token: z.number(),
  vocabulary_size: z.int(),
  tokenizer: z.string(),
  chat_template: z.string().optional(),
  fim: z.boolean(),
  /** `general.type`: `model` where absent, or `adapter`, `mmproj`, ... */
  kind: z.string(),
  pooling: z.enum(['none', 'mean', 'cls', 'last', 'rank']).optional(),
  license: z.string().optional(),
})
export type GgufFacts = z.infer<typeof GgufFacts>

export const ModelFile = z.object({
  /** File name without `.gguf`; two of one name are told apart as `folder/name`. */
  id: z.string(),
  folder: ModelFolder,
  /** All files, first part first, absolute. */
  files: z.array(z.string()),
  bytes: z.number(),
  modified_ms: z.number(),
  status: z.enum(['ok', 'broken']),
  /** Why it is broken, and what to do. */
  reason: z.string().optional(),
  /** Absent when broken. */
  facts: GgufFacts.optional(),
  sidecar: Sidecar,
  /** Of an adapter: the id of the base it stands on, and its own name. Its facts and sidecar are those of the base. */
  parent: z.string().optional(),
  adapter: z.string().optional(),
})
export type ModelFile = z.infer<typeof ModelFile>

export const ModelState = z.enum(['unloaded', 'loading', 'ready', 'unloading', 'failed', 'broken'])
export type ModelState = z.infer<typeof ModelState>
