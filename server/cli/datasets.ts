/** `ai-hub datasets`: says what is in data for training and what is wrong with it, imports it, and shows what was imported. */
import { basename } from 'node:path'
import { HubError } from '../lib/error.ts'
import {
  type Dataset,
  type ImportDeps,
  importDataset,
  listDatasets,
  openDataset,
  readPart,
  readReport,
} from '../training/datasets.ts'
import { describeReport } from '../training/findings_report.ts'
import { inspect } from '../training/quality.ts'
import { readSource, type Source, type SourceRead } from '../training/sources.ts'
import { type DatasetSource, FormatName, type Problem } from '../wire/dataset.ts'
import type { QualityReport } from '../wire/quality.ts'
import type { Sample } from '../wire/sample.ts'
import type { DatasetsAction } from './args.ts'
import { formatBytes, formatTable, paint, printable, type Terminal } from './terminal.ts'

export type DatasetsDeps = ImportDeps & {
  terminal: Terminal
  /** For what is not the result: progress and hints. */
  notes: Terminal
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
    case 'import': {
      const format = formatOf(command.format)
      const dataset = await importDataset(
        deps,
        {
          name: command.dataset,
          sources: command.paths.map((path): Source => (command.git ? { git: path } : { path })),
          onProblem: command.refuse ? 'refuse' : 'skip',
          append: command.append,
          ...(format !== undefined && { format }),
        },
        signal,
      )
      if (command.json) printJson(deps, dataset.manifest)
      else {
        printManifest(deps, dataset)
        printReport(deps, readReport(dataset))
      }
      return 0
    }
  }
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

/** Reads each source again for every pass, so that a file of any size can be checked without writing anything. */
async function check(
  deps: DatasetsDeps,
  command: Extract<DatasetsAction, { action: 'check' }> & { json: boolean },
  signal: AbortSignal,
): Promise<number> {
  const format = formatOf(command.format)
  const options = format === undefined ? {} : { format }
  const read = async function* (): AsyncGenerator<SourceRead> {
    for (const path of command.paths) yield* readSource({ path }, options, signal)
  }
  const problems: Problem[] = []
  const sources: DatasetSource[] = []
  let count = 0
  let isFirst = true
  const samples = async function* (): AsyncGenerator<Sample> {
    // Only the first pass counts what is wrong.
    const counts = isFirst
    isFirst = false
    for await (const each of read()) {
      if ('sample' in each) yield each.sample
      else if (counts && 'source' in each) sources.push(each.source)
      else if (counts && 'problem' in each) {
        count++
        if (problems.length < SHOWN_PROBLEMS) problems.push(each.problem)
      }
    }
  }
  const { report } = await inspect(samples, { ...deps.quality }, signal)
  const hasErrors = report.findings.some(finding => finding.severity === 'error' && finding.count > 0)
  if (command.json) printJson(deps, { sources, problems: { count, first: problems }, report })
  else {
    printSources(deps, sources)
    printProblems(deps, problems, count)
    printReport(deps, report)
  }
  return count > 0 || hasErrors || report.samples === 0 ? 1 : 0
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
