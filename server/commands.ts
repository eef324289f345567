/** The command line: `ai-hub serve | models | chat | doctor | help | version`, each wired to what it needs. */
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline/promises'
import { runAdapters } from './cli/adapters.ts'
import { fetchModels } from './cli/api.ts'
import { type Command, helpText, parseCommandLine, UsageError } from './cli/args.ts'
import { runChat } from './cli/chat.ts'
import { type CudaOptions, runCuda } from './cli/cuda.ts'
import { runDatasets } from './cli/datasets.ts'
import { runDoctor } from './cli/doctor.ts'
import { type EvaluateOptions, runEvaluate } from './cli/evaluate.ts'
import { runJobs } from './cli/jobs.ts'
import { type KeyRing, runKeys } from './cli/keys.ts'
import { runLsp, startDetached } from './cli/lsp.ts'
import { type ModelRow, printModels, rowOfFile, rowOfListed } from './cli/models.ts'
import { type PullOptions, runPull } from './cli/pull.ts'
import { terminalOf } from './cli/terminal.ts'
import { toyHint } from './cli/toy.ts'
import { runTrain, type TrainOptions } from './cli/train.ts'
import { CONVERTER_SCRIPT, type Hub, openAudit, PROBE_SCRIPT, startHub, VERSION } from './hub.ts'
import { doctorDeps, toDeviceReport } from './hub_checks.ts'
import { readSettingsFile } from './hub_loading.ts'
import { HubError } from './lib/error.ts'
import { findCudaRuntimes, findGpus } from './lib/gpu.ts'
import { ensureHome, findHub, resolveHome } from './lib/home.ts'
import { silentLog } from './lib/log.ts'
import { physicalCores } from './lib/memory.ts'
import { findPortHolder, isPortFree } from './lib/port.ts'
import { createAdapters } from './models/adapter_registry.ts'
import { fetchPack, isPackInstalled, nativeFolder, offerPack, packFacts } from './models/cuda_pack.ts'
import { probeLibrary } from './models/devices.ts'
import { createRegistry } from './models/registry.ts'
import { countValidKeys, createKey, listApiKeys, removeKey } from './security/keys.ts'
import { openDatabase } from './storage/db.ts'
import { readSettings } from './storage/settings.ts'
import type { ModelFile } from './wire/model.ts'
import { resolveSettings } from './wire/settings.ts'

// `ai-hub models | head` closes the pipe early; that is no fault.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1))

const out = terminalOf(process.stdout)
const err = terminalOf(process.stderr)

try {
  process.exitCode = await run(parseCommandLine(process.argv.slice(2)))
} catch (thrown) {
  if (thrown instanceof UsageError) {
    err.write(`${thrown.message}\n`)
    process.exitCode = 2
  } else if (thrown instanceof HubError && thrown.code !== 'internal') {
    err.write(`${thrown.message}\n`)
    process.exitCode = 1
  } else {
    throw thrown
  }
}

async function run(command: Command): Promise<number> {
  switch (command.name) {
    case 'help':
      out.write(helpText(VERSION, command.topic))
      return 0
    case 'version':
      out.write(`${VERSION}\n`)
      return 0
    case 'serve':
      return serve(homeOf(command.home), command.settings)
    case 'models':
      return models(homeOf(command.home), command.json)
    case 'chat':
      return chat(homeOf(command.home), command)
    case 'pull':
      return pull(homeOf(command.home), command.options)
    case 'train':
      return train(homeOf(command.home), command.options)
    case 'evaluate':
      return evaluateModels(homeOf(command.home), command.options)
    case 'jobs': {
      const home = homeOf(command.home)
      return runJobs({ findHub: () => findHub(home), terminal: out }, command)
    }
    case 'keys': {
      const home = homeOf(command.home)
      const deps = { findHub: () => findHub(home), openKeys: () => openKeys(home), now: Date.now }
      return runKeys({ ...deps, terminal: out, notes: err }, command)
    }
    case 'lsp': {
      const home = homeOf(command.home)
      return runLsp({
        findHub: () => findHub(home),
        startHub: () => startDetached(home, join(import.meta.dirname, 'main.ts')),
        input: process.stdin,
        output: process.stdout,
        wait: ms => new Promise(resolve => setTimeout(resolve, ms)),
        // An editor that said exit may keep its side open.
      }).finally(() => process.stdin.destroy())
    }
    case 'doctor':
      return doctor(homeOf(command.home), command.json)
    case 'cuda':
      return cuda(homeOf(command.home), command.options)
    case 'adapters':
      return adapters(homeOf(command.home), command)
    case 'datasets': {
      const home = homeOf(command.home)
      const deps = { home, now: Date.now, terminal: out, notes: err, findHub: () => findHub(home) }
      return runDatasets({ ...deps, startHub: () => startOwnHub(home) }, command, untilInterrupted())
    }
  }
}

