/** What every part of the dashboard is given. */
import type { Bridge } from '../bridge.ts'
import type { Hub } from '../hub_state.ts'
import type { Acting } from './actions.ts'
import type { Known } from './known.ts'
import type { Live } from './live.ts'
import type { Tab } from './tabs.ts'

export type Parts = {
  bridge: Bridge
  hub: Hub
  live: Live
  known: Known
  acting: Acting
  /** What stands behind the tab in the route: `JOB` of `training/JOB`. */
  rest: string
  go(tab: Tab, rest?: string): void
}
