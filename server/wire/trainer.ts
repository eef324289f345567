/** What the hub and the trainer say to each other: the job file, and JSON messages over the child's IPC channel. */
import * as z from 'zod'
import type { ErrorBody } from '../lib/error.ts'

const path = z.string().min(1)
const positive = z.number().int().positive()
const count = z.number().int().min(0)

/** Projections that can carry an adapter, by their name in the GGUF. */
export const LoraTarget = z.enum(['attn_q', 'attn_k', 'attn_v', 'attn_output', 'ffn_gate', 'ffn_up', 'ffn_down'])
export type LoraTarget = z.infer<typeof LoraTarget>

export const LoraMode = z.strictObject({
  type: z.literal('lora'),
  rank: positive.max(1024).default(16),
  alpha: z.number().positive().default(32).describe('the adapter is scaled by alpha / rank'),
  rsLora: z.boolean().default(false).describe('scale by alpha / sqrt(rank) instead'),
  targets: z.array(LoraTarget).min(1).default(LoraTarget.options),
  dropout: z.number().min(0).lt(1).default(0),
  continueFrom: path.optional().describe('an adapter GGUF of the same base to go on from'),
})

export const FullMode = z.strictObject({
  type: z.literal('full'),
  randomStart: z.boolean().default(false).describe('random weights instead of those of the file'),
})

/** A job of the trainer. Paths in a job file are relative to that file. Rates and shares are plain numbers, lengths are tokens. */
export const TrainerJob = z.strictObject({
  base: path.describe('the GGUF that is trained on'),
  tokens: path.describe('the token file'),
  validation: path.optional().describe('a token file to validate on'),
  validationShare: z.number().min(0).max(0.5).default(0).describe('share of the samples kept for validation instead'),
  output: path.describe('the GGUF that is written'),
  outputType: z.enum(['F32', 'F16']).default('F32'),
  checkpoint: path.optional().describe('by default the output with .checkpoint behind it'),
  snapshot: path
    .optional()
    .describe('an adapter that is written with each checkpoint, to look at what was learned so far'),
  mode: z.discriminatedUnion('type', [LoraMode, FullMode]).prefault({ type: 'lora' }),
  loss: z
    .discriminatedUnion('type', [
      z.strictObject({ type: z.literal('supervised') }),
      z.strictObject({ type: z.literal('preference'), beta: z.number().positive().default(0.1) }),
    ])
    .default({ type: 'supervised' }),
  rowTokens: positive
    .min(8)
    .default(1024)
    .describe('tokens of a packed row; shorter where the device has no memory for it'),
  buckets: z.array(positive).min(1).optional().describe('row lengths with a graph of their own, up to rowTokens'),
  rowsPerStep: positive.default(4).describe('rows, or preference pairs, whose gradients make one step'),
  epochs: positive.default(3),
  maxSteps: positive.optional(),
  rate: z.number().positive().default(2e-4),
  schedule: z.enum(['cosine', 'linear', 'constant']).default('cosine'),
  warmupShare: z.number().min(0).max(1).default(0.03).describe('share of the steps in which the rate rises'),
  finalShare: z.number().min(0).max(1).default(0.1).describe('share of the rate that is left at the end'),
  optimizer: z
    .strictObject({
      beta1: z.number().min(0).lt(1).default(0.9),
      beta2: z.number().min(0).lt(1).default(0.999),
      epsilon: z.number().positive().default(1e-8),
      weightDecay: z.number().min(0).default(0),
      maxGradNorm: z.number().positive().default(1),
      loraPlusRatio: z.number().positive().default(1).describe('LoRA+: rate of B over rate of A'),
    })
    .prefault({}),
  validateEverySteps: positive.default(50),
  patience: count.default(0).describe('validations without a new best before an early stop; 0 never stops early'),
  checkpointEverySteps: positive.default(50),
  maxBadSteps: positive.default(5).describe('steps in a row that are not finite before the run stops'),
  seed: count.max(2 ** 32 - 1).default(1),
  layerCheckpointing: z.boolean().default(true).describe('recompute each layer instead of keeping its activations'),
  parityTokens: positive.min(8).max(512).default(48).describe('tokens compared with the serving engine before the run'),
  library: z.enum(['cpu', 'vulkan', 'cuda', 'cuda-ext', 'metal']).default('cpu'),
  device: z.string().min(1).optional().describe('as ggml names it, like Vulkan0'),
  threads: positive.optional().describe('physical cores minus one by default'),
  lowPriority: z.boolean().default(true),
})
export type TrainerJob = z.infer<typeof TrainerJob>
/** A job as it may be written, with everything that has a default left out. */
export type TrainerJobInput = z.input<typeof TrainerJob>

