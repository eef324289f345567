/** Answers that stand side by side until one is chosen. They are kept, so that a reload or another chat does not take the choice away. */
import type { ConversationWhole } from '../../server/wire/conversations.ts'
import type { Bridge } from '../bridge.ts'

export type Pair = { parent: string; ids: [string, string] }

/** Choices that wait; what is older stays as branches only. */
const MOST = 20
const KEY = 'pairs'

export function createPairs({ kept }: Pick<Bridge, 'kept'>) {
  function read(): (Pair & { chat: string })[] {
    try {
      return JSON.parse(kept.get(KEY) ?? '[]') as (Pair & { chat: string })[]
    } catch {
      return []
    }
  }
  const write = (pairs: (Pair & { chat: string })[]): void =>
    kept.set(KEY, pairs.length === 0 ? undefined : JSON.stringify(pairs.slice(0, MOST)))
  return {
    add: (chat: string, pair: Pair): void => write([{ ...pair, chat }, ...read()]),
    drop: (pair: Pair): void => write(read().filter(({ parent }) => parent !== pair.parent)),
    /**
     * The pair that the shown branch ends with, as long as nobody judged it or went on from it.
     * @param writing answers that are being written
     */
    find({ id, leaf, messages }: ConversationWhole, writing: readonly string[] = []): Pair | undefined {
      const last = leaf ?? messages.at(-1)?.id ?? ''
      const found = read().find(({ chat, parent, ids }) => chat === id && [parent, ...ids].includes(last))
      if (found === undefined) return undefined
      const { parent, ids } = found
      const isThere = (answer: string): boolean =>
        writing.includes(answer) || messages.some(one => one.id === answer && one.feedback === undefined)
      const isOpen = ids.every(answer => isThere(answer) && messages.every(one => one.parent !== answer))
      return isOpen ? { parent, ids } : undefined
    },
  }
}
