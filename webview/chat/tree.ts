/** Conversations as trees of messages: the branch that is shown, and what stands beside a message. */
import type { ConversationMessage } from '../../server/wire/conversations.ts'

type Node = { id: string; parent: string | null }

/** The messages from the first one to `leaf`. Without a leaf, or with one that is gone, that of the message written last. */
export function branchOf<T extends Node>(messages: readonly T[], leaf: string | null): T[] {
  const byId = new Map(messages.map(message => [message.id, message]))
  const branch: T[] = []
  let current = (leaf === null ? undefined : byId.get(leaf)) ?? messages.at(-1)
  while (current !== undefined) {
    branch.push(current)
    current = current.parent === null ? undefined : byId.get(current.parent)
  }
  return branch.reverse()
}

/** Messages by their parent, each list in the order they were written. */
export function childrenOf<T extends Node>(messages: readonly T[]): Map<string | null, T[]> {
  return Map.groupBy(messages, message => message.parent)
}

/** Where a branch ends that goes on from `id` with what was written last at each fork. */
export function lastLeaf<T extends Node>(children: Map<string | null, T[]>, id: string): string {
  let leaf = id
  for (;;) {
    const next = children.get(leaf)?.at(-1)
    if (next === undefined) return leaf
    leaf = next.id
  }
}

/** A title out of the first question: its first line, cut at a word. */
export function titleOf(text: string): string {
  const line = text.trim().split('\n', 1)[0]!.replace(/\s+/g, ' ').replace(/^#+ /, '')
  if (line.length <= 60) return line
  const cut = line.slice(0, 60)
  const space = cut.lastIndexOf(' ')
  return `${space > 20 ? cut.slice(0, space) : cut}…`
}

/** The branch as messages of a request. An answer that broke off before its first word is left out. */
export function toRequest(
  branch: readonly ConversationMessage[],
  system: string | undefined,
): { [key: string]: unknown }[] {
  const sent: { [key: string]: unknown }[] = system ? [{ role: 'system', content: system }] : []
  for (const { role, content, tool_calls, tool_call_id } of branch) {
    const calls = tool_calls !== undefined && tool_calls.length > 0
    if (role === 'assistant' && content === '' && !calls) continue
    sent.push({
      role,
      content: content === '' && calls ? null : content,
      ...(calls && {
        tool_calls: tool_calls.map(call => ({
          id: call.id,
          type: 'function',
          function: { name: call.name, arguments: call.arguments },
        })),
      }),
      ...(role === 'tool' && { tool_call_id }),
    })
  }
  return sent
}

/**
 * How many of the first messages do not fit any more, about: whole turns, as withoutOldest leaves them out.
 * @param tokens of each message
 */
export function tooMany(branch: readonly { role: string }[], tokens: readonly number[], room: number): number {
  let used = tokens.reduce((sum, count) => sum + count, 0)
  let left = 0
  while (used > room) {
    const next = branch.findIndex(({ role }, index) => index > left && role === 'user')
    if (next < 0) return left
    for (; left < next; left++) used -= tokens[left]!
  }
  return left
}

/** The same messages without the oldest question and what answered it; undefined when only the last question is left. */
export function withoutOldest<T extends { role?: unknown }>(messages: readonly T[]): T[] | undefined {
  const system = messages[0]?.role === 'system' ? 1 : 0
  const second = messages.findIndex((message, index) => index > system && message.role === 'user')
  return second < 0 ? undefined : [...messages.slice(0, system), ...messages.slice(second)]
}
