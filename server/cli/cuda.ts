/** `ai-hub cuda`: says what the CUDA libraries are that this hub can fetch, and fetches them when the user wants it. */
import type { Gpu } from '../lib/gpu.ts'
import type { Pack, PackFacts, PackOffer, PackProgress } from '../models/cuda_pack.ts'
import type { CudaLine } from '../wire/cuda.ts'
import type { DeviceReport } from './doctor.ts'
import { formatBytes, type Terminal } from './terminal.ts'

export type CudaOptions = {
  /** Which CUDA runtime they are for; else the one that is there, else 13. */
  runtime?: 12 | 13
  registry?: string
  yes: boolean
  json: boolean
}

export type CudaDeps = {
  terminal: Terminal
  notes: Terminal
  facts: PackFacts | undefined
  folder: string | undefined
  env: NodeJS.ProcessEnv
  gpus(): Promise<Gpu[]>
  runtimes(): Promise<number[]>
  isInstalled(pack: Pack): boolean
  offer(pack: Pack, registry: string): Promise<PackOffer>
  fetch(offer: PackOffer, registry: string, report: (progress: PackProgress) => void): Promise<void>
  /** Tries the fetched libraries. */
  probe(variant: 'cuda' | 'cuda-ext'): Promise<DeviceReport>
  /** Undefined where nobody can be asked. */
  ask: ((question: string) => Promise<boolean>) | undefined
}

const NEWEST = 13

export async function runCuda(deps: CudaDeps, options: CudaOptions): Promise<number> {
  const { terminal, notes, facts, folder } = deps
  if (facts === undefined || folder === undefined) {
    notes.write(
      'There are CUDA libraries for Linux and Windows on x64 only; on this machine there is nothing to fetch.\n',
    )
    return 1
  }
  const runtimes = await deps.runtimes()
  const runtime = options.runtime ?? (runtimes.includes(12) && !runtimes.includes(NEWEST) ? 12 : NEWEST)
  const variant = runtime === 12 ? 'cuda-ext' : 'cuda'
  // The older backend runs on the libraries of the first package.
  const wanted = runtime === 12 ? [facts.packs.cuda, facts.packs['cuda-ext']] : [facts.packs.cuda]
  const missing = wanted.filter(pack => !deps.isInstalled(pack))
  const registry = options.registry ?? deps.env.npm_config_registry ?? facts.registry
  if (missing.length > 0 && registry === undefined) {
    notes.write(
      'Where from? Name the registry of npm packages: ai-hub cuda --registry URL. "npm config get registry" prints it.\n',
    )
    return 1
  }
  const from = registry ?? ''
  const offers: PackOffer[] = []
  for (const pack of missing) offers.push(await deps.offer(pack, from))
  const nvidia = (await deps.gpus()).find(({ vendor }) => vendor === 'nvidia')
  const say = (line: CudaLine): void => terminal.write(`${JSON.stringify(line)}\n`)
  if (options.json) {
    const packs = offers.map(({ name, version, bytes, license }) => ({ name, version, bytes, license }))
    say({
      type: 'plan',
      runtime,
      runtimes,
      ...(nvidia !== undefined && { gpu: nvidia.name }),
      registry: from,
      folder,
      packs,
    })
    if (!options.yes) return 0
  } else if (offers.length > 0) {
    notes.write(describe(offers, { runtime, runtimes, gpu: nvidia?.name, registry: from, folder }))
    if (!options.yes) {
      if (deps.ask === undefined) {
        notes.write('Nothing was fetched. Add --yes to fetch.\n')
        return 1
      }
      if (!(await deps.ask('Fetch? [Y/n] '))) return 1
    }
  }
  for (const offer of offers) {
    let told = ''
    await deps.fetch(offer, from, progress => {
      // A line for each percent is enough.
      const part = progress.total > 0 ? Math.floor((100 * progress.done) / progress.total) : 0
      const step = `${progress.stage} ${part}%`
      if (step === told) return
      told = step
      if (options.json) say({ type: 'progress', name: offer.name, ...progress })
      else notes.write(`\r${offer.name}: ${step}   `)
    })
    if (!options.json) notes.write('\n')
  }
  const { works, name, reason } = await deps.probe(variant)
  const said = works ? `CUDA works: ${name ?? 'a device was found'}.` : `CUDA does not work here yet: ${reason ?? ''}`
  if (options.json) say({ type: 'done', works, said })
  else {
    const next = works && offers.length > 0 ? ' A hub that runs takes it when it is started again.' : ''
    terminal.write(`${offers.length === 0 ? 'Everything is installed. ' : ''}${said}${next}\n`)
  }
  return works ? 0 : 1
}

function describe(
  offers: readonly PackOffer[],
  about: { runtime: number; runtimes: readonly number[]; gpu: string | undefined; registry: string; folder: string },
): string {
  const { runtime, runtimes, gpu, registry, folder } = about
  const lines = offers.map(
    ({ name, version, bytes, license }) => `  ${name} ${version}  ${formatBytes(bytes)} to fetch  licence ${license}`,
  )
  const hints = [
    ...(gpu === undefined ? ['No NVIDIA card was found here; without one they are of no use.'] : []),
    ...(runtimes.includes(runtime)
      ? []
      : [
          `They need the CUDA ${runtime} runtime of NVIDIA (cudart, cublas), which was not found; without it the hub goes on with Vulkan.`,
        ]),
  ]
  return [`The CUDA libraries, from ${registry}`, ...lines, `  into ${folder}`, ...hints, ''].join('\n')
}
