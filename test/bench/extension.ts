/** The extension in a real VS Code while the hub runs: its activation, and when its language server answers; a start of the editor for each figure. */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { launchHub } from '../../extension/launch.ts'
import { bundleSuite, ROOT } from '../host/bundle.ts'
import { type Closing, lastFirst, startEditor } from '../host/editor.ts'
import { makeHome } from '../host/home.ts'
import { type HostParts, installHost } from '../host/install.ts'
import { REPORT } from '../host/report.ts'
import type { Activation } from './extension_suite.ts'
import { formatNumber, median } from './statistics.ts'

const SUITE_MS = 240_000
/** What an activation may take. */
const BAR_MS = 300

export async function benchExtension(
  rounds: number,
  note: (line: string) => void,
): Promise<{ figures: { [name: string]: number | string }; rows: string[][] }> {
  const host = await installHost(note)
  if ('missing' in host) throw new Error(`VS Code cannot be started: ${host.missing}`)
  const seen: Activation[] = []
  let bundleBytes = 0
  await closingAll(async closing => {
    const folder = mkdtempSync(join(tmpdir(), 'bench-extension-'))
    closing.after(() => rmSync(folder, { recursive: true, force: true }))
    const suite = await bundleSuite(folder, join(import.meta.dirname, 'extension_suite.ts'))
    const home = makeHome(closing, { realOnly: true })
    const program = { node: process.execPath, folder: ROOT, home: home.folder }
    const { signal } = new AbortController()
    await launchHub(program, { anyPort: false, wait: ms => delay(ms), signal })
    const report = join(folder, 'report.json')
    const env = { ...home.env, [REPORT]: report }
    // The first one fills the caches of the system.
    for (let round = 0; round <= rounds; round++) {
      await closingAll(async inner => {
        bundleBytes = await measure(inner, host, suite, env)
      })
      const one = JSON.parse(readFileSync(report, 'utf8')) as Activation
      rmSync(report)
      const { activationMs, readyMs, cpuMs } = one
      note(
        `round ${round}: active after ${formatNumber(activationMs)} ms (${formatNumber(cpuMs)} of the processor), ready after ${formatNumber(readyMs)} ms`,
      )
      if (round > 0) seen.push(one)
    }
  })
  const activation = seen.map(({ activationMs }) => activationMs)
  const cpu = seen.map(({ cpuMs }) => cpuMs)
  const ready = seen.map(({ readyMs }) => readyMs)
  const kibibytes = bundleBytes / 1024
  const row = (name: string, values: number[], bar: string): string[] => {
    return [name, 'ms', formatNumber(median(values)), formatNumber(Math.max(...values)), bar]
  }
  return {
    figures: {
      host: seen[0]?.host ?? '',
      activation_ms: median(activation),
      activation_most_ms: Math.max(...activation),
      activation_cpu_ms: median(cpu),
      extension_ready_ms: median(ready),
      bundle_kib: kibibytes,
    },
    rows: [
      ['measurement', 'unit', 'median', 'most', 'bar'],
      row('activation, the hub runs', activation, `< ${BAR_MS}`),
      row('the processor meanwhile', cpu, ''),
      row('until the language server answers', ready, ''),
      ['bundle', 'KiB', formatNumber(kibibytes), '', ''],
    ],
  }
}

/** @returns bytes of the bundle */
async function measure(
  closing: Closing,
  host: HostParts,
  suite: string,
  env: { [name: string]: string },
): Promise<number> {
  let bytes = 0
  const editor = await startEditor(closing, {
    host,
    extension: 'suite',
    env,
    change(folder) {
      bytes = statSync(join(folder, 'dist', 'extension.cjs')).size
      // Nothing but the measurement activates it.
      const file = join(folder, 'package.json')
      const manifest = JSON.parse(readFileSync(file, 'utf8')) as { [key: string]: unknown }
      writeFileSync(file, JSON.stringify({ ...manifest, activationEvents: [] }))
    },
  })
  const code = await editor.runSuite(suite, SUITE_MS)
  if (code !== 0) throw new Error(`the measurement in VS Code ended with ${code}:\n${editor.log()}`)
  return bytes
}

async function closingAll(work: (closing: Closing) => Promise<void>): Promise<void> {
  const closers: (() => void | Promise<void>)[] = []
  try {
    await work(lastFirst({ after: close => void closers.push(close) }))
  } finally {
    for (const close of closers) await close()
  }
}
