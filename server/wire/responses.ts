/** POST /v1/responses: request, items, response and stream events in OpenAI's form, with the hub's extensions. */
import * as z from 'zod'
import { engineFields, identifierFields, ModelId, refused, samplingFields, sent, TimingsOut } from './common.ts'

type Issue = { code?: string | undefined; input?: unknown }
/** Words for a discriminator that names nothing known. */
const unknown =
  (key: string, tell: (value: string) => string) =>
  (issue: Issue): string | undefined =>
    issue.code === 'invalid_union' ? tell(sent(issue.input, key)) : undefined

const Id = z.string().min(1).max(200)
const Status = z.enum(['in_progress', 'completed', 'incomplete'])
const FunctionName = z.string().regex(/^[a-zA-Z0-9_-]{1,64}$/, 'a function name is 1 to 64 of a-z, A-Z, 0-9, _ and -')
const Schema = z.record(z.string(), z.unknown())

const partError = unknown('type', type => {
  if (type === 'input_image')
    return "Content parts of type 'input_image' are not supported: no model here reads images."
  if (type === 'input_audio') return "Content parts of type 'input_audio' are not supported: no model here hears audio."
  if (type === 'input_file') return "Content parts of type 'input_file' are not supported: send the text of the file."
  return `Unknown content part type '${type}'; use 'input_text' ('output_text' in assistant messages).`
})
const InputText = z.strictObject({ type: z.literal('input_text'), text: z.string() })
const OutputTextIn = z.strictObject({
  type: z.literal('output_text'),
  text: z.string(),
  /** Part of every answer, and sent back by clients that repeat it. */
  annotations: z.array(z.unknown()).max(0).nullish(),
  logprobs: z.array(z.unknown()).max(100_000).nullish(),
})
const Refusal = z.strictObject({ type: z.literal('refusal'), refusal: z.string() })
const contentError = 'content is a text or a list of content parts'
const Content = z.union([z.string(), z.array(z.discriminatedUnion('type', [InputText], { error: partError })).min(1)], {
  error: contentError,
})
const AssistantContent = z.union(
  [z.string(), z.array(z.discriminatedUnion('type', [OutputTextIn, Refusal, InputText], { error: partError })).min(1)],
  { error: contentError },
)
const messageFields = {
  type: z.literal('message').default('message'),
  id: Id.nullish(),
  status: Status.nullish(),
  phase: refused("'phase' is not supported."),
}
const MessageIn = z.discriminatedUnion(
  'role',
  [
    z.strictObject({ ...messageFields, role: z.literal('user'), content: Content }),
    z.strictObject({ ...messageFields, role: z.literal('system'), content: Content }),
    z.strictObject({ ...messageFields, role: z.literal('developer'), content: Content }),
    z.strictObject({ ...messageFields, role: z.literal('assistant'), content: AssistantContent }),
  ],
  { error: unknown('role', role => `Unknown role '${role}'; use user, assistant, system or developer.`) },
)
const callerFields = {
  caller: refused("'caller' is not supported."),
  namespace: refused("'namespace' is not supported."),
}
const FunctionCallIn = z.strictObject({
  type: z.literal('function_call'),
  id: Id.nullish(),
  call_id: Id,
  name: z.string().min(1).max(200),
  arguments: z.string(),
  status: Status.nullish(),
  ...callerFields,
})
const FunctionOutputIn = z.strictObject({
  type: z.literal('function_call_output'),
  id: Id.nullish(),
  call_id: Id,
  output: Content,
  status: Status.nullish(),
  name: z.string().max(200).nullish(),
  ...callerFields,
})
const ReasoningIn = z.strictObject({
  type: z.literal('reasoning'),
  id: Id.nullish(),
  summary: z.array(z.strictObject({ type: z.literal('summary_text'), text: z.string() })).max(1000),
  content: z
    .array(z.strictObject({ type: z.literal('reasoning_text'), text: z.string() }))
    .max(1000)
    .nullish(),
  encrypted_content: refused("'encrypted_content' is not supported: send the reasoning as 'content'."),
  status: Status.nullish(),
})

