/** /v1/chats: conversations of the chat page, kept in the hub's database as trees of messages, with search and export. */
import * as z from 'zod'
import { ModelId, TimingsOut } from './common.ts'

/** What a conversation asks every answer with, beside its messages. */
export const ConversationOptions = z.strictObject({
  system: z.string().max(200_000).optional().describe('system prompt'),
  temperature: z.number().min(0).max(2).optional(),
  top_p: z.number().min(0).max(1).optional(),
  top_k: z.int().min(0).max(1_000_000).optional(),
  min_p: z.number().min(0).max(1).optional(),
  repeat_penalty: z.number().min(0.01).max(10).optional(),
  max_tokens: z.int().min(1).optional(),
  seed: z.int().optional(),
  reasoning_effort: z.enum(['none', 'minimal', 'low', 'medium', 'high', 'xhigh']).optional(),
  schema: z.string().max(1_000_000).optional().describe('JSON schema of the answers, as text'),
  tools: z.string().max(1_000_000).optional().describe("list of tools in OpenAI's form, as JSON text"),
})
export type ConversationOptions = z.infer<typeof ConversationOptions>

const Id = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, 'an id is 1 to 64 of a-z, A-Z, 0-9, _ and -')

const ToolCall = z.strictObject({ id: z.string(), name: z.string(), arguments: z.string().describe('JSON text') })
export type ToolCall = z.infer<typeof ToolCall>

/** A message as a client writes it. */
export const ConversationMessageIn = z.strictObject({
  parent: Id.nullable().describe('the message before it; null for the first one'),
  role: z.enum(['user', 'assistant', 'tool']),
  content: z.string(),
  reasoning: z.string().optional(),
  tool_calls: z.array(ToolCall).max(128).optional(),
  tool_call_id: z.string().optional(),
  model: ModelId.optional().describe('which wrote it'),
  finish: z
    .enum(['stop', 'length', 'tool_calls', 'stopped', 'broken'])
    .optional()
    .describe('stopped: by the user; broken: the connection or the model failed'),
  error: z.string().max(10_000).optional().describe('why it is broken'),
  timings: TimingsOut.optional(),
  first_token_ms: z.number().min(0).optional().describe('from the request to the first piece, as the page saw it'),
  prompt_tokens: z.int().min(0).optional(),
  completion_tokens: z.int().min(0).optional(),
  feedback: z.enum(['good', 'bad']).optional(),
})
export type ConversationMessageIn = z.infer<typeof ConversationMessageIn>

export const ConversationMessage = ConversationMessageIn.extend({
  id: Id,
  created_at: z.number().describe('Unix milliseconds'),
})
export type ConversationMessage = z.infer<typeof ConversationMessage>

export const Conversation = z.object({
  object: z.literal('chat'),
  id: z.string(),
  title: z.string(),
  model: z.string(),
  created_at: z.number().describe('Unix milliseconds'),
  updated_at: z.number().describe('Unix milliseconds'),
  training: z.boolean().describe('true = it may be used for training'),
  options: ConversationOptions,
  leaf: z.string().nullable().describe('last message of the branch that was looked at last'),
  excerpt: z.string().optional().describe('of a search: the place that was found'),
})
export type Conversation = z.infer<typeof Conversation>

export const ConversationRequest = z.strictObject({
  title: z.string().max(500).default(''),
  model: z.string().max(500).default(''),
  training: z.boolean().default(false),
  options: ConversationOptions.default({}),
})

export const ConversationUpdate = z.strictObject({
  title: z.string().max(500).optional(),
  model: z.string().max(500).optional(),
  training: z.boolean().optional(),
  options: ConversationOptions.optional(),
  leaf: Id.nullable().optional(),
})
export type ConversationUpdate = z.infer<typeof ConversationUpdate>

export const ConversationQuery = z.strictObject({
  search: z.string().max(500).optional().describe('words; without diacritics they find text with them'),
  after: z.string().optional().describe('those behind this one'),
  limit: z
    .string()
    .regex(/^\d{1,3}$/, 'give a number from 1 to 200')
    .transform(Number)
    .refine(limit => limit >= 1 && limit <= 200, 'a number from 1 to 200')
    .default(50),
})

export const ConversationList = z.object({
  object: z.literal('list'),
  data: z.array(Conversation),
  has_more: z.boolean(),
})
export type ConversationList = z.infer<typeof ConversationList>

export const ConversationWhole = Conversation.extend({ messages: z.array(ConversationMessage) })
export type ConversationWhole = z.infer<typeof ConversationWhole>

export const ConversationParams = z.strictObject({ id: z.string() })
export const MessageParams = z.strictObject({ id: z.string(), message: Id })
export const ConversationDeleted = z.object({
  object: z.literal('chat.deleted'),
  id: z.string(),
  deleted: z.literal(true),
})

export const ExportQuery = z.strictObject({ format: z.enum(['markdown', 'json']).default('markdown') })
export const ConversationExport = z.object({
  object: z.literal('chat.export'),
  filename: z.string(),
  media_type: z.string(),
  content: z.string(),
})
export type ConversationExport = z.infer<typeof ConversationExport>
