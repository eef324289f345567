/** `ai-hub train`: shows the plan with its reasons, trains in the running hub or in one of its own, and draws how the loss fell. */
import { statSync } from 'node:fs'
import { basename, resolve } from 'node:path'
import * as z from 'zod'
import { HubError } from '../lib/error.ts'
import { insideFolder } from '../lib/inside.ts'
import { drawCurves, progressBar } from '../training/plot.ts'
import { DatasetName } from '../wire/dataset.ts'
import { JobProgress, TrainingCurve, TrainingDryRun, TrainingEventOut, TrainingJobOut } from '../wire/training.ts'
import { authorization, callHub, type HubAddress, readEvents, uploadFile } from './api.ts'
import { formatBytes, formatTable, paint, type Terminal } from './terminal.ts'

export type TrainDeps = {
  home: string
  /** Address of the hub that runs on this home, if one does. */
  findHub(): Promise<HubAddress | undefined>
  /** Starts a hub for this job only. */
  startHub(): Promise<HubAddress & { close(): Promise<void> }>
  terminal: Terminal
  /** What is not the result: progress and questions. */
  notes: Terminal
  /** Width of the notes' terminal; undefined where they go to a file, which gets lines instead of a bar. */
  columns: number | undefined
  /** Asks a person; undefined where nobody can answer. */
  ask: ((question: string) => Promise<boolean>) | undefined
  /** Aborts with Ctrl+C. */
  signal: AbortSignal
}

export type TrainOptions = {
  model: string
  /** A file, a folder inside home, or the name of a dataset. */
  data: string
  validation?: string
  name?: string
  /** Hyperparameters by their API name, as typed. */
  config: { [name: string]: string }
  method?: string
  tooLong?: string
  continueFrom?: string
  replay?: string
  replace: boolean
  /** First look for the learning rate and the rank. */
  search: boolean
  evaluate: boolean
  dryRun: boolean
  yes: boolean
  json: boolean
}

/** Gives the exit code: 0 trained, 1 failed, 130 cancelled. @throws HubError for what the hub refuses */
export async function runTrain(deps: TrainDeps, options: TrainOptions): Promise<number> {
  const running = await deps.findHub()
  const own = running === undefined ? await deps.startHub() : undefined
  const hub: HubAddress = running ?? own ?? { url: '' }
  const uploads: string[] = []
  try {
    const request = await makeRequest(deps, hub, options, uploads)
    const planned = await callHub(hub, 'POST', '/v1/training/start', { ...request, dry_run: true }, deps.signal)
    const dryRun = TrainingDryRun.parse(planned)
    if (options.json && options.dryRun) deps.terminal.write(`${JSON.stringify(dryRun, undefined, 2)}\n`)
    else printPlan(options.dryRun ? deps.terminal : deps.notes, dryRun)
    if (options.dryRun) return 0
    if (!options.yes && deps.ask !== undefined && !(await deps.ask('Train now? [Y/n] '))) {
      deps.notes.write('Nothing was trained.\n')
      return 0
    }
    const path = options.search ? '/v1/training/search' : '/v1/training/start'
    const job = TrainingJobOut.parse(await callHub(hub, 'POST', path, request, deps.signal))
    const { code, last } = await follow(deps, hub, job, options.json)
    // One that was stopped before its data was read reads it when it is resumed.
    if (last.status !== 'succeeded' && last.dataset === undefined) uploads.length = 0
    return code
  } finally {
    // The hub keeps those of a job that has not ended.
    await dropUploads(hub, uploads)
    await own?.close()
  }
}

const DATA = { path: 'dataset_path', file: 'training_file', dataset: 'dataset' }
const VALIDATION = { path: 'validation_path', file: 'validation_file' }

async function makeRequest(
  deps: TrainDeps,
  hub: HubAddress,
  options: TrainOptions,
  uploads: string[],
): Promise<{ [key: string]: unknown }> {
  const { model, name, config, method, tooLong, continueFrom, replay, replace, validation } = options
  return {
    model_name: model,
    ...(await findData(deps, hub, options.data, DATA, uploads)),
    ...(validation !== undefined && (await findData(deps, hub, validation, VALIDATION, uploads))),
    ...(name !== undefined && { name }),
    ...(method !== undefined && { method }),
    ...(tooLong !== undefined && { too_long: tooLong }),
    ...(continueFrom !== undefined && { continue_from: continueFrom }),
    ...(replay !== undefined && { replay: asTyped(replay) }),
    ...(replace && { replace }),
    ...(options.evaluate && { evaluate: true }),
    config: Object.fromEntries(Object.entries(config).map(([key, value]) => [key, asTyped(value)])),
  }
}

