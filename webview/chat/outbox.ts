/** Messages on their way to the hub: kept here, over a reload as well, until the hub has them. */
import type { Bridge } from '../bridge.ts'
import { toHubFailure } from '../failure.ts'
import { createStore } from '../store.ts'

type Letter = { path: string; body: unknown }

/** @param refused hears of what the hub does not take: it is given up when trying again would change nothing */
export function createOutbox(bridge: Bridge, refused: (thrown: unknown) => void) {
  const store = createStore<{ letters: Letter[] }>({ letters: read(bridge.kept.get('outbox')) })
  let flushing: Promise<void> | undefined

  function set(letters: Letter[]): void {
    store.set({ letters })
    bridge.kept.set('outbox', letters.length === 0 ? undefined : JSON.stringify(letters))
  }

  /** In the order they were written, since a message comes behind its parent. */
  async function send(): Promise<void> {
    for (;;) {
      const [letter] = store.get().letters
      if (letter === undefined) return
      try {
        await bridge.request('PUT', letter.path, letter.body)
      } catch (thrown) {
        const failure = toHubFailure(thrown)
        if (!failure.unreachable) refused(failure)
        if (failure.status < 400 || failure.status >= 500) return
      }
      set(store.get().letters.filter(one => one !== letter))
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
      set([...store.get().letters.filter(one => one.path !== path), { path, body }])
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
