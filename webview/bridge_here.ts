/** Where the page runs: in a browser it speaks to the hub itself, in a VS Code panel through the extension. */
import type { Bridge } from './bridge.ts'
import { browserBridge } from './bridge_browser.ts'
import { type PanelApi, panelBridge } from './bridge_panel.ts'

declare global {
  /** There in a VS Code panel only. */
  var acquireVsCodeApi: (() => PanelApi) | undefined
}

export function createBridge(): Bridge {
  return typeof acquireVsCodeApi === 'function' ? panelBridge(acquireVsCodeApi()) : browserBridge()
}
