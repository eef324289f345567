/** Conversations of the chat page as turns for a dataset: only those that their user let be used for training. */
import { branchOf, messagesOf, trainableConversations } from '../storage/conversations.ts'
import type { Database } from '../storage/database.ts'
import type { ConversationMessage } from '../wire/conversations.ts'
import type { Turn } from './sources_conversations.ts'

/** The branch that was looked at last, with the system prompt before it. What was cut off or voted down is not learned. */
export function* conversationTurns(db: Database): Generator<Turn> {
  for (const { id, options, leaf } of trainableConversations(db)) {
    if (options.system) yield { conversation: id, message: { role: 'system', content: options.system } }
    for (const message of branchOf(messagesOf(db, id), leaf)) yield { conversation: id, ...turnOf(message) }
  }
}

function turnOf({ role, content, tool_calls, tool_call_id, finish, feedback }: ConversationMessage) {
  const calls = tool_calls !== undefined && tool_calls.length > 0 ? tool_calls : undefined
  return {
    message: {
      role,
      content: content === '' && calls !== undefined ? null : content,
      ...(calls !== undefined && { tool_calls: calls }),
      ...(tool_call_id !== undefined && { tool_call_id }),
    },
    ...(role === 'assistant' && { learn: (finish === 'stop' || finish === 'tool_calls') && feedback !== 'bad' }),
  }
}
