/** Inside the extension host: how long the extension takes to be activated, and until the language server answers. */
import { writeFileSync } from 'node:fs'
import * as vscode from 'vscode'
import { REPORT } from '../host/report.ts'

/** The processor's time counts all of the extension host, and says most on a machine that has other things to do. */
export type Activation = { activationMs: number; cpuMs: number; readyMs: number; host: string }

export async function run(): Promise<void> {
  const extension = vscode.extensions.getExtension<{ ready: Promise<void> }>('ai-backend-hub.ai-backend-hub')
  if (extension === undefined) throw new Error('the extension is not installed')
  if (extension.isActive) throw new Error('something else has activated the extension before')
  const begun = performance.now()
  const used = process.cpuUsage()
  const { ready } = await extension.activate()
  const activationMs = performance.now() - begun
  const { user, system } = process.cpuUsage(used)
  await ready
  const readyMs = performance.now() - begun
  const host = `${vscode.env.appName} ${vscode.version}, Node ${process.versions.node}`
  const measured: Activation = { activationMs, cpuMs: (user + system) / 1000, readyMs, host }
  writeFileSync(process.env[REPORT] ?? '', JSON.stringify(measured))
}
