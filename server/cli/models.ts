/** `ai-hub models`: the models of this home as a table; from the running hub with their state, else from the folders. */
import type { ModelFile, ModelState } from '../wire/model.ts'
import type { ListedModel } from './api.ts'
import { formatBytes, formatTable, paint, type Terminal } from './terminal.ts'
import { toyHint } from './toy.ts'

/** What a row shows of a model, wherever it came from. */
export type ModelRow = {
  id: string
  folder: string
  bytes: number
  quantization?: string
  parameters?: number
  contextLength?: number
  state: ModelState | 'on disk'
  /** Why it is broken, or what is wrong beside it. */
  reason?: string
  toy?: boolean
}

/** A model read from its folder while no hub runs. */
export function rowOfFile(file: ModelFile): ModelRow {
  return {
    id: file.id,
    folder: file.folder,
    bytes: file.bytes,
    state: file.status === 'broken' ? 'broken' : 'on disk',
    ...(file.facts !== undefined && {
      quantization: file.facts.quantization,
      parameters: file.facts.parameters,
      contextLength: file.facts.context_length,
    }),
    ...(file.reason !== undefined && { reason: file.reason }),
    ...(file.sidecar.toy === true && { toy: true }),
  }
}

/** A model as the running hub lists it. */
export function rowOfListed(model: ListedModel): ModelRow {
  return {
    id: model.id,
    folder: model.folder,
    bytes: model.bytes,
    state: model.state,
    ...(model.facts !== undefined && {
      quantization: model.facts.quantization,
      parameters: model.facts.parameters,
      contextLength: model.facts.context_length,
    }),
    ...(model.error !== undefined && { reason: model.error }),
    ...(model.toy === true && { toy: true }),
  }
}

export type ModelsDeps = {
  home: string
  terminal: Terminal
  /** Rows of the running hub, or undefined when none runs. */
  fromHub(): Promise<ModelRow[] | undefined>
  /** Rows from reading the folders. */
  fromFolders(): Promise<ModelRow[]>
}

/** Prints the table, or with `json` the rows. Gives the exit code. */
export async function printModels(deps: ModelsDeps, options: { json: boolean }): Promise<number> {
  const { terminal } = deps
  const rows = (await deps.fromHub()) ?? (await deps.fromFolders())
  if (options.json) {
    terminal.write(`${JSON.stringify(rows, undefined, 2)}\n`)
    return 0
  }
  if (rows.length === 0) {
    terminal.write(
      `There is no model in ${deps.home}/local_models. Get one with "ai-hub pull", or put a .gguf file into one of its folders, such as chat_models.\n`,
    )
    return 0
  }
  const heading = ['model', 'folder', 'size', 'parameters', 'quantisation', 'context', 'state']
  const [head, ...lines] = formatTable([heading, ...rows.map(cells)], [2, 3, 5])
  terminal.write(`${paint(terminal, 'bold', head ?? '')}\n`)
  for (const [index, line] of lines.entries()) {
    const row = rows[index]
    terminal.write(`${row?.state === 'broken' ? paint(terminal, 'red', line) : line}\n`)
    if (row?.reason !== undefined) terminal.write(`  ${paint(terminal, 'yellow', `-> ${row.reason}`)}\n`)
    if (row?.toy === true) terminal.write(`  ${paint(terminal, 'yellow', `-> ${row.id}: ${toyHint(deps.home)}`)}\n`)
  }
  return 0
}

function cells(row: ModelRow): string[] {
  return [
    row.id,
    row.folder,
    formatBytes(row.bytes),
    row.parameters === undefined ? '-' : formatParameters(row.parameters),
    row.quantization ?? '-',
    row.contextLength === undefined ? '-' : String(row.contextLength),
    row.state,
  ]
}

/** `7.6B`, `494M`, `260K` */
function formatParameters(count: number): string {
  if (count >= 1e9) return `${(count / 1e9).toFixed(1)}B`
  if (count >= 1e6) return `${Math.round(count / 1e6)}M`
  return `${Math.round(count / 1e3)}K`
}