function homeOf(given: string | undefined): string {
  const home = resolveHome({ home: given, env: process.env })
  // The processes with native code, which are started from here, look there too.
  process.env.AI_HUB_NATIVE ??= nativeFolder(home) ?? ''
  return home
}

async function serve(home: string, settings: { [name: string]: string }): Promise<number> {
  const hub = await startHub({ home, commandLine: settings, env: process.env })
  await hub.ready.catch(() => undefined)
  out.write(welcome(hub))
  await Promise.race([untilStopped(), hub.idle])
  err.write('Closing. Press Ctrl+C again to end at once.\n')
  process.once('SIGINT', () => process.exit(130))
  await hub.close()
  return 0
}

function welcome(hub: Hub): string {
  const files = hub.registry.list()
  const usable = files.filter(file => file.status === 'ok')
  const broken = files.length - usable.length
  const lines = [
    '',
    `AI Backend Hub ${VERSION} is ready.`,
    '',
    `  Chat         ${hub.url}/`,
    `  Dashboard    ${hub.url}/dashboard`,
    ...lanUrls(hub).map(url => `  Network      ${url}/ from other machines, with an API key`),
    `  OpenAI API   ${hub.url}/v1`,
    `  API pages    ${hub.url}/docs`,
    `  Health       ${hub.url}/health`,
    `  Models       ${usable.length === 0 ? 'none yet' : usable.map(file => file.id).join(', ')}${broken > 0 ? ` (${broken} broken: see ai-hub doctor)` : ''}`,
    '',
  ]
  if (usable.length === 0)
    lines.push(
      `Get one with "ai-hub pull", or put a GGUF file into ${join(hub.home, 'local_models', 'chat_models')}: it is listed within a second.`,
      '',
    )
  else if (usable.every(file => file.sidecar.toy === true))
    lines.push(`${usable.map(file => file.id).join(', ')}: ${toyHint(hub.home)}`, '')
  lines.push('Press Ctrl+C to stop.', '')
  return lines.join('\n')
}

/** How other machines reach the hub, if they do. */
function lanUrls({ url, settings: { host } }: Hub): string[] {
  if (host !== '0.0.0.0' && host !== '::' && host !== '[::]') return []
  return Object.values(networkInterfaces())
    .flatMap(addresses => addresses ?? [])
    .filter(({ internal, family }) => !internal && family === 'IPv4')
    .map(({ address }) => `http://${address}:${new URL(url).port}`)
}

/** Ends a command that cleans up behind itself; a second Ctrl+C ends it at once. */
function untilInterrupted(): AbortSignal {
  const stop = new AbortController()
  process.once('SIGINT', () => {
    stop.abort(new HubError('cancelled', 'Stopped.'))
    process.once('SIGINT', () => process.exit(130))
  })
  return stop.signal
}

/** Ctrl+C, a polite kill, or on Windows the closing of the console. */
function untilStopped(): Promise<void> {
  return new Promise(resolve => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => resolve())
  })
}

async function models(home: string, json: boolean): Promise<number> {
  return printModels(
    {
      home,
      terminal: out,
      async fromHub(): Promise<ModelRow[] | undefined> {
        const hub = await findHub(home)
        return hub === undefined ? undefined : (await fetchModels(hub)).map(rowOfListed)
      },
      fromFolders: async () => (await readFolders(home)).map(rowOfFile),
    },
    { json },
  )
}

/** A hub for one command only, without a word of its own. */
async function startOwnHub(home: string): Promise<Hub> {
  const hub = await startHub({ home, commandLine: { port: '0' }, env: process.env, logSinks: [] })
  await hub.ready
  return hub
}

async function chat(home: string, command: Extract<Command, { name: 'chat' }>): Promise<number> {
  const { model, system, question } = command
  return runChat(
    {
      findHub: () => findHub(home),
      startHub: () => startOwnHub(home),
      input: process.stdin,
      output: process.stdout,
      terminal: out,
      notes: err,
    },
    {
      ...(model !== undefined && { model }),
      ...(system !== undefined && { system }),
      ...(question !== undefined && { question }),
    },
  )
}

async function evaluateModels(home: string, options: EvaluateOptions): Promise<number> {
  return runEvaluate(
    {
      findHub: () => findHub(home),
      startHub: () => startOwnHub(home),
      terminal: out,
      notes: err,
      isLive: process.stderr.isTTY === true,
      signal: untilInterrupted(),
    },
    options,
  )
}

async function pull(home: string, options: PullOptions): Promise<number> {
  const { stderr } = process
  return runPull(
    {
      findHub: () => findHub(home),
      startHub: () => startOwnHub(home),
      terminal: out,
      notes: err,
      columns: stderr.isTTY ? stderr.columns : undefined,
      wait: ms => new Promise(resolve => setTimeout(resolve, ms)),
      signal: untilInterrupted(),
    },
    options,
  )
}

