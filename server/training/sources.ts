/** Everything that a dataset can be made of, read one after the other: samples and problems, and at the end what each source was. */
import { createHash } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { basename, resolve } from 'node:path'
import { Readable } from 'node:stream'
import { HubError } from '../lib/error.ts'
import { CodeOptions, type DatasetSource, type FormatName } from '../wire/dataset.ts'
import type { Sample } from '../wire/sample.ts'
import { readSamples, readStream } from './formats.ts'
import { walkCode } from './sources_code.ts'
import { checkGitInside, gitHead, gitSamples } from './sources_git.ts'
import { codeSamples } from './sources_infill.ts'

export type Source =
  /** A file of any format, or a folder of code. `name` stands in the samples instead of the file's name. */
  | { path: string; name?: string }
  /** The history of a folder; one that lies outside of `within` is refused. */
  | { git: string; within?: string }
  | { text: string }
  /** Samples that the program has at hand: stored conversations, an earlier version. */
  | { samples: AsyncIterable<Sample>; name: string; kind: 'samples' | 'version' }

export type SourceRead =
  | { sample: Sample }
  | { problem: { source: string; line: number; message: string } }
  | { source: DatasetSource }

export type SourceOptions = { format?: FormatName; code?: CodeOptions }

/** @throws HubError not_found and invalid_request for a source that cannot be read at all */
export async function* readSource(
  source: Source,
  options: SourceOptions,
  signal: AbortSignal,
): AsyncGenerator<SourceRead> {
  const formats: DatasetSource['formats'] = {}
  const found: DatasetSource = {
    ...describe(source),
    bytes: 0,
    sha256: '',
    formats,
    samples: 0,
    problems: 0,
  }
  const hash = createHash('sha256')
  const count = (format: FormatName): void => {
    found.samples++
    formats[format] = (formats[format] ?? 0) + 1
  }

  if ('samples' in source) {
    for await (const sample of source.samples) {
      signal.throwIfAborted()
      hash.update(JSON.stringify(sample))
      count('sample')
      yield { sample }
    }
  } else if ('git' in source) {
    if (source.within !== undefined) await checkGitInside(source.git, source.within, signal)
    found.sha256 = await gitHead(source.git, signal)
    for await (const sample of gitSamples(source.git, {}, signal)) {
      count('code')
      yield { sample }
    }
  } else if ('path' in source && (await isFolder(source.path))) {
    found.kind = 'folder'
    yield* readFolder(source.path, options, found, hash, count, signal)
  } else {
    const reading = {
      ...options,
      name: found.name,
      onBytes(bytes: Uint8Array) {
        found.bytes += bytes.length
        hash.update(bytes)
      },
      onFound(facts: { encoding: string }) {
        found.encoding = facts.encoding
      },
    }
    const reads =
      'path' in source
        ? readSamples(source.path, reading)
        : readStream(Readable.from([Buffer.from(source.text)]), reading)
    for await (const read of reads) {
      signal.throwIfAborted()
      if ('sample' in read) {
        count(read.format)
        yield { sample: read.sample }
      } else {
        found.problems++
        yield { problem: { source: found.name, ...read.problem } }
      }
    }
  }
  if (found.sha256 === '') found.sha256 = hash.digest('hex')
  yield { source: found }
}

async function* readFolder(
  folder: string,
  options: SourceOptions,
  found: DatasetSource,
  hash: ReturnType<typeof createHash>,
  count: (format: FormatName) => void,
  signal: AbortSignal,
): AsyncGenerator<SourceRead> {
  const skipped: { [reason: string]: number } = {}
  const licences: { [name: string]: number } = {}
  Object.assign(found, { skipped, licences })
  const code = options.code ?? CodeOptions.parse({})
  for await (const file of walkCode(folder, signal)) {
    if ('licence' in file && file.licence !== undefined) licences[file.licence] = (licences[file.licence] ?? 0) + 1
    if ('skipped' in file) skipped[file.skipped] = (skipped[file.skipped] ?? 0) + 1
    if (!('text' in file)) continue
    found.bytes += file.bytes.length
    hash.update(`${file.path}\0${createHash('sha256').update(file.bytes).digest('hex')}\n`)
    for (const sample of codeSamples(file.text, { path: file.path, options: code })) {
      count('code')
      yield { sample: { ...sample, origin: { source: file.path } } }
    }
  }
}

function describe(source: Source): { kind: DatasetSource['kind']; name: string } {
  if ('samples' in source) return { kind: source.kind, name: source.name }
  if ('git' in source) return { kind: 'git', name: basename(resolve(source.git)) }
  if ('text' in source) return { kind: 'text', name: 'text' }
  return { kind: 'file', name: source.name ?? basename(resolve(source.path)) }
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory()
  } catch (cause) {
    throw new HubError('not_found', `There is no file or folder ${path}.`, { cause })
  }
}
