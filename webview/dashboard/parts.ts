/** What every part of the dashboard is given. */
import type { Bridge } from '../bridge.ts'
import type { HubState } from '../hub_state.ts'
import type { Store } from '../store.ts'
import type { Tab } from './tabs.ts'

export type Parts = {
  bridge: Bridge
  hub: Store<HubState>
  /** What stands behind the tab in the route: `JOB` of `training/JOB`. */
  rest: string
  go(tab: Tab, rest?: string): void
}
