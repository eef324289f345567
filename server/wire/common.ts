/** Parts that several requests of the HTTP API share: sampling, stop texts, adapters, usage, errors. */
import * as z from 'zod'

/**
 * A parameter that is known and not supported: `null` (absent) is fine, anything else is refused with these words.
 * Requests use the null type for nothing else, so the door can tell a refusal from a mistake.
 */
export function refused(message: string): z.ZodOptional<z.ZodNull> {
  return z.null({ error: message }).optional()
}

/** Text that only labels a request. */
const Label = z.string().max(1024).nullish()

/** Accepted so that clients which always send them work; they only label the request and change nothing in the answer. */
export const identifierFields = {
  user: Label,
  safety_identifier: Label,
  /** The prompt cache finds shared prefixes by content, so that a key has nothing to steer. */
  prompt_cache_key: Label,
  metadata: z.record(z.string().max(64), z.string().max(512)).nullish(),
  service_tier: z.enum(['auto', 'default']).nullish(),
}

/** Sampling; what the request leaves out comes from the model's card, then from the engine. */
export const samplingFields = {
  temperature: z.number().min(0).max(2).nullish().describe('0 = always the likeliest token'),
  top_p: z.number().min(0).max(1).nullish(),
  top_k: z.int().min(0).max(1_000_000).nullish().describe('0 = off'),
  min_p: z.number().min(0).max(1).nullish().describe('0 = off'),
  typical_p: z.number().min(0).max(1).nullish().describe('1 = off'),
  top_n_sigma: z.number().min(-1).max(100).nullish().describe('-1 = off'),
  xtc_probability: z.number().min(0).max(1).nullish().describe('0 = off'),
  xtc_threshold: z.number().min(0).max(1).nullish(),
  repeat_penalty: z.number().min(0.01).max(10).nullish().describe('1 = off'),
  repeat_last_n: z.int().min(-1).max(1_000_000).nullish().describe('-1 = the whole context'),
  frequency_penalty: z.number().min(-2).max(2).nullish(),
  presence_penalty: z.number().min(-2).max(2).nullish(),
  dry_multiplier: z.number().min(0).max(100).nullish().describe('0 = off'),
  dry_base: z.number().min(1).max(100).nullish(),
  dry_allowed_length: z.int().min(0).max(1_000_000).nullish(),
  dry_penalty_last_n: z.int().min(-1).max(1_000_000).nullish().describe('-1 = the whole context'),
  dry_sequence_breakers: z.array(z.string().min(1).max(100)).max(64).nullish(),
  logit_bias: z
    .record(z.string().regex(/^\d{1,9}$/, 'keys are token ids'), z.number().min(-100).max(100))
    .nullish()
    .describe('by token id; -100 bans the token'),
  seed: z.int().nullish().describe('the same seed and request give the same text; -1 = random'),
}
export const SamplingParams = z.object(samplingFields)
export type SamplingParams = z.output<typeof SamplingParams>

export const Adapter = z.strictObject({
  name: z.string().min(1).max(200),
  scale: z.number().min(-10).max(10).default(1),
})
export type Adapter = z.infer<typeof Adapter>

/** What the engine knows beyond OpenAI's parameters. */
export const engineFields = {
  cache_prompt: z.boolean().nullish().describe('false = neither reads nor keeps the prompt cache'),
  ignore_eos: z.boolean().nullish().describe('true = goes on to the token limit'),
  t_max_predict_ms: z
    .int()
    .min(0)
    .max(86_400_000)
    .nullish()
    .describe('ends the generation after so long; 0 = no limit'),
  adapters: z.array(Adapter).max(16).nullish().describe('adapters over the base model, by name'),
  lora_scale: z
    .number()
    .min(-10)
    .max(10)
    .nullish()
    .describe('strength of the adapter that the model is; by default that of its card, else 1'),
  grammar: z.string().min(1).max(1_000_000).nullish().describe('GBNF grammar that the text must follow'),
}
export const EngineParams = z.object(engineFields)
export type EngineParams = z.output<typeof EngineParams>

const StopText = z.string().min(1).max(1000)
export const Stop = z.union([StopText, z.array(StopText).max(16)]).nullish()
export type Stop = z.output<typeof Stop>

export const StreamOptions = z
  .strictObject({
    include_usage: z.boolean().nullish(),
    include_obfuscation: z
      .literal(false, { error: "'include_obfuscation' is not supported: nothing leaves this machine." })
      .nullish(),
  })
  .nullish()

export const ModelId = z.string().min(1).max(500).describe('id of a model, as GET /v1/models lists it')

export const TokenId = z
  .int()
  .min(0)
  .max(2 ** 31 - 1)

/** Milliseconds and rates, in llama-server's names. */
export const TimingsOut = z.object({
  queue_ms: z.number(),
  prompt_n: z.number(),
  prompt_ms: z.number(),
  prompt_per_second: z.number(),
  predicted_n: z.number(),
  predicted_ms: z.number(),
  predicted_per_second: z.number(),
  cache_n: z.number(),
})

export const UsageOut = z.object({
  prompt_tokens: z.int(),
  completion_tokens: z.int(),
  total_tokens: z.int(),
  prompt_tokens_details: z.object({ cached_tokens: z.int() }),
  completion_tokens_details: z.object({ reasoning_tokens: z.int() }),
})
export type UsageOut = z.infer<typeof UsageOut>

export const ErrorOut = z.object({
  error: z.object({
    message: z.string(),
    type: z.string(),
    param: z.string().nullable(),
    code: z.string().nullable(),
  }),
})

/** What was sent under a key, short enough for a message. */
export function sent(input: unknown, key: string): string {
  const value = typeof input === 'object' && input !== null ? (input as { [key: string]: unknown })[key] : undefined
  return typeof value === 'string' ? value.slice(0, 40) : (JSON.stringify(value)?.slice(0, 40) ?? 'nothing')
}
