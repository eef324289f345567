/** Tells whether the roles of a conversation follow each other as chat templates expect. */
import type { Sample, SampleMessage } from '../wire/sample.ts'

/** What is wrong with the order, or undefined. */
export function findRoleFault(sample: Sample): string | undefined {
  if (sample.kind !== 'chat' && sample.kind !== 'preference') return undefined
  const calls = new Set<string>()
  let before: SampleMessage | undefined
  for (const [index, message] of sample.messages.entries()) {
    const fault = faultAt(message, before, calls)
    if (fault !== undefined) return `message ${index + 1}: ${fault}`
    for (const call of message.tool_calls ?? []) if (call.id !== undefined) calls.add(call.id)
    if (!isSystem(message)) before = message
    else if (before !== undefined) return `message ${index + 1}: a system message in the middle`
  }
  const last = sample.messages.at(-1)!.role
  if (sample.kind === 'chat' && last !== 'assistant') return `it ends with the role ${last}`
  if (sample.kind === 'preference' && last === 'assistant') return 'the prompt of a preference ends with the assistant'
  return undefined
}

function isSystem(message: SampleMessage): boolean {
  return message.role === 'system' || message.role === 'developer'
}

function faultAt(message: SampleMessage, before: SampleMessage | undefined, calls: Set<string>): string | undefined {
  const calling = before !== undefined && (before.tool_calls?.length ?? 0) > 0
  switch (message.role) {
    case 'user':
      if (before?.role === 'user') return 'two user messages in a row'
      return calling ? 'a user message where the result of a tool call is due' : undefined
    case 'assistant':
      if (before === undefined) return 'the conversation begins with the assistant'
      return before.role === 'assistant' ? 'two assistant messages in a row' : undefined
    case 'tool':
      if (before?.role !== 'tool' && !calling) return 'a tool result without a tool call'
      if (message.tool_call_id !== undefined && calls.size > 0 && !calls.has(message.tool_call_id))
        return `a tool result for a call that was not made`
      return undefined
    default:
      return undefined
  }
}
