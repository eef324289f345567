/** POST /v1/responses, the way out: the worker's events become the response's items and OpenAI's stream events, in the documented order. */
import type { HubError } from '../lib/error.ts'
import type { Logprob, OutputItem, ResponseEvent, ResponseOut } from '../wire/responses.ts'
import type { FinishReason, GenerateEvent, TokenLogprob, ToolCallDelta } from '../wire/worker.ts'
import { type Done, unfinished } from './generate.ts'
import type { NewId } from './responses_request.ts'

type Message = Extract<OutputItem, { type: 'message' }>
type Call = Extract<OutputItem, { type: 'function_call' }>
type Reasoning = Extract<OutputItem, { type: 'reasoning' }>
type OutputText = Extract<Message['content'][number], { type: 'output_text' }>
/** The item that is being written: one at a time, in the order in which the model writes. */
type Open =
  | { item: Message; part: OutputText }
  | { item: Reasoning; part: { type: 'reasoning_text'; text: string } }
  | { item: Call; index: number }

type WithoutNumber<T> = T extends ResponseEvent ? Omit<T, 'sequence_number'> : never

/** One response while it is generated. Every method gives the stream events that it causes; without streaming they are dropped. */
export class ResponseOutput {
  readonly #response: ResponseOut
  readonly #newId: NewId
  readonly #items: OutputItem[] = []
  #open: Open | undefined
  #sequence = 0
  #finish: FinishReason = 'stop'
  #done: Done | undefined
  /** Log probabilities of tokens whose text is still held back. */
  #held: Logprob[] = []

  /** @param response as it stands before generation, in progress and without output */
  constructor(response: ResponseOut, newId: NewId) {
    this.#response = response
    this.#newId = newId
  }

  /** True once the stream has begun: from then on an error is an event, `response.failed`. */
  get begun(): boolean {
    return this.#sequence > 0
  }

  push(event: GenerateEvent): ResponseEvent[] {
    if (event.type === 'start') {
      return [
        this.#number({ type: 'response.created', response: this.#response }),
        this.#number({ type: 'response.in_progress', response: this.#response }),
      ]
    }
    if (event.type === 'end') this.#finish = event.finishReason
    else if (event.type === 'done') this.#done = event
    else if (event.type === 'delta') return this.#delta(event)
    return []
  }

