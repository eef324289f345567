/** `ai-hub doctor`: looks at everything the hub needs and says of each thing what was found and what to do if it is not right. */
import type { Gpu } from '../lib/gpu.ts'
import type { HubRecord } from '../lib/home.ts'
import type { Memory } from '../lib/memory.ts'
import type { PortHolder } from '../lib/port.ts'
import { isLoopback } from '../security/origin.ts'
import type { ModelFile } from '../wire/model.ts'
import type { Device } from '../wire/worker.ts'
import { formatBytes, paint, type Terminal } from './terminal.ts'
import { toyHint } from './toy.ts'

/** What trying a native backend in a process of its own gave. */
export type DeviceReport = {
  device: Device
  /** The build of the libraries that was tried, such as `cuda-ext`. */
  variant?: string
  works: boolean
  /** The device's own name, where it works. */
  name?: string
  freeBytes?: number
  totalBytes?: number
  /** Why it does not work, and what to do. */
  reason?: string
}

export type DoctorDeps = {
  version: string
  home: string
  nodeVersion: string
  platform: NodeJS.Platform
  arch: string
  host: string
  port: number
  /** How many API keys open the door. */
  validKeys(): number
  findHub(): Promise<HubRecord | undefined>
  /** undefined when the port is free. */
  portHolder(): Promise<PortHolder | 'unknown' | undefined>
  memory(): Memory
  physicalCores(): Promise<number>
  gpus(): Promise<Gpu[]>
  /** Tries every installed native backend. */
  probe(): Promise<DeviceReport[]>
  /** The CUDA libraries: `none` where there are none for this platform. */
  cuda: 'installed' | 'missing' | 'none'
  /** Reads the model folders. */
  listModels(): Promise<ModelFile[]>
  /** Makes what home lacks and tries to write in it. @throws when that fails */
  checkHome(): Promise<void>
  /** Opens the database, or makes a new one. @throws when it is damaged or newer than this hub; a running hub's database can be opened too */
  checkDatabase(): Promise<void>
  /** Free bytes on the disk that holds home. */
  freeDisk(): Promise<number>
}

/** `warn`: the hub works, but not as well as it could. `fail`: it does not work. */
export type Check = { name: string; state: 'ok' | 'warn' | 'fail'; found: string; fix?: string }

/** Makes every check; one that throws counts as failed and does not stop the others. */
export async function examine(deps: DoctorDeps): Promise<Check[]> {
  const hub = await deps.findHub().catch(() => undefined)
  const gpus = await deps.gpus().catch(() => [])
  const checks: [name: string, check: () => Promise<Check[]>][] = [
    ['node', async () => [checkNode(deps)]],
    ['home', () => checkHome(deps)],
    ['disk', async () => [checkDisk(await deps.freeDisk())]],
    ['database', () => checkDatabase(deps)],
    ['hub', async () => [checkHub(deps, hub)]],
    ['keys', async () => [checkKeys(deps)]],
    ['port', async () => [checkPort(deps, hub, await deps.portHolder())]],
    ['memory', async () => [checkMemory(deps.memory())]],
    ['cpu', async () => [{ name: 'cpu', state: 'ok', found: `${await deps.physicalCores()} physical cores` }]],
    ['gpu', async () => [checkGpus(gpus)]],
    ['backends', async () => checkBackends(deps, gpus, await deps.probe())],
    ['models', async () => checkModels(deps.home, await deps.listModels())],
  ]
  const results: Check[] = []
  for (const [name, check] of checks) {
    try {
      results.push(...(await check()))
    } catch (error) {
      results.push({ name, state: 'fail', found: error instanceof Error ? error.message : String(error) })
    }
  }
  return results
}

