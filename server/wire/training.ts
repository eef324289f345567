/** Training jobs in the hub's own words: what is asked for, what a job has come to, and its events. */
import * as z from 'zod'
import { AdapterName } from './adapter.ts'
import { ModelId } from './common.ts'
import { Hyperparameters, TokenStats, TrainingPlan } from './training_plan.ts'

export const JobStatus = z.enum(['validating_files', 'queued', 'running', 'paused', 'succeeded', 'failed', 'cancelled'])
export type JobStatus = z.infer<typeof JobStatus>

/** What a job that is worked on does just now. `waiting` is for memory, or for the requests that it made room for. */
export const JobStage = z.enum(['data', 'tokens', 'plan', 'search', 'waiting', 'training', 'publishing'])
export type JobStage = z.infer<typeof JobStage>

/** Where samples come from. */
export const TrainingData = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('file'), id: z.string() }),
  z.strictObject({ type: z.literal('dataset'), name: z.string(), version: z.int().positive().optional() }),
  /** Absolute, inside home. */
  z.strictObject({ type: z.literal('path'), path: z.string() }),
])
export type TrainingData = z.infer<typeof TrainingData>

const Replay = z.number().min(0).max(1).describe('share of the earlier samples that is learned again')
const Priority = z.int().min(-100).max(100).describe('a higher one goes first')

/** A job as it was asked for, whichever door it came through. */
export const TrainingRequest = z.strictObject({
  model: z.string(),
  name: AdapterName,
  data: TrainingData,
  validation: TrainingData.optional(),
  method: z.enum(['supervised', 'dpo']),
  hyperparameters: Hyperparameters,
  too_long: z.enum(['split', 'truncate', 'drop']),
  priority: Priority,
  /** The name of an adapter of the same base. */
  continue_from: z.string().optional(),
  /** An adapter that has the name becomes an older version. */
  replace: z.boolean().optional(),
  replay: Replay.optional(),
  /** Absolute, inside home: gets a copy of the adapter. */
  output_dir: z.string().optional(),
  seed: z.int().min(0),
  /** Before the run, trials of a few steps choose its learning rate and rank; without `train` that is all. */
  search: z.strictObject({ first_steps: z.int().positive().optional(), train: z.boolean() }).optional(),
  /** Once trained, it is compared with its base on the test part of the data. */
  evaluate: z.boolean().optional(),
  metadata: z.record(z.string(), z.string()).optional(),
  /** What the request of OpenAI's form said, to be shown as it came. */
  openai: z.looseObject({}).optional(),
})
export type TrainingRequest = z.infer<typeof TrainingRequest>

export const JobProgress = z.object({
  step: z.int(),
  total_steps: z.int(),
  epoch: z.number(),
  loss: z.number(),
  validation_loss: z.number().optional(),
  accuracy: z.number().optional().describe('of preference training: share of pairs whose chosen answer is preferred'),
  margin: z.number().optional(),
  learning_rate: z.number(),
  gradient_norm: z.number(),
  tokens_per_second: z.number(),
  memory_bytes: z.number(),
  device_bytes: z.number(),
  seconds_left: z.number(),
})
export type JobProgress = z.infer<typeof JobProgress>

export const JobError = z.object({ code: z.string(), message: z.string(), param: z.string().nullable() })
export type JobError = z.infer<typeof JobError>

export const SearchOut = z.object({
  best: z.object({ learning_rate: z.number(), rank: z.int() }),
  /** The best first. */
  trials: z.array(
    z.object({
      number: z.int(),
      settings: z.object({ learning_rate: z.number(), rank: z.int() }),
      rounds: z.array(
        z.object({
          round: z.int(),
          steps: z.int(),
          validationLoss: z.number().nullable(),
          seconds: z.number().optional(),
        }),
      ),
      validationLoss: z.number().optional(),
      failure: z.string().optional(),
    }),
  ),
  rounds: z.int(),
  steps: z.int(),
  table: z.string().describe('the trials, for a terminal'),
  plot: z.string().describe('validation loss by learning rate, for a terminal'),
})
export type SearchOut = z.infer<typeof SearchOut>

