/** What the hub itself costs: latency over a worker that answers at once, and memory while nothing happens. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { postJson } from './client.ts'
import type { OpenLoopResult } from './open_loop.ts'
import { type HubOptions, residentBytes, startHub, waitForModels } from './servers.ts'
import { percentile } from './statistics.ts'

export type HubFigures = {
  requests: number
  errors: number
  p50Ms: number
  p95Ms: number
  p99Ms: number
  maxMs: number
}

/** @throws Error when a request failed */
export async function measureOverhead(options: HubOptions, rate: number, seconds: number): Promise<HubFigures> {
  const hub = await startHub({ ...options, worker: join(import.meta.dirname, 'fake_worker.ts') })
  try {
    await waitForModels(hub)
    const loaded = await postJson(`${hub.url}/v1/models/load`, { model: hub.model })
    if (loaded.status !== 200) throw new Error(`the fake worker did not load: ${loaded.text}`)
    const { stdout } = await promisify(execFile)(
      process.execPath,
      [join(import.meta.dirname, 'open_loop.ts'), hub.url, hub.model, String(rate), String(seconds)],
      { maxBuffer: 2 ** 28 },
    )
    const result: OpenLoopResult = JSON.parse(stdout)
    if (result.errors > 0) throw new Error(`${result.errors} requests failed, the first: ${result.firstError}`)
    const at = (fraction: number): number => percentile(result.latenciesMs, fraction)
    return {
      requests: result.latenciesMs.length,
      errors: result.errors,
      p50Ms: at(0.5),
      p95Ms: at(0.95),
      p99Ms: at(0.99),
      maxMs: at(1),
    }
  } finally {
    await hub.stop()
  }
}

/** Resident memory of the hub process ten seconds after its start, no model loaded, MiB; undefined where the system does not tell. */
export async function measureIdleMemory(options: HubOptions): Promise<number | undefined> {
  const hub = await startHub(options)
  try {
    await new Promise(done => setTimeout(done, 10_000))
    const bytes = residentBytes(hub.pid)
    return bytes === undefined ? undefined : bytes / 2 ** 20
  } finally {
    await hub.stop()
  }
}
