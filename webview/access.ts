/** The API key of a page in a browser: shown with every request, and asked for when the hub wants one. */
import { createStore, type Store } from './store.ts'

export type Access = {
  /** What is asked of the person; `refused` when the last key did not open. */
  store: Store<{ asked: 'no' | 'missing' | 'refused'; has: boolean }>
  key(): string | undefined
  /** Resolves once there is another key than the one that did not open, or the signal aborts. */
  ask(shown: string | undefined, signal?: AbortSignal | null): Promise<void>
  /** @returns false for what cannot be a key */
  give(key: string): boolean
  forget(): void
}

const NAME = 'key'

export function createAccess(kept: {
  get(key: string): string | undefined
  set(key: string, value?: string): void
}): Access {
  const store: Access['store'] = createStore({ asked: 'no', has: kept.get(NAME) !== undefined })
  let given = Promise.withResolvers<void>()
  return {
    store,
    key: () => kept.get(NAME),
    async ask(shown, signal) {
      // Of several requests with the same old key, the first one asks.
      if (kept.get(NAME) !== shown) return
      store.set({ asked: shown === undefined ? 'missing' : 'refused' })
      const aborted = new Promise<void>(resolve => signal?.addEventListener('abort', () => resolve(), { once: true }))
      await Promise.race([given.promise, aborted])
    },
    give(key) {
      const bare = key.trim()
      // Anything else can stand in no header and in no subprotocol.
      if (!/^[\w-]{1,200}$/.test(bare)) return false
      kept.set(NAME, bare)
      store.set({ asked: 'no', has: true })
      given.resolve()
      given = Promise.withResolvers()
      return true
    },
    forget() {
      kept.set(NAME, undefined)
      store.set({ has: false })
    },
  }
}
