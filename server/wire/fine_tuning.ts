/** OpenAI's /v1/fine_tuning/jobs: creation, the job, its events and checkpoints. */
import * as z from 'zod'
import { ModelId, refused } from './common.ts'

const auto = <T extends z.ZodType>(schema: T) =>
  z.union([schema, z.literal('auto', { error: 'expected "auto" or a number' })]).optional()

const common = {
  batch_size: auto(z.int().min(1).max(256)),
  learning_rate_multiplier: auto(z.number().positive().max(1000)),
  n_epochs: auto(z.int().min(1).max(50)),
}
const SupervisedHyperparameters = z.strictObject(common)
const DpoHyperparameters = z.strictObject({ ...common, beta: auto(z.number().positive().max(2)) })
export type OpenAiHyperparameters = z.infer<typeof DpoHyperparameters>

export const FineTuneMethod = z.discriminatedUnion(
  'type',
  [
    z.strictObject({
      type: z.literal('supervised'),
      supervised: z.strictObject({ hyperparameters: SupervisedHyperparameters.optional() }).optional(),
    }),
    z.strictObject({
      type: z.literal('dpo'),
      dpo: z.strictObject({ hyperparameters: DpoHyperparameters.optional() }).optional(),
    }),
  ],
  { error: "'type' is supervised or dpo; reinforcement needs graders and is not supported." },
)

export const FineTuningCreate = z.strictObject({
  model: ModelId.describe('the base, a model of this hub'),
  training_file: z.string().min(1).max(100).describe('id of an uploaded file'),
  validation_file: z.string().min(1).max(100).nullish(),
  suffix: z.string().min(1).max(64).nullish().describe('name of the adapter: the result is served as MODEL:SUFFIX'),
  seed: z.int().min(0).max(2_147_483_647).nullish(),
  method: FineTuneMethod.optional(),
  hyperparameters: SupervisedHyperparameters.optional().describe("the older place of method's"),
  metadata: z.record(z.string().max(64), z.string().max(512)).nullish(),
  integrations: z
    .union([
      z.array(z.never()).max(0, "'integrations' is not supported: nothing leaves this machine."),
      refused("'integrations' is not supported: nothing leaves this machine."),
    ])
    .optional(),
})
export type FineTuningCreate = z.infer<typeof FineTuningCreate>

const Hyper = z.object({
  batch_size: z.union([z.literal('auto'), z.int()]),
  learning_rate_multiplier: z.union([z.literal('auto'), z.number()]),
  n_epochs: z.union([z.literal('auto'), z.int()]),
  beta: z.union([z.literal('auto'), z.number()]).optional(),
})

export const FineTuningJobOut = z.object({
  object: z.literal('fine_tuning.job'),
  id: z.string(),
  model: z.string(),
  created_at: z.int(),
  finished_at: z.int().nullable(),
  estimated_finish: z.int().nullable(),
  fine_tuned_model: z.string().nullable(),
  organization_id: z.string(),
  status: z.enum(['validating_files', 'queued', 'running', 'paused', 'succeeded', 'failed', 'cancelled']),
  hyperparameters: Hyper,
  method: z.object({
    type: z.enum(['supervised', 'dpo']),
    supervised: z.object({ hyperparameters: Hyper }).optional(),
    dpo: z.object({ hyperparameters: Hyper }).optional(),
  }),
  training_file: z.string(),
  validation_file: z.string().nullable(),
  result_files: z.array(z.string()),
  trained_tokens: z.int().nullable(),
  error: z.object({ code: z.string(), message: z.string(), param: z.string().nullable() }).nullable(),
  seed: z.int(),
  integrations: z.array(z.never()),
  metadata: z.record(z.string(), z.string()).nullable(),
})
export type FineTuningJobOut = z.infer<typeof FineTuningJobOut>

export const FineTuningListQuery = z.strictObject({
  after: z.string().max(100).optional(),
  limit: z.coerce.number().int().min(1).max(100).default(20),
})
export const FineTuningEventsQuery = FineTuningListQuery.extend({
  stream: z.enum(['true', 'false']).default('false').describe('true = server-sent events until the job has ended'),
})

export const FineTuningJobList = z.object({
  object: z.literal('list'),
  data: z.array(FineTuningJobOut),
  has_more: z.boolean(),
})

export const FineTuningEventOut = z.object({
  object: z.literal('fine_tuning.job.event'),
  id: z.string(),
  created_at: z.int(),
  level: z.enum(['info', 'warn', 'error']),
  message: z.string(),
  type: z.enum(['message', 'metrics']),
  data: z.record(z.string(), z.unknown()).optional(),
})
export type FineTuningEventOut = z.infer<typeof FineTuningEventOut>
export const FineTuningEventList = z.object({
  object: z.literal('list'),
  data: z.array(FineTuningEventOut),
  has_more: z.boolean(),
})

export const FineTuningCheckpointOut = z.object({
  object: z.literal('fine_tuning.job.checkpoint'),
  id: z.string(),
  created_at: z.int(),
  fine_tuning_job_id: z.string(),
  fine_tuned_model_checkpoint: z.string().describe('only the last one, of a job that succeeded, is a model'),
  step_number: z.int(),
  metrics: z.object({
    step: z.number(),
    train_loss: z.number().optional(),
    valid_loss: z.number().optional(),
  }),
})
export const FineTuningCheckpointList = z.object({
  object: z.literal('list'),
  data: z.array(FineTuningCheckpointOut),
  first_id: z.string().nullable(),
  last_id: z.string().nullable(),
  has_more: z.boolean(),
})
export type FineTuningCheckpointOut = z.infer<typeof FineTuningCheckpointOut>
