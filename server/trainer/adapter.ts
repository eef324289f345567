/** What a run writes and may go on from: adapter GGUFs as llama.cpp reads them, and whole models of full training. */
import { basename } from 'node:path'
import { HubError } from '../lib/error.ts'
import { readGguf, scalar, tensorChunks } from './gguf_read.ts'
import { f32Value, floatTensor, fromHalf, stringValue, u32Value, writeGguf } from './gguf_write.ts'
import type { LoraSettings } from './types.ts'

/** Trained tensors by name, such as `blk.0.attn_q.weight.lora_a`; shape in ggml's order. */
export type Trained = { names: string[]; shape(name: string): [number, number]; get(name: string): Float32Array }

/** The base an adapter belongs to; the key is the trainer's own, and other programs ignore it. */
const BASE_SHA256 = 'general.base_model.0.sha256'

/**
 * llama.cpp scales by alpha / rank (llama-adapter.h, get_scale), so rank-stabilised scaling, alpha / sqrt(rank), is written
 * as a larger alpha.
 */
export function writtenAlpha({ alpha, rank, rsLora }: Pick<LoraSettings, 'alpha' | 'rank' | 'rsLora'>): number {
  return rsLora ? alpha * Math.sqrt(rank) : alpha
}

/** Replaces the file atomically. @returns its bytes @throws HubError insufficient_storage, invalid_request */
export function writeAdapter(
  path: string,
  trained: Trained,
  facts: { architecture: string; alpha: number; basePath: string; baseSha256: string; type: 'F32' | 'F16' },
): number {
  const metadata: [string, Uint8Array][] = [
    ['general.type', stringValue('adapter')],
    ['general.architecture', stringValue(facts.architecture)],
    ['general.name', stringValue(basename(path).replace(/\.gguf$/i, ''))],
    ['general.base_model.count', u32Value(1)],
    ['general.base_model.0.name', stringValue(basename(facts.basePath).replace(/\.gguf$/i, ''))],
    [BASE_SHA256, stringValue(facts.baseSha256)],
    ['adapter.type', stringValue('lora')],
    ['adapter.lora.alpha', f32Value(facts.alpha)],
  ]
  return writeGguf(
    path,
    metadata,
    trained.names.map(name => floatTensor(name, trained.shape(name), facts.type, () => trained.get(name))),
  )
}

export type Adapter = {
  name: string
  architecture: string
  alpha: number
  /** Absent in adapters of other programs. */
  baseSha256: string | undefined
  tensors: Map<string, { shape: number[]; values: Float32Array }>
}

/** @throws HubError not_found, model_broken, invalid_request when it is not a LoRA adapter in F32 or F16 */
export function readAdapter(path: string): Adapter {
  const gguf = readGguf(path)
  const name = basename(path)
  const text = (key: string): string | undefined => {
    const value = scalar(gguf.metadata.get(key))
    return typeof value === 'string' ? value : undefined
  }
  const alpha = scalar(gguf.metadata.get('adapter.lora.alpha'))
  if (text('general.type') !== 'adapter' || text('adapter.type') !== 'lora' || typeof alpha !== 'number') {
    throw refused(`${name} is not a LoRA adapter; name an adapter GGUF, or leave continueFrom out`)
  }
  const tensors: Adapter['tensors'] = new Map()
  for (const tensor of gguf.tensors) {
    if (tensor.type > 1) throw refused(`${name}: ${tensor.name} is quantised; adapters in F32 or F16 can be continued`)
    const bytes = Buffer.concat([...tensorChunks(path, tensor)])
    const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length)
    const values = tensor.type === 0 ? new Float32Array(buffer) : Float32Array.from(new Uint16Array(buffer), fromHalf)
    tensors.set(tensor.name, { shape: tensor.shape, values })
  }
  return {
    name,
    architecture: text('general.architecture') ?? 'unknown',
    alpha,
    baseSha256: text(BASE_SHA256),
    tensors,
  }
}

/** @throws HubError conflict naming the first thing in which the adapter does not fit the base and the settings */
export function checkAdapter(
  adapter: Adapter,
  trained: Pick<Trained, 'names' | 'shape'>,
  facts: { architecture: string; alpha: number; baseSha256: string },
): void {
  const unfit = (what: string) =>
    new HubError('conflict', `${adapter.name} cannot be continued: ${what}`, { param: 'mode.continueFrom' })
  if (adapter.baseSha256 !== undefined && adapter.baseSha256 !== facts.baseSha256) {
    throw unfit(
      `it was trained on another base file (sha256 ${adapter.baseSha256.slice(0, 12)}, this one is ${facts.baseSha256.slice(0, 12)}); name that base`,
    )
  }
  if (adapter.architecture !== facts.architecture) {
    throw unfit(`it is for ${adapter.architecture}, and the base is ${facts.architecture}`)
  }
  const missing = trained.names.find(name => !adapter.tensors.has(name))
  if (missing !== undefined) throw unfit(`it has no ${missing}; choose the targets that it has`)
  const wanted = new Set(trained.names)
  const extra = [...adapter.tensors.keys()].find(name => !wanted.has(name))
  if (extra !== undefined) throw unfit(`it has ${extra}, which the job does not train; add that to the targets`)
  for (const [name, { shape, values }] of adapter.tensors) {
    const [columns, rows] = trained.shape(name)
    if (shape[0] !== columns || (shape[1] ?? 1) !== rows) {
      throw unfit(`${name} is ${shape.join(' x ')} and should be ${columns} x ${rows}; set the rank it was made with`)
    }
    if (values.some(value => !Number.isFinite(value))) throw unfit(`${name} holds values that are not finite`)
  }
  if (Math.abs(adapter.alpha - facts.alpha) > 1e-4 * facts.alpha) {
    throw unfit(`its alpha is ${adapter.alpha} and the job's is ${facts.alpha}; set the alpha it was made with`)
  }
}

/** Copies the base with the trained tensors in place of its own. @returns bytes @throws HubError insufficient_storage, invalid_request */
export function writeModel(path: string, trained: Trained, facts: { basePath: string; type: 'F32' | 'F16' }): number {
  const base = readGguf(facts.basePath)
  const names = new Set(trained.names)
  const metadata = new Map(base.metadata)
  // llama.cpp's file types 0 and 1: all F32, and mostly F16.
  metadata.set('general.file_type', u32Value(facts.type === 'F32' ? 0 : 1))
  metadata.delete('general.quantization_version')
  const tensors = base.tensors.map(tensor => {
    if (!names.has(tensor.name)) return { ...tensor, data: () => tensorChunks(base.path, tensor) }
    // Norms and biases stay F32, as llama.cpp wants them.
    const type = tensor.shape.length > 1 ? facts.type : 'F32'
    return floatTensor(tensor.name, tensor.shape, type, () => trained.get(tensor.name))
  })
  // A base may be a bare skeleton, metadata without tensors.
  const present = new Set(base.tensors.map(tensor => tensor.name))
  const added = trained.names
    .filter(name => !present.has(name))
    .map(name => {
      const [columns, rows] = trained.shape(name)
      const [shape, type] = rows === 1 ? [[columns], 'F32' as const] : [[columns, rows], facts.type]
      return floatTensor(name, shape, type, () => trained.get(name))
    })
  return writeGguf(path, metadata, [...tensors, ...added])
}

const refused = (message: string) => new HubError('invalid_request', message, { param: 'mode.continueFrom' })
