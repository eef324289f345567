/** What every part of the chat page is given. */
import type { Bridge } from '../bridge.ts'
import type { HubState } from '../hub_state.ts'
import type { Store } from '../store.ts'
import type { Session } from './session.ts'

export type Parts = { bridge: Bridge; hub: Store<HubState>; session: Session }
