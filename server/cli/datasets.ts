/** `ai-hub datasets`: says what is in data for training and what is wrong with it, imports it, and shows what was imported. */
import { existsSync, statSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { HubError } from '../lib/error.ts'
import { insideFolder } from '../lib/inside.ts'
import {
  type Dataset,
  type ImportDeps,
  importDataset,
  listDatasets,
  openDataset,
  readPart,
  readReport,
} from '../training/datasets.ts'
import { checkSources } from '../training/datasets_check.ts'
import { describeReport } from '../training/findings_report.ts'
import type { Source } from '../training/sources.ts'
import {
  DatasetCheck,
  DatasetOut,
  DatasetPreview,
  type DatasetSource,
  FormatName,
  type Problem,
} from '../wire/dataset.ts'
import type { QualityReport } from '../wire/quality.ts'
import type { Sample } from '../wire/sample.ts'
import type { SampleSegment } from '../wire/training_plan.ts'
import { callHub, type HubAddress, uploadFile } from './api.ts'
import type { DatasetsAction } from './args.ts'
import { formatBytes, formatTable, paint, printable, type Terminal } from './terminal.ts'

export type DatasetsDeps = ImportDeps & {
  terminal: Terminal
  /** For what is not the result: progress and hints. */
  notes: Terminal
  /** Address of the hub that runs on this home, if one does. */
  findHub(): Promise<HubAddress | undefined>
  /** Starts a hub for this command only: what a model tells of data needs one. */
  startHub(): Promise<HubAddress & { close(): Promise<void> }>
}

const SHOWN_PROBLEMS = 20

/** Runs one of the actions and gives the exit code: 1 when a check finds malformed lines or errors. */
export async function runDatasets(
  deps: DatasetsDeps,
  command: DatasetsAction & { json: boolean },
  signal: AbortSignal,
): Promise<number> {
  switch (command.action) {
    case 'list':
      return list(deps, command.json)
    case 'show':
      return show(deps, command)
    case 'check':
      return check(deps, command, signal)
    case 'preview':
      return preview(deps, command, signal)
    case 'import': {
      const dataset =
        command.model === undefined
          ? await importHere(deps, command, signal)
          : await importByHub(deps, command, command.model, signal)
      if (command.json) printJson(deps, dataset.manifest)
      else {
        printManifest(deps, dataset)
        printReport(deps, readReport(dataset))
      }
      return 0
    }
  }
}

type ImportAction = Extract<DatasetsAction, { action: 'import' }>
type CheckAction = Extract<DatasetsAction, { action: 'check' }>

function importHere(deps: DatasetsDeps, command: ImportAction, signal: AbortSignal): Promise<Dataset> {
  const input = {
    name: command.dataset,
    sources: command.paths.map((path): Source => (command.git ? { git: path } : { path })),
    onProblem: command.refuse ? ('refuse' as const) : ('skip' as const),
    append: command.append,
    ...reading(command.format),
  }
  return importDataset(deps, input, signal)
}

async function importByHub(
  deps: DatasetsDeps,
  { dataset, paths, format, append, refuse, git }: ImportAction,
  model: string,
  signal: AbortSignal,
): Promise<Dataset> {
  if (git) throw new HubError('invalid_request', '--model is not for a git history: import that without it.')
  const made = await withHub(deps, async hub =>
    withSources(deps, hub, paths, signal, async sources => {
      const body = {
        name: dataset,
        ...sources,
        ...reading(format),
        append,
        on_problem: refuse ? 'refuse' : 'skip',
        model,
      }
      return DatasetOut.parse(await callHub(hub, 'POST', '/v1/training/datasets/import', body, signal))
    }),
  )
  return openDataset(deps.home, made.name, made.version)
}

const reading = (name: string | undefined): { format?: FormatName } => {
  const format = formatOf(name)
  return format === undefined ? {} : { format }
}

async function withHub<T>(deps: DatasetsDeps, act: (hub: HubAddress) => Promise<T>): Promise<T> {
  const running = await deps.findHub()
  if (running !== undefined) return act(running)
  const own = await deps.startHub()
  try {
    return await act(own)
  } finally {
    await own.close()
  }
}

/** The hub reads nothing outside its home: one file from elsewhere is copied to it for so long. */
async function withSources<T>(
  deps: DatasetsDeps,
  hub: HubAddress,
  paths: string[],
  signal: AbortSignal,
  act: (sources: { paths?: string[]; file?: string }) => Promise<T>,
): Promise<T> {
  const found = paths.map(path => resolve(path))
  const missing = found.find(path => !existsSync(path))
  if (missing !== undefined) throw new HubError('not_found', `There is no file or folder ${missing}.`)
  const outside = found.filter(path => !isInside(deps.home, path))
  const [file, second] = outside
  if (file === undefined) return act({ paths: found })
  if (second !== undefined || statSync(file).isDirectory()) {
    throw new HubError(
      'invalid_request',
      `With --model the hub reads the data, which lies outside ${deps.home}. Name one file, or copy the data to ${join(deps.home, 'training_data')}.`,
    )
  }
  deps.notes.write(`Copying ${basename(file)} to the hub.\n`)
  const id = await uploadFile(hub, file, signal)
  try {
    return await act({ file: id, ...(found.length > 1 && { paths: found.filter(path => path !== file) }) })
  } finally {
    await callHub(hub, 'DELETE', `/v1/files/${id}`).catch(() => undefined)
  }
}

function isInside(home: string, path: string): boolean {
  try {
    insideFolder(home, path, 'data')
    return true
  } catch {
    return false
  }
}

/** What is learned stands out: in colour, or between marks where there is none. */
async function preview(
  deps: DatasetsDeps,
  command: Extract<DatasetsAction, { action: 'preview' }> & { json: boolean },
  signal: AbortSignal,
): Promise<number> {
  const { terminal } = deps
  const query = new URLSearchParams({ model: command.model, offset: String(command.sample - 1) })
  if (command.version !== undefined) query.set('version', String(command.version))
  if (command.part !== undefined) query.set('part', command.part)
  const path = `/v1/training/datasets/${encodeURIComponent(command.dataset)}/preview?${query}`
  const shown = DatasetPreview.parse(await withHub(deps, hub => callHub(hub, 'GET', path, undefined, signal)))
  if (command.json) {
    printJson(deps, shown)
    return 0
  }
  const { name, version, part, model, preview } = shown
  const write = (segments: SampleSegment[]): void => {
    for (const { text, learned, weight } of segments) {
      const safe = printable(text)
      if (!learned) terminal.write(paint(terminal, 'dim', safe))
      else terminal.write(terminal.colour ? paint(terminal, 'green', safe) : `⟦${safe}⟧`)
      if (learned && weight !== 1) terminal.write(paint(terminal, 'yellow', `×${weight}`))
    }
    terminal.write('\n')
  }
  const marks = terminal.colour ? 'green' : 'between ⟦ and ⟧'
  terminal.write(
    `${paint(terminal, 'bold', `${name}, version ${version}, ${part} ${command.sample}`)} for ${model}: ${preview.tokens} tokens, ${preview.targetTokens} of them learned (${marks})\n\n`,
  )
  write(preview.segments)
  for (const more of preview.more ?? []) {
    terminal.write('\nLearned in a sequence of its own:\n')
    write(more)
  }
  if (preview.rejected !== undefined) {
    terminal.write('\nTo become less likely:\n')
    write(preview.rejected)
  }
  return 0
}

function list(deps: DatasetsDeps, json: boolean): number {
  const { terminal } = deps
  const datasets = listDatasets(deps.home)
  if (json)
    printJson(
      deps,
      datasets.map(dataset => dataset.manifest),
    )
  else if (datasets.length === 0)
    terminal.write('There is no dataset yet. Make one: ai-hub datasets import NAME FILE\n')
  else {
    const rows = datasets.map(({ name, version, manifest: { counts, created } }) => [
      name,
      String(version),
      ...[counts.train, counts.validation, counts.test].map(String),
      created.slice(0, 10),
    ])
    const heading = ['dataset', 'version', 'train', 'validation', 'test', 'created']
    printTable(terminal, [heading, ...rows], [1, 2, 3, 4])
  }
  return 0
}

async function show(deps: DatasetsDeps, command: Extract<DatasetsAction, { action: 'show' }> & { json: boolean }) {
  const dataset = openDataset(deps.home, command.dataset, command.version)
  const samples: Sample[] = []
  for await (const sample of readPart(dataset, 'train')) {
    if (samples.length >= command.samples) break
    samples.push(sample)
  }
  if (command.json) {
    printJson(deps, { ...dataset.manifest, samples })
    return 0
  }
  printManifest(deps, dataset)
  for (const sample of samples) deps.terminal.write(`\n${printable(JSON.stringify(sample, undefined, 2))}\n`)
  return 0
}

async function check(
  deps: DatasetsDeps,
  command: CheckAction & { json: boolean },
  signal: AbortSignal,
): Promise<number> {
  const { model, paths } = command
  const options = reading(command.format)
  const { sources, problems, report } =
    model === undefined
      ? await checkSources(async () => paths.map(path => ({ path })), options, { ...deps.quality }, signal)
      : await withHub(deps, hub =>
          withSources(deps, hub, paths, signal, async found =>
            DatasetCheck.parse(
              await callHub(hub, 'POST', '/v1/training/datasets/check', { ...found, ...options, model }, signal),
            ),
          ),
        )
  const hasErrors = report.findings.some(finding => finding.severity === 'error' && finding.count > 0)
  if (command.json) printJson(deps, { sources, problems, report })
  else {
    printSources(deps, sources)
    printProblems(deps, problems.first.slice(0, SHOWN_PROBLEMS), problems.count)
    printReport(deps, report)
  }
  return problems.count > 0 || hasErrors || report.samples === 0 ? 1 : 0
}

function printManifest(deps: DatasetsDeps, { manifest }: Dataset): void {
  const { terminal } = deps
  const { name, version, counts, split, problems } = manifest
  terminal.write(`${paint(terminal, 'bold', `${name}, version ${version}`)}\n`)
  terminal.write(`  train ${counts.train}   validation ${counts.validation}   test ${counts.test} samples\n`)
  const { train, validation, test } = split.shares
  terminal.write(`  split ${train} / ${validation} / ${test} by content\n\n`)
  printSources(deps, manifest.sources)
  printProblems(deps, problems.first.slice(0, SHOWN_PROBLEMS), problems.count)
}

function printSources({ terminal }: DatasetsDeps, sources: DatasetSource[]): void {
  const rows = sources.map(source => [
    printable(basename(source.name)),
    source.kind,
    Object.keys(source.formats).join(', ') || '-',
    formatBytes(source.bytes),
    String(source.samples),
    String(source.problems),
  ])
  printTable(terminal, [['source', 'kind', 'format', 'size', 'samples', 'problems'], ...rows], [3, 4, 5])
  for (const { name, skipped = {}, licences = {} } of sources) {
    const counted = (counts: { [key: string]: number }): string =>
      Object.entries(counts)
        .map(([key, number]) => `${key} ${number}`)
        .join(', ')
    if (Object.keys(skipped).length > 0) terminal.write(`  left out of ${printable(name)}: ${counted(skipped)}\n`)
    if (Object.keys(licences).length > 0) terminal.write(`  licences in ${printable(name)}: ${counted(licences)}\n`)
  }
}

function printProblems({ terminal }: DatasetsDeps, problems: Problem[], count: number): void {
  if (count === 0) return
  terminal.write(`\n${paint(terminal, 'yellow', `${count} malformed ${count === 1 ? 'line' : 'lines'}`)}\n`)
  for (const { source, line, message } of problems)
    terminal.write(`  ${printable(source)}:${line}  ${printable(message)}\n`)
  if (count > problems.length) terminal.write(`  and ${count - problems.length} more\n`)
}

function printReport({ terminal }: DatasetsDeps, report: QualityReport): void {
  terminal.write(`\n${printable(describeReport(report))}\n`)
}

function printTable(terminal: Terminal, rows: string[][], right: number[]): void {
  const [head = '', ...lines] = formatTable(rows, right)
  terminal.write(`${paint(terminal, 'bold', head)}\n`)
  for (const line of lines) terminal.write(`${line}\n`)
}

const printJson = ({ terminal }: DatasetsDeps, value: unknown): void =>
  terminal.write(`${JSON.stringify(value, undefined, 2)}\n`)

function formatOf(name: string | undefined): FormatName | undefined {
  if (name === undefined) return undefined
  const parsed = FormatName.safeParse(name)
  if (parsed.success) return parsed.data
  throw new HubError('invalid_request', `There is no format '${name}'. There are ${FormatName.options.join(', ')}.`)
}
