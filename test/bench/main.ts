/** `npm run bench -- serve|hub|switch|train|complete|pages|extension`: measures the hub, alone or beside another OpenAI-compatible server, the trainer, inline completion, the pages and the extension. Never a test: the machine decides the figures. */
import { existsSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { formatTable } from '../../server/cli/terminal.ts'
import { physicalCores } from '../../server/lib/memory.ts'
import { closeConnections } from './client.ts'
import { measureIdleMemory, measureOverhead } from './hub.ts'
import { benchModel } from './model.ts'
import { MEASUREMENTS, type Results, runRounds } from './serve.ts'
import { modelId, type Server, startLlamaServer, startReadyHub } from './servers.ts'
import { describeMachine, formatNumber, median, pairedRatios, percentile } from './statistics.ts'
import { measureSwitch } from './switch.ts'

const USAGE = `usage: npm run bench -- serve|hub|switch|train|complete|pages|extension [options]

  serve    everything: tokens/s, first token, ready after start, hub overhead, idle memory, model switch
  hub      overhead over a worker that answers at once, and idle memory
  switch   unload A, load B, first token, against loading B alone
  train    a training step against the library's matmul rate and its autodiff, over two cores, and memory plans
  extension  activation of the extension in a real VS Code while the hub runs
  complete inline completion: a person typing, against a client of /infill that works as llama.vscode does
  pages    the pages in Chromium: first paint, first key, frames while an answer streams in, memory

  --llama-server FILE   start this llama-server beside the hub, with the same threads, context and slots
  --peer-args "ARGS"    more arguments for it
  --peer URL            or measure a server that runs already (its model and settings are yours to match)
  --peer-model ID       its name of the model
  --model FILE          GGUF to serve; without it a random one of the shape of a 0.5B model, Q4_0, is made
  --model-b FILE        second GGUF for the switch
  --rounds N            paired rounds (5)
  --threads N           CPU threads of both (physical cores minus one)
  --context N           context in tokens of both (8192)
  --slots N             slots of both (8)
  --rate N              requests per second for the overhead (200)
  --seconds N           for so long (20)
  --only PARTS          of serve: streams,ready,hub,idle,switch
  --library NAME        of train: cpu, vulkan, cuda or cuda-ext (cpu)
  --device NAME         of train: the library's name of the device, such as Vulkan0
  --messages N          of pages: messages of a long talk (1000)
  --json FILE           write the figures
  --verbose             print every round
`

type Figures = { [name: string]: number | string | { [name: string]: number } }

const PARTS = ['streams', 'ready', 'hub', 'idle', 'switch']
const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    'llama-server': { type: 'string' },
    'peer-args': { type: 'string', default: '' },
    peer: { type: 'string' },
    'peer-model': { type: 'string' },
    model: { type: 'string' },
    'model-b': { type: 'string' },
    rounds: { type: 'string', default: '5' },
    threads: { type: 'string' },
    context: { type: 'string', default: '8192' },
    slots: { type: 'string', default: '8' },
    rate: { type: 'string', default: '200' },
    seconds: { type: 'string', default: '20' },
    only: { type: 'string' },
    library: { type: 'string', default: 'cpu' },
    device: { type: 'string' },
    messages: { type: 'string', default: '1000' },
    json: { type: 'string' },
    verbose: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
})
const command = positionals[0]
const parts = new Set(
  command === 'serve' ? (options.only?.split(',') ?? PARTS) : command === 'hub' ? ['hub', 'idle'] : ['switch'],
)
const strange = [...parts].find(part => !PARTS.includes(part))
if (
  options.help ||
  !['serve', 'hub', 'switch', 'train', 'complete', 'pages', 'extension'].includes(command ?? '') ||
  strange !== undefined
) {
  if (strange !== undefined) console.error(`--only knows ${PARTS.join(', ')}, not "${strange}"\n`)
  console.log(USAGE)
  process.exit(options.help ? 0 : 2)
}

const rounds = wholeNumber('rounds', options.rounds)
const threads =
  options.threads === undefined ? Math.max(1, (await physicalCores()) - 1) : wholeNumber('threads', options.threads)
const context = wholeNumber('context', options.context)
const slots = wholeNumber('slots', options.slots)
const settings = { device: 'cpu', threads, slots, contextTokens: context, logLevel: 'warn' }
const STARTER = resolve(import.meta.dirname, '..', '..', 'local_models', 'code_models', 'starter.gguf')
const model =
  options.model !== undefined
    ? resolve(options.model)
    : command === 'train' || command === 'pages' || command === 'extension'
      ? ''
      : command === 'complete' && existsSync(STARTER)
        ? STARTER
        : benchModel(1)
