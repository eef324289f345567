/** POST /v1/embeddings in OpenAI's form. */
import * as z from 'zod'
import { ModelId, TokenId } from './common.ts'

const Text = z.string().min(1)
const Tokens = z.array(TokenId).min(1)

export const EmbeddingRequest = z.strictObject({
  model: ModelId,
  input: z.union([Text, Tokens, z.array(Text).min(1).max(2048), z.array(Tokens).min(1).max(2048)], {
    error: 'input is a text, a list of token ids, or a list of either; none of them empty',
  }),
  encoding_format: z.enum(['float', 'base64']).nullish(),
  dimensions: z.int().min(1).nullish().describe("shortens the vector, where the model's card says matryoshka: true"),
  user: z.string().max(1024).nullish(),
})
export type EmbeddingRequest = z.output<typeof EmbeddingRequest>

export const EmbeddingResponse = z.object({
  object: z.literal('list'),
  model: z.string(),
  data: z.array(
    z.object({
      object: z.literal('embedding'),
      index: z.int(),
      embedding: z.union([z.array(z.number()), z.string().describe('base64 of little-endian float32')]),
    }),
  ),
  usage: z.object({ prompt_tokens: z.int(), total_tokens: z.int() }),
})
export type EmbeddingResponse = z.infer<typeof EmbeddingResponse>
