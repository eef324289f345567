/** Stored conversations as samples: turns in order become one chat sample for each conversation. */
import type { Sample, SampleMessage } from '../wire/sample.ts'

/** One message of a conversation. The turns of one conversation come one behind the other. */
export type Turn = {
  conversation: string
  message: SampleMessage
  tools?: Extract<Sample, { kind: 'chat' }>['tools']
  /** False for an answer that was cut off, failed or voted down: it stays as context and is not learned. */
  learn?: boolean
}

/** Conversations without any answer that can be learned give nothing. Who agreed to what is the caller's matter. */
export async function* conversationSamples(turns: AsyncIterable<Turn> | Iterable<Turn>): AsyncGenerator<Sample> {
  let held: Turn[] = []
  for await (const turn of turns) {
    if (held[0] !== undefined && held[0].conversation !== turn.conversation) {
      yield* sampleOf(held)
      held = []
    }
    held.push(turn)
  }
  yield* sampleOf(held)
}

function* sampleOf(turns: Turn[]): Generator<Sample> {
  const messages = turns.map(({ message, learn }): SampleMessage => {
    return message.role === 'assistant' && learn === false ? { ...message, weight: 0 } : message
  })
  // What was asked last and never answered teaches nothing.
  while (messages.length > 0 && messages.at(-1)!.role !== 'assistant') messages.pop()
  const isLearned = (message: SampleMessage): boolean =>
    message.role === 'assistant' &&
    message.weight !== 0 &&
    ((message.content ?? '').trim() !== '' || (message.tool_calls?.length ?? 0) > 0)
  if (!messages.some(isLearned)) return
  const tools = turns.findLast(turn => turn.tools !== undefined)?.tools
  yield {
    kind: 'chat',
    messages,
    ...(tools !== undefined && { tools }),
    origin: { source: `conversation ${turns[0]!.conversation}` },
  }
}
