/** Starts the dashboard. */
import '../theme.css'
import '../frame.css'
import './dashboard.css'
import './training/training.css'
import { createRoot } from 'react-dom/client'
import { applyTheme, followSystem, readTheme } from '../appearance.ts'
import { createBridge } from '../bridge_here.ts'
import { watchHub } from '../hub_state.ts'
import { App } from './app.tsx'
import { createKnown } from './known.ts'
import { createLive } from './live.ts'

const bridge = createBridge()
applyTheme(bridge, readTheme(bridge))
followSystem(bridge)
const live = createLive(bridge)
const known = createKnown(bridge)
/** Speeds of the models change with each answer; they are read again at most so often. */
const REFRESH_MS = 3000
let due: ReturnType<typeof setTimeout> | undefined
const hub = watchHub(bridge, event => {
  live.hear(event)
  if (event.type !== 'request.end' || due !== undefined) return
  due = setTimeout(() => {
    due = undefined
    hub.refresh()
  }, REFRESH_MS)
})
createRoot(document.getElementById('root')!).render(<App bridge={bridge} hub={hub} live={live} known={known} />)
