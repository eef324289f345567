/** What the hub remembers of the requests that its models answered: figures only, never a text. */
import * as z from 'zod'

/** A request that has ended. Times are milliseconds; what was never reached is absent. */
export const RequestOut = z.object({
  id: z.string().describe('its x-request-id; of an editor, one of its own'),
  at_ms: z.number().describe('Unix milliseconds of its beginning'),
  endpoint: z.string().describe('path of the address, or `editor` for what an editor asked of the language server'),
  model: z.string().optional().describe('absent when it ended before a model was chosen'),
  status: z.int().describe('HTTP status; 499 = the client went away'),
  error: z.string().optional().describe('code of the error that ended it'),
  cancelled: z.boolean(),
  wait_ms: z.number().optional().describe('until the model was there: loading, making room'),
  first_token_ms: z.number().optional().describe('from the beginning to the first piece of the answer'),
  ms: z.number().describe('from the beginning to the end'),
  prompt_tokens: z.int().optional(),
  cached_tokens: z.int().optional().describe('of the prompt, those that were evaluated before'),
  completion_tokens: z.int().optional(),
  tokens_per_second: z.number().optional().describe('while the answer was written'),
})
export type RequestOut = z.infer<typeof RequestOut>

export const RequestList = z.object({
  object: z.literal('list'),
  data: z.array(RequestOut).describe('the latest first'),
})