/** Prints the checks and gives the exit code: 1 when one failed, else 0. */
export async function runDoctor(deps: DoctorDeps, terminal: Terminal, options: { json: boolean }): Promise<number> {
  const checks = await examine(deps)
  const failed = checks.some(check => check.state === 'fail')
  if (options.json) {
    terminal.write(`${JSON.stringify({ version: deps.version, home: deps.home, ok: !failed, checks }, undefined, 2)}\n`)
    return failed ? 1 : 0
  }
  const marks = {
    ok: paint(terminal, 'green', 'ok  '),
    warn: paint(terminal, 'yellow', 'warn'),
    fail: paint(terminal, 'red', 'FAIL'),
  }
  terminal.write(`AI Backend Hub ${deps.version} on ${deps.platform} ${deps.arch}\n\n`)
  const width = Math.max(...checks.map(check => check.name.length)) + 2
  for (const check of checks) {
    terminal.write(`${marks[check.state]}  ${check.name.padEnd(width)}${check.found}\n`)
    if (check.fix !== undefined)
      terminal.write(`      ${' '.repeat(width)}${paint(terminal, 'cyan', `-> ${check.fix}`)}\n`)
  }
  const warnings = checks.filter(check => check.state === 'warn').length
  const failures = checks.filter(check => check.state === 'fail').length
  terminal.write(
    failures + warnings === 0 ? '\nEverything is in place.\n' : `\n${failures} to repair, ${warnings} to look at.\n`,
  )
  return failed ? 1 : 0
}

function checkNode(deps: DoctorDeps): Check {
  const found = `Node ${deps.nodeVersion}`
  if (Number(deps.nodeVersion.replace(/^v/, '').split('.')[0]) >= 24) return { name: 'node', state: 'ok', found }
  return {
    name: 'node',
    state: 'fail',
    found: `${found} is too old`,
    fix: 'Run "npm ci" without --omit=optional, which brings Node 24, and start through npm or ai-hub.',
  }
}

async function checkHome(deps: DoctorDeps): Promise<Check[]> {
  try {
    await deps.checkHome()
    return [{ name: 'home', state: 'ok', found: deps.home }]
  } catch (error) {
    return [
      {
        name: 'home',
        state: 'fail',
        found: `${deps.home} cannot be written to: ${messageOf(error)}`,
        fix: 'Give another folder with --home or AI_HUB_HOME, or give yourself the right to write there.',
      },
    ]
  }
}

async function checkDatabase(deps: DoctorDeps): Promise<Check[]> {
  try {
    await deps.checkDatabase()
    return [{ name: 'database', state: 'ok', found: 'opens and is up to date' }]
  } catch (error) {
    // The storage's own messages name the file and the fix.
    return [{ name: 'database', state: 'fail', found: messageOf(error) }]
  }
}

function checkDisk(bytes: number): Check {
  const found = `${formatBytes(bytes)} free where home is`
  if (bytes >= 5 * 2 ** 30) return { name: 'disk', state: 'ok', found }
  return {
    name: 'disk',
    state: bytes < 100 * 2 ** 20 ? 'fail' : 'warn',
    found,
    fix: 'A 7B model takes 4 to 8 GiB. Make room, or put home on another disk with --home.',
  }
}

function checkHub(deps: DoctorDeps, hub: HubRecord | undefined): Check {
  if (hub !== undefined) {
    return { name: 'hub', state: 'ok', found: `runs at ${hub.url} (process ${hub.pid}, version ${hub.version})` }
  }
  return {
    name: 'hub',
    state: 'ok',
    found: `not running; "ai-hub serve" starts it on http://${deps.host}:${deps.port}`,
  }
}

function checkKeys({ host, validKeys }: DoctorDeps): Check {
  const name = 'keys'
  const count = validKeys()
  if (count > 0) return { name, state: 'ok', found: `${count} API ${count === 1 ? 'key' : 'keys'}` }
  if (isLoopback(host))
    return { name, state: 'ok', found: 'no API key, and none needed: only this machine is listened to' }
  return {
    name,
    state: 'fail',
    found: `no API key, while the setting "host" is ${host}`,
    fix: 'Make one with "ai-hub keys create NAME", or set "host" to 127.0.0.1.',
  }
}

function checkPort(deps: DoctorDeps, hub: HubRecord | undefined, holder: PortHolder | 'unknown' | undefined): Check {
  const name = 'port'
  if (holder === undefined) return { name, state: 'ok', found: `${deps.port} is free` }
  if (hub !== undefined && new URL(hub.url).port === String(deps.port)) {
    return { name, state: 'ok', found: `${deps.port} is the hub's` }
  }
  const who = holder === 'unknown' ? 'another program' : `${holder.name ?? 'a program'} (process ${holder.pid})`
  return {
    name,
    // A hub that runs elsewhere does not need this port.
    state: hub === undefined ? 'fail' : 'ok',
    found: `${deps.port} is taken by ${who}`,
    ...(hub === undefined && { fix: 'Stop that program, or choose another port with --port or the setting "port".' }),
  }
}