export type TrainerProgress = {
  /** Steps done, and steps of the whole run unless it stops early. */
  step: number
  totalSteps: number
  /** Counted from 0, with the share of the current one: 1.5 is halfway through the second. */
  epoch: number
  /** Mean over the step's targets; of a preference job, over its pairs. */
  loss: number
  /** Of the last validation. */
  validationLoss?: number
  /** Share of pairs whose chosen answer is preferred, and mean of the preference in nats. */
  accuracy?: number
  margin?: number
  rate: number
  /** Before clipping. */
  gradientNorm: number
  tokensPerSecond: number
  /** Of this process, and of the device's buffers. */
  rssBytes: number
  deviceBytes: number
  leftS: number
}

export type TrainerResult = {
  output: string
  bytes: number
  steps: number
  /** Why it ended: all steps done, or validation got no better. */
  reason: 'complete' | 'early_stop'
  /** Of the last step; null when none was finite. */
  loss: number | null
  bestValidationLoss?: number
  bestStep?: number
  skippedSteps: number
}

export type Parity = {
  tokens: number
  maxProbabilityDifference: number
  /** Mean over positions of KL(serving engine || trainer), in nats. */
  meanDivergence: number
  tolerance: { maxProbabilityDifference?: number; meanDivergence?: number }
}

export type TrainerStats = { rssBytes: number; step: number; state: 'idle' | 'running' | 'paused' | 'ended' }

/** What a job will take, and with which row length and recomputation it fits. */
export type TrainerPlan =
  | {
      fits: true
      rowTokens: number
      layerCheckpointing: boolean
      weightsBytes: number
      parameterBytes: number
      computeBytes: number
      totalBytes: number
    }
  /** The least that it could do with. */
  | { fits: false; needBytes: number; message: string }

export type ToTrainer =
  /** What the job would take, without doing it; only its base must exist. `shortest`: the longest sample, which a row must hold. */
  | { type: 'plan'; id: number; job: TrainerJobInput; freeBytes: number; shortest: number }
  | { type: 'start'; job: TrainerJobInput }
  /** Writes a checkpoint and frees the device; `resume` goes on from there. */
  | { type: 'pause' }
  | { type: 'resume' }
  | { type: 'checkpoint' }
  /** Ends the run between two rows, with a checkpoint of the last whole step. */
  | { type: 'cancel' }
  | { type: 'ping'; id: number }
  | { type: 'exit' }

export type FromTrainer =
  | { type: 'plan'; id: number; plan: TrainerPlan | { error: ErrorBody } }
  | {
      type: 'started'
      architecture: string
      /** As ggml names it. */
      device: string
      trainableParameters: number
      samples: number
      validationSamples: number
      /** Samples without any target, which are left out. */
      emptySamples: number
      totalSteps: number
      /** Step of the checkpoint that the run goes on from; 0 for a new one. */
      resumedStep: number
      /** What fits the device: rows may be shorter, and layers recomputed, where the job's own wishes would not. */
      rowTokens: number
      layerCheckpointing: boolean
      /** Absent where there is nothing to compare with: a random start. */
      parity?: Parity
      weightsBytes: number
      parameterBytes: number
      computeBytes: number
    }
  | ({ type: 'progress' } & TrainerProgress)
  | { type: 'validation'; step: number; loss: number; best: boolean }
  /** A validation without a finite loss, which counts as none better. */
  | { type: 'unvalidated'; step: number; what: string }
  /** A step that was not finite and changed nothing. */
  | { type: 'skipped'; step: number; inRow: number; what: string }
  | { type: 'checkpoint'; step: number; path: string; bytes: number }
  | { type: 'paused'; step: number }
  | { type: 'resumed'; step: number }
  | { type: 'cancelled'; step: number; checkpoint: string }
  | ({ type: 'finished' } & TrainerResult)
  | { type: 'failed'; error: ErrorBody /** The last good one, where there is one. */; checkpoint?: string }
  | { type: 'pong'; id: number; stats: TrainerStats }
