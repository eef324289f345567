/** Data as it would be imported, looked at and left where it is. */
import type { DatasetCheck, DatasetSource, Problem } from '../wire/dataset.ts'
import type { Sample } from '../wire/sample.ts'
import { inspect, type QualityOptions } from './quality.ts'
import { readSource, type Source, type SourceOptions } from './sources.ts'

/** Malformed lines that are named. */
const KEPT_PROBLEMS = 100

/**
 * Reads the sources once for each pass of the inspection, so that data of any size needs neither memory nor disk.
 * @param sources gives them anew each time: some can be read only once
 * @throws HubError as readSource and inspect do
 */
export async function checkSources(
  sources: () => Promise<Source[]>,
  options: SourceOptions,
  quality: QualityOptions,
  signal: AbortSignal,
): Promise<DatasetCheck> {
  const first: Problem[] = []
  const found: DatasetSource[] = []
  let count = 0
  let isFirst = true
  const samples = async function* (): AsyncGenerator<Sample> {
    // Only the first pass counts what is wrong.
    const counts = isFirst
    isFirst = false
    for (const source of await sources()) {
      for await (const read of readSource(source, options, signal)) {
        if ('sample' in read) yield read.sample
        else if (counts && 'source' in read) found.push(read.source)
        else if (counts && 'problem' in read) {
          count++
          if (first.length < KEPT_PROBLEMS) first.push(read.problem)
        }
      }
    }
  }
  const { report } = await inspect(samples, quality, signal)
  return { object: 'dataset.check', sources: found, problems: { count, first }, report }
}
