/** What is stored of answers that are being written when the page ends without a word, as a panel does that is closed. */
import type { ConversationMessage, ConversationMessageIn } from '../../server/wire/conversations.ts'
import type { Bridge } from '../bridge.ts'

/** Between two reports of an answer that grows. */
const PACE_MS = 300

export function createFarewell({ leave }: Pick<Bridge, 'leave'>) {
  const letters = new Map<string, { path: string; body: unknown }>()
  let timer: ReturnType<typeof setTimeout> | undefined
  const tell = (): void => {
    clearTimeout(timer)
    timer = undefined
    leave?.([...letters.values()])
  }
  return {
    /** The answer as it is now. */
    set(conversation: string, { id, created_at: _, ...answer }: ConversationMessage): void {
      const body: ConversationMessageIn = { ...answer, finish: 'stopped' }
      letters.set(id, { path: `/v1/chats/${conversation}/messages/${id}`, body })
      timer ??= setTimeout(tell, PACE_MS)
    },
    /** It is whole, or was stored as it is. */
    drop(id: string): void {
      if (letters.delete(id)) tell()
    },
  }
}
