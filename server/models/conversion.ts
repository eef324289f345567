/** Merging, exporting and importing adapters, by a program of its own: the hub loads no native code. */
import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { Child, explainExit } from '../lib/child.ts'
import { HubError } from '../lib/error.ts'
import type { Log } from '../lib/log.ts'
import type { ConvertResult, ConvertTask, FromConverter, MergeType, ToConverter } from '../wire/adapter.ts'
import type { ModelFile } from '../wire/model.ts'
import { ADAPTERS_FOLDER, type Adapter, checkName, folderName, publishAdapter } from './adapters.ts'

export type ConversionDeps = {
  home: string
  /** Path of the converter. */
  script: string
  log: Log
  threads: number
}
export type Report = (fraction: number) => void

/** Runs one task. Aborting the signal ends the program and removes what it had begun. @throws HubError */
export async function convert(
  deps: Pick<ConversionDeps, 'script' | 'log'>,
  task: ConvertTask,
  report: Report,
  signal: AbortSignal,
): Promise<ConvertResult> {
  if (signal.aborted) throw cancelled()
  const done = Promise.withResolvers<ConvertResult>()
  const child = new Child<ToConverter, FromConverter, { rssBytes: number }>(deps, message => {
    if (message.type === 'progress') report(message.fraction)
    else if (message.type === 'failed') done.reject(HubError.fromBody(message.error))
    else if (message.type === 'finished') {
      const { type: _, ...result } = message
      done.resolve(result)
    }
  })
  const abort = () => done.reject(cancelled())
  signal.addEventListener('abort', abort, { once: true })
  void child.exited.then(exit => done.reject(explainExit('the converter', exit)))
  child.send({ type: 'start', task })
  try {
    return await done.promise
  } catch (thrown) {
    await child.close({ type: 'exit' })
    const begun = task.kind === 'export' ? join(task.output, 'adapter_model.safetensors') : task.output
    rmSync(`${begun}.part`, { force: true })
    throw thrown
  } finally {
    signal.removeEventListener('abort', abort)
    await child.close({ type: 'exit' })
  }
}

/** @throws HubError conflict when the output is there already and is not to be replaced */
export function mergeInto(
  deps: ConversionDeps,
  input: { base: ModelFile; adapter: Adapter; output: string; type: MergeType; scale?: number | undefined },
  report: Report,
  signal: AbortSignal,
): Promise<ConvertResult> {
  const { base, adapter, output, type } = input
  if (existsSync(output)) {
    throw new HubError('conflict', `${output} is there already; choose another name or remove it`, { param: 'name' })
  }
  const task: ConvertTask = {
    kind: 'merge',
    base: base.files,
    adapter: usable(adapter).path,
    output,
    scale: input.scale ?? adapter.card.scale ?? 1,
    type,
    threads: deps.threads,
  }
  return convert(deps, task, report, signal)
}

export function exportInto(
  deps: ConversionDeps,
  input: {
    base: ModelFile
    adapter: Adapter
    /** By default a folder beside the adapter. */
    output?: string | undefined
    scale?: number | undefined
    baseName?: string | undefined
  },
  signal: AbortSignal,
): Promise<ConvertResult> {
  const { base, adapter, baseName } = input
  const task: ConvertTask = {
    kind: 'export',
    base: base.files,
    adapter: usable(adapter).path,
    output: input.output ?? adapter.path.replace(/\.gguf$/i, '.peft'),
    scale: input.scale ?? adapter.card.scale ?? 1,
    ...(baseName !== undefined && { baseName }),
  }
  return convert(deps, task, () => undefined, signal)
}

/** Converts an adapter of PEFT and puts it beside the others. @throws HubError conflict when the name is taken */
export async function importFrom(
  deps: ConversionDeps,
  input: { base: ModelFile; source: string; name: string; replace: boolean },
  signal: AbortSignal,
): Promise<{ adapter: Adapter; madeFor: string | undefined }> {
  const { base, source, replace } = input
  const name = checkName(input.name)
  const folder = join(deps.home, ADAPTERS_FOLDER, folderName(base.id))
  if (!replace && existsSync(join(folder, `${name}.gguf`))) {
    throw new HubError(
      'conflict',
      `there is an adapter ${base.id}:${name} already; choose another name or replace it`,
      {
        param: 'name',
      },
    )
  }
  // A name that begins with a dot is not listed.
  const output = join(folder, `.importing-${process.pid}-${name}.gguf`)
  try {
    const { madeFor } = await convert(
      deps,
      { kind: 'import', base: base.files, source, output },
      () => undefined,
      signal,
    )
    const description = madeFor === undefined ? 'imported from PEFT' : `imported from PEFT, made for ${madeFor}`
    const adapter = publishAdapter(deps.home, { base: base.id, name, file: output, card: { description }, replace })
    return { adapter, madeFor }
  } finally {
    rmSync(output, { force: true })
  }
}

function usable(adapter: Adapter): Adapter {
  if (adapter.status === 'ok') return adapter
  throw new HubError('model_broken', `the adapter ${adapter.id} cannot be used: ${adapter.reason}`, { param: 'id' })
}

const cancelled = () => new HubError('cancelled', 'the conversion was cancelled')
