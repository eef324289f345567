/** Which devices really work here: every installed build of the native libraries is tried in a process of its own. */
import { fork } from 'node:child_process'
import { HubError } from '../lib/error.ts'
import type { Device, LoadOptions } from '../wire/worker.ts'

export type Library = LoadOptions['library']
export type DeviceMemory = {
  name: string
  description: string
  kind: 'cpu' | 'gpu' | 'integrated' | 'other'
  freeBytes: number
  totalBytes: number
}
export type DeviceReport = {
  library: Library
  device: Device
  /** The libraries loaded and gave a device of their kind. */
  works: boolean
  /** Why they do not, and what to do. */
  reason?: string
  version?: string
  devices: DeviceMemory[]
}

/** What there is for this platform, the preferred first; the CPU always works. */
export const LIBRARIES: readonly Library[] =
  process.platform === 'darwin' ? ['metal', 'cpu'] : ['cuda', 'cuda-ext', 'vulkan', 'cpu']

const DEVICE: { [L in Library]: Device } = {
  cuda: 'cuda',
  'cuda-ext': 'cuda',
  metal: 'metal',
  vulkan: 'vulkan',
  cpu: 'cpu',
}
const KINDS = ['cpu', 'gpu', 'integrated', 'other', 'other'] as const
const PROBE_MS = 30_000

const ADVICE: { [L in Library]: string } = {
  cuda: 'CUDA needs the NVIDIA driver and the CUDA 13 runtime (cudart, cublas); Vulkan works with the driver alone',
  'cuda-ext': 'this build needs the NVIDIA driver and the CUDA 12 runtime; Vulkan works with the driver alone',
  metal: 'Metal needs an Apple GPU',
  vulkan: 'Vulkan needs a GPU driver that brings it; install or update the driver of your graphics card',
  cpu: 'run "npm ci" again',
}

type Answer = {
  type: 'report'
  version?: string
  error?: string
  devices?: { name: string; description: string; type: number; freeBytes: number; totalBytes: number }[]
}

/** Asks one build of the libraries; never throws: what went wrong is in the report. */
export async function probeLibrary(script: string, library: Library): Promise<DeviceReport> {
  const base = { library, device: DEVICE[library] }
  const { answer, failure } = await runProbe(script, library)
  if (answer === undefined || answer.error !== undefined) {
    return { ...base, works: false, devices: [], reason: `${shorten(answer?.error ?? failure)} (${ADVICE[library]})` }
  }
  const devices = (answer.devices ?? []).map(({ type, ...device }) => ({
    ...device,
    kind: KINDS[type] ?? ('other' as const),
  }))
  const wanted =
    library === 'cpu'
      ? devices.some(device => device.kind === 'cpu')
      : devices.some(device => device.kind === 'gpu' || device.kind === 'integrated')
  return {
    ...base,
    works: wanted,
    devices,
    ...(answer.version !== undefined && { version: answer.version }),
    ...(!wanted && { reason: `the libraries load but find no such device (${ADVICE[library]})` }),
  }
}

export function probeDevices(script: string, libraries: readonly Library[] = LIBRARIES): Promise<DeviceReport[]> {
  return Promise.all(libraries.map(library => probeLibrary(script, library)))
}

/** The CPU needs no probe: its kernels always work. */
export const CPU_REPORT: DeviceReport = { library: 'cpu', device: 'cpu', works: true, devices: [] }

/** @throws HubError invalid_request when the wanted device does not work here, with the reason */
export function chooseLibrary(reports: readonly DeviceReport[], wanted: 'auto' | Device): DeviceReport {
  const found = reports.find(report => report.works && (wanted === 'auto' || report.device === wanted))
  if (found !== undefined) return found
  const reasons = reports
    .filter(report => report.device === wanted)
    .map(report => `${report.library}: ${report.reason}`)
  throw new HubError(
    'invalid_request',
    `the device "${wanted}" does not work here: ${reasons.join('; ') || 'no such build is installed'}; set device to auto`,
    {
      param: 'device',
    },
  )
}

/** Free bytes of the GPUs that a report lists; an integrated one shares the machine's memory and does not count. */
export const freeDeviceBytes = (report: DeviceReport): number =>
  report.devices.filter(device => device.kind === 'gpu').reduce((sum, device) => sum + device.freeBytes, 0)

function runProbe(script: string, library: Library): Promise<{ answer: Answer | undefined; failure: string }> {
  return new Promise(resolve => {
    const said: string[] = []
    let answer: Answer | undefined
    const child = fork(script, [library], {
      execArgv: [],
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      windowsHide: true,
      timeout: PROBE_MS,
    })
    child.stderr?.on('data', (chunk: Buffer) => said.push(chunk.toString('utf8')))
    child.on('message', message => {
      answer = message as Answer
    })
    child.on('error', error => said.push(error.message))
    child.once('close', (code, signal) => {
      resolve({ answer, failure: said.join('').trim() || `the probe ended with ${signal ?? `code ${code}`}` })
    })
  })
}

const shorten = (text: string) => (text.length > 300 ? `${text.slice(0, 300)}...` : text)
