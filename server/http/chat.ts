/** POST /v1/chat/completions: OpenAI's request to the worker's, and its events to OpenAI's answer or chunks. */
import { randomUUID } from 'node:crypto'
import { HubError } from '../lib/error.ts'
import {
  ChatChunk,
  ChatRequest,
  ChatResponse,
  type Message,
  type ResponseFormat,
  type TokenLogprobOut,
  type ToolChoiceIn,
  type ToolIn,
} from '../wire/chat.ts'
import type { ModelFile } from '../wire/model.ts'
import type { ChatMessage, Format, Generate, GenerateEvent, TokenLogprob, Tool, ToolChoice } from '../wire/worker.ts'
import { streamChat } from './chat_stream.ts'
import {
  checkGenerate,
  type Done,
  type EndpointDeps,
  toEngine,
  toFormat,
  toSampling,
  toStop,
  toUsage,
  unfinished,
  unixSeconds,
  variantOf,
  withLease,
} from './generate.ts'
import { type Route, route } from './route.ts'

export type ChatDeps = EndpointDeps & {
  /** Keeps an answer with what was asked, durably, before its end is sent. */
  storeChat(body: ChatRequest, response: ChatResponse): void
}

export function chatRoutes(deps: ChatDeps): Route[] {
  return [
    route({
      method: 'POST',
      path: '/v1/chat/completions',
      summary: 'Answer a conversation',
      tag: 'OpenAI',
      scope: 'use',
      asksModel: true,
      request: ChatRequest,
      response: ChatResponse,
      chunk: ChatChunk,
      async handler({ body, caller, signal, stream }) {
        // What is wrong with the request itself is told before a model is loaded for it.
        const prepare = toGenerate(body)
        const head = { id: `chatcmpl-${randomUUID().replaceAll('-', '')}`, created: unixSeconds() }
        const sse = body.stream === true ? stream() : undefined
        return withLease(deps.models, variantOf(deps, body.model, body, firstMessage(body)), signal, async lease => {
          const request = prepare(lease.model)
          checkGenerate(lease, request, { prompt: 'messages' })
          const answer = new ChatAnswer({ ...head, model: lease.model.id, request })
          const isKept = body.store ?? caller.training
          const store = (): void => {
            if (isKept) deps.storeChat(body, answer.response())
          }
          const events = lease.generate(request, signal)
          if (sse === undefined) {
            for await (const event of events) answer.add(event)
            store()
            return answer.response()
          }
          const includeUsage = body.stream_options?.include_usage === true
          const seen = isKept ? collecting(events, answer, store) : events
          await streamChat(seen, sse, { ...head, model: lease.model.id, includeUsage })
          return sse
        })
      },
    }),
  ]
}

/** What every request of a conversation begins with, once it has begun. */
function firstMessage({ messages }: ChatRequest): string | undefined {
  const first = messages.find(message => message.role === 'user')
  return first === undefined ? undefined : toText(first.content)
}

/** The worker's request, but for the sampling defaults that the model's card adds. @throws HubError naming the parameter */
export function toGenerate(body: ChatRequest): (file: ModelFile) => Generate {
  if (body.stream_options && body.stream !== true) {
    throw new HubError('invalid_request', "'stream_options' goes with stream: true only.", { param: 'stream_options' })
  }
  if (typeof body.top_logprobs === 'number' && body.logprobs !== true) {
    throw new HubError('invalid_request', "'top_logprobs' goes with logprobs: true only.", { param: 'top_logprobs' })
  }
  const { max_completion_tokens: most, max_tokens: older } = body
  if (typeof most === 'number' && typeof older === 'number' && most !== older) {
    throw new HubError('invalid_request', "'max_tokens' and 'max_completion_tokens' differ; send one of them.", {
      param: 'max_tokens',
    })
  }
  const maxTokens = most ?? older ?? undefined
  const { tools, toolChoice } = toTools(body.tools, body.tool_choice)
  const messages = body.messages.map(toMessage)
  const continueLast = body.continue_final_message === true
  const last = messages.at(-1)
  if (continueLast && (last?.role !== 'assistant' || last.toolCalls !== undefined)) {
    throw new HubError(
      'invalid_request',
      "'continue_final_message' needs an assistant message without tool calls as the last one.",
      { param: 'continue_final_message' },
    )
  }
  const format = toFormat(body.grammar, toResponseFormat(body.response_format))
  const fixed: Omit<Generate, 'sampling'> = {
    prompt: {
      type: 'chat',
      messages,
      tools,
      toolChoice,
      parallelToolCalls: body.parallel_tool_calls ?? true,
      templateVariables: body.chat_template_kwargs ?? {},
      ...(body.reasoning_effort && { reasoningEffort: body.reasoning_effort }),
      ...(continueLast && { continueLast }),
    },
    format,
    stop: toStop(body.stop),
    n: body.n ?? 1,
    ...(maxTokens !== undefined && { maxTokens }),
    ...(body.logprobs === true && { topLogprobs: body.top_logprobs ?? 0 }),
    ...toEngine(body),
  }
  return file => ({ ...fixed, sampling: toSampling(body, file) })
}

