/** Answers kept with `store: true` as turns for a dataset, since asking to keep one is the consent to learn from it; and chats that were let be learned from. */
import type { Database } from '../storage/database.ts'
import { eachChat, type StoredChat } from '../storage/stored_chats.ts'
import type { ChatRequest, ChatResponse } from '../wire/chat.ts'
import type { SampleMessage } from '../wire/sample.ts'
import { conversationTurns } from './conversation_turns.ts'
import type { Turn } from './sources_conversations.ts'

/** Of each stored answer what was asked, as context, and the answer. Those with metadata `training: "no"` are left out. */
export async function* storedTurns(db: Database): AsyncGenerator<Turn> {
  for (const chat of eachChat(db)) {
    if (chat.metadata.training !== 'no') yield* turnsOf(chat)
  }
  yield* conversationTurns(db)
}

function* turnsOf(chat: StoredChat): Generator<Turn> {
  const conversation = chat.id
  const given = chat.messages as ChatRequest['messages']
  // What the model said before has its own stored answer, or nobody asked to keep it.
  for (const message of given) yield { conversation, message: toSample(message), learn: false }
  const choice = (chat.response as ChatResponse).choices[0]
  if (choice === undefined) return
  const { content, tool_calls } = choice.message
  const tools = (chat.tools as NonNullable<ChatRequest['tools']>).map(
    ({ function: { name, description, parameters } }) => ({
      name,
      ...(description && { description }),
      ...(parameters && { parameters: parameters as { [key: string]: unknown } }),
    }),
  )
  yield {
    conversation,
    message: { role: 'assistant', content, ...(tool_calls && { tool_calls: tool_calls.map(toCall) }) },
    learn: choice.finish_reason !== 'length',
    ...(tools.length > 0 && { tools }),
  }
}

function toSample(message: ChatRequest['messages'][number]): SampleMessage {
  const content = typeof message.content === 'string' ? message.content : textOf(message.content)
  return {
    role: message.role,
    content,
    ...(message.role === 'assistant' && message.tool_calls && { tool_calls: message.tool_calls.map(toCall) }),
    ...(message.role === 'tool' && { tool_call_id: message.tool_call_id }),
  }
}

function toCall({
  id,
  function: { name, arguments: text },
}: {
  id: string
  function: { name: string; arguments: string }
}) {
  return { id, name, arguments: text }
}

function textOf(parts: readonly { type: string; text?: string }[] | null | undefined): string | null {
  return parts ? parts.map(part => part.text ?? '').join('') : null
}
