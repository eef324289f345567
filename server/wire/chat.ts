/** POST /v1/chat/completions: request, response and stream chunk in OpenAI's form, with the hub's extensions. */
import * as z from 'zod'
import {
  engineFields,
  identifierFields,
  ModelId,
  refused,
  Stop,
  StreamOptions,
  samplingFields,
  sent,
  TimingsOut,
  UsageOut,
} from './common.ts'

const PART_HINT: { [type: string]: string } = {
  image_url: "Content parts of type 'image_url' are not supported: no model here reads images.",
  input_audio: "Content parts of type 'input_audio' are not supported: no model here hears audio.",
  file: "Content parts of type 'file' are not supported: send the text of the file.",
}

const TextPart = z.strictObject({ type: z.literal('text'), text: z.string() })
const RefusalPart = z.strictObject({ type: z.literal('refusal'), refusal: z.string() })
const partError = (issue: { code?: string | undefined; input?: unknown }): string | undefined => {
  if (issue.code !== 'invalid_union') return undefined
  const type = sent(issue.input, 'type')
  return PART_HINT[type] ?? `Unknown content part type '${type}'; use 'text'.`
}
const Part = z.discriminatedUnion('type', [TextPart], { error: partError })
const AssistantPart = z.discriminatedUnion('type', [TextPart, RefusalPart], { error: partError })
const Content = z.union([z.string(), z.array(Part).min(1)], { error: 'content is a text or a list of text parts' })
const AssistantContent = z.union([z.string(), z.array(AssistantPart).min(1)], {
  error: 'content is a text or a list of text parts',
})
const Name = z.string().max(64).nullish()

const ToolCallIn = z.strictObject({
  id: z.string().min(1).max(200),
  type: z.literal('function', { error: "Only tool calls of type 'function' are supported." }).default('function'),
  function: z.strictObject({ name: z.string().min(1).max(200), arguments: z.string() }),
  /** Clients that put a streamed call together keep its index. */
  index: z.int().optional(),
})

const ROLES = 'system, developer, user, assistant or tool'
export const Message = z.discriminatedUnion(
  'role',
  [
    z.strictObject({ role: z.literal('system'), content: Content, name: Name }),
    z.strictObject({ role: z.literal('developer'), content: Content, name: Name }),
    z.strictObject({ role: z.literal('user'), content: Content, name: Name }),
    z.strictObject({
      role: z.literal('assistant'),
      content: AssistantContent.nullish(),
      reasoning_content: z.string().nullish(),
      refusal: z.string().nullish(),
      name: Name,
      tool_calls: z.array(ToolCallIn).max(128).nullish(),
      function_call: refused("'function_call' is deprecated and not supported; use 'tool_calls'."),
      audio: refused("'audio' is not supported: the hub keeps no audio of earlier answers."),
      /** Part of every answer in OpenAI's form, and sent back by clients that repeat the message. */
      annotations: z.array(z.unknown()).max(0).nullish(),
    }),
    z.strictObject({ role: z.literal('tool'), content: Content, tool_call_id: z.string().min(1).max(200), name: Name }),
  ],
  {
    error: issue => {
      if (issue.code !== 'invalid_union') return undefined
      const role = sent(issue.input, 'role')
      return role === 'function'
        ? "Role 'function' is deprecated and not supported; use role 'tool' with tool_call_id."
        : `Unknown role '${role}'; use ${ROLES}.`
    },
  },
)
export type Message = z.output<typeof Message>

const FunctionName = z.string().regex(/^[a-zA-Z0-9_-]{1,64}$/, 'a function name is 1 to 64 of a-z, A-Z, 0-9, _ and -')
const Schema = z.record(z.string(), z.unknown())

export const ToolIn = z.strictObject({
  type: z.literal('function', { error: "Only tools of type 'function' are supported." }),
  function: z.strictObject({
    name: FunctionName,
    description: z.string().nullish(),
    parameters: Schema.nullish().describe('JSON Schema of the arguments; absent = none'),
    /** Arguments follow the schema in any case. */
    strict: z.boolean().nullish(),
  }),
})
export type ToolIn = z.output<typeof ToolIn>

const NamedTool = z.strictObject({ type: z.literal('function'), function: z.strictObject({ name: FunctionName }) })
export const ToolChoiceIn = z
  .union(
    [
      z.enum(['none', 'auto', 'required']),
      NamedTool,
      z.strictObject({
        type: z.literal('allowed_tools'),
        allowed_tools: z.strictObject({
          mode: z.enum(['auto', 'required']),
          tools: z.array(NamedTool).min(1).max(128),
        }),
      }),
    ],
    {
      error:
        "use 'none', 'auto', 'required', {type: 'function', function: {name}} or {type: 'allowed_tools', allowed_tools: {mode, tools}}",
    },
  )
  .nullish()
export type ToolChoiceIn = z.output<typeof ToolChoiceIn>

export const ResponseFormat = z
  .discriminatedUnion('type', [
    z.strictObject({ type: z.literal('text') }),
    z.strictObject({ type: z.literal('json_object') }),
    z.strictObject({
      type: z.literal('json_schema'),
      json_schema: z.strictObject({
        name: FunctionName,
        schema: Schema.nullish().describe('absent = any JSON object'),
        /** The schema is enforced in any case. */
        strict: z.boolean().nullish(),
      }),
    }),
  ])
  .nullish()
