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

const bridge = createBridge()
applyTheme(bridge, readTheme(bridge))
followSystem(bridge)
const hub = watchHub(bridge)
createRoot(document.getElementById('root')!).render(<App bridge={bridge} hub={hub} />)
