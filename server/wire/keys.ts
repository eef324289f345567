/** API keys as the door takes and gives them, in the manner of OpenAI's admin keys. */
import * as z from 'zod'

export const KeyRole = z
  .enum(['use', 'admin'])
  .describe('use = answers of models, chats and the list of models; admin = everything')
export type KeyRole = z.infer<typeof KeyRole>

/** Control characters would move the cursor of a terminal that lists the keys. */
const name = z
  .string()
  .trim()
  .min(1)
  .max(64)
  .regex(/^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]*$/u, 'a name has no control characters')
  .describe('what it is for, such as phone')
/** Up to the year 9999. */
const seconds = z.int().min(0).max(253_402_300_799)
const fields = {
  expires_at: seconds.nullable().describe('Unix seconds; null = never'),
  training: z.boolean().describe('chats made with it are kept for training, as if they said store: true'),
  requests_per_minute: z.int().min(1).max(10_000).nullable().describe('null = no limit'),
}

export const ApiKeyRequest = z.strictObject({
  name,
  role: KeyRole.default('use'),
  expires_at: fields.expires_at.default(null),
  training: fields.training.default(false),
  requests_per_minute: fields.requests_per_minute.default(null),
})
export type ApiKeyRequest = z.infer<typeof ApiKeyRequest>

export const ApiKeyUpdate = z.strictObject({
  name: name.optional(),
  role: KeyRole.optional(),
  expires_at: fields.expires_at.optional(),
  training: fields.training.optional(),
  requests_per_minute: fields.requests_per_minute.optional(),
})
export type ApiKeyUpdate = z.infer<typeof ApiKeyUpdate>

export const ApiKey = z.object({
  object: z.literal('api_key'),
  id: z.string(),
  name: z.string(),
  role: KeyRole,
  redacted_value: z.string().describe('its first and last letters'),
  created_at: z.int().describe('Unix seconds'),
  last_used_at: z.int().nullable().describe('Unix seconds, to the minute'),
  ...fields,
})
export type ApiKey = z.infer<typeof ApiKey>

export const ApiKeyCreated = ApiKey.extend({ value: z.string().describe('the key itself, told this once') })
export type ApiKeyCreated = z.infer<typeof ApiKeyCreated>

export const ApiKeyList = z.object({ object: z.literal('list'), data: z.array(ApiKey) })
export type ApiKeyList = z.infer<typeof ApiKeyList>

export const ApiKeyParams = z.strictObject({ id: z.string() })
export const ApiKeyDeleted = z.object({
  object: z.literal('api_key.deleted'),
  id: z.string(),
  deleted: z.literal(true),
})