/** @throws HubError naming the message */
export function toMessage(message: Message, index: number): ChatMessage {
  const name = message.name ? { name: message.name } : {}
  if (message.role === 'tool') {
    return { role: 'tool', content: toText(message.content), toolCallId: message.tool_call_id, ...name }
  }
  if (message.role !== 'assistant') return { role: message.role, content: toText(message.content), ...name }
  const calls = message.tool_calls ?? []
  const content = message.content ?? message.refusal ?? null
  if (content === null && calls.length === 0 && !message.reasoning_content) {
    const param = `messages.${index}.content`
    throw new HubError('invalid_request', `'${param}' is missing: an assistant message has a content or tool_calls.`, {
      param,
    })
  }
  return {
    role: 'assistant',
    content: content === null ? null : toText(content),
    ...name,
    ...(message.reasoning_content && { reasoning: message.reasoning_content }),
    ...(calls.length > 0 && {
      toolCalls: calls.map(call => ({ id: call.id, name: call.function.name, arguments: call.function.arguments })),
    }),
  }
}

type Part = { type: 'text'; text: string } | { type: 'refusal'; refusal: string }

function toText(content: string | Part[]): string {
  if (typeof content === 'string') return content
  return content.map(part => (part.type === 'text' ? part.text : part.refusal)).join('')
}

/** @throws HubError naming the tool that is doubled or unknown */
export function toTools(
  given: readonly ToolIn[] | null | undefined,
  choice: ToolChoiceIn,
): { tools: Tool[]; toolChoice: ToolChoice } {
  const tools = (given ?? []).map(
    ({ function: { name, description, parameters, strict } }): Tool => ({
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
        param: `tools.${index}.function.name`,
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
    return { tools, toolChoice: { names: [known(choice.function.name, 'tool_choice.function.name')] } }
  }
  const allowed = choice.allowed_tools.tools.map((tool, index) =>
    known(tool.function.name, `tool_choice.allowed_tools.tools.${index}.function.name`),
  )
  if (choice.allowed_tools.mode === 'required') return { tools, toolChoice: { names: allowed } }
  return { tools: tools.filter(tool => allowed.includes(tool.name)), toolChoice: 'auto' }
}

function toResponseFormat(format: ResponseFormat): Format {
  if (!format || format.type === 'text') return { type: 'text' }
  if (format.type === 'json_object' || !format.json_schema.schema) return { type: 'json_object' }
  return { type: 'json_schema', schema: format.json_schema.schema }
}

/** A token's log probability in the chat endpoints' form. */
export function toTokenLogprob(one: TokenLogprob): TokenLogprobOut {
  return {
    token: one.token,
    logprob: one.logprob,
    bytes: one.bytes,
    top_logprobs: one.top.map(({ token, logprob, bytes }) => ({ token, logprob, bytes })),
  }
}

type Collected = {
  content: string
  reasoning: string
  calls: { id: string; name: string; arguments: string }[]
  logprobs: TokenLogprobOut[]
  finish: 'stop' | 'length' | 'tool_calls'
}

/** Hands the events on, and keeps what they say before the last of them is sent. */
async function* collecting(
  events: AsyncIterable<GenerateEvent>,
  answer: ChatAnswer,
  store: () => void,
): AsyncGenerator<GenerateEvent> {
  for await (const event of events) {
    answer.add(event)
    if (event.type === 'done') store()
    yield event
  }
}

/** The whole answer, put together from its events. */
class ChatAnswer {
  readonly #head: { id: string; created: number; model: string; request: Generate }
  readonly #choices: Collected[]
  #done: Done | undefined

  constructor(head: { id: string; created: number; model: string; request: Generate }) {
    this.#head = head
    this.#choices = Array.from({ length: head.request.n }, () => ({
      content: '',
      reasoning: '',
      calls: [],
      logprobs: [],
      finish: 'stop',
    }))
  }

  add(event: GenerateEvent): void {
    if (event.type === 'done') this.#done = event
    else if (event.type === 'end') this.#choices[event.choice]!.finish = event.finishReason
    else if (event.type === 'delta') {
      const choice = this.#choices[event.choice]!
      if (event.content !== undefined) choice.content += event.content
      if (event.reasoning !== undefined) choice.reasoning += event.reasoning
      if (event.logprobs !== undefined) choice.logprobs.push(...event.logprobs.map(toTokenLogprob))
      for (const delta of event.toolCalls ?? []) {
        choice.calls[delta.index] ??= { id: '', name: '', arguments: '' }
        const call = choice.calls[delta.index]!
        call.id += delta.id ?? ''
        call.name += delta.name ?? ''
        call.arguments += delta.arguments ?? ''
      }
    }
  }

  /** @throws HubError worker_crashed when the events broke off */
  response(): ChatResponse {
    const { id, created, model, request } = this.#head
    if (this.#done === undefined) throw unfinished()
    return {
      id,
      object: 'chat.completion',
      created,
      model,
      choices: this.#choices.map((choice, index) => ({
        index,
        message: {
          role: 'assistant',
          content: choice.content === '' && choice.calls.length > 0 ? null : choice.content,
          refusal: null,
          ...(choice.reasoning !== '' && { reasoning_content: choice.reasoning }),
          ...(choice.calls.length > 0 && {
            tool_calls: choice.calls.map(call => ({
              id: call.id,
              type: 'function' as const,
              function: { name: call.name, arguments: call.arguments },
            })),
          }),
        },
        logprobs: request.topLogprobs === undefined ? null : { content: choice.logprobs, refusal: null },
        finish_reason: choice.finish,
      })),
      usage: toUsage([this.#done.usage]),
      timings: this.#done.timings,
    }
  }
}
