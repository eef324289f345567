/** Evaluations of one model against another, and A/B tests: what is asked for, what comes out, and how the HTTP API shows both. */
import * as z from 'zod'
import { DatasetName, Part } from './dataset.ts'

const ModelId = z.string().min(1).max(512)

/** `better` and `worse` speak of the candidate. */
export const Verdict = z.enum(['better', 'worse', 'not yet known'])
export type Verdict = z.infer<typeof Verdict>

/** Both ends of a confidence interval; `level` 0.95 means that such intervals miss the truth in one of twenty cases. */
export const Interval = z.object({ low: z.number(), high: z.number(), level: z.number() })
export type Interval = z.infer<typeof Interval>

export const MetricName = z.enum([
  'loss',
  'exact_match',
  'pass_rate',
  'preference_accuracy',
  'regression_loss',
  'regression_score',
])
export type MetricName = z.infer<typeof MetricName>

export const Metric = z.object({
  name: MetricName,
  /** What is counted, in words. */
  meaning: z.string(),
  goodIs: z.enum(['lower', 'higher']),
  /** Samples that both models were measured on. */
  samples: z.int(),
  base: z.number(),
  candidate: z.number(),
  /** Candidate minus base. */
  difference: z.number(),
  interval: Interval,
  /** Of the paired permutation test: how often chance alone would give a difference as large. */
  p: z.number(),
  verdict: Verdict,
})
export type Metric = z.infer<typeof Metric>

/** Which model it was, so that the report still says so when the file has changed. */
export const ModelVersion = z.object({
  id: z.string(),
  parent: z.string().optional(),
  architecture: z.string().optional(),
  quantization: z.string().optional(),
  files: z.array(
    z.object({ name: z.string(), bytes: z.number(), modified_ms: z.number(), sha256: z.string().optional() }),
  ),
})
export type ModelVersion = z.infer<typeof ModelVersion>

export const RegressionResult = z.object({
  id: z.string(),
  language: z.string(),
  /** As the models were asked; absent in older reports. */
  question: z.string().optional(),
  /** Mean loss per token of the reference answer, in nats. */
  base_loss: z.number().optional(),
  candidate_loss: z.number().optional(),
  base_right: z.boolean(),
  candidate_right: z.boolean(),
})
export type RegressionResult = z.infer<typeof RegressionResult>

/** A sample whose answer was right with one of the models only; answers are cut to 500 characters. */
export const Changed = z.object({
  metric: MetricName,
  /** Place in the order of the samples measured, from 0. */
  index: z.int(),
  source: z.string().optional(),
  line: z.int().optional(),
  better: z.enum(['base', 'candidate']),
  base_answer: z.string(),
  candidate_answer: z.string(),
})
export type Changed = z.infer<typeof Changed>

export const EvaluationReport = z.object({
  object: z.literal('training.evaluation.report'),
  /** ISO 8601, UTC. */
  created: z.string(),
  seconds: z.number(),
  base: ModelVersion,
  candidate: ModelVersion,
  dataset: z.object({ name: z.string(), version: z.int(), part: Part }).optional(),
  samples: z.object({
    /** Read from the part. */
    read: z.int(),
    /** Taken from them by chance, where there were more than asked for. */
    taken: z.int(),
    kinds: z.record(z.string(), z.int()),
    /** Not measured, by reason. */
    skipped: z.record(z.string(), z.int()),
  }),
  settings: z.object({
    seed: z.int(),
    max_samples: z.int(),
    max_answer_tokens: z.int(),
    answers: z.boolean(),
    run_code: z.boolean(),
    regression: z.boolean(),
    confidence: z.number(),
  }),
  /** Per token; only where both models cut the text into the same tokens can the two be compared. */
  perplexity: z.object({ base: z.number(), candidate: z.number(), comparable: z.boolean() }).optional(),
  metrics: z.array(Metric),
  regression: z.array(RegressionResult),
  /** Whether the candidate lost what the base could do, by the regression set. */
  forgetting: z.enum(['seen', 'not seen', 'not yet known', 'not measured']),
  verdict: Verdict,
  /** The verdict with its reasons, in plain words. */
  summary: z.string(),
  warnings: z.array(z.string()),
  changed: z.array(Changed),
})
export type EvaluationReport = z.infer<typeof EvaluationReport>

export const EvaluationRequest = z.strictObject({
  base: ModelId.describe('model that the candidate is compared with'),
  candidate: ModelId.describe('model or adapter that is judged'),
  dataset: DatasetName,
  version: z.int().positive().optional().describe('version of the dataset; the latest when absent'),
  part: Part.default('test').describe('part of the dataset; the models have seen neither validation nor test'),
  max_samples: z.int().min(1).max(20_000).default(500).describe('most samples; of more, so many are drawn by the seed'),
  max_answer_tokens: z.int().min(1).max(8192).default(512).describe('most tokens of one answer'),
  answers: z.boolean().default(true).describe('write greedy answers and compare them with those of the dataset'),
  run_code: z
    .boolean()
    .default(false)
    .describe('run the code of answers whose sample has tests: code that a model wrote, in a sandbox on this machine'),
  regression: z.boolean().default(true).describe('ask a fixed set of general questions, so that forgetting shows'),
  confidence: z.number().min(0.5).max(0.999).default(0.95).describe('level of the intervals'),
  seed: z.int().min(0).max(4_294_967_295).default(1).describe('of every random choice'),
})
export type EvaluationRequest = z.output<typeof EvaluationRequest>