const InputItem = z.discriminatedUnion('type', [MessageIn, FunctionCallIn, FunctionOutputIn, ReasoningIn], {
  error: unknown(
    'type',
    type =>
      `Input items of type '${type}' are not supported; use 'message', 'function_call', 'function_call_output' or 'reasoning'.`,
  ),
})
export type InputItem = z.output<typeof InputItem>

const FunctionTool = z.strictObject({
  type: z.literal('function'),
  name: FunctionName,
  description: z.string().nullish(),
  parameters: Schema.nullish().describe('JSON Schema of the arguments; absent = none'),
  /** Arguments follow the schema in any case. */
  strict: z.boolean().nullish(),
  output_schema: refused("'output_schema' is not supported."),
  defer_loading: z.literal(false, { error: "'defer_loading' is not supported." }).nullish(),
  allowed_callers: refused("'allowed_callers' is not supported."),
})
const ToolIn = z.discriminatedUnion('type', [FunctionTool], {
  error: unknown('type', type => `Tools of type '${type}' are not supported; only 'function' is.`),
})
export type ToolIn = z.output<typeof ToolIn>

const NamedTool = z.strictObject({
  type: z.literal('function', { error: "Only tools of type 'function' are supported." }),
  name: FunctionName,
})
const ToolChoiceIn = z
  .union(
    [
      z.enum(['none', 'auto', 'required']),
      z.discriminatedUnion(
        'type',
        [
          NamedTool,
          z.strictObject({
            type: z.literal('allowed_tools'),
            mode: z.enum(['auto', 'required']),
            tools: z.array(NamedTool).min(1).max(128),
          }),
        ],
        {
          error: unknown(
            'type',
            type => `A tool_choice of type '${type}' is not supported; use 'function' or 'allowed_tools'.`,
          ),
        },
      ),
    ],
    { error: "use 'none', 'auto', 'required', {type: 'function', name} or {type: 'allowed_tools', mode, tools}" },
  )
  .nullish()
export type ToolChoiceIn = z.output<typeof ToolChoiceIn>

const TextFormat = z.discriminatedUnion(
  'type',
  [
    z.strictObject({ type: z.literal('text') }),
    z.strictObject({ type: z.literal('json_object') }),
    z.strictObject({
      type: z.literal('json_schema'),
      name: FunctionName,
      schema: Schema,
      /** The schema is enforced in any case. */
      strict: z.boolean().nullish(),
    }),
  ],
  { error: unknown('type', type => `Unknown text format '${type}'; use 'text', 'json_object' or 'json_schema'.`) },
)
export type TextFormat = z.output<typeof TextFormat>

const LOGPROBS = 'message.output_text.logprobs'

export const ResponsesRequest = z.strictObject({
  model: ModelId,
  input: z.union([z.string(), z.array(InputItem).max(10_000)], { error: 'input is a text or a list of items' }),
  instructions: z.string().nullish().describe('system message of this turn alone'),
  previous_response_id: Id.nullish().describe('continues that stored response'),
  store: z.boolean().nullish().describe('false = the response is not kept'),
  stream: z.boolean().nullish(),
  stream_options: z
    .strictObject({
      include_obfuscation: z
        .literal(false, { error: "'include_obfuscation' is not supported: nothing leaves this machine." })
        .nullish(),
    })
    .nullish(),
  max_output_tokens: z.int().min(1).nullish().describe('reasoning included'),
  tools: z.array(ToolIn).max(128).nullish(),
  tool_choice: ToolChoiceIn,
  parallel_tool_calls: z.boolean().nullish(),
  text: z
    .strictObject({
      format: TextFormat.nullish(),
      verbosity: z
        .literal('medium', { error: "The only verbosity is 'medium': local models have no such control." })
        .nullish(),
    })
    .nullish(),
  reasoning: z
    .strictObject({
      effort: z.enum(['none', 'minimal', 'low', 'medium', 'high', 'xhigh']).nullish(),
      summary: z
        .literal('auto', {
          error: "The only summary is 'auto': the reasoning itself is given, there is no summarizer.",
        })
        .nullish(),
      generate_summary: refused("'generate_summary' is deprecated and not supported."),
      mode: refused("'mode' is not supported."),
      context: refused("'context' is not supported."),
    })
    .nullish(),
  include: z
    .array(z.literal(LOGPROBS, { error: `The only value supported here is '${LOGPROBS}'.` }))
    .max(16)
    .nullish(),
  top_logprobs: z.int().min(0).max(20).nullish(),
  chat_template_kwargs: z.record(z.string(), z.unknown()).nullish().describe("variables of the model's chat template"),
  ...samplingFields,
  ...engineFields,
  ...identifierFields,
  truncation: z
    .literal('disabled', { error: "The only truncation is 'disabled': a conversation that is too long is refused." })
    .nullish(),
  background: z.literal(false, { error: "'background' is not supported; use 'stream'." }).nullish(),
  conversation: refused("'conversation' is not supported; use 'previous_response_id'."),
  prompt: refused("'prompt' is not supported: the hub keeps no prompt templates."),
  max_tool_calls: refused("'max_tool_calls' is not supported: it limits built-in tools, and there are none."),
  context_management: refused("'context_management' is not supported."),
  moderation: refused("'moderation' is not supported."),
  prompt_cache_options: refused("'prompt_cache_options' is not supported; see 'cache_prompt'."),
  prompt_cache_retention: refused("'prompt_cache_retention' is not supported; see 'cache_prompt'."),
})
export type ResponsesRequest = z.output<typeof ResponsesRequest>

