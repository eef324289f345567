/** The worker's events as OpenAI's chat chunks. Runs once per token: text is put together, nothing is validated. */
import type { GenerateEvent, TokenLogprob, ToolCallDelta } from '../wire/worker.ts'
import { toUsage, unfinished } from './generate.ts'
import type { Sse } from './sse.ts'

export type StreamHead = { id: string; created: number; model: string; includeUsage: boolean }

/** Writes every chunk and [DONE]; the caller ends the stream. @throws what the events throw */
export async function streamChat(events: AsyncIterable<GenerateEvent>, sse: Sse, head: StreamHead): Promise<void> {
  const prefix = `{"id":${JSON.stringify(head.id)},"object":"chat.completion.chunk","created":${head.created},"model":${JSON.stringify(head.model)},"choices":[`
  const tail = head.includeUsage ? '],"usage":null}' : ']}'
  const frame = (choice: number, delta: string, logprobs = 'null', finish = 'null'): string =>
    `data: ${prefix}{"index":${choice},"delta":{${delta}},"logprobs":${logprobs},"finish_reason":${finish}}${tail}\n\n`
  const begun = new Set<number>()
  const begin = (choice: number): string => {
    if (begun.has(choice)) return ''
    begun.add(choice)
    return frame(choice, '"role":"assistant","content":"","refusal":null')
  }
  // The last finish chunk waits for the timings, which come right behind it.
  let held: ((extra: string) => string) | undefined
  let isDone = false
  for await (const event of events) {
    if (event.type === 'delta') {
      const delta = deltaText(event)
      if (delta === '' && event.logprobs === undefined) continue
      const logprobs = event.logprobs === undefined ? 'null' : logprobsText(event.logprobs)
      const wait = sse.frame(begin(event.choice) + frame(event.choice, delta, logprobs))
      if (wait !== undefined) await wait
    } else if (event.type === 'end') {
      if (held !== undefined) sse.frame(held(''))
      const start = begin(event.choice)
      const { choice, finishReason } = event
      held = extra =>
        start +
        `data: ${prefix}{"index":${choice},"delta":{},"logprobs":null,"finish_reason":"${finishReason}"}${tail.slice(0, -1)}${extra}}\n\n`
    } else if (event.type === 'done') {
      isDone = true
      const timings = `,"timings":${JSON.stringify(event.timings)}`
      let text = held?.(head.includeUsage ? '' : timings) ?? ''
      if (head.includeUsage) {
        text += `data: ${prefix}],"usage":${JSON.stringify(toUsage([event.usage]))}${timings}}\n\n`
      }
      sse.frame(`${text}data: [DONE]\n\n`)
    }
  }
  if (!isDone) throw unfinished()
}

function deltaText(event: Extract<GenerateEvent, { type: 'delta' }>): string {
  const parts: string[] = []
  if (event.reasoning) parts.push(`"reasoning_content":${JSON.stringify(event.reasoning)}`)
  if (event.content) parts.push(`"content":${JSON.stringify(event.content)}`)
  if (event.toolCalls !== undefined && event.toolCalls.length > 0) {
    parts.push(`"tool_calls":[${event.toolCalls.map(toolCallText).join(',')}]`)
  }
  return parts.join(',')
}

/** The first piece of a call brings its id, type and name; later ones bring arguments only. */
function toolCallText(call: ToolCallDelta): string {
  const isFirst = call.id !== undefined || call.name !== undefined
  return JSON.stringify({
    index: call.index,
    ...(call.id !== undefined && { id: call.id }),
    ...(isFirst && { type: 'function' }),
    function: { ...(call.name !== undefined && { name: call.name }), arguments: call.arguments ?? '' },
  })
}

function logprobsText(logprobs: readonly TokenLogprob[]): string {
  const content = logprobs.map(({ token, logprob, bytes, top }) => ({
    token,
    logprob,
    bytes,
    top_logprobs: top.map(one => ({ token: one.token, logprob: one.logprob, bytes: one.bytes })),
  }))
  return JSON.stringify({ content, refusal: null })
}
