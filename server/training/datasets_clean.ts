/** From the samples as they were read to the parts of a dataset: inspected as a whole, cleaned, and the training part kept free of what is held out. */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type DatasetManifest, PARTS, type Shares } from '../wire/dataset.ts'
import { FindingId, type QualityFilters, type QualityReport } from '../wire/quality.ts'
import type { Sample } from '../wire/sample.ts'
import { HeldOut } from './contamination.ts'
import { createSampleFile, rawFile, readSampleFile, type SampleFile } from './datasets_file.ts'
import { clean, filtersOf, inspect, type QualityOptions } from './quality.ts'
import { contentOf } from './sample_text.ts'
import { partOf } from './split.ts'

/** What the inspection may ask of the base model; estimated or left out when absent. */
export type CleanDeps = { quality?: Pick<QualityOptions, 'countTokens' | 'logprobs' | 'maxTokens' | 'minTokens'> }

export type Cleaned = Pick<DatasetManifest, 'counts' | 'kinds' | 'filters' | 'files'> & { report: QualityReport }

const UNCHECKED = 'train.unchecked.jsonl'
const FOUND = 'train.found.jsonl'

/**
 * Reads the raw files of a folder and writes the parts beside them. The part is that of the cleaned sample: cleaned once
 * more it is the same, so that a version which takes it over leaves it where it is.
 */
export async function cleanSplit(
  deps: CleanDeps,
  folder: string,
  split: { salt: string; shares: Shares },
  filters: QualityFilters,
  signal: AbortSignal,
): Promise<Cleaned> {
  // Held-out parts come first, so that of two equal samples the one outside the training part stays.
  const raw = () => readAll(folder, [rawFile('test'), rawFile('validation'), rawFile('train')])
  const whole = await inspect(raw, { ...deps.quality, filters }, signal)
  const names = { train: UNCHECKED, validation: 'validation.jsonl', test: 'test.jsonl' }
  const kinds: { [kind: string]: number } = {}
  const count = ({ kind }: Sample): void => {
    kinds[kind] = (kinds[kind] ?? 0) + 1
  }
  const { validation, test } = await writeParts(folder, names, async add => {
    for await (const sample of clean(whole, raw, signal)) {
      const part = partOf(sample, split.salt, split.shares)
      if (part !== 'train') count(sample)
      const waits = add(part, sample)
      if (waits !== undefined) await waits
    }
  })

  const heldOut = () => readAll(folder, [names.test, names.validation])
  const known = new HeldOut()
  for await (const sample of heldOut()) known.add(contentOf(sample))
  const drops = filtersOf(filters)('contamination')
  const { train, found } = await writeParts(folder, { train: 'train.jsonl', found: FOUND }, async add => {
    for await (const sample of readAll(folder, [UNCHECKED])) {
      signal.throwIfAborted()
      const isHeldOut = known.match(contentOf(sample)) !== undefined
      if (isHeldOut) await add('found', sample)
      if (isHeldOut && drops) continue
      count(sample)
      const waits = add('train', sample)
      if (waits !== undefined) await waits
    }
  })
  // The few that were found are inspected alone, for the words about them.
  const off = Object.fromEntries(FindingId.options.map(id => [id, false]))
  const options = { filters: { ...off, contamination: drops }, heldOut }
  const checked = await inspect(() => readAll(folder, found.lines > 0 ? [FOUND] : []), options, signal)
  await rm(join(folder, FOUND))
  await rm(join(folder, UNCHECKED))
  const written = { train, validation, test }
  const report = withContamination(whole.report, checked.report)
  return {
    counts: { train: train.lines, validation: validation.lines, test: test.lines },
    kinds,
    files: Object.fromEntries(
      PARTS.map(part => [`${part}.jsonl`, { bytes: written[part].bytes, sha256: written[part].sha256 }]),
    ),
    report,
    filters: applied(report),
  }
}

/** The report of all, with what was found in the training part when it was held against the other parts. */
function withContamination(report: QualityReport, train: QualityReport): QualityReport {
  const found = train.findings.find(finding => finding.id === 'contamination')
  if (found === undefined) return report
  return {
    ...report,
    kept: report.kept - found.removed,
    removed: report.removed + found.removed,
    findings: report.findings.map(finding => (finding.id === 'contamination' ? found : finding)),
  }
}

function applied(report: QualityReport): DatasetManifest['filters'] {
  return Object.fromEntries(
    report.findings.map(({ id, filtered, removed, changed }) => [id, { on: filtered, removed, changed }]),
  )
}

async function* readAll(folder: string, names: readonly string[]): AsyncGenerator<Sample> {
  for (const name of names) yield* readSampleFile(join(folder, name))
}

type Written = Awaited<ReturnType<SampleFile['close']>>

async function writeParts<Name extends string>(
  folder: string,
  names: { [part in Name]: string },
  fill: (add: (part: Name, sample: Sample) => Promise<void> | undefined) => Promise<void>,
): Promise<{ [part in Name]: Written }> {
  const files = new Map<Name, SampleFile>()
  try {
    for (const part of Object.keys(names) as Name[]) files.set(part, await createSampleFile(join(folder, names[part])))
    await fill((part, sample) => files.get(part)!.add(sample))
    const written: [Name, Written][] = []
    for (const [part, file] of files) written.push([part, await file.close()])
    return Object.fromEntries(written) as { [part in Name]: Written }
  } finally {
    // Closing twice does no harm.
    for (const file of files.values()) await file.abandon()
  }
}
