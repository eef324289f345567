/** `ai-hub adapters`: lists, merges, exports, imports and tidies adapters, whether a hub runs or not. */
import { basename, dirname, resolve } from 'node:path'
import { HubError } from '../lib/error.ts'
import type { Adapters } from '../models/adapter_registry.ts'
import { type Adapter, removeAdapter, renameAdapter, rollBackAdapter, splitAdapterId } from '../models/adapters.ts'
import { type ConversionDeps, exportInto, importFrom, mergeInto } from '../models/conversion.ts'
import { nearestNames } from '../models/nearest.ts'
import type { ModelFile } from '../wire/model.ts'
import type { AdaptersAction } from './adapters_args.ts'
import { formatBytes, formatTable, paint, type Terminal } from './terminal.ts'

export type AdaptersDeps = {
  terminal: Terminal
  /** Where progress is shown; nothing is drawn where nobody looks. */
  notes: Terminal
  conversion: ConversionDeps
  /** Adapters of this home, read. */
  adapters: Adapters
  /** Models of this home. */
  models(): Promise<ModelFile[]>
}

/** Gives the exit code. @throws HubError */
export async function runAdapters(
  deps: AdaptersDeps,
  command: AdaptersAction & { json: boolean },
  signal: AbortSignal,
): Promise<number> {
  const { terminal, conversion, adapters } = deps
  const { home } = conversion
  const say = (line: string): void => terminal.write(`${line}\n`)
  await adapters.refresh()
  switch (command.action) {
    case 'list':
      list(deps, command.json)
      return 0
    case 'merge': {
      const adapter = find(adapters, command.adapter)
      const base = await baseOf(deps, adapter.base)
      const input = { base, adapter, output: resolve(command.out), type: command.type, scale: command.scale }
      const { output, bytes } = await mergeInto(conversion, input, progress(deps.notes), signal)
      say(`${output}  ${formatBytes(bytes)}`)
      return 0
    }
    case 'export': {
      const adapter = find(adapters, command.adapter)
      const base = await baseOf(deps, adapter.base)
      const { scale, baseName } = command
      const { output, bytes } = await exportInto(
        conversion,
        { base, adapter, output: resolve(command.out), scale, baseName },
        signal,
      )
      say(`${output}  ${formatBytes(bytes)}`)
      return 0
    }
    case 'import': {
      const base = await baseOf(deps, command.base)
      const source = resolve(command.source)
      const name = command.as ?? basename(source.endsWith('.safetensors') ? dirname(source) : source)
      const { adapter, madeFor } = await importFrom(
        conversion,
        { base, source, name, replace: command.replace },
        signal,
      )
      say(`${adapter.id}  ${formatBytes(adapter.bytes)}${madeFor === undefined ? '' : `  (made for ${madeFor})`}`)
      return 0
    }
    case 'delete': {
      const { base, name, version, current } = find(adapters, command.adapter)
      removeAdapter(home, base, name, current ? undefined : version)
      say(`deleted ${command.adapter}`)
      return 0
    }
    case 'rename': {
      const { base, name } = find(adapters, command.adapter)
      say(renameAdapter(home, base, name, command.as).id)
      return 0
    }
    case 'rollback': {
      const parts = splitAdapterId(command.adapter)
      if (parts === undefined) throw notThere(adapters, command.adapter)
      const { id, version } = rollBackAdapter(home, parts.base, parts.name, command.version)
      say(`${id} is version ${version} again`)
      return 0
    }
  }
}

function list({ terminal, adapters, conversion }: AdaptersDeps, json: boolean): void {
  const all = adapters.list()
  if (json) {
    const rows = all.map(({ id, base, name, version, current, path, bytes, status, reason, facts, card }) => {
      return { id, base, name, version, current, path, bytes, status, reason, facts, card }
    })
    terminal.write(`${JSON.stringify(rows, undefined, 2)}\n`)
    return
  }
  if (all.length === 0) {
    terminal.write(`There is no adapter in ${conversion.home}/trained_models. Train one, or import one of PEFT.\n`)
    return
  }
  const heading = ['adapter', 'version', 'size', 'rank', 'architecture', 'made', 'state']
  const rows = all.map(({ id, version, bytes, facts, card, modifiedMs, status, current }) => [
    id,
    String(version),
    formatBytes(bytes),
    facts === undefined ? '-' : String(facts.rank),
    facts?.architecture ?? '-',
    new Date(card.created ?? modifiedMs).toISOString().slice(0, 10),
    status === 'broken' ? 'broken' : current ? 'current' : 'older',
  ])
  const [head, ...lines] = formatTable([heading, ...rows], [1, 2, 3])
  terminal.write(`${paint(terminal, 'bold', head ?? '')}\n`)
  for (const [index, line] of lines.entries()) {
    const { status, reason } = all[index]!
    terminal.write(`${status === 'broken' ? paint(terminal, 'red', line) : line}\n`)
    if (reason !== undefined) terminal.write(`  ${paint(terminal, 'yellow', `-> ${reason}`)}\n`)
  }
}

function find(adapters: Adapters, id: string): Adapter {
  const adapter = adapters.get(id)
  if (adapter === undefined) throw notThere(adapters, id)
  return adapter
}

function notThere(adapters: Adapters, id: string): HubError {
  const names = adapters.list().map(adapter => adapter.id)
  const near = names.length === 0 ? 'There is none yet.' : `The nearest are: ${nearestNames(id, names).join(', ')}.`
  return new HubError('not_found', `There is no adapter "${id}". ${near}`)
}

async function baseOf(deps: AdaptersDeps, id: string): Promise<ModelFile> {
  const models = await deps.models()
  const base = models.find(model => model.id === id)
  if (base === undefined) {
    const names = nearestNames(
      id,
      models.map(model => model.id),
    )
    throw new HubError('model_not_found', `There is no model "${id}". The nearest are: ${names.join(', ') || 'none'}.`)
  }
  if (base.status === 'broken') throw new HubError('model_broken', `${id} cannot be used: ${base.reason}`)
  return base
}

/** A bar that is drawn anew in its line. */
function progress(notes: Terminal): (fraction: number) => void {
  if (!notes.colour) return () => undefined
  const width = 40
  return fraction => {
    const filled = Math.round(fraction * width)
    const bar = `${'='.repeat(filled)}${' '.repeat(width - filled)}`
    notes.write(`\r[${bar}] ${String(Math.round(fraction * 100)).padStart(3)} %${fraction >= 1 ? '\n' : ''}`)
  }
}
