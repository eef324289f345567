/** An adapter GGUF as PEFT has it: adapter_model.safetensors and adapter_config.json, for transformers, vLLM and others. */
import { mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { HubError } from '../lib/error.ts'
import type { ConvertTask } from '../wire/adapter.ts'
import { readAdapter } from './adapter.ts'
import { scalar } from './gguf_read.ts'
import { MERGED_TYPES } from './merge.ts'
import { type Base, permutedHeads, permuteRows, readBase } from './peft_names.ts'
import { type WrittenSafeTensor, writeSafeTensors } from './safetensors.ts'

export type ExportTask = Omit<Extract<ConvertTask, { kind: 'export' }>, 'kind'>

/** @returns bytes of the weights @throws HubError conflict when adapter and base do not fit, invalid_request, insufficient_storage */
export async function exportPeft(task: ExportTask): Promise<number> {
  const base = readBase(task.base, MERGED_TYPES)
  const adapter = readAdapter(task.adapter)
  const unfit = (what: string) => new HubError('conflict', `${adapter.name} does not fit this base: ${what}`)
  if (adapter.architecture !== base.architecture) {
    throw unfit(`it is for ${adapter.architecture}, and the base is ${base.architecture}`)
  }
  const moduleOf = new Map([...base.modules].map(([module, target]) => [target, module]))
  const written: WrittenSafeTensor[] = []
  const ranks = new Map<string, number>()
  for (const [name, { shape, values }] of adapter.tensors) {
    const [, tensor, side] = /^(.+)\.lora_([ab])$/.exec(name) ?? []
    const { module, target } = placeOf(tensor ?? name, moduleOf)
    if (tensor === undefined || module === undefined) throw unfit(`PEFT has no name for ${name}`)
    const columns = shape[0]!
    const rows = shape[1] ?? 1
    const whole = base.shapes.get(tensor)
    if (whole === undefined || (side === 'a' ? whole[0] !== columns : whole[1] !== rows)) {
      throw unfit(`${name} is ${shape.join(' x ')}, and ${tensor} is ${whole?.join(' x ') ?? 'not there'}`)
    }
    if (side === 'b') ranks.set(module, columns)
    const heads = side === 'b' ? permutedHeads(base, target) : 0
    written.push({
      name: `base_model.model.${module}.lora_${side === 'a' ? 'A' : 'B'}.weight`,
      shape: [rows, columns],
      values: () => (heads === 0 ? values : permuteRows(values, columns, heads, 'peft')),
    })
  }
  mkdirSync(task.output, { recursive: true })
  const bytes = await writeSafeTensors(join(task.output, 'adapter_model.safetensors'), written)
  const config = configOf(base, task, ranks, adapter.alpha)
  const path = join(task.output, 'adapter_config.json')
  writeFileSync(`${path}.part`, `${JSON.stringify(config, undefined, 2)}\n`)
  renameSync(`${path}.part`, path)
  return bytes
}

function placeOf(
  tensor: string,
  moduleOf: ReadonlyMap<string, string>,
): { module: string | undefined; target: string } {
  if (tensor === 'output.weight') return { module: 'lm_head', target: 'output' }
  const [, layer, target = ''] = /^blk\.(\d+)\.(\w+)\.weight$/.exec(tensor) ?? []
  const module = moduleOf.get(target)
  return { module: module && `model.layers.${layer}.${module}`, target }
}

function configOf(base: Base, task: ExportTask, ranks: ReadonlyMap<string, number>, alpha: number): object {
  const rank = commonest([...ranks.values()])
  const others = [...ranks].filter(([, own]) => own !== rank)
  const last = (module: string): string => module.slice(module.lastIndexOf('.') + 1)
  return {
    peft_type: 'LORA',
    task_type: 'CAUSAL_LM',
    base_model_name_or_path: task.baseName ?? nameOf(base),
    inference_mode: true,
    r: rank,
    // PEFT multiplies by lora_alpha / r; a rank-stabilised adapter has its square root in alpha already.
    lora_alpha: task.scale * (alpha === 0 ? rank : alpha),
    use_rslora: false,
    target_modules: [...new Set([...ranks.keys()].map(last))].sort(),
    rank_pattern: Object.fromEntries(others),
    alpha_pattern: alpha === 0 ? Object.fromEntries(others.map(([module, own]) => [module, task.scale * own])) : {},
    lora_dropout: 0,
    bias: 'none',
    fan_in_fan_out: false,
    init_lora_weights: true,
    modules_to_save: null,
    layers_to_transform: null,
    layers_pattern: null,
    use_dora: false,
    revision: null,
  }
}

/** The repository that the base's file names, else its name. */
function nameOf({ metadata }: Base): string {
  const text = (key: string): string | undefined => {
    const value = scalar(metadata.get(key))
    return typeof value === 'string' && value !== '' ? value : undefined
  }
  const url = text('general.source.repo_url') ?? text('general.repo_url') ?? text('general.source.url')
  const [, repository] = /^https?:\/\/huggingface\.co\/([\w.-]+\/[\w.-]+)/.exec(url ?? '') ?? []
  return repository ?? text('general.name') ?? 'unknown'
}

function commonest(numbers: readonly number[]): number {
  const count = new Map<number, number>()
  for (const n of numbers) count.set(n, (count.get(n) ?? 0) + 1)
  return [...count].sort((a, b) => b[1] - a[1] || a[0] - b[0])[0]?.[0] ?? 1
}
