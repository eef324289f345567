/** What the dashboard reads once, and again when it may be another: the settings; and what the person chose to see. */
import type { SettingsAnswer } from '../../server/wire/settings.ts'
import type { Bridge } from '../bridge.ts'
import { createStore, type Store } from '../store.ts'

export type KnownState = {
  settings?: SettingsAnswer
  /** How far back the charts go. */
  spanMs: number
  /** Hints that were read and put away. */
  dismissed: readonly string[]
}

export type Known = {
  store: Store<KnownState>
  read(): Promise<void>
  setSettings(settings: SettingsAnswer): void
  setSpan(spanMs: number): void
  dismiss(hint: string): void
}

const SPAN_MS = 900_000
const DISMISSED = 'dashboard.dismissed'
const SPAN = 'dashboard.span'

export function createKnown(bridge: Bridge): Known {
  const store = createStore<KnownState>({
    spanMs: Number(bridge.kept.get(SPAN)) || SPAN_MS,
    dismissed: (bridge.kept.get(DISMISSED) ?? '').split(' ').filter(word => word !== ''),
  })
  return {
    store,
    async read() {
      try {
        store.set({ settings: await bridge.request<SettingsAnswer>('GET', '/v1/settings') })
      } catch {
        // The socket tells when the hub is back; then it is read again.
      }
    },
    setSettings: settings => store.set({ settings }),
    setSpan(spanMs) {
      bridge.kept.set(SPAN, String(spanMs))
      store.set({ spanMs })
    },
    dismiss(hint) {
      const dismissed = [...new Set([...store.get().dismissed, hint])]
      bridge.kept.set(DISMISSED, dismissed.join(' '))
      store.set({ dismissed })
    },
  }
}