function checkMemory({ availableBytes, totalBytes }: Memory): Check {
  const found = `${formatBytes(availableBytes)} available of ${formatBytes(totalBytes)}`
  if (availableBytes >= 2 * 2 ** 30) return { name: 'memory', state: 'ok', found }
  return {
    name: 'memory',
    state: 'warn',
    found,
    fix: 'Little is left for models. Close other programs, or use smaller or more strongly quantised ones (Q4_K_M).',
  }
}

function checkGpus(gpus: readonly Gpu[]): Check {
  if (gpus.length === 0) return { name: 'gpu', state: 'ok', found: 'none found; models run on the CPU' }
  const describe = (gpu: Gpu): string => {
    const parts = [
      ...(gpu.totalBytes === undefined ? [] : [`${formatBytes(gpu.totalBytes)}`]),
      ...(gpu.freeBytes === undefined ? [] : [`${formatBytes(gpu.freeBytes)} free`]),
      gpu.driver === undefined ? 'no driver seen' : `driver ${gpu.driver}`,
    ]
    return `${gpu.name} (${parts.join(', ')})`
  }
  return { name: 'gpu', state: 'ok', found: gpus.map(describe).join('; ') }
}

function checkBackends(deps: DoctorDeps, gpus: readonly Gpu[], reports: readonly DeviceReport[]): Check[] {
  const reached = reports.some(report => report.works && report.device !== 'cpu')
  const tried = deps.cuda === 'missing' ? reports.filter(report => report.device !== 'cuda') : reports
  const checks: Check[] = tried.map(report => {
    const name = `${report.variant ?? report.device} backend`
    if (report.works) {
      const { freeBytes, totalBytes } = report
      const memory =
        report.device === 'cpu' || freeBytes === undefined || totalBytes === undefined
          ? ''
          : ` (${formatBytes(freeBytes)} free of ${formatBytes(totalBytes)})`
      return { name, state: 'ok', found: `works: ${report.name ?? report.device}${memory}` }
    }
    // Without a card it is as it should be, and one way to reach the card is enough. The reason says what to do as well.
    const state = report.device === 'cpu' ? 'fail' : gpus.length > 0 && !reached ? 'warn' : 'ok'
    return { name, state, found: `does not work here: ${report.reason ?? 'no device'}` }
  })
  if (deps.cuda === 'missing' && gpus.some(({ vendor }) => vendor === 'nvidia')) {
    checks.push({
      name: 'cuda backend',
      state: reached ? 'ok' : 'warn',
      found: 'its libraries are not installed',
      fix: '"ai-hub cuda" fetches them, or "AI Hub: Get the CUDA Libraries" in VS Code; Vulkan works with the driver alone.',
    })
  }
  if (!reports.some(report => report.device === 'cpu')) {
    checks.push({
      name: 'cpu backend',
      state: 'fail',
      found: `the native libraries for ${deps.platform} ${deps.arch} are not installed`,
      fix: 'Run "npm ci" again, without --omit=optional.',
    })
  }
  return checks
}

function checkModels(home: string, models: readonly ModelFile[]): Check[] {
  const whole = models.filter(model => model.status === 'ok')
  const folders = Map.groupBy(whole, model => model.folder)
  const counts = [...folders].map(([folder, list]) => `${list.length} in ${folder}`).join(', ')
  const checks: Check[] = [
    whole.length > 0
      ? { name: 'models', state: 'ok', found: counts }
      : {
          name: 'models',
          state: 'warn',
          found: 'there is none yet',
          fix: `"ai-hub pull" gets one; or put a .gguf file into a folder of ${home}/local_models, such as chat_models; it is listed within a second.`,
        },
  ]
  const toys = whole.filter(model => model.sidecar.toy === true)
  // Beside a real model it does no harm.
  if (toys.length > 0 && toys.length === whole.length) {
    const names = toys.map(model => model.id).join(', ')
    checks.push({ name: 'model', state: 'warn', found: `${names}: all there is`, fix: `${names}: ${toyHint(home)}` })
  }
  for (const model of models) {
    const reason = model.reason ?? 'unreadable'
    if (model.status === 'broken') {
      checks.push({ name: 'model', state: 'warn', found: `${model.folder}/${model.id} is broken: ${reason}` })
    } else if (model.reason !== undefined) {
      checks.push({ name: 'model', state: 'warn', found: `${model.folder}/${model.id}: ${reason}` })
    }
  }
  return checks
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
