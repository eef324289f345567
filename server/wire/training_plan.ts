/** What a training run is planned from and as: hyperparameters as users know them, token counts, a plan with its reasons, a preview. */
import * as z from 'zod'
import { LoraTarget, TrainerJob } from './trainer.ts'

/** The schema stands first, so that what it says of a value is told; `what` it takes is told for a value of another type. */
const auto = <T extends z.ZodType>(schema: T, what = 'a number') =>
  z.union([schema, z.literal('auto', { error: `expected "auto" or ${what}` })]).optional()
const positive = z.int().positive()

/** Every one may be left out or `auto`: it is then computed from model, data and memory. */
export const Hyperparameters = z.strictObject({
  epochs: auto(positive.max(1000)).describe('times the data is gone through'),
  batch_size: auto(positive.max(4096)).describe('samples whose gradients make one step; packed rows come near it'),
  learning_rate: auto(z.number().positive().max(1)),
  learning_rate_multiplier: auto(z.number().positive().max(1000)).describe('of the rate that would be chosen'),
  rank: auto(positive.max(1024)),
  alpha: auto(z.number().positive()).describe('the adapter is scaled by alpha / rank'),
  rslora: auto(z.boolean(), 'true or false').describe('scale by alpha / sqrt(rank) instead'),
  targets: auto(z.array(LoraTarget).min(1), 'a list of projections'),
  dropout: auto(z.number().min(0).lt(1)),
  max_length: auto(positive.min(8)).describe('longest sample in tokens'),
  warmup_ratio: auto(z.number().min(0).max(1)),
  schedule: auto(z.enum(['cosine', 'linear', 'constant']), 'cosine, linear or constant'),
  weight_decay: auto(z.number().min(0)),
  max_grad_norm: auto(z.number().positive()),
  patience: auto(z.int().min(0)).describe('validations without a new best before the run stops; 0 never stops early'),
  eval_interval: auto(positive).describe('steps between validations'),
  save_interval: auto(positive).describe('steps between checkpoints'),
  max_steps: auto(positive),
  gradient_checkpointing: auto(z.boolean(), 'true or false'),
  beta: auto(z.number().positive()).describe('of preference training: how firmly it holds to the base'),
  seed: auto(
    z
      .int()
      .min(0)
      .max(2 ** 32 - 1),
  ),
})
export type Hyperparameters = z.infer<typeof Hyperparameters>

/** What the data is in tokens of the base, as it was written for the trainer. */
export const TokenStats = z.object({
  kind: z.enum(['samples', 'preferences']),
  vocabularySize: z.int(),
  /** Read, and written: a sample that was split is written as several. A pair counts as one. */
  samples: z.int(),
  written: z.int(),
  /** All tokens written, and those among them that are learned (weight above 0). */
  tokens: z.int(),
  targetTokens: z.int(),
  /** Of the sequences written, in tokens; the longer of a pair. */
  longest: z.int(),
  lengths: z.object({ mean: z.number(), p50: z.int(), p90: z.int(), p95: z.int(), p99: z.int() }),
  /** Samples that were too long, by what was done. */
  dropped: z.int(),
  truncated: z.int(),
  split: z.int(),
  /** Tokens that truncating and dropping took away. */
  lostTokens: z.int(),
  /** Samples that could not be encoded, and samples in which nothing is learned; neither is written. */
  failed: z.int(),
  empty: z.int(),
  /** The first few of the failed, truncated and dropped ones. */
  problems: z.array(z.object({ sample: z.int(), source: z.string().optional(), message: z.string() })),
})
export type TokenStats = z.infer<typeof TokenStats>

/** The part of a trainer's job that a plan decides. */
export const TrainerSettings = TrainerJob.pick({
  mode: true,
  loss: true,
  rowTokens: true,
  rowsPerStep: true,
  epochs: true,
  maxSteps: true,
  rate: true,
  schedule: true,
  warmupShare: true,
  optimizer: true,
  validateEverySteps: true,
  patience: true,
  checkpointEverySteps: true,
  seed: true,
  layerCheckpointing: true,
  library: true,
  device: true,
})
export type TrainerSettings = z.infer<typeof TrainerSettings>

export const TrainingPlan = z.object({
  settings: TrainerSettings,
  /** By the name of the hyperparameter: the value and why it is so. */
  reasons: z.record(z.string(), z.string()),
  /** By the same names: what each became, in the words of the hyperparameters. */
  values: z.record(z.string(), z.unknown()).optional(),
  expected: z.object({
    steps: z.int(),
    seconds: z.number(),
    tokensPerSecond: z.number(),
    /** What the time was taken from. */
    basis: z.string(),
    memoryBytes: z.number(),
    memory: z.object({ weightsBytes: z.number(), parameterBytes: z.number(), computeBytes: z.number() }),
    freeBytes: z.number(),
  }),
  warnings: z.array(z.string()),
})
export type TrainingPlan = z.infer<typeof TrainingPlan>

/** A piece of a sample's text after the template; joined, the pieces are the whole prompt and answer. */
export const SampleSegment = z.object({ text: z.string(), learned: z.boolean(), weight: z.number() })
export type SampleSegment = z.infer<typeof SampleSegment>
export const SamplePreview = z.object({
  segments: z.array(SampleSegment),
  /** Turns that are learned in sequences of their own, since the model is asked for them with another text before them. */
  more: z.array(z.array(SampleSegment)).optional(),
  /** Of preferences: the answer that is to become less likely. */
  rejected: z.array(SampleSegment).optional(),
  tokens: z.int(),
  targetTokens: z.int(),
})
export type SamplePreview = z.infer<typeof SamplePreview>
