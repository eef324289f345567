/** The system load that /v1/events tells: processors, memory, GPUs and resident models. */
import { cpus } from 'node:os'
import type { GpuLoad } from '../lib/gpu_load.ts'
import type { ModelStatus } from '../models/models.ts'
import type { SystemLoad } from '../wire/load.ts'

export type LoadDeps = {
  models(): ModelStatus[]
  /** Asks the workers for fresh figures. */
  refresh(): Promise<void>
  memory(): { totalBytes: number; availableBytes: number }
  /** What is known of the GPUs. */
  gpus(): Promise<GpuLoad[]>
  now(): number
  /** Times of each core in any unit, as node:os gives them. */
  cores?: () => { times: { idle: number; [kind: string]: number } }[]
}

/** Gives the reader; `cpu` is that of the time since its last call. */
export function createLoadReader(deps: LoadDeps): () => Promise<SystemLoad> {
  const { cores = cpus } = deps
  let before = sum(cores())
  return async () => {
    const [gpus] = await Promise.all([deps.gpus(), deps.refresh()])
    const now = sum(cores())
    const total = now.total - before.total
    const cpu = total > 0 ? 1 - (now.idle - before.idle) / total : 0
    before = now
    const memory = deps.memory()
    const resident = deps.models().filter(({ state }) => state === 'ready')
    return {
      at_ms: deps.now(),
      cpu: Math.min(1, Math.max(0, cpu)),
      memory: {
        total_bytes: memory.totalBytes,
        available_bytes: memory.availableBytes,
        hub_rss_bytes: process.memoryUsage.rss(),
      },
      devices: gpus.map(({ name, totalBytes, freeBytes, busy }) => ({
        name,
        ...(totalBytes !== undefined && { total_bytes: totalBytes }),
        ...(freeBytes !== undefined && { free_bytes: freeBytes }),
        ...(busy !== undefined && { busy }),
      })),
      queue: {
        running: resident.reduce((count, { stats }) => count + (stats?.busy ?? 0), 0),
        waiting: resident.reduce((count, { stats }) => count + (stats?.queued ?? 0), 0),
      },
      models: resident.map(({ file, info, stats }) => ({
        id: file.id,
        busy: stats?.busy ?? 0,
        queued: stats?.queued ?? 0,
        memory_bytes: stats?.rssBytes ?? info?.memoryBytes ?? 0,
        device_bytes: info?.deviceBytes ?? 0,
        kv_used_tokens: stats?.kvUsedTokens ?? 0,
        kv_total_tokens: stats?.kvTotalTokens ?? info?.contextTokens ?? 0,
        decoded_tokens: stats?.decodedTokens ?? 0,
      })),
    }
  }
}

function sum(cores: { times: { idle: number; [kind: string]: number } }[]): { idle: number; total: number } {
  let idle = 0
  let total = 0
  for (const { times } of cores) {
    idle += times.idle
    for (const time of Object.values(times)) total += time
  }
  return { idle, total }
}
