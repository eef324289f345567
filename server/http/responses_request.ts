/** POST /v1/responses, the way in: OpenAI's request and the stored conversation as the worker's request. Pure functions. */
import { HubError } from '../lib/error.ts'
import type { ModelFile } from '../wire/model.ts'
import type {
  InputItem,
  Item,
  ResponseOut,
  ResponsesRequest,
  TextFormat,
  ToolChoiceIn,
  ToolIn,
} from '../wire/responses.ts'
import type { ChatMessage, Format, Generate, Tool, ToolChoice } from '../wire/worker.ts'
import { toEngine, toFormat, toSampling } from './generate.ts'

/** Makes an id with the prefix: `msg_4f...`. */
export type NewId = (prefix: string) => string

/** What the request asks for, without what the model's card adds. */
export type Prepared = {
  /** The items of this turn, complete and with ids, as they are stored. */
  input: Item[]
  /** The user's first message of the whole conversation. */
  firstMessage: string | undefined
  generate(file: ModelFile): Generate
}

/** @param earlier items of the turns that the request continues, oldest first. @throws HubError naming the parameter */
export function prepare(body: ResponsesRequest, earlier: readonly Item[], newId: NewId): Prepared {
  if (body.stream_options && body.stream !== true) {
    throw new HubError('invalid_request', "'stream_options' goes with stream: true only.", { param: 'stream_options' })
  }
  const wantsLogprobs = (body.include ?? []).length > 0
  if (body.top_logprobs && !wantsLogprobs) {
    throw new HubError(
      'invalid_request',
      "'top_logprobs' goes with include: ['message.output_text.logprobs'] only; add that.",
      { param: 'top_logprobs' },
    )
  }
  const input = toItems(body.input, newId)
  const messages = toMessages(body.instructions ?? undefined, earlier, input)
  if (messages.length === 0) {
    throw new HubError('invalid_request', "'input' is empty: there is nothing to answer.", { param: 'input' })
  }
  const { tools, toolChoice } = toTools(body.tools ?? [], body.tool_choice)
  const fixed: Omit<Generate, 'sampling'> = {
    prompt: {
      type: 'chat',
      messages,
      tools,
      toolChoice,
      parallelToolCalls: body.parallel_tool_calls ?? true,
      templateVariables: body.chat_template_kwargs ?? {},
      ...(body.reasoning?.effort && { reasoningEffort: body.reasoning.effort }),
    },
    format: toFormat(body.grammar, toTextFormat(body.text?.format)),
    stop: [],
    n: 1,
    ...(typeof body.max_output_tokens === 'number' && { maxTokens: body.max_output_tokens }),
    ...(wantsLogprobs && { topLogprobs: body.top_logprobs ?? 0 }),
    ...toEngine(body),
  }
  return {
    input,
    firstMessage: messages.find(message => message.role === 'user')?.content ?? undefined,
    generate: file => ({ ...fixed, sampling: toSampling(body, file) }),
  }
}

/** The input as complete items; what the client gave no id gets one. */
export function toItems(input: string | readonly InputItem[], newId: NewId): Item[] {
  const items: readonly InputItem[] =
    typeof input === 'string' ? [{ type: 'message', role: 'user', content: input }] : input
  return items.map((item): Item => {
    const status = item.status ?? 'completed'
    if (item.type === 'function_call') {
      const { call_id, name, arguments: args } = item
      return { id: item.id ?? newId('fc'), type: 'function_call', call_id, name, arguments: args, status }
    }
    if (item.type === 'function_call_output') {
      const { call_id, output } = item
      return { id: item.id ?? newId('fco'), type: 'function_call_output', call_id, output, status }
    }
    if (item.type === 'reasoning') {
      const content = item.content ? { content: item.content } : {}
      return { id: item.id ?? newId('rs'), type: 'reasoning', summary: item.summary, ...content, status }
    }
    const id = item.id ?? newId('msg')
    if (item.role === 'assistant') {
      const parts =
        typeof item.content === 'string' ? [{ type: 'output_text' as const, text: item.content }] : item.content
      const content = parts.map(part =>
        part.type === 'refusal'
          ? part
          : { type: 'output_text' as const, text: part.text, annotations: [], logprobs: [] },
      )
      return { id, type: 'message', role: 'assistant', status, content }
    }
    const content =
      typeof item.content === 'string' ? [{ type: 'input_text' as const, text: item.content }] : item.content
    return { id, type: 'message', role: item.role, status, content }
  })
}

/**
 * Items as chat messages. The reasoning, text and calls of one assistant turn, several items, become one message.
 * @throws HubError when a function's output answers no call
 */