const TopLogprob = z.object({ token: z.string(), logprob: z.number(), bytes: z.array(z.int()) })
const Logprob = TopLogprob.extend({ top_logprobs: z.array(TopLogprob) })
export type Logprob = z.infer<typeof Logprob>

const OutputText = z.object({
  type: z.literal('output_text'),
  text: z.string(),
  annotations: z.array(z.never()),
  logprobs: z.array(Logprob),
})
const ReasoningText = z.object({ type: z.literal('reasoning_text'), text: z.string() })
const SummaryText = z.object({ type: z.literal('summary_text'), text: z.string() })

const OutputMessage = z.object({
  id: z.string(),
  type: z.literal('message'),
  role: z.literal('assistant'),
  status: Status,
  content: z.array(z.union([OutputText, z.object({ type: z.literal('refusal'), refusal: z.string() })])),
})
const InputMessage = z.object({
  id: z.string(),
  type: z.literal('message'),
  role: z.enum(['user', 'system', 'developer']),
  status: Status,
  content: z.array(z.object({ type: z.literal('input_text'), text: z.string() })),
})
const FunctionCall = z.object({
  id: z.string(),
  type: z.literal('function_call'),
  call_id: z.string(),
  name: z.string(),
  arguments: z.string().describe('JSON text'),
  status: Status,
})
const FunctionOutput = z.object({
  id: z.string(),
  type: z.literal('function_call_output'),
  call_id: z.string(),
  output: z.union([z.string(), z.array(z.object({ type: z.literal('input_text'), text: z.string() }))]),
  status: Status,
})
const Reasoning = z.object({
  id: z.string(),
  type: z.literal('reasoning'),
  summary: z.array(SummaryText),
  content: z.array(ReasoningText).optional(),
  status: Status,
})

/** An item as it is stored and listed: complete, with an id and a status. */
export const Item = z.union([InputMessage, OutputMessage, FunctionCall, FunctionOutput, Reasoning])
export type Item = z.infer<typeof Item>
export const OutputItem = z.union([OutputMessage, FunctionCall, Reasoning])
export type OutputItem = z.infer<typeof OutputItem>

