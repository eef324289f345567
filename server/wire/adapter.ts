/** An adapter: the card beside its file, and what the hub tells of it. An adapter is a model with the id `base:name`. */
import * as z from 'zod'
import type { ErrorBody } from '../lib/error.ts'

/** The optional file NAME.adapter.json beside NAME.gguf. Unknown keys are kept, so that cards may say more. */
export const AdapterCard = z.looseObject({
  /** Id of the base model, and SHA-256 of its file as it was trained on, hexadecimal. */
  base: z.string().optional(),
  base_sha256: z.string().optional(),
  /** Size and time of the base's file once it was found to have that SHA-256. */
  base_bytes: z.number().optional(),
  base_modified_ms: z.number().optional(),
  /** Unix milliseconds. */
  created: z.number().optional(),
  version: z.int().positive().optional(),
  description: z.string().optional(),
  /** The strength that a request gets which names none. */
  scale: z.number().min(-10).max(10).optional(),
  /** A context of its own, for an adapter that is always on: no taking turns with the base, for the memory of another KV cache. */
  pin: z.boolean().optional(),
  dataset: z.object({ name: z.string(), version: z.int().optional() }).optional(),
  /** Id of the job that made it. */
  job: z.string().optional(),
  settings: z.record(z.string(), z.unknown()).optional(),
  evaluation: z.record(z.string(), z.unknown()).optional(),
})
export type AdapterCard = z.infer<typeof AdapterCard>

/** What the header of an adapter's file says. */
export const AdapterFacts = z.object({
  architecture: z.string(),
  /** The largest, where tensors differ. */
  rank: z.int(),
  alpha: z.number(),
  /** Adapted projections, as the GGUF names them: `attn_q`, `ffn_down`, ... */
  targets: z.array(z.string()),
  layers: z.int(),
  parameters: z.number(),
  /** The commonest tensor type. */
  type: z.string(),
  base_sha256: z.string().optional(),
})
export type AdapterFacts = z.infer<typeof AdapterFacts>

/** Letters of any script, digits and `. _ - +` and spaces within: what is a file name on every system. */
export const AdapterName = z
  .string()
  .regex(
    /^[\p{L}\p{N}](?:[\p{L}\p{M}\p{N}._+ -]{0,78}[\p{L}\p{M}\p{N}_+-])?$/u,
    'a name has at most 80 letters, digits and . _ - +, and begins with a letter or digit',
  )
  .refine(name => !/^(con|prn|aux|nul|com\d|lpt\d)(\.|$)/i.test(name), 'this name is reserved on Windows')

/** Type of the tensors of a merged model; `same` keeps that of each. */
export const MergeType = z.enum(['same', 'F32', 'F16', 'BF16', 'Q8_0', 'Q6_K', 'Q5_K_M', 'Q4_K_M', 'Q4_0'])
export type MergeType = z.infer<typeof MergeType>

/** What the converter, a program of its own, is asked to do; one task per process. Paths are absolute. */
export type ConvertTask =
  | {
      kind: 'merge'
      /** All parts of the base, first part first. */
      base: string[]
      adapter: string
      output: string
      /** Strength of the adapter; 1 is what it was trained with. */
      scale: number
      type: MergeType
      threads: number
    }
  | {
      kind: 'export'
      base: string[]
      adapter: string
      /** Folder that is made and written to. */
      output: string
      scale: number
      /** What `base_model_name_or_path` says; by default what the base's file says of itself. */
      baseName?: string
    }
  | {
      kind: 'import'
      base: string[]
      /** The folder with adapter_config.json and adapter_model.safetensors, or the latter. */
      source: string
      output: string
    }
export type ConvertResult = {
  output: string
  bytes: number
  /** Of an import: the base model that the adapter says it was made for. */
  madeFor?: string
}
export type ToConverter = { type: 'start'; task: ConvertTask } | { type: 'ping'; id: number } | { type: 'exit' }
export type FromConverter =
  | { type: 'progress' /** 0 to 1 */; fraction: number }
  | ({ type: 'finished' } & ConvertResult)
  | { type: 'failed'; error: ErrorBody }
  | { type: 'pong'; id: number; stats: { rssBytes: number } }

const AdapterId = z.string().min(3).max(600).describe('`base:name`')

/** An adapter as GET /v1/training/adapters tells of it. Bytes are bytes, times Unix milliseconds. */
export const AdapterOut = z.object({
  id: z.string(),
  object: z.literal('adapter'),
  base: z.string(),
  name: z.string(),
  version: z.int(),
  status: z.enum(['ok', 'broken']),
  reason: z.string().optional(),
  bytes: z.number(),
  modified_ms: z.number(),
  state: z.string().describe('of the base model: ready when an answer needs no load'),
  in_use: z.int(),
  facts: AdapterFacts.optional(),
  card: AdapterCard,
  /** Older versions, which `base:name@version` asks. */
  versions: z.array(z.object({ id: z.string(), version: z.int(), bytes: z.number(), modified_ms: z.number() })),
})
export type AdapterOut = z.infer<typeof AdapterOut>
export const AdapterList = z.object({ object: z.literal('list'), data: z.array(AdapterOut) })
export const AdapterDeleted = z.object({ id: z.string(), object: z.literal('adapter'), deleted: z.literal(true) })

/** As OpenAI answers to the deletion of a fine-tuned model. */
export const ModelDeleted = z.object({ id: z.string(), object: z.literal('model'), deleted: z.literal(true) })

export const AdapterPatch = z.strictObject({
  name: AdapterName.optional(),
  description: z.string().max(10_000).nullish(),
  scale: z.number().min(-10).max(10).nullish().describe('strength for requests that name none; null = 1'),
  pin: z.boolean().optional().describe('true = a context of its own, for the memory of another KV cache'),
})
export const AdapterRollback = z.strictObject({
  id: AdapterId,
  version: z.int().positive().optional().describe('by default the newest of the older ones'),
})
const stream = z.boolean().nullish().describe('progress as server-sent events, the last of which is the result')
export const AdapterMerge = z.strictObject({
  id: AdapterId,
  name: AdapterName.optional().describe('id of the new model; by default base-name'),
  type: MergeType.default('same'),
  scale: z.number().min(-10).max(10).optional().describe('by default that of the card, else 1'),
  stream,
})
export const AdapterExport = z.strictObject({
  id: AdapterId,
  folder: z.string().min(1).max(1000).optional().describe('within home; by default beside the adapter'),
  scale: z.number().min(-10).max(10).optional(),
  base_name: z
    .string()
    .min(1)
    .max(300)
    .optional()
    .describe('base_model_name_or_path of the adapter, such as a repository'),
  stream,
})
export const AdapterImport = z.strictObject({
  base: z.string().min(1).max(500).describe('id of the base model'),
  path: z.string().min(1).max(1000).describe('a folder of PEFT within home, or its adapter_model.safetensors'),
  name: AdapterName,
  replace: z.boolean().default(false).describe('keep what has the name now as an older version'),
  stream,
})
export const AdapterConverted = z.object({
  object: z.literal('adapter.conversion'),
  /** Of the model or adapter that came of it. */
  id: z.string().optional(),
  output: z.string(),
  bytes: z.number(),
  made_for: z.string().optional().describe('of an import: the base that the adapter says it was made for'),
})
export type AdapterConverted = z.infer<typeof AdapterConverted>
export const AdapterProgress = z.discriminatedUnion('type', [
  z.object({ type: z.literal('progress'), fraction: z.number() }),
  z.object({ type: z.literal('finished'), result: AdapterConverted }),
])
export type AdapterProgress = z.infer<typeof AdapterProgress>