/** A number where it is one; the hub's schema judges the rest. */
const asTyped = (text: string): unknown => (/^-?\d+(\.\d+)?(e-?\d+)?$/i.test(text) ? Number(text) : text)

/** What is not inside home is uploaded: the hub reads no other place. */
async function findData(
  deps: TrainDeps,
  hub: HubAddress,
  data: string,
  keys: { path: string; file: string; dataset?: string },
  uploads: string[],
): Promise<{ [key: string]: string }> {
  const path = resolve(data)
  const stats = statSync(path, { throwIfNoEntry: false })
  if (stats === undefined) {
    const isName = DatasetName.safeParse(data.replace(/:\d+$/, '')).success && !/\.(jsonl?|csv|tsv|txt|md)$/i.test(data)
    if (keys.dataset !== undefined && isName) return { [keys.dataset]: data }
    throw new HubError('not_found', `There is no file ${path}.`)
  }
  try {
    return { [keys.path]: insideFolder(deps.home, path, 'data') }
  } catch {
    if (stats.isDirectory()) {
      throw new HubError(
        'invalid_request',
        `The folder ${path} lies outside ${deps.home}. Make a dataset of it, and train on that: ai-hub datasets import NAME ${data}`,
      )
    }
  }
  deps.notes.write(
    `${paint(deps.notes, 'dim', `Copying ${basename(path)} (${formatBytes(stats.size)}) to the hub.`)}\n`,
  )
  const id = await uploadFile(hub, path, deps.signal)
  uploads.push(id)
  return { [keys.file]: id }
}

/** What was read of uploads lies in datasets then. */
async function dropUploads(hub: HubAddress, uploads: string[]): Promise<void> {
  for (const id of uploads.splice(0)) await callHub(hub, 'DELETE', `/v1/files/${id}`).catch(() => undefined)
}

function printPlan(terminal: Terminal, { model, name, samples, notes, stats, plan }: TrainingDryRun): void {
  const { settings, reasons, expected } = plan
  const line = (text: string) => terminal.write(`${text}\n`)
  line('')
  line(paint(terminal, 'bold', `${model}:${name}`))
  const validation = samples.validation > 0 ? `, ${samples.validation} to validate on` : ''
  line(
    `  ${samples.training} samples to learn from${validation}; ${stats.tokens} tokens, ${stats.targetTokens} of them learned`,
  )
  line(
    `  ${expected.steps} steps, about ${tellDuration(expected.seconds)} (${expected.basis}), ${formatBytes(expected.memoryBytes)} of ${formatBytes(expected.freeBytes)} free`,
  )
  line('')
  const { mode, loss } = settings
  const values: { [name: string]: unknown } = {
    epochs: settings.epochs,
    batch_size: `${settings.rowsPerStep} rows of ${settings.rowTokens}`,
    learning_rate: settings.rate,
    ...(mode.type === 'lora' && {
      rank: mode.rank,
      alpha: mode.alpha,
      targets: mode.targets.join(' '),
      dropout: mode.dropout,
    }),
    schedule: settings.schedule,
    eval_interval: settings.validateEverySteps,
    save_interval: settings.checkpointEverySteps,
    patience: settings.patience,
    gradient_checkpointing: settings.layerCheckpointing,
    ...(loss.type === 'preference' && { beta: loss.beta }),
    device: settings.library,
  }
  const rows = Object.entries(values).map(([key, value]) => [`  ${key}`, String(value), reasons[key] ?? ''])
  for (const row of formatTable(rows)) line(row)
  line('')
  for (const note of [...notes, ...plan.warnings]) line(paint(terminal, 'yellow', `-> ${note}`))
}

const StreamEvent = z.union([TrainingJobOut, TrainingEventOut, JobProgress])

