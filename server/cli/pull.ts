/** `ai-hub pull NAME`: gets a model over the network with a progress bar, in the running hub or in one of its own; without a name it shows what suits this machine. */
import { HubError } from '../lib/error.ts'
import { gigabytes } from '../models/pull_choose.ts'
import { progressBar } from '../training/plot.ts'
import type { ModelFolder } from '../wire/model.ts'
import { type MemoryFit, PullOut, PullPlan, type PullRequest, SuggestionList } from '../wire/pull.ts'
import { callHub, type HubAddress } from './api.ts'
import { formatTable, paint, printable, type Terminal } from './terminal.ts'
import { tellDuration } from './train.ts'

export type PullDeps = {
  /** The hub that runs on this home, if one does. */
  findHub(): Promise<HubAddress | undefined>
  /** Starts a hub for this download only. */
  startHub(): Promise<HubAddress & { close(): Promise<void> }>
  terminal: Terminal
  /** What is not the result: progress and advice. */
  notes: Terminal
  /** Width of the notes' terminal; undefined where they go to a file, which gets lines instead of a bar. */
  columns: number | undefined
  wait(ms: number): Promise<void>
  /** Aborts with Ctrl+C. */
  signal: AbortSignal
}

export type PullOptions = { model?: string; quant?: string; folder?: ModelFolder; dryRun: boolean; json: boolean }

const LOOK_MS = 250

/** Gives the exit code: 0 there, 1 failed, 130 stopped. @throws HubError for what the hub refuses */
export async function runPull(deps: PullDeps, options: PullOptions): Promise<number> {
  const running = await deps.findHub()
  const own = running === undefined ? await deps.startHub() : undefined
  const hub: HubAddress = running ?? own ?? { url: '' }
  try {
    if (options.model === undefined) return await showSuggestions(deps, hub, options.json)
    const { model, quant, folder } = options
    const request: Partial<PullRequest> = {
      model,
      ...(quant !== undefined && { quant }),
      ...(folder !== undefined && { folder }),
    }
    if (options.dryRun) {
      const plan = PullPlan.parse(
        await callHub(hub, 'POST', '/v1/models/pull', { ...request, dry_run: true }, deps.signal),
      )
      showPlan(deps, plan, options.json)
      return 0
    }
    const pull = PullOut.parse(await callHub(hub, 'POST', '/v1/models/pull', request, deps.signal))
    return await follow(deps, hub, pull, options.json)
  } finally {
    await own?.close()
  }
}

async function showSuggestions({ terminal, notes }: PullDeps, hub: HubAddress, json: boolean): Promise<number> {
  const { data } = SuggestionList.parse(await callHub(hub, 'GET', '/v1/models/suggested'))
  if (json) {
    terminal.write(`${JSON.stringify(data, undefined, 2)}\n`)
    return 0
  }
  if (data.length === 0) {
    terminal.write(
      'None of the well-known models fits the free memory of this machine. Close other programs, or train and serve smaller ones.\n',
    )
    return 0
  }
  const rows = data.map(({ id, bytes, purposes, license, installed }) => [
    `${id}${installed ? ' (here)' : ''}`,
    `~${gigabytes(bytes)}`,
    purposes.join(', '),
    license,
  ])
  const [head = '', ...lines] = formatTable([['name', 'size', 'for', 'licence'], ...rows], [1])
  terminal.write(`${paint(terminal, 'bold', head)}\n`)
  for (const [i, line] of lines.entries()) {
    const { best_for, reason } = data[i]!
    terminal.write(`${best_for.length > 0 ? paint(terminal, 'green', line) : line}\n`)
    terminal.write(`  ${paint(terminal, 'dim', reason)}\n`)
  }
  notes.write('\nGet one with "ai-hub pull NAME", or any GGUF with "ai-hub pull OWNER/REPO:QUANT".\n')
  return 0
}