export const TrainingJobOut = z.object({
  object: z.literal('training.job'),
  id: z.string(),
  model: z.string(),
  name: z.string(),
  status: JobStatus,
  stage: JobStage.optional().describe('while it is worked on'),
  note: z.string().optional().describe('why it waits'),
  priority: z.int(),
  created_at: z.int().describe('Unix seconds'),
  started_at: z.int().optional(),
  finished_at: z.int().optional(),
  result_model: z.string().nullable().describe('id of the adapter as a model, once it is there'),
  error: JobError.nullable().describe('why it failed, with the fix'),
  progress: JobProgress.optional(),
  best_validation_loss: z.number().optional(),
  checkpoint_step: z.int().optional().describe('the step that the run would go on from'),
  checkpoint_every_steps: z.int().optional().describe('at most so many steps are done again after a crash'),
  lost_steps: z.int().describe('steps that had to be done again after crashes so far'),
  restarts: z.int(),
  data: TrainingData,
  dataset: z.object({ name: z.string(), version: z.int() }).optional(),
  stats: TokenStats.optional(),
  plan: TrainingPlan.optional(),
  search: SearchOut.optional(),
  evaluation: z.string().optional().describe('id of its evaluation, where one was asked for'),
  metadata: z.record(z.string(), z.string()).optional(),
})
export type TrainingJobOut = z.infer<typeof TrainingJobOut>

export const TrainingEventOut = z.object({
  id: z.string(),
  created_at: z.int(),
  level: z.enum(['info', 'warn', 'error']),
  type: z.enum(['message', 'metrics']),
  message: z.string(),
  data: z.record(z.string(), z.unknown()).optional(),
})
export type TrainingEventOut = z.infer<typeof TrainingEventOut>

/** POST /v1/training/start. Paths are inside home, relative ones to it. */
export const TrainingStart = z.strictObject({
  model_name: ModelId,
  dataset_path: z.string().min(1).max(4096).optional().describe('a file or folder inside home'),
  dataset: z.string().min(1).max(200).optional().describe('instead: a dataset by name, NAME or NAME:VERSION'),
  training_file: z.string().min(1).max(100).optional().describe('instead: the id of an uploaded file'),
  validation_path: z.string().min(1).max(4096).optional().describe('a file of its own to validate on'),
  validation_file: z.string().min(1).max(100).optional().describe('instead: the id of an uploaded file'),
  output_dir: z.string().min(1).max(4096).optional().describe('a folder inside home that gets a copy of the adapter'),
  name: AdapterName.optional().describe('of the adapter; made up when absent'),
  method: z.enum(['supervised', 'dpo']).default('supervised'),
  config: Hyperparameters.default({}),
  too_long: z
    .enum(['split', 'truncate', 'drop'])
    .default('truncate')
    .describe('what is done with samples longer than max_length'),
  priority: Priority.default(0),
  continue_from: z.string().min(1).max(600).optional().describe('an adapter of the same base to go on from'),
  replay: Replay.optional(),
  replace: z
    .boolean()
    .default(false)
    .describe('true = an adapter of that name becomes an older version; else the name must be free'),
  evaluate: z.boolean().default(false).describe('true = afterwards it is compared with its base on the test part'),
  metadata: z.record(z.string().max(64), z.string().max(512)).optional(),
  dry_run: z.boolean().default(false).describe('true = only the plan'),
})
export type TrainingStart = z.infer<typeof TrainingStart>

/** POST /v1/training/search: a job that first looks for its learning rate and rank. */
export const TrainingSearch = TrainingStart.omit({ dry_run: true }).extend({
  first_steps: z
    .int()
    .min(1)
    .max(10_000)
    .optional()
    .describe('steps of each trial in the first round; later ones have three times those before'),
  train: z.boolean().default(true).describe('false = only the search'),
})

