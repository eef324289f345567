/** Which graphics cards and drivers the system reports; whether a model can run on one is for the native probe to say. */
import { execFile } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { delimiter } from 'node:path'

export type Gpu = {
  name: string
  vendor: 'nvidia' | 'amd' | 'intel' | 'apple' | 'other'
  /** Version of the driver, or on Linux its kernel module where there is no version. */
  driver?: string
  totalBytes?: number
  freeBytes?: number
}

type RunProgram = (file: string, args: string[]) => Promise<string>

/** Never throws; [] when there is none or the system does not tell. */
export async function findGpus(
  platform: NodeJS.Platform = process.platform,
  runProgram: RunProgram = outputOf,
): Promise<Gpu[]> {
  try {
    const nvidia = parseNvidiaSmi(
      await runProgram('nvidia-smi', [
        '--query-gpu=name,driver_version,memory.total,memory.free',
        '--format=csv,noheader,nounits',
      ]),
    )
    const others = await systemGpus(platform, runProgram)
    // nvidia-smi says more of a card than the system does; the system's row counts where the driver does not answer.
    return nvidia.length > 0 ? [...nvidia, ...others.filter(gpu => gpu.vendor !== 'nvidia')] : others
  } catch {
    return []
  }
}

/** Rows of `nvidia-smi --query-gpu=name,driver_version,memory.total,memory.free --format=csv,noheader,nounits`; memory in MiB. */
export function parseNvidiaSmi(text: string): Gpu[] {
  const gpus: Gpu[] = []
  for (const line of text.trim().split(/\r?\n/)) {
    const [name, driver, total, free] = line.split(',').map(cell => cell.trim())
    if (name === undefined || driver === undefined || total === undefined || name === '') continue
    const mib = (cell: string | undefined): number | undefined =>
      cell !== undefined && /^\d+$/.test(cell) ? Number(cell) * 2 ** 20 : undefined
    const totalBytes = mib(total)
    const freeBytes = mib(free)
    gpus.push({
      name,
      vendor: 'nvidia',
      driver,
      ...(totalBytes !== undefined && { totalBytes }),
      ...(freeBytes !== undefined && { freeBytes }),
    })
  }
  return gpus
}

/** JSON of `Get-CimInstance Win32_VideoController | Select-Object Name,DriverVersion | ConvertTo-Json`: one object, or a list of them. */
export function parseVideoControllers(text: string): Gpu[] {
  if (text.trim() === '') return []
  const found: unknown = JSON.parse(text)
  const gpus: Gpu[] = []
  for (const row of Array.isArray(found) ? found : [found]) {
    const name: unknown = row?.Name
    const driver: unknown = row?.DriverVersion
    if (typeof name !== 'string' || /Basic Display|Remote Display/i.test(name)) continue
    gpus.push({ name, vendor: vendorOf(name), ...(typeof driver === 'string' && { driver }) })
  }
  return gpus
}

async function systemGpus(platform: NodeJS.Platform, runProgram: RunProgram): Promise<Gpu[]> {
  if (platform === 'linux') return linuxGpus()
  if (platform === 'win32') {
    const command = 'Get-CimInstance Win32_VideoController | Select-Object Name,DriverVersion | ConvertTo-Json'
    return parseVideoControllers(
      await runProgram('powershell.exe', ['-NoProfile', '-NonInteractive', '-Command', command]),
    )
  }
  if (platform === 'darwin') {
    const name = /Chipset Model: (.+)/.exec(await runProgram('system_profiler', ['SPDisplaysDataType']))?.[1]
    return name === undefined ? [] : [{ name, vendor: vendorOf(name) }]
  }
  return []
}

/**
 * Major versions of the CUDA runtime that the system's loader finds, such as [12, 13]; [] when there is none.
 * A toolkit that lies in a folder that the loader does not search is no help to a library that needs it.
 */
export async function findCudaRuntimes(
  platform: NodeJS.Platform = process.platform,
  runProgram: RunProgram = outputOf,
  env: NodeJS.ProcessEnv = process.env,
): Promise<number[]> {
  const pattern = platform === 'win32' ? /^cudart64_(\d+)\.dll$/gim : /\blibcudart\.so\.(\d+)/gm
  const folders = ((platform === 'win32' ? env.PATH : env.LD_LIBRARY_PATH) ?? '').split(delimiter)
  const names = folders.filter(folder => folder !== '').flatMap(list)
  if (platform === 'linux') {
    for (const program of ['ldconfig', '/sbin/ldconfig']) names.push(await runProgram(program, ['-p']))
  }
  const found = [...names.join('\n').matchAll(pattern)].map(match => Number(match[1]))
  return [...new Set(found)].sort((a, b) => a - b)
}

const PCI_VENDORS: { [id: string]: Gpu['vendor'] } = { '0x10de': 'nvidia', '0x1002': 'amd', '0x8086': 'intel' }

function linuxGpus(): Gpu[] {
  const gpus: Gpu[] = []
  const folder = '/sys/class/drm'
  for (const card of list(folder).filter(name => /^card\d+$/.test(name))) {
    const id = read(`${folder}/${card}/device/vendor`).trim()
    const vendor = PCI_VENDORS[id]
    // Display adapters of virtual machines and servers are no help to a model.
    if (vendor === undefined) continue
    const driver = /^DRIVER=(.+)$/m.exec(read(`${folder}/${card}/device/uevent`))?.[1]
    const model = read(`${folder}/${card}/device/device`).trim()
    gpus.push({ name: `${vendor} ${model}`, vendor, ...(driver !== undefined && { driver }) })
  }
  return gpus
}

function vendorOf(name: string): Gpu['vendor'] {
  if (/nvidia|geforce|quadro|tesla/i.test(name)) return 'nvidia'
  if (/amd|radeon/i.test(name)) return 'amd'
  if (/intel/i.test(name)) return 'intel'
  return /apple/i.test(name) ? 'apple' : 'other'
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

function outputOf(file: string, args: string[]): Promise<string> {
  return new Promise(done => {
    execFile(file, args, { timeout: 5000, windowsHide: true }, (error, stdout) => done(error === null ? stdout : ''))
  })
}