export const EvaluationStatus = z.enum(['queued', 'running', 'succeeded', 'failed', 'cancelled'])
export type EvaluationStatus = z.infer<typeof EvaluationStatus>

export const EvaluationOut = z.object({
  object: z.literal('training.evaluation'),
  id: z.string(),
  status: EvaluationStatus,
  /** Unix seconds. */
  created_at: z.int(),
  finished_at: z.int().nullable(),
  request: EvaluationRequest,
  progress: z.object({ stage: z.string(), done: z.int(), total: z.int() }).nullable(),
  report: EvaluationReport.nullable(),
  error: z.object({ code: z.string(), message: z.string() }).nullable(),
})
export type EvaluationOut = z.infer<typeof EvaluationOut>
export const EvaluationQuery = z.strictObject({
  wait: z
    .string()
    .regex(/^\d{1,2}$/, 'seconds, at most 60')
    .transform(Number)
    .refine(seconds => seconds <= 60, 'at most 60 seconds')
    .default(0)
    .describe('seconds to wait for its end; answers sooner when it ends'),
})
export const EvaluationList = z.object({ object: z.literal('list'), data: z.array(EvaluationOut) })

// A/B tests.

export const AbVariant = z.strictObject({
  model: ModelId,
  weight: z.number().min(0).max(1000).default(1).describe('share of the conversations, relative to the other one'),
})
export type AbVariant = z.output<typeof AbVariant>

/** `vote`: what a user said of an answer; `completion`: whether a suggestion was taken, which nobody was asked about. */
export const AbMetric = z.enum(['vote', 'completion'])
export type AbMetric = z.infer<typeof AbMetric>

export const AbTestRequest = z
  .strictObject({
    name: z
      .string()
      .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, 'letters, digits, dot, dash and underscore, at most 64')
      .describe('the model id that requests name; it must not be the id of a model'),
    base: AbVariant.describe('what is used so far'),
    candidate: AbVariant.describe('what is tried'),
    metric: AbMetric.default('vote').describe('what the verdict follows'),
    confidence: z.number().min(0.5).max(0.999).default(0.95).describe('level of the intervals'),
  })
  .refine(({ base, candidate }) => base.model !== candidate.model, 'the two models are the same')
  .refine(({ base, candidate }) => base.weight + candidate.weight > 0, 'both weights are 0')
export type AbTestRequest = z.output<typeof AbTestRequest>

export const AbVoteRequest = z
  .strictObject({
    signal: z.enum(['good', 'bad', 'accepted', 'rejected']).describe('good and bad are votes, the others completions'),
    user: z.string().min(1).max(1024).optional().describe("the 'user' or 'prompt_cache_key' that the request carried"),
    first_message: z.string().min(1).optional().describe('the first user message, for requests that carried neither'),
    model: ModelId.optional().describe('the model that answered; needed only where the conversation is not told'),
  })
  .refine(vote => vote.user !== undefined || vote.first_message !== undefined || vote.model !== undefined, {
    error: "Say which answer it is about: 'user', 'first_message' or 'model'.",
  })
export type AbVoteRequest = z.output<typeof AbVoteRequest>

const AbCount = z.object({
  /** Conversations with such a signal: the unit that is counted, whatever their number of signals. */
  conversations: z.int(),
  good: z.int(),
  bad: z.int(),
  /** Mean over conversations of the share of good signals; null without any. */
  rate: z.number().nullable(),
})

export const AbComparison = z.object({
  metric: AbMetric,
  base: AbCount,
  candidate: AbCount,
  /** Candidate minus base; null while one of them has no signal. */
  difference: z.number().nullable(),
  /** Holds at every look, however often one looks. */
  interval: Interval,
  verdict: Verdict,
})
export type AbComparison = z.infer<typeof AbComparison>

export const AbTestOut = z.object({
  object: z.literal('ab_test'),
  id: z.string(),
  name: z.string(),
  status: z.enum(['running', 'stopped']),
  created_at: z.int(),
  stopped_at: z.int().nullable(),
  base: AbVariant,
  candidate: AbVariant,
  metric: AbMetric,
  confidence: z.number(),
  /** Conversations that were sent to each. */
  conversations: z.object({ base: z.int(), candidate: z.int() }),
  comparisons: z.array(AbComparison),
  verdict: Verdict,
  summary: z.string(),
})
export type AbTestOut = z.infer<typeof AbTestOut>
export const AbTestList = z.object({ object: z.literal('list'), data: z.array(AbTestOut) })
export const AbVoteOut = z.object({
  object: z.literal('ab_test.vote'),
  test: z.string(),
  variant: z.enum(['base', 'candidate']),
})