export type ResponseFormat = z.output<typeof ResponseFormat>

export const ChatRequest = z.strictObject({
  model: ModelId,
  messages: z.array(Message).min(1).max(10_000),
  stream: z.boolean().nullish(),
  stream_options: StreamOptions,
  max_completion_tokens: z.int().min(1).nullish(),
  max_tokens: z.int().min(1).nullish().describe('older name of max_completion_tokens'),
  n: z.int().min(1).max(16).nullish(),
  stop: Stop,
  logprobs: z.boolean().nullish(),
  top_logprobs: z.int().min(0).max(20).nullish(),
  tools: z.array(ToolIn).max(128).nullish(),
  tool_choice: ToolChoiceIn,
  parallel_tool_calls: z.boolean().nullish(),
  response_format: ResponseFormat,
  reasoning_effort: z.enum(['none', 'minimal', 'low', 'medium', 'high', 'xhigh']).nullish(),
  chat_template_kwargs: z.record(z.string(), z.unknown()).nullish().describe("variables of the model's chat template"),
  continue_final_message: z.boolean().nullish().describe('true = goes on with the last message, an assistant one'),
  ...samplingFields,
  ...engineFields,
  ...identifierFields,
  modalities: z.array(z.literal('text', { error: "The only modality is 'text'." })).nullish(),
  verbosity: z
    .literal('medium', { error: "The only verbosity is 'medium': local models have no such control." })
    .nullish(),
  store: z
    .boolean()
    .nullish()
    .describe('true = the conversation is kept, and may be used for training; when absent, as the API key says'),
  functions: refused("'functions' is deprecated and not supported; use 'tools'."),
  function_call: refused("'function_call' is deprecated and not supported; use 'tool_choice'."),
  audio: refused("'audio' is not supported: the answer is text."),
  prediction: refused("'prediction' is not supported."),
  web_search_options: refused("'web_search_options' is not supported: the hub calls no outside address."),
  moderation: refused("'moderation' is not supported."),
  prompt_cache_options: refused("'prompt_cache_options' is not supported; see 'cache_prompt'."),
  prompt_cache_retention: refused("'prompt_cache_retention' is not supported; see 'cache_prompt'."),
})
export type ChatRequest = z.output<typeof ChatRequest>

const TopLogprob = z.object({ token: z.string(), logprob: z.number(), bytes: z.array(z.int()).nullable() })
const TokenLogprobOut = TopLogprob.extend({ top_logprobs: z.array(TopLogprob) })
export type TokenLogprobOut = z.infer<typeof TokenLogprobOut>
const LogprobsOut = z.object({ content: z.array(TokenLogprobOut).nullable(), refusal: z.null() }).nullable()

const ToolCallOut = z.object({
  id: z.string(),
  type: z.literal('function'),
  function: z.object({ name: z.string(), arguments: z.string().describe('JSON text') }),
})

export const ChatResponse = z.object({
  id: z.string(),
  object: z.literal('chat.completion'),
  created: z.int().describe('Unix seconds'),
  model: z.string(),
  choices: z.array(
    z.object({
      index: z.int(),
      message: z.object({
        role: z.literal('assistant'),
        content: z.string().nullable(),
        refusal: z.null(),
        reasoning_content: z.string().optional(),
        tool_calls: z.array(ToolCallOut).optional(),
      }),
      logprobs: LogprobsOut,
      finish_reason: z.enum(['stop', 'length', 'tool_calls']),
    }),
  ),
  usage: UsageOut,
  timings: TimingsOut,
})
export type ChatResponse = z.infer<typeof ChatResponse>

export const ChatChunk = z.object({
  id: z.string(),
  object: z.literal('chat.completion.chunk'),
  created: z.int(),
  model: z.string(),
  choices: z.array(
    z.object({
      index: z.int(),
      delta: z.object({
        role: z.literal('assistant').optional(),
        content: z.string().nullable().optional(),
        refusal: z.null().optional(),
        reasoning_content: z.string().optional(),
        tool_calls: z
          .array(
            z.object({
              index: z.int(),
              id: z.string().optional(),
              type: z.literal('function').optional(),
              function: z.object({ name: z.string().optional(), arguments: z.string().optional() }),
            }),
          )
          .optional(),
      }),
      logprobs: LogprobsOut,
      finish_reason: z.enum(['stop', 'length', 'tool_calls']).nullable(),
    }),
  ),
  usage: UsageOut.nullable().optional(),
  timings: TimingsOut.optional(),
})

/** Renders messages without generating. */
export const ApplyTemplateRequest = z.strictObject({
  model: ModelId.nullish(),
  messages: z.array(Message).min(1).max(10_000),
  tools: z.array(ToolIn).max(128).nullish(),
  tool_choice: ToolChoiceIn,
  chat_template_kwargs: z.record(z.string(), z.unknown()).nullish(),
})
export type ApplyTemplateRequest = z.output<typeof ApplyTemplateRequest>
export const ApplyTemplateResponse = z.object({ prompt: z.string(), tokens: z.int() })
