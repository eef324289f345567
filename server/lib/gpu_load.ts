/** How busy and how full the GPUs are, asked of the system cheaply: NVIDIA's own tool, AMD's files in /sys; others tell nothing. */
import { execFile } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

export type GpuLoad = {
  name: string
  totalBytes?: number
  freeBytes?: number
  /** Part of the time that it computed, 0 to 1. */
  busy?: number
}

export type GpuLoadDeps = {
  /** Whether a model lies on a GPU now: only then is it asked often, since asking wakes one that sleeps. */
  inUse(): boolean
  /** What was found when the devices were tried, where neither tool nor files tell. */
  known(): Promise<GpuLoad[]>
  now(): number
  /** Gives '' when the program is not there or fails. */
  runProgram?: (file: string, args: string[]) => Promise<string>
  /** Linux lists the cards here. */
  cards?: string
}

/** A GPU that nobody uses here is asked so seldom. */
const UNUSED_MS = 60_000
const NVIDIA_QUERY = [
  '--query-gpu=name,memory.total,memory.free,utilization.gpu',
  '--format=csv,noheader,nounits',
] as const

/** Gives the reader. It never throws; [] when there is no GPU or nothing is known of it. */
export function createGpuReader(deps: GpuLoadDeps): () => Promise<GpuLoad[]> {
  const { inUse, known, now, runProgram = outputOf, cards = '/sys/class/drm' } = deps
  let last: { atMs: number; gpus: GpuLoad[] } | undefined
  /** False once it has said nothing: a tool that is not there is not looked for again, one that has answered before is. */
  let hasNvidia = true
  let hasAnswered = false
  let looking: Promise<GpuLoad[]> | undefined

  async function look(): Promise<GpuLoad[]> {
    const nvidia = hasNvidia ? parseNvidiaLoad(await runProgram('nvidia-smi', [...NVIDIA_QUERY])) : []
    hasAnswered ||= nvidia.length > 0
    hasNvidia = hasAnswered
    const found = [...nvidia, ...(await amdLoads(cards))]
    return found.length > 0 ? found : known().catch(() => [])
  }

  return async () => {
    if (last !== undefined && !inUse() && now() - last.atMs < UNUSED_MS) return last.gpus
    // Who asks meanwhile gets the same answer.
    looking ??= look().finally(() => {
      looking = undefined
    })
    last = { atMs: now(), gpus: await looking }
    return last.gpus
  }
}

/** Rows of `nvidia-smi --query-gpu=name,memory.total,memory.free,utilization.gpu --format=csv,noheader,nounits`; MiB and percent. */
export function parseNvidiaLoad(text: string): GpuLoad[] {
  return text
    .trim()
    .split(/\r?\n/)
    .flatMap(line => {
      const [name, total, free, busy] = line.split(',').map(cell => cell.trim())
      if (name === undefined || name === '' || total === undefined) return []
      const totalBytes = mebibytes(total)
      const freeBytes = mebibytes(free)
      return [
        {
          name,
          ...(totalBytes !== undefined && { totalBytes }),
          ...(freeBytes !== undefined && { freeBytes }),
          ...(busy !== undefined && /^\d+$/.test(busy) && { busy: Math.min(100, Number(busy)) / 100 }),
        },
      ]
    })
}

async function amdLoads(folder: string): Promise<GpuLoad[]> {
  const names = await readdir(folder).catch(() => [])
  const found = await Promise.all(
    names
      .filter(name => /^card\d+$/.test(name))
      .sort()
      .map(async card => {
        const read = (file: string): Promise<string | undefined> =>
          readFile(join(folder, card, 'device', file), 'utf8').then(
            text => text.trim(),
            () => undefined,
          )
        const [busy, total, used, model, product] = await Promise.all([
          read('gpu_busy_percent'),
          read('mem_info_vram_total'),
          read('mem_info_vram_used'),
          read('device'),
          read('product_name'),
        ])
        if (busy === undefined || total === undefined || used === undefined) return undefined
        return {
          name: product || `AMD ${model ?? card}`,
          totalBytes: Number(total),
          freeBytes: Number(total) - Number(used),
          busy: Math.min(100, Number(busy)) / 100,
        }
      }),
  )
  return found.filter(gpu => gpu !== undefined)
}

const mebibytes = (cell: string | undefined): number | undefined =>
  cell !== undefined && /^\d+$/.test(cell) ? Number(cell) * 2 ** 20 : undefined

function outputOf(file: string, args: string[]): Promise<string> {
  return new Promise(done => {
    execFile(file, args, { timeout: 5000, windowsHide: true }, (error, stdout) => done(error === null ? stdout : ''))
  })
}
