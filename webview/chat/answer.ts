/** One answer as it streams in: chunks of the chat endpoint put together, with the times that the page sees. */
import type { ConversationMessage, ToolCall } from '../../server/wire/conversations.ts'
import type { Bridge } from '../bridge.ts'
import { HubFailure, toFailure } from '../failure.ts'

export type Answer = Pick<
  ConversationMessage,
  | 'content'
  | 'reasoning'
  | 'tool_calls'
  | 'finish'
  | 'timings'
  | 'first_token_ms'
  | 'prompt_tokens'
  | 'completion_tokens'
>

type Chunk = {
  choices?: {
    delta: {
      content?: string | null
      reasoning_content?: string
      tool_calls?: { index: number; id?: string; function?: { name?: string; arguments?: string } }[]
    }
    finish_reason: 'stop' | 'length' | 'tool_calls' | null
  }[]
  usage?: { prompt_tokens: number; completion_tokens: number } | null
  timings?: NonNullable<ConversationMessage['timings']>
  error?: unknown
}

/**
 * Yields the answer so far after each chunk.
 * @param begun what is there already, when an answer goes on
 * @throws HubFailure; what came until then has been yielded
 */
export async function* streamAnswer(
  bridge: Bridge,
  body: { [key: string]: unknown },
  begun: Answer,
  signal: AbortSignal,
  now: () => number,
): AsyncGenerator<Answer> {
  const start = now()
  let answer: Answer = { ...begun }
  let first: number | undefined
  for await (const data of bridge.stream(
    '/v1/chat/completions',
    { ...body, stream: true, stream_options: { include_usage: true } },
    signal,
  )) {
    if (data === '[DONE]') return
    const chunk = JSON.parse(data) as Chunk
    if (chunk.error !== undefined) throw toFailure(500, chunk)
    const choice = chunk.choices?.[0]
    if (first === undefined && choice !== undefined && isText(choice.delta)) {
      first = now() - start
      answer = { ...answer, first_token_ms: first }
    }
    answer = add(answer, chunk)
    yield answer
  }
  throw new HubFailure('unreachable', 'The answer broke off.')
}

function isText({ content, reasoning_content, tool_calls }: NonNullable<Chunk['choices']>[number]['delta']): boolean {
  return Boolean(content) || Boolean(reasoning_content) || tool_calls !== undefined
}

/** The answer with one chunk more. */
export function add(answer: Answer, { choices, usage, timings }: Chunk): Answer {
  const next = { ...answer }
  const choice = choices?.[0]
  if (choice?.delta.content) next.content += choice.delta.content
  if (choice?.delta.reasoning_content) next.reasoning = (next.reasoning ?? '') + choice.delta.reasoning_content
  for (const piece of choice?.delta.tool_calls ?? []) {
    const calls: ToolCall[] = [...(next.tool_calls ?? [])]
    const before = calls[piece.index] ?? { id: '', name: '', arguments: '' }
    calls[piece.index] = {
      id: before.id + (piece.id ?? ''),
      name: before.name + (piece.function?.name ?? ''),
      arguments: before.arguments + (piece.function?.arguments ?? ''),
    }
    next.tool_calls = calls
  }
  if (choice?.finish_reason) next.finish = choice.finish_reason
  if (usage) {
    next.prompt_tokens = usage.prompt_tokens
    next.completion_tokens = (answer.completion_tokens ?? 0) + usage.completion_tokens
  }
  if (timings) next.timings = timings
  return next
}
