/** Finds what the tests on a GPU run on, and says in words what is missing. */
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { findBins, VARIANTS, type Variant } from '../../server/native/bins.ts'

/** Environment of the tests: the library, and what makes its driver see the device. */
export type GpuEnvironment = { [name: string]: string }
export type Found = { environment: GpuEnvironment; device: string } | { missing: string }

const ICD_FOLDERS = ['/usr/share/vulkan/icd.d', '/usr/local/share/vulkan/icd.d', '/etc/vulkan/icd.d']

/** Mesa's lavapipe, which computes Vulkan on the CPU: slow, and the same on every machine. */
export function findSoftwareVulkan(): Found {
  if (findBins('vulkan') === undefined) return { missing: noPackage('vulkan') }
  const driver = ICD_FOLDERS.filter(folder => existsSync(folder))
    .flatMap(folder => readdirSync(folder).map(file => join(folder, file)))
    .find(file => /lvp_icd.*\.json$/.test(file))
  if (driver === undefined) {
    return {
      missing:
        'there is no software Vulkan driver: install lavapipe (on Debian and Ubuntu "apt-get install mesa-vulkan-drivers"), or run "npm run test:gpu" on a machine with a GPU',
    }
  }
  // The library leaves out devices that are CPUs unless it is told the device by number.
  return probe('vulkan', { VK_DRIVER_FILES: driver, GGML_VK_VISIBLE_DEVICES: '0' })
}

/** The GPU of the variant, or of the first variant that has one. */
export function findGpu(wanted: string | undefined): Found {
  const variants = VARIANTS.filter(each => each !== 'cpu' && (wanted === undefined || each === wanted))
  if (variants.length === 0)
    return {
      missing: `there is no GPU variant ${wanted}; there are ${VARIANTS.filter(each => each !== 'cpu').join(', ')}`,
    }
  const reasons: string[] = []
  for (const variant of variants) {
    const found = findBins(variant) === undefined ? { missing: noPackage(variant) } : probe(variant, {})
    if ('device' in found) return found
    reasons.push(`${variant}: ${found.missing}`)
  }
  return { missing: `no GPU can be used (${reasons.join('; ')})` }
}

const noPackage = (variant: Variant): string =>
  `node-llama-cpp's package with the ${variant} libraries is not installed; run "npm ci"`

function probe(variant: Variant, environment: GpuEnvironment): Found {
  try {
    const output = execFileSync(process.execPath, [join(import.meta.dirname, 'probe.ts'), variant], {
      env: { ...process.env, ...environment },
      encoding: 'utf8',
      timeout: 120_000,
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    const [gpu] = JSON.parse(output.trim().split('\n').at(-1) ?? '[]') as { name: string; description: string }[]
    if (gpu === undefined) return { missing: 'the library opens no GPU; a driver, or its runtime, is missing' }
    return {
      environment: { ...environment, AI_HUB_TEST_GPU: `${variant}:${gpu.name}` },
      device: `${variant} ${gpu.name}, ${gpu.description}`,
    }
  } catch {
    return { missing: 'its library does not load; its runtime is missing' }
  }
}