async function train(home: string, options: TrainOptions): Promise<number> {
  const { stdin, stderr } = process
  const signal = untilInterrupted()
  return runTrain(
    {
      home,
      findHub: () => findHub(home),
      startHub: () => startOwnHub(home),
      terminal: out,
      notes: err,
      columns: stderr.isTTY ? stderr.columns : undefined,
      ask: stdin.isTTY && stderr.isTTY ? question => askPerson(question, signal) : undefined,
      signal,
    },
    options,
  )
}

/** Enter alone means yes. */
async function askPerson(question: string, signal: AbortSignal): Promise<boolean> {
  const lines = createInterface({ input: process.stdin, output: process.stderr })
  // While it asks, it is readline that hears Ctrl+C.
  lines.once('SIGINT', () => process.emit('SIGINT'))
  try {
    return /^\s*(y(es)?)?\s*$/i.test(await lines.question(question, { signal }))
  } catch (thrown) {
    if (signal.aborted) return false
    throw thrown
  } finally {
    lines.close()
  }
}

async function adapters(home: string, command: Extract<Command, { name: 'adapters' }>): Promise<number> {
  ensureHome(home)
  const cores = await physicalCores()
  const conversion = { home, script: CONVERTER_SCRIPT, log: silentLog, threads: Math.max(1, cores - 1) }
  const registry = createAdapters({ home, log: silentLog })
  try {
    return await runAdapters(
      { terminal: out, notes: err, conversion, adapters: registry, models: () => readFolders(home) },
      command,
      untilInterrupted(),
    )
  } finally {
    await registry.close()
  }
}

/** The keys of a home on which no hub runs. */
function openKeys(home: string): KeyRing & { close(): void } {
  ensureHome(home)
  const db = openDatabase(join(home, 'hub.db'))
  const deps = { db, now: Date.now }
  const audit = openAudit(home)
  return {
    list: async () => listApiKeys(deps),
    async create(request) {
      const key = createKey(deps, request)
      audit.info('POST /v1/keys', { by: 'command line', of: key.id })
      return key
    },
    async remove(id) {
      removeKey(deps, id)
      audit.info(`DELETE /v1/keys/${id}`, { by: 'command line' })
    },
    close: () => db.close(),
  }
}

async function cuda(home: string, options: CudaOptions): Promise<number> {
  const facts = packFacts()
  const folder = nativeFolder(home, facts)
  const signal = untilInterrupted()
  const { stdin, stderr } = process
  return runCuda(
    {
      terminal: out,
      notes: err,
      facts,
      folder,
      env: process.env,
      gpus: () => findGpus(),
      runtimes: () => findCudaRuntimes(),
      isInstalled: pack => isPackInstalled(pack, folder ?? ''),
      offer: (pack, registry) => offerPack({ fetch, registry, signal }, pack),
      fetch: (offer, registry, report) => fetchPack({ fetch, registry, signal }, offer, folder ?? '', report),
      probe: async variant => toDeviceReport(await probeLibrary(PROBE_SCRIPT, variant)),
      ask: stdin.isTTY && stderr.isTTY ? question => askPerson(question, signal) : undefined,
    },
    options,
  )
}

async function doctor(home: string, json: boolean): Promise<number> {
  const database = join(home, 'hub.db')
  const { host, port } = resolveSettings({
    environment: process.env,
    stored: storedSettings(database),
    ...readSettingsFile(home),
  }).settings
  const deps = doctorDeps(
    {
      version: VERSION,
      home,
      host,
      port,
      validKeys: () => validKeys(database),
      findHub: () => findHub(home),
      portHolder: async () =>
        (await isPortFree(host, port)) ? undefined : ((await findPortHolder(port)) ?? 'unknown'),
      listModels: () => readFolders(home),
      checkDatabase: async () => openDatabase(database).close(),
    },
    PROBE_SCRIPT,
  )
  return runDoctor(deps, out, { json })
}

async function readFolders(home: string): Promise<ModelFile[]> {
  const registry = createRegistry({ folder: join(home, 'local_models'), log: silentLog })
  try {
    await registry.start()
    return registry.list()
  } finally {
    await registry.close()
  }
}

/** None in a database that cannot be opened, which is a finding of its own. */
function validKeys(path: string): number {
  try {
    const db = openDatabase(path)
    try {
      return countValidKeys({ db, now: Date.now })
    } finally {
      db.close()
    }
  } catch {
    return 0
  }
}

/** What was changed at run time; a database that cannot be opened is a finding of its own. */
function storedSettings(path: string): { [name: string]: unknown } {
  try {
    const db = openDatabase(path)
    try {
      return readSettings(db)
    } finally {
      db.close()
    }
  } catch {
    return {}
  }
}