/** Shows a job until it has ended. */
async function follow(
  deps: TrainDeps,
  hub: HubAddress,
  job: TrainingJobOut,
  json: boolean,
): Promise<{ code: number; last: TrainingJobOut }> {
  const { notes, signal } = deps
  const path = `/v1/training/status/${job.id}`
  const bar = new Bar(notes, deps.columns)
  bar.say(paint(notes, 'dim', `The job is ${job.id}; Ctrl+C cancels it.`))
  let last = job
  let isCancelled = false
  const cancel = () => {
    isCancelled = true
    bar.say('Cancelling; press Ctrl+C again to leave at once.')
    void callHub(hub, 'POST', `/v1/fine_tuning/jobs/${job.id}/cancel`).catch(() => undefined)
  }
  signal.addEventListener('abort', cancel, { once: true })
  if (signal.aborted) cancel()
  try {
    const response = await fetch(`${hub.url}${path}?stream=true`, { headers: authorization(hub) })
    if (!response.ok || response.body === null) throw new HubError('internal', `The hub answered ${response.status}.`)
    for await (const data of readEvents(response.body)) {
      const event = StreamEvent.safeParse(JSON.parse(data)).data
      if (event === undefined) continue
      if ('object' in event) last = event
      else if ('step' in event) bar.show(event)
      else if (event.type === 'message') bar.say(paintLevel(notes, event))
    }
  } catch (thrown) {
    // A stream that breaks off says nothing but "terminated".
    throw thrown instanceof HubError
      ? thrown
      : new HubError(
          'shutting_down',
          'The hub ended while the job ran. Start it again with "ai-hub serve": the job goes on from its last checkpoint.',
          { cause: thrown },
        )
  } finally {
    bar.end()
    signal.removeEventListener('abort', cancel)
  }
  last = TrainingJobOut.parse(await callHub(hub, 'GET', path))
  const curve = TrainingCurve.parse(await callHub(hub, 'GET', `${path}/curve`))
  if (json) {
    deps.terminal.write(`${JSON.stringify(last, undefined, 2)}\n`)
    return { code: last.status === 'succeeded' ? 0 : isCancelled ? 130 : 1, last }
  }
  if (last.search !== undefined) notes.write(`\n${last.search.table}\n\n${last.search.plot}\n\n`)
  if (curve.points.length > 1) notes.write(`${drawLosses(notes, curve.points, deps.columns ?? 80)}\n`)
  switch (last.status) {
    case 'succeeded':
      deps.terminal.write(`${last.result_model} is ready: ai-hub chat --model ${last.result_model}\n`)
      return { code: 0, last }
    case 'cancelled':
      deps.terminal.write(
        `Cancelled${last.progress === undefined ? '' : ` at step ${last.progress.step}`}. "ai-hub jobs resume ${last.id}" goes on from its last checkpoint; its files are kept for thirty days.\n`,
      )
      return { code: 130, last }
    case 'paused':
      deps.terminal.write(`Paused. "ai-hub jobs resume ${last.id}" goes on.\n`)
      return { code: 0, last }
    default:
      deps.terminal.write(
        `${paint(deps.terminal, 'red', last.error?.message ?? `The job is ${last.status}.`)}\n"ai-hub jobs resume ${last.id}" tries again from its last checkpoint.\n`,
      )
      return { code: 1, last }
  }
}

function drawLosses(terminal: Terminal, points: TrainingCurve['points'], columns: number): string {
  const curve = (name: string, key: 'loss' | 'validation_loss') => ({
    name,
    points: points.flatMap(point => (point[key] === undefined ? [] : [[point.step, point[key]] as const])),
  })
  const curves = [curve('loss', 'loss'), curve('validation loss', 'validation_loss')]
  return drawCurves(
    curves.filter(each => each.points.length > 0),
    { width: Math.min(columns, 100), height: 16, xName: 'step', color: terminal.colour },
  )
}

/** One line that is drawn over, or in a file a line for each tenth. */
class Bar {
  readonly #terminal: Terminal
  readonly #columns: number | undefined
  #line = ''
  #tenth = -1

  constructor(terminal: Terminal, columns: number | undefined) {
    this.#terminal = terminal
    this.#columns = columns
  }

  show(progress: JobProgress): void {
    const share = progress.step / Math.max(1, progress.total_steps)
    const validation = progress.validation_loss === undefined ? '' : `  val ${progress.validation_loss.toFixed(3)}`
    const facts = `${progress.step}/${progress.total_steps}  loss ${progress.loss.toFixed(3)}${validation}  ${Math.round(progress.tokens_per_second)} tok/s  ${tellDuration(progress.seconds_left)} left`
    if (this.#columns === undefined) {
      const tenth = Math.floor(share * 10)
      if (tenth === this.#tenth) return
      this.#tenth = tenth
      this.#terminal.write(`step ${facts}\n`)
      return
    }
    this.#line = progressBar(share, facts, Math.min(120, this.#columns - 1))
    this.#terminal.write(`\r${this.#line}\u001b[K`)
  }

  /** A line above the bar. */
  say(text: string): void {
    const clear = this.#line === '' ? '' : '\r\u001b[K'
    this.#terminal.write(`${clear}${text}\n${this.#line}`)
  }

  end(): void {
    if (this.#line !== '') this.#terminal.write('\n')
    this.#line = ''
  }
}

function paintLevel(terminal: Terminal, { level, message }: TrainingEventOut): string {
  if (level === 'info') return paint(terminal, 'dim', message)
  return paint(terminal, level === 'warn' ? 'yellow' : 'red', message)
}

/** `3 h 5 min` */
export function tellDuration(seconds: number): string {
  if (seconds < 90) return `${Math.max(0, Math.round(seconds))} s`
  const minutes = Math.round(seconds / 60)
  return minutes < 90 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}