export const TrainingDryRun = z.object({
  object: z.literal('training.plan'),
  model: z.string(),
  name: z.string(),
  samples: z.object({ training: z.int(), validation: z.int() }),
  notes: z.array(z.string()).describe('what of the data was left out or mended'),
  stats: TokenStats,
  plan: TrainingPlan,
})
export type TrainingDryRun = z.infer<typeof TrainingDryRun>

export const TrainingStatusQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(1000).default(50),
  after: z.string().max(100).optional(),
})
export const TrainingStatusList = z.object({
  object: z.literal('list'),
  data: z.array(TrainingJobOut),
  has_more: z.boolean(),
})

export const TrainingJobQuery = z.strictObject({
  stream: z
    .enum(['true', 'false'])
    .default('false')
    .describe('true = server-sent events until the job has ended: `job`, `progress`, `message`'),
})

/** One server-sent event of GET /v1/training/status/{id}?stream=true. */
export const TrainingStreamEvent = z.union([TrainingJobOut, JobProgress, TrainingEventOut])

export const TrainingCurve = z.object({
  object: z.literal('training.curve'),
  points: z.array(
    z.object({
      step: z.int(),
      loss: z.number().optional(),
      validation_loss: z.number().optional(),
      learning_rate: z.number().optional(),
    }),
  ),
})
export type TrainingCurve = z.infer<typeof TrainingCurve>

/** What happened to a job, without the figures of its curve. */
export const TrainingLog = z.object({
  object: z.literal('list'),
  data: z.array(TrainingEventOut),
  has_more: z.boolean(),
})

export const TrainingSamplesQuery = z.strictObject({
  count: z.coerce.number().int().min(1).max(8).default(3),
  load: z
    .enum(['true', 'false'])
    .default('false')
    .describe('true = the base is loaded for it, for which a run may have to make way; else it must be loaded'),
})
/** What base and adapter answer, greedily, to questions that the run does not learn from. */
export const TrainingSamples = z.object({
  object: z.literal('training.samples'),
  id: z.string(),
  step: z.int().nullable().describe('of the checkpoint that answered; null = the finished adapter'),
  part: z
    .enum(['train', 'validation', 'test'])
    .describe('where the questions are from; train only where there is nothing else'),
  samples: z.array(
    z.object({
      question: z.string(),
      expected: z.string().describe('the answer in the data'),
      base: z.string(),
      adapter: z.string(),
    }),
  ),
})
export type TrainingSamples = z.infer<typeof TrainingSamples>

/** Training that starts by itself when its dataset has grown; nothing is scheduled unless the user says so. */
export const ScheduleSettings = z.strictObject({
  model: ModelId.describe('the base'),
  dataset: z.string().min(1).max(200),
  name: AdapterName.describe('each run makes a new version of it'),
  enabled: z.boolean().default(true),
  min_new_samples: z.int().min(1).max(1_000_000).default(50),
  from_hour: z.int().min(0).max(23).default(1).describe('local time'),
  to_hour: z.int().min(0).max(23).default(6),
  idle_minutes: z.number().min(0).max(1440).default(10).describe('without a request to any model'),
  replay: Replay.default(0.2),
  config: Hyperparameters.default({}),
})
export type ScheduleSettings = z.infer<typeof ScheduleSettings>

export const ScheduleOut = z.object({
  object: z.literal('training.schedule'),
  id: z.string(),
  created_at: z.int(),
  settings: ScheduleSettings,
  state: z.object({
    runs: z.int(),
    learned_version: z.int().optional().describe('of the dataset, by the last run'),
    learned_samples: z.int().describe('in it'),
    last_job: z.string().optional(),
    pending: z
      .object({ version: z.int(), training: z.int(), id: z.string() })
      .optional()
      .describe('what the last job learns, until it has ended'),
    last_adapter: z.string().optional(),
    note: z.string().optional().describe('why nothing was started the last time'),
  }),
})
export type ScheduleOut = z.infer<typeof ScheduleOut>
export const ScheduleList = z.object({ object: z.literal('list'), data: z.array(ScheduleOut) })
export const ScheduleDeleted = z.object({
  id: z.string(),
  object: z.literal('training.schedule'),
  deleted: z.literal(true),
})
