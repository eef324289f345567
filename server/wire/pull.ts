/** Getting a model over the network: what may be asked, the record of a download, what a dry run says, and the suggestions for this machine. */
import * as z from 'zod'
import { ModelFolder } from './model.ts'

export const PullRequest = z.strictObject({
  model: z
    .string()
    .min(1)
    .max(2000)
    .describe(
      'owner/repo or owner/repo:QUANT of the model hub, a suggestion by its id, or the address of a .gguf file',
    ),
  folder: ModelFolder.optional().describe('folder of local_models; by default what the name and the file say'),
  quant: z
    .string()
    .min(1)
    .max(40)
    .optional()
    .describe('such as Q4_K_M; by default the best that fits the memory that is there'),
  dry_run: z.boolean().default(false).describe('only says what would be fetched and whether it fits'),
})
export type PullRequest = z.infer<typeof PullRequest>

/**
 * Where a model of this size would run: on the device alone, on the CPU in main memory, on both in part, or not here.
 * `need_bytes` is an estimate from the size of the files, the context and a typical model of that size.
 */
export const MemoryFit = z.object({
  fit: z.enum(['device', 'memory', 'shared', 'no']),
  need_bytes: z.number(),
  free_bytes: z.number().describe('what models may take on the device that is used'),
})
export type MemoryFit = z.infer<typeof MemoryFit>

export const PullState = z.enum(['queued', 'running', 'checking', 'done', 'failed', 'cancelled'])
export type PullState = z.infer<typeof PullState>

/** A download. `model` asks for the very same again: that goes on from what is there. */
export const PullOut = z.object({
  object: z.literal('model.pull'),
  id: z.string(),
  model: z.string().describe('what to ask for to go on with it'),
  name: z.string().describe('id that the model has once it is there'),
  folder: ModelFolder,
  source: z.string().describe('address of the page or the file'),
  quant: z.string().optional(),
  state: PullState,
  bytes: z.number().describe('received so far; what is kept when it was stopped'),
  total_bytes: z.number().optional().describe('absent while the server has not said it'),
  files: z.int(),
  bytes_per_second: z.number().optional(),
  seconds_left: z.number().optional(),
  note: z.string().optional().describe('why nothing comes at the moment'),
  error: z.string().optional(),
  created_at: z.number().describe('Unix milliseconds'),
  ended_at: z.number().optional(),
})
export type PullOut = z.infer<typeof PullOut>

export const PullPlan = z.object({
  object: z.literal('model.pull_plan'),
  model: z.string(),
  name: z.string(),
  folder: ModelFolder,
  source: z.string(),
  quant: z.string().optional(),
  files: z.array(z.object({ name: z.string(), bytes: z.number().optional(), sha256: z.string().optional() })),
  total_bytes: z.number().optional(),
  present_bytes: z.number().describe('of it there already'),
  disk_free_bytes: z.number(),
  fits_disk: z.boolean(),
  memory: MemoryFit.optional().describe('absent while the size is not known'),
  choices: z
    .array(z.object({ quant: z.string(), bytes: z.number(), fit: MemoryFit.shape.fit }))
    .describe('all quantisations of the repository'),
})
export type PullPlan = z.infer<typeof PullPlan>

export const PullAnswer = z.discriminatedUnion('object', [PullOut, PullPlan])
export const PullList = z.object({ object: z.literal('list'), data: z.array(PullOut) })
export const PullCancelQuery = z.strictObject({
  discard: z
    .enum(['true', 'false'])
    .default('false')
    .transform(word => word === 'true')
    .describe('true also deletes what was received'),
})

export const PullPurpose = z.enum(['chat', 'code', 'completion', 'embedding'])
export type PullPurpose = z.infer<typeof PullPurpose>

/** A well-known open model that fits this machine. Sizes are approximate; the download says the true one. */
export const Suggestion = z.object({
  id: z.string(),
  name: z.string(),
  model: z.string().describe('what to pull'),
  quant: z.string(),
  bytes: z.number().describe('approximate'),
  license: z.string(),
  purposes: z.array(PullPurpose),
  languages: z.array(z.string()),
  folder: ModelFolder,
  memory: MemoryFit,
  reason: z.string(),
  best_for: z.array(PullPurpose).describe('purposes for which it comes first on this machine'),
  installed: z.boolean(),
})
export type Suggestion = z.infer<typeof Suggestion>
export const SuggestionList = z.object({ object: z.literal('list'), data: z.array(Suggestion) })