function showPlan({ terminal }: PullDeps, plan: PullPlan, json: boolean): void {
  const line = (text: string) => terminal.write(`${text}\n`)
  if (json) {
    line(JSON.stringify(plan, undefined, 2))
    return
  }
  const { memory, choices } = plan
  line(`${printable(plan.name)}, from ${plan.source} into ${plan.folder}`)
  const rows = plan.files.map(({ name, bytes }) => [
    `  ${name}`,
    bytes === undefined ? 'size not known' : gigabytes(bytes),
  ])
  for (const row of formatTable(rows, [1])) line(row)
  if (plan.present_bytes > 0) line(`  ${gigabytes(plan.present_bytes)} of it are there already`)
  line(`  disk: ${gigabytes(plan.disk_free_bytes)} free${plan.fits_disk ? '' : ', which is not enough'}`)
  if (memory !== undefined) line(`  memory: ${tellFit(memory)}`)
  if (choices.length > 1) {
    const all = choices.map(
      ({ quant, bytes, fit }) => `${quant} (${gigabytes(bytes)}${fit === 'no' ? ', too large here' : ''})`,
    )
    line(`  there is ${all.join(', ')}`)
  }
}

function tellFit({ fit, need_bytes, free_bytes }: MemoryFit): string {
  const figures = `about ${gigabytes(need_bytes)} of ${gigabytes(free_bytes)}`
  return {
    device: `fits the graphics card, ${figures}`,
    memory: `fits, ${figures}`,
    shared: `fits the graphics card in part, ${figures}`,
    no: `does not fit, ${figures}`,
  }[fit]
}

/** Shows a download until it has ended; Ctrl+C stops it and keeps what came. */
async function follow(deps: PullDeps, hub: HubAddress, begun: PullOut, json: boolean): Promise<number> {
  const { terminal, notes, signal } = deps
  const path = `/v1/models/pulls/${begun.id}`
  const bar = new Bar(notes, deps.columns)
  if (begun.state !== 'done') bar.say(paint(notes, 'dim', `${begun.source}, into ${begun.folder}`))
  let pull = begun
  let isStopped = false
  while (['queued', 'running', 'checking'].includes(pull.state)) {
    if (signal.aborted && !isStopped) {
      isStopped = true
      pull = PullOut.parse(await callHub(hub, 'DELETE', path))
      continue
    }
    bar.show(pull)
    await deps.wait(LOOK_MS)
    pull = PullOut.parse(await callHub(hub, 'GET', path))
  }
  bar.end()
  if (json) terminal.write(`${JSON.stringify(pull, undefined, 2)}\n`)
  switch (pull.state) {
    case 'done':
      if (!json) terminal.write(`${pull.name} is in ${pull.folder}: ai-hub chat --model ${pull.name}\n`)
      return 0
    case 'cancelled':
      notes.write(
        `Stopped. ${pull.bytes > 0 ? `${gigabytes(pull.bytes)} are kept; the` : 'The'} same command goes on.\n`,
      )
      return 130
    default:
      throw new HubError('download_failed', printable(pull.error ?? `The download ${pull.state}.`))
  }
}

/** One line that is drawn over, or in a file a line for each tenth and each note. */
class Bar {
  readonly #terminal: Terminal
  readonly #columns: number | undefined
  #line = ''
  #said = ''

  constructor(terminal: Terminal, columns: number | undefined) {
    this.#terminal = terminal
    this.#columns = columns
  }

  show(pull: PullOut): void {
    const { bytes, total_bytes: total = 0 } = pull
    const share = total > 0 ? bytes / total : 0
    const facts = tellProgress(pull)
    if (this.#columns === undefined) {
      const mark = `${pull.state} ${Math.floor(share * 10)} ${pull.note ?? ''}`
      if (mark === this.#said) return
      this.#said = mark
      this.#terminal.write(`${facts}\n`)
      return
    }
    this.#line = progressBar(share, facts, Math.min(120, this.#columns - 1))
    this.#terminal.write(`\r${this.#line}\u001b[K`)
  }

  say(text: string): void {
    this.#terminal.write(`${text}\n`)
  }

  end(): void {
    if (this.#line !== '') this.#terminal.write('\n')
    this.#line = ''
  }
}

function tellProgress({
  state,
  bytes,
  total_bytes,
  bytes_per_second: rate,
  seconds_left: left,
  note,
}: PullOut): string {
  const size = total_bytes === undefined ? gigabytes(bytes) : `${gigabytes(bytes)} of ${gigabytes(total_bytes)}`
  if (state === 'queued') return `${size}  waits for other downloads`
  if (state === 'checking') return `${size}  checking`
  if (note !== undefined) return `${size}  ${printable(note)}`
  const speed = rate === undefined || rate === 0 ? '' : `  ${gigabytes(rate)}/s`
  return `${size}${speed}${left === undefined ? '' : `  ${tellDuration(left)} left`}`
}
