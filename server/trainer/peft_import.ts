/** A LoRA adapter of PEFT as an adapter GGUF over a base that is there. What would be lost is refused by its name. */
import { readFileSync, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import * as z from 'zod'
import { HubError } from '../lib/error.ts'
import type { ConvertTask } from '../wire/adapter.ts'
import { sha256File } from './files.ts'
import { streamGguf } from './gguf_stream.ts'
import { f32Value, floatTensor, stringValue, u32Value, type WrittenTensor } from './gguf_write.ts'
import { MERGED_TYPES } from './merge.ts'
import { type Base, permutedHeads, permuteRows, readBase } from './peft_names.ts'
import { readSafeTensors, readValues, type SafeTensor } from './safetensors.ts'

export type ImportTask = Omit<Extract<ConvertTask, { kind: 'import' }>, 'kind'>

const Pattern = z.record(z.string(), z.number().positive()).nullish()
const Config = z.looseObject({
  peft_type: z.string(),
  r: z.int().positive(),
  lora_alpha: z.number().positive(),
  use_rslora: z.boolean().nullish(),
  rank_pattern: Pattern,
  alpha_pattern: Pattern,
  base_model_name_or_path: z.string().nullish(),
})
type Config = z.infer<typeof Config>

const HALF = /^(.+)\.lora_([AB])(?:\.default)?\.weight$/
const BLOCK =
  /^(?:base_model\.model\.)?(?:model\.|language_model\.|text_model\.)*layers\.(\d+)\.((?:self_attn|mlp)\.\w+)$/

/** @returns what became of it @throws HubError invalid_request naming what cannot be taken over, conflict when the base is another */
export async function importPeft(
  task: ImportTask,
): Promise<{ bytes: number; rank: number; alpha: number; tensors: number; madeFor: string | undefined }> {
  const { folder, weights } = filesOf(task.source)
  const config = readConfig(join(folder, 'adapter_config.json'))
  const base = readBase(task.base, MERGED_TYPES)
  const { tensors, path } = readSafeTensors(weights)
  const halves = pair(tensors, base)
  const written: WrittenTensor[] = []
  for (const [tensor, { a, b, module }] of halves) {
    const target = tensor.replace(/^blk\.\d+\./, '').replace(/\.weight$/, '')
    const rank = check(tensor, module, a, b, base, config)
    // GGUF has one alpha for all, and each tensor's own rank: what a module has of its own goes into its B.
    const alpha = patternOf(config.alpha_pattern, module) ?? config.lora_alpha
    const scaling = alpha / (config.use_rslora === true ? Math.sqrt(rank) : rank)
    const factor = (scaling * rank) / alphaOf(config)
    const heads = permutedHeads(base, target)
    written.push(
      floatTensor(`${tensor}.lora_a`, [a.shape[1]!, rank], 'F32', () => finite(readValues(path, a), a.name)),
      floatTensor(`${tensor}.lora_b`, [rank, b.shape[0]!], 'F32', () => {
        const values = finite(readValues(path, b), b.name)
        const ordered = heads === 0 ? values : permuteRows(values, rank, heads, 'gguf')
        return Math.abs(factor - 1) < 1e-6 ? ordered : ordered.map(value => value * factor)
      }),
    )
  }
  const name = basename(task.output).replace(/\.gguf$/i, '')
  const metadata: [string, Uint8Array][] = [
    ['general.type', stringValue('adapter')],
    ['general.architecture', stringValue(base.architecture)],
    ['general.name', stringValue(name)],
    ['general.base_model.count', u32Value(1)],
    ['general.base_model.0.name', stringValue(basename(task.base[0]!).replace(/\.gguf$/i, ''))],
    ['general.base_model.0.sha256', stringValue(await sha256File(task.base[0]!))],
    ['adapter.type', stringValue('lora')],
    ['adapter.lora.alpha', f32Value(alphaOf(config))],
  ]
  const bytes = await streamGguf(task.output, metadata, written)
  return {
    bytes,
    rank: config.r,
    alpha: alphaOf(config),
    tensors: written.length,
    madeFor: config.base_model_name_or_path ?? undefined,
  }
}

/** The engine scales by alpha / rank; rank-stabilised scaling, alpha / sqrt(rank), is a larger alpha. */
const alphaOf = ({ lora_alpha: alpha, r, use_rslora: stabilised }: Config): number =>
  stabilised === true ? alpha * Math.sqrt(r) : alpha

function filesOf(source: string): { folder: string; weights: string } {
  const stats = statSync(source, { throwIfNoEntry: false })
  if (stats === undefined) throw refused(`${source} is not there; name the folder of a PEFT adapter`)
  if (stats.isFile()) {
    if (source.endsWith('.safetensors')) return { folder: dirname(source), weights: source }
    throw refused(`${basename(source)} is no safetensors file; save the adapter with safe_serialization=True`)
  }
  const weights = join(source, 'adapter_model.safetensors')
  if (statSync(weights, { throwIfNoEntry: false }) !== undefined) return { folder: source, weights }
  const pickled = statSync(join(source, 'adapter_model.bin'), { throwIfNoEntry: false }) !== undefined
  throw refused(
    pickled
      ? `${source} holds adapter_model.bin, which can run code when it is read; save the adapter with safe_serialization=True`
      : `${source} holds no adapter_model.safetensors; name the folder of a PEFT adapter`,
  )
}

function readConfig(path: string): Config {
  let json: unknown
  try {
    json = JSON.parse(readFileSync(path, 'utf8'))
  } catch (thrown) {
    throw refused(`${path} cannot be read (${thrown instanceof Error ? thrown.message : thrown})`)
  }
  const parsed = Config.safeParse(json)
  if (!parsed.success) {
    const [issue] = parsed.error.issues
    throw refused(`adapter_config.json: ${issue?.path.join('.') || 'the whole'}: ${issue?.message ?? 'is wrong'}`)
  }
  const config = parsed.data
  const reason = unsupported(config)
  if (reason !== undefined) throw refused(`adapter_config.json: ${reason}`)
  return config
}

/** What an adapter may have that a LoRA GGUF cannot say. */
function unsupported(config: Config): string | undefined {
  const { peft_type: type, bias, init_lora_weights: init } = config
  const isSet = (value: unknown): boolean =>
    value !== null && value !== undefined && value !== false && !(Array.isArray(value) && value.length === 0)
  if (type !== 'LORA') return `peft_type is ${type}; LORA can be imported`
  if (config.use_dora === true)
    return 'use_dora is set; DoRA changes the length of the weights, which no adapter GGUF can say'
  if (isSet(config.modules_to_save)) {
    return 'modules_to_save holds whole trained modules, which are no LoRA; merge the adapter with PEFT instead'
  }
  if (isSet(bias) && bias !== 'none') return `bias is ${JSON.stringify(bias)}; trained biases cannot be imported`
  for (const key of [
    'lora_bias',
    'fan_in_fan_out',
    'layer_replication',
    'trainable_token_indices',
    'target_parameters',
  ]) {
    if (isSet(config[key])) return `${key} is set, which cannot be imported`
  }
  if (isSet(config.alora_invocation_tokens) || isSet(config.invocation_string)) {
    return 'it is activated by a text within the prompt (aLoRA), which cannot be imported'
  }
  if (typeof init === 'string' && /^(pissa|olora|corda|loftq|lora_ga)/i.test(init)) {
    return `init_lora_weights is ${init}: it stands on changed base weights; convert it to a plain LoRA with PEFT first`
  }
  return undefined
}

type Halves = Map<string, { module: string; a: SafeTensor; b: SafeTensor }>

/** The halves by the tensor of the base that they change. @throws HubError invalid_request for any other tensor */
function pair(tensors: readonly SafeTensor[], base: Base): Halves {
  const found = new Map<string, { module: string; a?: SafeTensor; b?: SafeTensor }>()
  for (const tensor of tensors) {
    const [, module, side] = HALF.exec(tensor.name) ?? []
    if (module === undefined) throw refused(`the tensor ${tensor.name} ${oddity(tensor.name)}`)
    const into = targetOf(module, base)
    const pair = found.get(into) ?? { module }
    if (side === 'A') pair.a = tensor
    else pair.b = tensor
    found.set(into, pair)
  }
  if (found.size === 0) throw refused('there are no LoRA tensors in it')
  const halves: Halves = new Map()
  for (const [into, { module, a, b }] of found) {
    if (a === undefined || b === undefined) throw refused(`${module} has only one of lora_A and lora_B`)
    halves.set(into, { module, a, b })
  }
  return halves
}

function oddity(name: string): string {
  if (name.includes('lora_magnitude_vector')) return 'belongs to DoRA, which cannot be imported'
  if (name.includes('modules_to_save')) return 'is a whole trained module, which cannot be imported'
  if (name.includes('lora_embedding')) return 'adapts the embedding, which cannot be imported'
  if (name.includes('bias')) return 'is a trained bias, which cannot be imported'
  if (/embed_tokens|lm_head/.test(name)) {
    return 'is a whole embedding, as after adding tokens; save the adapter without it (save_embedding_layers=False)'
  }
  return 'is no part of a LoRA and cannot be imported'
}

function targetOf(module: string, base: Base): string {
  if (/(^|\.)lm_head$/.test(module)) {
    if (base.shapes.has('output.weight')) return 'output.weight'
    throw refused(`${module} is adapted, and the base has no output of its own: it shares the embedding's weights`)
  }
  if (/(^|\.)embed_tokens$/.test(module)) throw refused(`${module} adapts the embedding, which cannot be imported`)
  const [, layer, part = ''] = BLOCK.exec(module) ?? []
  const target = base.modules.get(part)
  if (layer === undefined || target === undefined) {
    const known = [...base.modules.keys()].join(', ')
    throw refused(`the module ${module} is not one of ${base.architecture}; its blocks have ${known}`)
  }
  return `blk.${Number(layer)}.${target}.weight`
}

/** @returns the rank */
function check(into: string, module: string, a: SafeTensor, b: SafeTensor, base: Base, config: Config): number {
  const [rank = 0, columns = 0] = a.shape
  const [rows = 0, rankB = 0] = b.shape
  if (a.shape.length !== 2 || b.shape.length !== 2 || rank !== rankB || rank === 0) {
    throw refused(`${module}: lora_A is ${a.shape.join(' x ')} and lora_B is ${b.shape.join(' x ')}`)
  }
  const wanted = patternOf(config.rank_pattern, module) ?? config.r
  if (rank !== wanted) throw refused(`${module} has the rank ${rank}, and adapter_config.json says ${wanted}`)
  const whole = base.shapes.get(into)
  if (whole === undefined || whole[0] !== columns || whole[1] !== rows) {
    const is = whole === undefined ? `the base has no ${into}` : `the base's ${into} is ${whole[1]} x ${whole[0]}`
    throw new HubError('conflict', `this adapter is not for this base: ${module} is ${rows} x ${columns}, and ${is}`)
  }
  return rank
}

/** As PEFT looks into its patterns: a key is a regular expression that ends where the module's name does. */
function patternOf(pattern: { [key: string]: number } | null | undefined, module: string): number | undefined {
  const name = module.replace(/^base_model\.model\./, '')
  for (const [key, value] of Object.entries(pattern ?? {})) {
    let expression: RegExp
    try {
      expression = new RegExp(`^(?:.*\\.)?(?:${key})$`)
    } catch {
      throw refused(`adapter_config.json: ${key} is no pattern that can be read`)
    }
    if (expression.test(name)) return value
  }
  return undefined
}

function finite(values: Float32Array, name: string): Float32Array {
  if (values.some(value => !Number.isFinite(value))) throw refused(`${name} holds values that are not finite`)
  return values
}

const refused = (message: string) => new HubError('invalid_request', message, { param: 'path' })