export function toMessages(
  instructions: string | undefined,
  earlier: readonly Item[],
  input: readonly Item[],
): ChatMessage[] {
  const messages: ChatMessage[] = []
  if (instructions !== undefined) messages.push({ role: 'system', content: instructions })
  const calls = new Map<string, string>()
  /** The assistant message that further items may still join. */
  let open: ChatMessage | undefined
  const assistant = (isFresh: (message: ChatMessage) => boolean): ChatMessage => {
    if (open !== undefined && isFresh(open)) return open
    open = { role: 'assistant', content: null }
    messages.push(open)
    return open
  }
  for (const [index, item] of [...earlier, ...input].entries()) {
    if (item.type === 'reasoning') {
      const message = assistant(() => false)
      message.reasoning = (item.content ?? item.summary).map(part => part.text).join('\n')
    } else if (item.type === 'function_call') {
      const message = assistant(() => true)
      message.toolCalls = [
        ...(message.toolCalls ?? []),
        { id: item.call_id, name: item.name, arguments: item.arguments },
      ]
      calls.set(item.call_id, item.name)
    } else if (item.type === 'function_call_output') {
      open = undefined
      const name = calls.get(item.call_id)
      if (name === undefined) {
        const param = `input.${index - earlier.length}.call_id`
        throw new HubError(
          'invalid_request',
          `'${param}' answers no function call of this conversation; send the function_call item before it, or the previous_response_id.`,
          { param },
        )
      }
      messages.push({ role: 'tool', content: textOf(item.output), toolCallId: item.call_id, name })
    } else if (item.role === 'assistant') {
      assistant(message => message.content === null && message.toolCalls === undefined).content = textOf(item.content)
    } else {
      open = undefined
      const [first] = messages
      const content = textOf(item.content)
      // Most templates take one system message, the first: what the input opens with joins the instructions.
      if (messages.length === 1 && first?.role === 'system' && item.role !== 'user') {
        first.content = `${first.content}\n\n${content}`
      } else messages.push({ role: item.role, content })
    }
  }
  // An assistant message of reasoning alone: an answer that broke off before its text.
  for (const message of messages) {
    if (message.role === 'assistant' && message.content === null && message.toolCalls === undefined)
      message.content = ''
  }
  return messages
}

type AnyPart = { type: 'input_text' | 'output_text'; text: string } | { type: 'refusal'; refusal: string }

function textOf(content: string | readonly AnyPart[]): string {
  if (typeof content === 'string') return content
  return content.map(part => (part.type === 'refusal' ? part.refusal : part.text)).join('')
}

/** @throws HubError naming the tool that is doubled or unknown */
export function toTools(given: readonly ToolIn[], choice: ToolChoiceIn): { tools: Tool[]; toolChoice: ToolChoice } {
  const tools = given.map(
    ({ name, description, parameters, strict }): Tool => ({
      name,
      ...(description && { description }),
      ...(parameters && { parameters }),
      ...(typeof strict === 'boolean' && { strict }),
    }),
  )
  const names = new Set<string>()
  for (const [index, { name }] of tools.entries()) {
    if (names.has(name)) {
      throw new HubError('invalid_request', `Two tools are named '${name}'; names must differ.`, {
        param: `tools.${index}.name`,
      })
    }
    names.add(name)
  }
  const known = (name: string, param: string): string => {
    if (names.has(name)) return name
    throw new HubError('invalid_request', `tool_choice names '${name}', which is not among the tools.`, { param })
  }
  if (!choice || choice === 'auto') return { tools, toolChoice: tools.length === 0 ? 'none' : 'auto' }
  if (choice === 'none') return { tools, toolChoice: 'none' }
  if (choice === 'required') {
    if (tools.length === 0) {
      throw new HubError('invalid_request', "tool_choice 'required' needs tools.", { param: 'tool_choice' })
    }
    return { tools, toolChoice: 'required' }
  }
  if (choice.type === 'function') {
    return { tools, toolChoice: { names: [known(choice.name, 'tool_choice.name')] } }
  }
  const allowed = choice.tools.map((tool, index) => known(tool.name, `tool_choice.tools.${index}.name`))
  if (choice.mode === 'required') return { tools, toolChoice: { names: allowed } }
  return { tools: tools.filter(tool => allowed.includes(tool.name)), toolChoice: 'auto' }
}

function toTextFormat(format: TextFormat | null | undefined): Format {
  if (!format || format.type === 'text') return { type: 'text' }
  return format.type === 'json_object' ? { type: 'json_object' } : { type: 'json_schema', schema: format.schema }
}

/** The response before anything was generated: what was asked for, as it is understood. */
export function openResponse(
  body: ResponsesRequest,
  request: Generate,
  head: { id: string; createdAt: number; model: string },
): ResponseOut {
  const { sampling } = request
  const format = body.text?.format ?? { type: 'text' as const }
  return {
    id: head.id,
    object: 'response',
    created_at: head.createdAt,
    completed_at: null,
    status: 'in_progress',
    error: null,
    incomplete_details: null,
    instructions: body.instructions ?? null,
    model: head.model,
    output: [],
    parallel_tool_calls: body.parallel_tool_calls ?? true,
    previous_response_id: body.previous_response_id ?? null,
    reasoning: { effort: body.reasoning?.effort ?? null, summary: null },
    store: body.store ?? true,
    temperature: sampling.temperature ?? null,
    top_p: sampling.topP ?? null,
    text: {
      format:
        format.type === 'json_schema'
          ? {
              type: 'json_schema',
              name: format.name,
              schema: format.schema,
              strict: format.strict ?? true,
            }
          : { type: format.type },
      verbosity: 'medium',
    },
    tool_choice: body.tool_choice ?? 'auto',
    tools: (body.tools ?? []).map(({ name, description, parameters, strict }) => ({
      type: 'function',
      name,
      description: description ?? null,
      parameters: parameters ?? null,
      // What is done: without strict a schema is kept as nearly as can be.
      strict: strict ?? false,
    })),
    top_logprobs: body.top_logprobs ?? 0,
    truncation: 'disabled',
    background: false,
    service_tier: 'default',
    max_output_tokens: body.max_output_tokens ?? null,
    max_tool_calls: null,
    metadata: body.metadata ?? {},
    ...(typeof body.user === 'string' && { user: body.user }),
    safety_identifier: body.safety_identifier ?? null,
    prompt_cache_key: body.prompt_cache_key ?? null,
  }
}