export const ResponseStatus = z.enum(['in_progress', 'completed', 'incomplete', 'failed'])
export const ResponseOut = z.object({
  id: z.string(),
  object: z.literal('response'),
  created_at: z.int().describe('Unix seconds'),
  completed_at: z.int().nullable(),
  status: ResponseStatus,
  error: z.object({ code: z.string(), message: z.string() }).nullable(),
  incomplete_details: z.object({ reason: z.literal('max_output_tokens') }).nullable(),
  instructions: z.string().nullable(),
  model: z.string(),
  output: z.array(OutputItem),
  parallel_tool_calls: z.boolean(),
  previous_response_id: z.string().nullable(),
  reasoning: z.object({ effort: z.string().nullable(), summary: z.null() }),
  store: z.boolean(),
  temperature: z.number().nullable().describe("null = the engine's default"),
  top_p: z.number().nullable(),
  text: z.object({ format: z.looseObject({ type: z.string() }), verbosity: z.literal('medium') }),
  tool_choice: z.union([z.string(), z.looseObject({ type: z.string() })]),
  tools: z.array(z.looseObject({ type: z.literal('function'), name: z.string() })),
  top_logprobs: z.int(),
  truncation: z.literal('disabled'),
  background: z.literal(false),
  service_tier: z.literal('default'),
  max_output_tokens: z.int().nullable(),
  max_tool_calls: z.null(),
  metadata: z.record(z.string(), z.string()),
  user: z.string().optional(),
  safety_identifier: z.string().nullable(),
  prompt_cache_key: z.string().nullable(),
  usage: z
    .object({
      input_tokens: z.int(),
      input_tokens_details: z.object({ cached_tokens: z.int(), cache_write_tokens: z.int() }),
      output_tokens: z.int(),
      output_tokens_details: z.object({ reasoning_tokens: z.int() }),
      total_tokens: z.int(),
    })
    .optional(),
  timings: TimingsOut.optional(),
})
export type ResponseOut = z.infer<typeof ResponseOut>

const sequence_number = z.int()
const at = { sequence_number, item_id: z.string(), output_index: z.int() }
const inPart = { ...at, content_index: z.int() }
const whole = { sequence_number, response: ResponseOut }
const Part = z.union([OutputText, ReasoningText])
export const ResponseEvent = z.discriminatedUnion('type', [
  z.object({ type: z.literal('response.created'), ...whole }),
  z.object({ type: z.literal('response.in_progress'), ...whole }),
  z.object({ type: z.literal('response.completed'), ...whole }),
  z.object({ type: z.literal('response.incomplete'), ...whole }),
  z.object({ type: z.literal('response.failed'), ...whole }),
  z.object({ type: z.literal('response.output_item.added'), sequence_number, output_index: z.int(), item: OutputItem }),
  z.object({ type: z.literal('response.output_item.done'), sequence_number, output_index: z.int(), item: OutputItem }),
  z.object({ type: z.literal('response.content_part.added'), ...inPart, part: Part }),
  z.object({ type: z.literal('response.content_part.done'), ...inPart, part: Part }),
  z.object({
    type: z.literal('response.output_text.delta'),
    ...inPart,
    delta: z.string(),
    logprobs: z.array(Logprob),
  }),
  z.object({ type: z.literal('response.output_text.done'), ...inPart, text: z.string(), logprobs: z.array(Logprob) }),
  z.object({ type: z.literal('response.reasoning_text.delta'), ...inPart, delta: z.string() }),
  z.object({ type: z.literal('response.reasoning_text.done'), ...inPart, text: z.string() }),
  z.object({ type: z.literal('response.function_call_arguments.delta'), ...at, delta: z.string() }),
  z.object({
    type: z.literal('response.function_call_arguments.done'),
    ...at,
    name: z.string(),
    arguments: z.string(),
  }),
  z.object({
    type: z.literal('error'),
    sequence_number,
    code: z.string().nullable(),
    message: z.string(),
    param: z.string().nullable(),
  }),
])
export type ResponseEvent = z.infer<typeof ResponseEvent>

export const ResponseDeleted = z.object({ id: z.string(), object: z.literal('response'), deleted: z.literal(true) })

export const InputItemsQuery = z.strictObject({
  limit: z
    .string()
    .regex(/^([1-9]\d?|100)$/, 'a number from 1 to 100')
    .optional(),
  order: z.enum(['asc', 'desc']).optional(),
  after: z.string().min(1).max(200).optional(),
})
export const InputItems = z.object({
  object: z.literal('list'),
  data: z.array(Item),
  first_id: z.string(),
  last_id: z.string(),
  has_more: z.boolean(),
})