const figures: Figures = {}
const rows: string[][] = [['measurement', 'unit', 'hub', 'p95', 'peer', 'p95', 'hub/peer', 'range', 'better']]
const note = (line: string): void => {
  if (options.verbose) console.log(line)
}

if (command === 'train') await runTrain()
else if (command === 'complete') await runComplete()
else if (command === 'pages') await runPages()
else if (command === 'extension') await runExtension()
else await benchHub()
if (options.json !== undefined) {
  writeFileSync(options.json, `${JSON.stringify({ machine: describeMachine(), ...figures }, undefined, 2)}\n`)
}

async function benchHub(): Promise<void> {
  console.log(describeMachine())
  console.log(`model ${modelId(model)}, ${threads} threads, context ${context}, ${slots} slots, ${rounds} rounds\n`)
  try {
    if (parts.has('streams')) await benchStreams()
    if (parts.has('ready')) await benchReady()
    if (parts.has('hub')) await benchOverhead()
    if (parts.has('idle')) await benchIdle()
    if (parts.has('switch')) await benchSwitch()
  } finally {
    closeConnections()
  }
  console.log(formatTable(rows, [2, 3, 4, 5, 6]).join('\n'))
  console.log(
    `\nhub/peer is the median of the rounds' own ratios; p95 is the slow end, of tokens/s the lowest. At the end: ${describeMachine()}`,
  )
}

async function runComplete(): Promise<void> {
  const { benchComplete } = await import('./complete_run.ts')
  console.log(describeMachine())
  console.log(`model ${modelId(model)}, ${threads} threads, context ${context}\n`)
  const { peer: url, 'peer-model': peerModel, 'llama-server': binary } = options
  const peer = url === undefined ? undefined : { url, model: peerModel ?? modelId(model) }
  const result = await benchComplete({
    model,
    settings,
    rounds: options.rounds === '5' ? 1 : rounds,
    peer,
    startPeer: binary === undefined ? undefined : () => startLlamaServer(binary, model, peerArgs()),
  })
  Object.assign(figures, result.figures)
  console.log(formatTable(result.rows, [1, 2, 3]).join('\n'))
  console.log(`\nAt the end: ${describeMachine()}`)
}

async function runExtension(): Promise<void> {
  const { benchExtension } = await import('./extension.ts')
  console.log(`${describeMachine()}\n`)
  const result = await benchExtension(rounds, note)
  Object.assign(figures, result.figures)
  console.log(formatTable(result.rows, [2, 3, 4]).join('\n'))
  console.log(`\n${figures.host}. At the end: ${describeMachine()}`)
}

/** Loaded only here: the other commands measure processes that must stay free of native code. */
async function runTrain(): Promise<void> {
  const { benchTrain, libraryVariant } = await import('./train.ts')
  const library = libraryVariant(options.library)
  console.log(`${describeMachine()}\n`)
  const result = await benchTrain({ library, device: options.device, rounds, note })
  Object.assign(figures, result.figures)
  console.log(formatTable([['measurement', 'unit', 'value', 'bar'], ...result.rows], [2]).join('\n'))
  console.log(`\n${figures.library}, ${figures.device}. At the end: ${describeMachine()}`)
}

async function runPages(): Promise<void> {
  const { benchPages } = await import('./pages.ts')
  console.log(`${describeMachine()}\n`)
  const result = await benchPages({ rounds, messages: wholeNumber('messages', options.messages), note })
  Object.assign(figures, result.figures)
  const shown = result.rows.map(([name, unit, value, bar]) => [name, unit, formatNumber(value), bar])
  console.log(formatTable([['measurement', 'unit', 'value', 'bar'], ...shown], [2]).join('\n'))
  console.log(`\nAt the end: ${describeMachine()}`)
}

async function startPeer(): Promise<Server | undefined> {
  if (options['llama-server'] !== undefined) return startLlamaServer(options['llama-server'], model, peerArgs())
  if (options.peer === undefined) return undefined
  const url = options.peer.replace(/\/+$/, '')
  return { name: 'peer', url, model: options['peer-model'] ?? modelId(model), stop: async () => {} }
}

function peerArgs(): string[] {
  const same = ['-t', threads, '-tb', threads, '-c', context, '-np', slots].map(String)
  const more = options['peer-args'].split(' ').filter(arg => arg !== '')
  return [...same, '--kv-unified', '--no-webui', ...more]
}

