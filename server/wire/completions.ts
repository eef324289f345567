/** POST /v1/completions in OpenAI's form, and /infill, /tokenize and /detokenize in llama-server's. */
import * as z from 'zod'
import {
  engineFields,
  identifierFields,
  ModelId,
  refused,
  Stop,
  StreamOptions,
  samplingFields,
  TimingsOut,
  TokenId,
  UsageOut,
} from './common.ts'

export const CompletionRequest = z.strictObject({
  model: ModelId,
  prompt: z
    .union(
      [
        z.string(),
        z.array(TokenId).min(1),
        z.array(z.string()).min(1).max(128),
        z.array(z.array(TokenId).min(1)).min(1).max(128),
      ],
      { error: 'a prompt is a text, a list of token ids, or a list of either' },
    )
    .nullish(),
  suffix: z.string().nullish().describe("text after the gap; the model's own fill-in-the-middle tokens are used"),
  max_tokens: z.int().min(0).nullish().describe('16 when absent, as in OpenAI'),
  n: z.int().min(1).max(16).nullish(),
  best_of: z.int().min(0).nullish().describe('only equal to n'),
  stream: z.boolean().nullish(),
  stream_options: StreamOptions,
  echo: z.boolean().nullish(),
  logprobs: z.int().min(0).max(5).nullish(),
  stop: Stop,
  ...samplingFields,
  ...engineFields,
  ...identifierFields,
})
export type CompletionRequest = z.output<typeof CompletionRequest>

export const CompletionLogprobs = z.object({
  tokens: z.array(z.string()),
  token_logprobs: z.array(z.number().nullable()),
  top_logprobs: z.array(z.record(z.string(), z.number()).nullable()),
  /** In characters (code points) of the choice's text. */
  text_offset: z.array(z.int()),
})
export type CompletionLogprobs = z.infer<typeof CompletionLogprobs>

const CompletionChoice = z.object({
  index: z.int(),
  text: z.string(),
  logprobs: CompletionLogprobs.nullable(),
  finish_reason: z.enum(['stop', 'length']),
})

const Completion = z.object({
  id: z.string(),
  object: z.literal('text_completion'),
  created: z.int(),
  model: z.string(),
})

export const CompletionResponse = Completion.extend({
  choices: z.array(CompletionChoice),
  usage: UsageOut,
  timings: TimingsOut,
})
export type CompletionResponse = z.infer<typeof CompletionResponse>

export const CompletionChunk = Completion.extend({
  choices: z.array(CompletionChoice.extend({ finish_reason: z.enum(['stop', 'length']).nullable() })),
  usage: UsageOut.nullable().optional(),
  timings: TimingsOut.optional(),
})

/** Samplers in the order in which the engine applies them, in llama-server's names. */
export const SAMPLERS = [
  'penalties',
  'dry',
  'top_n_sigma',
  'top_k',
  'typ_p',
  'top_p',
  'min_p',
  'xtc',
  'temperature',
  'infill',
] as const
export type Sampler = (typeof SAMPLERS)[number]

export const InfillRequest = z.strictObject({
  model: ModelId.nullish().describe('absent = the best code model'),
  input_prefix: z.string().default(''),
  input_suffix: z.string().default(''),
  prompt: z.string().nullish().describe('text already written after the middle token'),
  input_extra: z
    .array(
      z.strictObject({
        filename: z.string().max(4096).nullish(),
        text: z.string(),
        /** Editors say when they saw the piece. */
        time: z.unknown().optional(),
      }),
    )
    .max(1000)
    .nullish(),
  n_predict: z.int().min(-1).nullish().describe('-1 = until the context is full; 0 = only evaluates the prompt'),
  n_indent: z.int().min(0).max(1000).nullish().describe('ends at a line indented by fewer columns; 0 = off'),
  stop: Stop,
  stream: z.boolean().nullish(),
  samplers: z
    .array(z.enum(SAMPLERS))
    .max(SAMPLERS.length)
    .nullish()
    .describe(
      "which samplers run, in the engine's order; one that is left out is off unless the request sets its parameter",
    ),
  id_slot: z.int().min(-1).max(1000).nullish().describe('a hint: the engine finds the slot by the shared prefix'),
  t_max_prompt_ms: z
    .int()
    .min(0)
    .nullish()
    .describe('a hint: the prompt is always evaluated whole, in chunks that hold no other request back'),
  response_fields: z
    .array(z.string().max(200))
    .max(100)
    .nullish()
    .describe("only these fields of the answer, paths as 'timings/prompt_n'"),
  return_tokens: z.boolean().nullish(),
  ...samplingFields,
  ...engineFields,
  lora: refused("'lora' is not supported; use 'adapters' with names."),
})
export type InfillRequest = z.output<typeof InfillRequest>

export const InfillResponse = z.looseObject({
  content: z.string().optional(),
  stop: z.boolean().optional(),
  model: z.string().optional(),
  tokens: z.array(z.int()).optional(),
  tokens_predicted: z.int().optional(),
  tokens_evaluated: z.int().optional(),
  tokens_cached: z.int().optional(),
  truncated: z.boolean().optional(),
  stop_type: z.enum(['eos', 'limit', 'word']).optional(),
  stopping_word: z.string().optional(),
  timings: TimingsOut.optional(),
})

export const TokenizeRequest = z.strictObject({
  model: ModelId.nullish(),
  content: z.string(),
  add_special: z.boolean().nullish(),
  parse_special: z.boolean().nullish(),
  with_pieces: z.boolean().nullish(),
})
export type TokenizeRequest = z.output<typeof TokenizeRequest>
export const TokenizeResponse = z.object({
  tokens: z.array(z.union([z.int(), z.object({ id: z.int(), piece: z.string() })])),
})

export const DetokenizeRequest = z.strictObject({ model: ModelId.nullish(), tokens: z.array(TokenId) })
export type DetokenizeRequest = z.output<typeof DetokenizeRequest>
export const DetokenizeResponse = z.object({ content: z.string() })
