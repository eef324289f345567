/** The hub's own endpoints: health, models with their states, and the system. */
import * as z from 'zod'
import { ModelId } from './common.ts'
import { GgufFacts, ModelFolder, ModelState, Sidecar } from './model.ts'

export const Health = z.object({
  status: z.literal('ok'),
  version: z.string(),
  pid: z.int(),
  started_at: z.number().describe('Unix milliseconds'),
})
export type Health = z.infer<typeof Health>

/** A model in OpenAI's form. */
export const ModelOut = z.object({
  id: z.string(),
  object: z.literal('model'),
  created: z.int().describe('Unix seconds of the file'),
  owned_by: z.string(),
  parent: z.string().optional().describe('of an adapter: the id of its base'),
})
export type ModelOut = z.infer<typeof ModelOut>
export const ModelList = z.object({ object: z.literal('list'), data: z.array(ModelOut) })

export const ModelRequest = z.strictObject({ model: ModelId })

/** Changes of a model's card; null takes one back. */
export const ModelPatch = z.strictObject({
  pin: z.boolean().nullable().optional(),
  context_size: Sidecar.shape.context_size.unwrap().nullable().optional(),
  gpu_layers: Sidecar.shape.gpu_layers.unwrap().nullable().optional(),
  slots: Sidecar.shape.slots.unwrap().nullable().optional(),
})
export type ModelPatch = z.infer<typeof ModelPatch>

export const ModelChecksums = z.object({
  id: z.string(),
  files: z.array(z.object({ name: z.string(), sha256: z.string().describe('hexadecimal') })),
})

/** A model with what the hub knows of it. Bytes are bytes, times Unix milliseconds. */
export const ModelStatusOut = z.object({
  id: z.string(),
  parent: z.string().optional().describe('of an adapter: the id of its base, whose worker it runs in'),
  folder: ModelFolder,
  state: ModelState,
  progress: z.number().optional().describe('0 to 1 while loading'),
  error: z.string().optional(),
  error_code: z.string().optional().describe('of a load that failed: `insufficient_memory`, `model_load_failed`, ...'),
  bytes: z.number(),
  files: z.int(),
  estimated_bytes: z.number(),
  in_use: z.int(),
  last_used_ms: z.number().optional(),
  pin: z.boolean().describe('loaded at the start, and never unloaded to make room'),
  context_size: z.int().optional().describe('context that its card asks for, in tokens; else the setting holds'),
  description: z.string().optional(),
  specialties: z.array(z.string()).optional(),
  languages: z.array(z.string()).optional(),
  toy: z.boolean().optional().describe('too small to be of use; there so that a fresh installation has a model'),
  facts: GgufFacts.omit({ chat_template: true }).extend({ chat_template: z.boolean() }).optional(),
  worker: z
    .object({
      pid: z.int().optional(),
      device: z.string(),
      device_name: z.string(),
      gpu_layers: z.int(),
      layers: z.int(),
      context_tokens: z.int(),
      slots: z.int(),
      memory_bytes: z.number(),
      device_bytes: z.number(),
      load_ms: z.number(),
      chat_format: z.string(),
      can_embed: z.boolean(),
      can_generate: z.boolean(),
      can_infill: z.boolean(),
    })
    .optional(),
  measured: z
    .object({
      load_ms: z.number().optional(),
      prompt_per_second: z.number().optional().describe('tokens of prompt evaluated per second'),
      generation_per_second: z.number().optional().describe('tokens written per second, of one stream'),
    })
    .optional()
    .describe('what loading and running it took on this machine'),
  load: z
    .object({
      busy: z.int(),
      queued: z.int(),
      kv_used_tokens: z.int(),
      kv_total_tokens: z.int(),
      rss_bytes: z.number(),
      prompt_cache_bytes: z.number(),
      decoded_tokens: z.number(),
    })
    .optional(),
})
export type ModelStatusOut = z.infer<typeof ModelStatusOut>
export const ModelStatusList = z.object({ object: z.literal('list'), data: z.array(ModelStatusOut) })

export const DeviceOut = z.object({
  kind: z.enum(['cpu', 'vulkan', 'cuda', 'metal']),
  name: z.string(),
  total_bytes: z.number().optional(),
  free_bytes: z.number().optional(),
  driver: z.string().optional(),
})
export type DeviceOut = z.infer<typeof DeviceOut>

export const SystemStatus = z.object({
  version: z.string(),
  pid: z.int(),
  started_at: z.number().describe('Unix milliseconds'),
  uptime_s: z.number(),
  platform: z.string(),
  node: z.string(),
  /** Address of the hub, for programs on this machine. */
  url: z.string(),
  /** Folder with the models, the database and the logs. */
  home: z.string(),
  cpu: z.object({ name: z.string(), physical_cores: z.int(), logical_cores: z.int() }),
  memory: z.object({ total_bytes: z.number(), available_bytes: z.number(), hub_rss_bytes: z.number() }),
  /** What models can run on; the first is the one in use. */
  devices: z.array(DeviceOut),
  /** The installed builds of the native libraries, and why one does not work here. */
  backends: z.array(
    z.object({ library: z.string(), kind: DeviceOut.shape.kind, works: z.boolean(), reason: z.string().optional() }),
  ),
  models: z.object({
    listed: z.int(),
    broken: z.int(),
    resident: z.array(
      z.object({
        id: z.string(),
        state: ModelState,
        device: z.string().optional(),
        memory_bytes: z.number(),
        device_bytes: z.number(),
        in_use: z.int(),
      }),
    ),
  }),
  queue: z.object({ running: z.int(), waiting: z.int() }),
})
export type SystemStatus = z.infer<typeof SystemStatus>

/** One thing that the hub needs, looked at as `ai-hub doctor` does. */
export const CheckOut = z.object({
  name: z.string(),
  state: z.enum(['ok', 'warn', 'fail']).describe('warn: it works, but not as well as it could'),
  found: z.string(),
  fix: z.string().optional().describe('what to do about it'),
})
export type CheckOut = z.infer<typeof CheckOut>
export const CheckList = z.object({ object: z.literal('list'), data: z.array(CheckOut) })
