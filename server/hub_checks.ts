/** What `ai-hub doctor` and the dashboard look at, on this machine. */
import { statfs } from 'node:fs/promises'
import type { DeviceReport, DoctorDeps } from './cli/doctor.ts'
import { findGpus } from './lib/gpu.ts'
import { ensureHome } from './lib/home.ts'
import { physicalCores, readMemory } from './lib/memory.ts'
import { isPackInstalled, nativeFolder, packFacts } from './models/cuda_pack.ts'
import { type DeviceReport as Probed, probeDevices } from './models/devices.ts'

type Given = Pick<
  DoctorDeps,
  'version' | 'home' | 'host' | 'port' | 'validKeys' | 'findHub' | 'portHolder' | 'listModels' | 'checkDatabase'
>

/** @param probeScript the program that tries one build of the native libraries */
export function doctorDeps(given: Given, probeScript: string): DoctorDeps {
  const { home } = given
  return {
    ...given,
    nodeVersion: process.version,
    platform: process.platform,
    arch: process.arch,
    memory: () => readMemory(),
    physicalCores: () => physicalCores(),
    gpus: () => findGpus(),
    probe: async () => (await probeDevices(probeScript)).map(toDeviceReport),
    cuda: cudaState(home),
    checkHome: async () => ensureHome(home),
    async freeDisk() {
      const disk = await statfs(home)
      return disk.bavail * disk.bsize
    },
  }
}

function cudaState(home: string): DoctorDeps['cuda'] {
  const facts = packFacts()
  if (facts === undefined) return 'none'
  return isPackInstalled(facts.packs.cuda, nativeFolder(home, facts) ?? '') ? 'installed' : 'missing'
}

/** As the doctor tells it. */
export function toDeviceReport(report: Probed): DeviceReport {
  const device = report.devices.find(each => (report.device === 'cpu') === (each.kind === 'cpu'))
  return {
    device: report.device,
    variant: report.library,
    works: report.works,
    ...(report.reason !== undefined && { reason: report.reason }),
    ...(device !== undefined && {
      name: device.description,
      freeBytes: device.freeBytes,
      totalBytes: device.totalBytes,
    }),
  }
}