async function benchStreams(): Promise<void> {
  const hub = await startReadyHub({ models: [model], settings })
  const servers: Server[] = [hub]
  let results: Results
  try {
    const peer = await startPeer()
    if (peer !== undefined) servers.push(peer)
    results = await runRounds(servers, rounds, note)
  } finally {
    for (const server of servers) await server.stop()
  }
  const keys: { [name: string]: string } = {
    '1 stream': 'single_stream_ratio',
    '4 streams': 'streams4_ratio',
    '8 streams': 'streams8_ratio',
    'first token, cold prefix': 'cold_first_token_ratio',
    'first token, shared prefix': 'prefix_first_token_ratio',
  }
  for (const { name, unit } of MEASUREMENTS) {
    const { hub: ours, peer } = results.get(name) ?? { hub: [], peer: [] }
    addRow(name, unit, ours, peer, keys[name])
  }
}

/** Each start is a new process; the peer's server of the streams is not running then. */
async function benchReady(): Promise<void> {
  const ours: number[] = []
  const peer: number[] = []
  const starts: [number[], () => Promise<Server>][] = [[ours, () => startReadyHub({ models: [model], settings })]]
  const binary = options['llama-server']
  if (binary !== undefined) starts.push([peer, () => startLlamaServer(binary, model, peerArgs())])
  // Round 0 reads the file into the page cache.
  for (let round = 0; round <= Math.min(rounds, 5); round++) {
    for (const [times, start] of round % 2 === 0 ? starts : [...starts].reverse()) {
      const server = await start()
      await server.stop()
      if (round > 0 && server.readyMs !== undefined) times.push(server.readyMs)
    }
  }
  addRow('ready after start', 'ms', ours, peer, 'ready_ratio')
}

async function benchOverhead(): Promise<void> {
  const rate = wholeNumber('rate', options.rate)
  const figure = await measureOverhead({ models: [model], settings }, rate, wholeNumber('seconds', options.seconds))
  figures.hub_p99_ms = figure.p99Ms
  const row = (name: string, value: number): string[] => [`hub alone at ${rate}/s, ${name}`, 'ms', formatNumber(value)]
  for (const [name, value] of [
    ['p50', figure.p50Ms],
    ['p95', figure.p95Ms],
    ['p99', figure.p99Ms],
  ] as const) {
    rows.push([...row(name, value), '', '', '', '', '', 'lower'])
  }
}

async function benchIdle(): Promise<void> {
  const mib = await measureIdleMemory({ models: [model], settings })
  if (mib === undefined) return
  figures.idle_rss_mb = mib
  rows.push(['hub process, idle', 'MiB', formatNumber(mib), '', '', '', '', '', 'lower'])
}

async function benchSwitch(): Promise<void> {
  const second = options['model-b'] === undefined ? benchModel(2) : resolve(options['model-b'])
  const times = await measureSwitch([model, second], settings, Math.min(rounds, 5))
  const ratio = median(pairedRatios(times.switchMs, times.aloneMs))
  figures.switch_ratio = ratio
  rows.push(['load B, first token', 'ms', formatNumber(median(times.aloneMs)), '', '', '', '', '', 'lower'])
  rows.push(['unload A, load B, first token', 'ms', formatNumber(median(times.switchMs)), '', '', '', '', '', 'lower'])
  rows.push(['switch / loading B alone', 'ratio', formatNumber(ratio), '', '', '', '', '', 'lower'])
}

function addRow(name: string, unit: string, ours: number[], peer: number[], key: string | undefined): void {
  // The slow end: the lowest rate, the highest latency.
  const slow = (values: number[]): string =>
    values.length === 0 ? '' : formatNumber(percentile(values, unit === 'ms' ? 0.95 : 0.05))
  const ratios = pairedRatios(ours, peer)
  const middle = (values: number[]): string => (values.length === 0 ? '' : formatNumber(median(values)))
  const range = ratios.length === 0 ? '' : `${formatNumber(Math.min(...ratios))}-${formatNumber(Math.max(...ratios))}`
  rows.push([
    name,
    unit,
    middle(ours),
    slow(ours),
    middle(peer),
    slow(peer),
    middle(ratios),
    range,
    unit === 'ms' ? 'lower' : 'higher',
  ])
  if (key !== undefined && ratios.length > 0) figures[key] = median(ratios)
}

function wholeNumber(name: string, text: string): number {
  const value = Number(text)
  if (Number.isInteger(value) && value > 0) return value
  console.error(`--${name} must be a whole number above 0, not "${text}"`)
  process.exit(2)
}