  /**
   * Closes the last item. The response is then final; store it before its last event is sent.
   * @throws HubError worker_crashed when the events ended too early
   */
  finish(nowS: number): { response: ResponseOut; events: ResponseEvent[] } {
    const done = this.#done
    if (done === undefined) throw unfinished()
    const isWhole = this.#finish !== 'length'
    const events = this.#close(isWhole ? 'completed' : 'incomplete')
    // An answer without a word is still a message.
    if (this.#items.length === 0) {
      events.push(...this.#openMessage(), ...this.#close(isWhole ? 'completed' : 'incomplete'))
    }
    const { promptTokens, cachedTokens, completionTokens, reasoningTokens } = done.usage
    const response: ResponseOut = {
      ...this.#response,
      status: isWhole ? 'completed' : 'incomplete',
      completed_at: isWhole ? nowS : null,
      incomplete_details: isWhole ? null : { reason: 'max_output_tokens' },
      output: this.#items,
      usage: {
        input_tokens: promptTokens,
        // Reading and writing the prompt cache costs nothing here, so that no write is counted.
        input_tokens_details: { cached_tokens: cachedTokens, cache_write_tokens: 0 },
        output_tokens: completionTokens,
        output_tokens_details: { reasoning_tokens: reasoningTokens },
        total_tokens: promptTokens + completionTokens,
      },
      timings: done.timings,
    }
    return { response, events }
  }

  /** The response that failed, with what was written until then. */
  fail(error: HubError): { response: ResponseOut; events: ResponseEvent[] } {
    const events = this.#close('incomplete')
    // What was not thrown on purpose may quote the user's text or a path.
    const isInternal = error.code === 'internal' && error.cause !== undefined
    const message = isInternal ? 'The hub failed to finish this response; its log says why.' : error.message
    const response: ResponseOut = {
      ...this.#response,
      status: 'failed',
      error: { code: errorCode(error), message },
      output: this.#items,
    }
    return { response, events }
  }

  /** The event that ends the stream. */
  last(response: ResponseOut): ResponseEvent {
    const status = response.status === 'in_progress' ? 'failed' : response.status
    return this.#number({ type: `response.${status}`, response })
  }

  #number(event: WithoutNumber<ResponseEvent>): ResponseEvent {
    return { ...event, sequence_number: this.#sequence++ } as ResponseEvent
  }

  #delta(event: Extract<GenerateEvent, { type: 'delta' }>): ResponseEvent[] {
    const events: ResponseEvent[] = []
    if (event.reasoning) events.push(...this.#reasoning(event.reasoning))
    // The log probabilities are those of the message: tokens of reasoning and calls have no place in the answer.
    if (event.logprobs !== undefined && !event.reasoning && event.toolCalls === undefined) {
      this.#held.push(...event.logprobs.map(toLogprob))
    }
    if (event.content) events.push(...this.#text(event.content))
    for (const call of event.toolCalls ?? []) events.push(...this.#call(call))
    return events
  }

  #reasoning(delta: string): ResponseEvent[] {
    const events: ResponseEvent[] = []
    if (this.#open === undefined || this.#open.item.type !== 'reasoning') {
      events.push(...this.#close('completed'))
      const part = { type: 'reasoning_text' as const, text: '' }
      const item: Reasoning = {
        id: this.#newId('rs'),
        type: 'reasoning',
        summary: [],
        content: [],
        status: 'in_progress',
      }
      events.push(...this.#begin({ item, part }))
    }
    const { item, part } = this.#open as Extract<Open, { item: Reasoning }>
    part.text += delta
    events.push(this.#number({ type: 'response.reasoning_text.delta', ...this.#place(item), content_index: 0, delta }))
    return events
  }

  #openMessage(): ResponseEvent[] {
    const part: OutputText = { type: 'output_text', text: '', annotations: [], logprobs: [] }
    const item: Message = {
      id: this.#newId('msg'),
      type: 'message',
      role: 'assistant',
      content: [],
      status: 'in_progress',
    }
    return this.#begin({ item, part })
  }

  #text(delta: string): ResponseEvent[] {
    const events: ResponseEvent[] = []
    if (this.#open === undefined || this.#open.item.type !== 'message') {
      events.push(...this.#close('completed'), ...this.#openMessage())
    }
    const { item, part } = this.#open as Extract<Open, { item: Message }>
    const logprobs = this.#held
    this.#held = []
    part.text += delta
    part.logprobs.push(...logprobs)
    events.push(
      this.#number({ type: 'response.output_text.delta', ...this.#place(item), content_index: 0, delta, logprobs }),
    )
    return events
  }

  #call(delta: ToolCallDelta): ResponseEvent[] {
    const events: ResponseEvent[] = []
    const open = this.#open
    if (open === undefined || !('index' in open) || open.index !== delta.index) {
      events.push(...this.#close('completed'))
      const item: Call = {
        id: this.#newId('fc'),
        type: 'function_call',
        call_id: delta.id ?? this.#newId('call'),
        name: delta.name ?? '',
        arguments: '',
        status: 'in_progress',
      }
      events.push(...this.#begin({ item, index: delta.index }))
    }
    const { item } = this.#open as Extract<Open, { item: Call }>
    if (delta.arguments) {
      item.arguments += delta.arguments
      events.push(
        this.#number({
          type: 'response.function_call_arguments.delta',
          ...this.#place(item),
          delta: delta.arguments,
        }),
      )
    }
    return events
  }

  #place(item: OutputItem): { item_id: string; output_index: number } {
    return { item_id: item.id, output_index: this.#items.length - 1 }
  }

  /** Announces the item, empty as it is, and its part. */
  #begin(open: Open): ResponseEvent[] {
    this.#open = open
    this.#items.push(open.item)
    const output_index = this.#items.length - 1
    // What is sent must not change when the item goes on: both are copies.
    const events = [
      this.#number({ type: 'response.output_item.added', output_index, item: structuredClone(open.item) }),
    ]
    if ('part' in open) {
      const part = structuredClone(open.part)
      events.push(
        this.#number({ type: 'response.content_part.added', ...this.#place(open.item), content_index: 0, part }),
      )
    }
    return events
  }

  /** Ends the open item, if there is one. */
  #close(status: 'completed' | 'incomplete'): ResponseEvent[] {
    const open = this.#open
    if (open === undefined) return []
    this.#open = undefined
    const { item } = open
    const place = this.#place(item)
    const events: ResponseEvent[] = []
    item.status = status
    if (item.type === 'function_call') {
      const { name, arguments: args } = item
      events.push(this.#number({ type: 'response.function_call_arguments.done', ...place, name, arguments: args }))
    } else if ('part' in open) {
      const { part } = open
      const inPart = { ...place, content_index: 0 }
      if (part.type === 'output_text') {
        part.logprobs.push(...this.#held)
        this.#held = []
        ;(item as Message).content = [part]
        const { text, logprobs } = part
        events.push(this.#number({ type: 'response.output_text.done', ...inPart, text, logprobs }))
      } else {
        ;(item as Reasoning).content = [part]
        events.push(this.#number({ type: 'response.reasoning_text.done', ...inPart, text: part.text }))
      }
      events.push(this.#number({ type: 'response.content_part.done', ...inPart, part }))
    }
    const output_index = place.output_index
    events.push(this.#number({ type: 'response.output_item.done', output_index, item }))
    return events
  }
}

function toLogprob(one: TokenLogprob): Logprob {
  const { token, logprob, bytes } = one
  return {
    token,
    logprob,
    bytes,
    top_logprobs: one.top.map(top => ({ token: top.token, logprob: top.logprob, bytes: top.bytes })),
  }
}

/** OpenAI's few codes for a response that failed. */
function errorCode(error: HubError): string {
  if (error.status === 429) return 'rate_limit_exceeded'
  return error.status < 500 && error.code !== 'cancelled' ? 'invalid_prompt' : 'server_error'
}
