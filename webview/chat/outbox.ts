/** Messages on their way to the hub: kept here, over a reload as well, until the hub has them. */
import type { Bridge } from '../bridge.ts'
import { toHubFailure } from '../failure.ts'
import { createStore } from '../store.ts'

type Letter = { path: string; body: unknown }

/**
 * Tabs share what is kept: each changes only the letters that it means, and sends all.
 * @param refused hears of what the hub does not take: it is given up when trying again would change nothing
 */
export function createOutbox(bridge: Bridge, refused: (thrown: unknown) => void) {
  /** Those of this tab, in case that the place where they are kept is full. */
  let mine: Letter[] = []
  const store = createStore<{ letters: Letter[] }>({ letters: read(bridge.kept.get('outbox')) })
  let flushing: Promise<void> | undefined

  /** Takes the letter to a path away, or replaces it, if it is still `before`. */
  function change(path: string, body?: unknown, before?: unknown): void {
    const isOther = (letter: Letter): boolean =>
      letter.path !== path || (before !== undefined && JSON.stringify(letter.body) !== JSON.stringify(before))
    const added = body === undefined ? [] : [{ path, body }]
    mine = [...mine.filter(isOther), ...added]
    const kept = [...read(bridge.kept.get('outbox')).filter(isOther), ...added]
    bridge.kept.set('outbox', kept.length === 0 ? undefined : JSON.stringify(kept))
    look()
  }

  /** Other tabs may have written or sent some. */
  function look(): Letter[] {
    const others = read(bridge.kept.get('outbox')).filter(letter => mine.every(one => one.path !== letter.path))
    const letters = [...others, ...mine]
    store.set({ letters })
    return letters
  }

  /** In the order they were written, since a message comes behind its parent. */
  async function send(): Promise<void> {
    for (;;) {
      const [letter] = look()
      if (letter === undefined) return
      try {
        await bridge.request('PUT', letter.path, letter.body)
      } catch (thrown) {
        const failure = toHubFailure(thrown)
        if (!failure.unreachable) refused(failure)
        if (failure.status < 400 || failure.status >= 500) return
      }
      change(letter.path, undefined, letter.body)
    }
  }

  function flush(): Promise<void> {
    flushing ??= send().finally(() => {
      flushing = undefined
    })
    return flushing
  }

  return {
    store,
    flush,
    /** Resolves when it is stored, or when the hub is away; then it goes out later. @param last the page is being left */
    async put(path: string, body: unknown, last = false): Promise<void> {
      change(path, body)
      if (last) await bridge.request('PUT', path, body, { last })
      else {
        await flush()
        // Another message may have been on its way when this one came.
        if (store.get().letters.some(one => one.path === path && one.body === body)) await flush()
      }
    },
  }
}

function read(text: string | undefined): Letter[] {
  try {
    return text === undefined ? [] : (JSON.parse(text) as Letter[])
  } catch {
    return []
  }
}
