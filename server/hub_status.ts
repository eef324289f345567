/** What the status page tells of a hub, and which model a request gets that names none. */
import { availableParallelism, cpus } from 'node:os'
import type { Purpose } from './http/generate.ts'
import type { GpuLoad } from './lib/gpu_load.ts'
import { readMemory } from './lib/memory.ts'
import type { DeviceReport } from './models/devices.ts'
import type { ModelStatus } from './models/models.ts'
import type { Registry } from './models/registry.ts'
import type { Scheduler } from './models/scheduler.ts'
import type { ModelFile } from './wire/model.ts'
import type { SystemStatus } from './wire/system.ts'

/** A loaded model fit for the purpose, else the smallest one on disk: it answers soonest. */
export function defaultModel(models: Scheduler, purpose: Purpose): string | undefined {
  const usable = models
    .list()
    .filter(({ file }) => file.status === 'ok' && file.facts?.kind === 'model' && fits(file, purpose))
  const rank = (status: ModelStatus) => [
    // A toy serves only where there is nothing else, loaded or not.
    status.file.sidecar.toy === true ? 1 : 0,
    status.state === 'ready' ? 0 : 1,
    status.file.folder === (purpose === 'code' ? 'code_models' : 'chat_models') ? 0 : 1,
    status.file.bytes,
  ]
  usable.sort((a, b) => {
    const [first, second] = [rank(a), rank(b)]
    return first.reduce((order, value, index) => order || value - second[index]!, 0)
  })
  return usable[0]?.file.id
}

function fits(file: ModelFile, purpose: Purpose): boolean {
  if (purpose === 'code') return file.facts?.fim === true
  if (purpose === 'embedding') return file.facts?.pooling !== 'rank'
  return file.facts?.pooling === undefined
}

/** The GPUs that trying the devices found, with the memory that was free then. */
export async function foundGpus(asked: DeviceReport[] | Promise<DeviceReport[]>): Promise<GpuLoad[]> {
  const working = (await asked).find(({ works, device }) => works && device !== 'cpu')
  return (working?.devices ?? [])
    .filter(({ kind }) => kind === 'gpu' || kind === 'integrated')
    .map(({ name, description, totalBytes, freeBytes }) => ({ name: description || name, totalBytes, freeBytes }))
}

export async function systemStatus(
  models: Scheduler,
  registry: Pick<Registry, 'list'>,
  hub: { version: string; startedAt: number; cores: number; home: string; url: string },
): Promise<SystemStatus> {
  const { version, startedAt, cores, home, url } = hub
  const [reports] = await Promise.all([models.reports(), models.refresh()])
  const memory = readMemory()
  const processors = cpus()
  const listed = models.list()
  const loaded = listed.filter(
    status => status.state === 'ready' || status.state === 'loading' || status.state === 'unloading',
  )
  const devices = reports
    .filter(report => report.works)
    .flatMap(report =>
      report.devices
        .filter(device => (report.device === 'cpu') === (device.kind === 'cpu'))
        .map(device => ({
          kind: report.device,
          name: device.description || device.name,
          total_bytes: report.device === 'cpu' ? memory.totalBytes : device.totalBytes,
          free_bytes: report.device === 'cpu' ? memory.availableBytes : device.freeBytes,
        })),
    )
  return {
    version,
    pid: process.pid,
    started_at: startedAt,
    uptime_s: (Date.now() - startedAt) / 1000,
    platform: `${process.platform} ${process.arch}`,
    node: process.version,
    url,
    home,
    cpu: {
      name: processors[0]?.model ?? 'unknown',
      physical_cores: cores,
      logical_cores: processors.length || availableParallelism(),
    },
    memory: {
      total_bytes: memory.totalBytes,
      available_bytes: memory.availableBytes,
      hub_rss_bytes: process.memoryUsage.rss(),
    },
    devices,
    backends: reports.map(({ library, device, works, reason }) => ({
      library,
      kind: device,
      works,
      ...(reason !== undefined && { reason }),
    })),
    models: {
      listed: registry.list().length,
      broken: listed.filter(status => status.state === 'broken').length,
      resident: loaded.map(status => ({
        id: status.file.id,
        state: status.state,
        ...(status.info !== undefined && { device: status.info.device }),
        memory_bytes: status.stats?.rssBytes ?? status.info?.memoryBytes ?? 0,
        device_bytes: status.info?.deviceBytes ?? 0,
        in_use: status.inUse,
      })),
    },
    queue: {
      running: listed.reduce((sum, status) => sum + (status.stats?.busy ?? 0), 0),
      waiting: listed.reduce((sum, status) => sum + (status.stats?.queued ?? 0), 0),
    },
  }
}
