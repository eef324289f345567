/** A value that the page shows: it is replaced, never changed, and who shows a part of it hears when that part is another. */
import { useSyncExternalStore } from 'react'

export type Store<T> = {
  get(): T
  set(changes: Partial<T>): void
  subscribe(listener: () => void): () => void
}

export function createStore<T extends object>(first: T): Store<T> {
  let value = first
  const listeners = new Set<() => void>()
  return {
    get: () => value,
    set(changes) {
      value = { ...value, ...changes }
      for (const listener of [...listeners]) listener()
    },
    subscribe(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
  }
}

/** @param pick must give the same value while nothing that it looks at changed */
export function useStore<T extends object, Part>(store: Store<T>, pick: (value: T) => Part): Part {
  return useSyncExternalStore(store.subscribe, () => pick(store.get()))
}
