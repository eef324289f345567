/** What the header of an adapter GGUF says, and whether the engine could use it. */
import { basename } from 'node:path'
import { HubError } from '../lib/error.ts'
import type { AdapterFacts } from '../wire/adapter.ts'
import { readGgufHeader } from './gguf_header.ts'

const PART = /^(.+)\.lora_([ab])$/
const BLOCK = /^blk\.(\d+)\.(.+)\.weight$/

/** @throws HubError model_broken with the reason and what to do */
export async function readAdapterFacts(path: string): Promise<AdapterFacts> {
  const { metadata, tensors, weights } = await readGgufHeader(path)
  const broken = (what: string): HubError => new HubError('model_broken', `${basename(path)} ${what}`)
  const type = metadata.get('general.type')
  if (type !== 'adapter') {
    throw broken('is a whole model and no adapter; put it into a folder of local_models.')
  }
  const kind = metadata.get('adapter.type')
  if (kind !== 'lora') throw broken(`is an adapter of the type ${String(kind)}; LoRA adapters can be used.`)
  const architecture = metadata.get('general.architecture')
  if (typeof architecture !== 'string') throw broken('does not name its architecture; convert it again.')
  const alpha = metadata.get('adapter.lora.alpha')
  if (typeof alpha !== 'number' || !Number.isFinite(alpha)) throw broken('has no alpha; convert it again.')
  if (metadata.has('adapter.alora.invocation_tokens')) {
    throw broken('is activated by a text within the prompt (aLoRA), which is not supported; use a plain LoRA.')
  }
  const pairs = new Map<string, { a?: number; b?: number }>()
  for (const { name, shape } of tensors) {
    const [, of, side] = PART.exec(name) ?? []
    // The engine would leave it out without a word.
    if (of === undefined) throw broken(`holds ${name}, which is no part of a LoRA; make the adapter without it.`)
    const pair = pairs.get(of) ?? {}
    if (side === 'a') pair.a = shape[1] ?? 1
    else pair.b = shape[0] ?? 1
    pairs.set(of, pair)
  }
  if (pairs.size === 0) throw broken('holds no tensors; get the file again.')
  const targets = new Set<string>()
  const layers = new Set<string>()
  let rank = 0
  for (const [name, { a, b }] of pairs) {
    if (a === undefined || b === undefined) throw broken(`has only one half of ${name}; get the file again.`)
    if (a !== b && !name.startsWith('token_embd')) throw broken(`has halves of ranks ${a} and ${b} for ${name}.`)
    const [, layer, target] = BLOCK.exec(name) ?? []
    if (layer !== undefined) layers.add(layer)
    targets.add(target ?? name.replace(/\.weight$/, ''))
    rank = Math.max(rank, b)
  }
  const sha256 = metadata.get('general.base_model.0.sha256')
  return {
    architecture,
    rank,
    alpha,
    targets: [...targets],
    layers: layers.size,
    parameters: tensors.reduce((sum, { elements }) => sum + elements, 0),
    type: [...weights].sort((x, y) => y[1] - x[1])[0]?.[0] ?? 'none',
    ...(typeof sha256 === 'string' && { base_sha256: sha256 }),
  }
}
