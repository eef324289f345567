/** A request for an answer, cut to what the model's context holds. */
import type { ConversationMessage, ConversationOptions } from '../../server/wire/conversations.ts'
import type { ModelStatusOut } from '../../server/wire/system.ts'
import type { Bridge } from '../bridge.ts'
import { toRequest, withoutOldest } from './tree.ts'

export type Question = { model: string; options: ConversationOptions; branch: ConversationMessage[] }

/** Tokens that are kept free for the answer. */
const ANSWER_TOKENS = 256
/** Tokens that a request may have. */
export const roomOf = (context: number): number => context - Math.min(ANSWER_TOKENS, Math.floor(context / 4))

/**
 * @param goOn true when the last message is an answer that should go on
 * @returns the body, and how many of the oldest messages were left out
 */
export async function ask(
  bridge: Bridge,
  { model, options, branch }: Question,
  goOn: boolean,
  signal: AbortSignal,
): Promise<{ body: { [key: string]: unknown }; left: number }> {
  const { system, schema, tools, ...sampling } = options
  let messages = toRequest(branch, system)
  // An answer that broke off before its first word is written anew.
  const continues = goOn && messages.at(-1)?.role === 'assistant'
  const body = {
    model,
    ...sampling,
    ...(schema && {
      response_format: { type: 'json_schema', json_schema: { name: 'answer', schema: JSON.parse(schema) } },
    }),
    ...(tools && { tools: JSON.parse(tools) as unknown }),
    ...(continues && { continue_final_message: true }),
  }
  const all = messages.length
  const letters = messages.reduce((sum, { content }) => sum + (typeof content === 'string' ? content.length : 0), 0)
  const context = await contextOf(bridge, model, signal)
  // A token is a letter at least, but for the template's own: a short talk need not be counted.
  if (context !== undefined && letters + 16 * all > context - ANSWER_TOKENS) {
    const count = async (): Promise<number> => {
      const counted = await bridge.request<{ tokens: number }>(
        'POST',
        '/apply-template',
        { model, messages, ...(tools && { tools: JSON.parse(tools) as unknown }) },
        { signal },
      )
      return counted.tokens
    }
    const room = roomOf(context)
    for (let tokens = await count(); tokens > room; tokens = await count()) {
      // As many turns as are surely too many, at least one.
      const target = messages.length * (room / tokens)
      let shorter = withoutOldest(messages)
      while (shorter !== undefined && shorter.length > target) {
        const next = withoutOldest(shorter)
        if (next === undefined) break
        shorter = next
      }
      if (shorter === undefined) break
      messages = shorter
    }
  }
  return { body: { ...body, messages }, left: all - messages.length }
}

/** Of a model that is not loaded it is known once it is; the file may promise more than there is memory for. */
async function contextOf(bridge: Bridge, model: string, signal: AbortSignal): Promise<number | undefined> {
  const { data } = await bridge.request<{ data: ModelStatusOut[] }>('GET', '/v1/models/status', undefined, { signal })
  const found = data.find(({ id }) => id === model)
  const base = data.find(({ id }) => id === found?.parent)
  return (found?.worker ?? base?.worker)?.context_tokens ?? found?.facts?.context_length
}
