/** OpenAI's stored chat completions: what GET, POST and DELETE under /v1/chat/completions give of answers kept with `store: true`. */
import * as z from 'zod'
import { ChatResponse } from './chat.ts'

export const Metadata = z.record(z.string().max(64), z.string().max(512))

export const StoredChat = ChatResponse.extend({ metadata: Metadata })
export type StoredChat = z.infer<typeof StoredChat>

/** Beside these, `metadata[key]=value` may be given any number of times. */
export const StoredChatQuery = z
  .object({
    model: z.string().optional(),
    after: z.string().optional(),
    limit: z
      .string()
      .regex(/^\d{1,3}$/, 'give a number from 1 to 100')
      .optional(),
    order: z.enum(['asc', 'desc']).optional(),
  })
  .catchall(z.string())

export const StoredChatUpdate = z.strictObject({ metadata: Metadata.nullable() })

const page = <T extends z.ZodType>(item: T) =>
  z.object({
    object: z.literal('list'),
    data: z.array(item),
    first_id: z.string().nullable(),
    last_id: z.string().nullable(),
    has_more: z.boolean(),
  })
export const StoredChatList = page(StoredChat)
/** The messages that were sent, each with an id of its own. */
export const StoredMessageList = page(z.looseObject({ id: z.string() }))

export const StoredChatDeleted = z.object({
  object: z.literal('chat.completion.deleted'),
  id: z.string(),
  deleted: z.literal(true),
})
