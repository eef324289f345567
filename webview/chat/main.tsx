/** Starts the chat page. */
import '../theme.css'
import '../frame.css'
import './chat.css'
import { createRoot } from 'react-dom/client'
import { applyTheme, followSystem, readTheme } from '../appearance.ts'
import { createBridge } from '../bridge_here.ts'
import { watchHub } from '../hub_state.ts'
import { App } from './app.tsx'
import { createSession } from './session.ts'

const bridge = createBridge()
applyTheme(bridge, readTheme(bridge))
followSystem(bridge)
const hub = watchHub(bridge)
const session = createSession(bridge)
createRoot(document.getElementById('root')!).render(<App bridge={bridge} hub={hub} session={session} />)
