/** How PEFT and GGUF name and order the same projections, per model family. */
import { HubError } from '../lib/error.ts'
import { FAMILIES } from './families/all.ts'
import { type Gguf, readGguf, scalar } from './gguf_read.ts'

/** A base as far as its adapters need to know it. */
export type Base = {
  architecture: string
  heads: number
  kvHeads: number
  /** Rows of Q and K lie in another order than in Hugging Face's files. */
  permuted: boolean
  /** Projections as the GGUF names them, by the name within a Hugging Face block. */
  modules: ReadonlyMap<string, string>
  layers: number
  /** Columns and rows of each matrix, by its name in the GGUF. */
  shapes: ReadonlyMap<string, readonly [columns: number, rows: number]>
  metadata: Gguf['metadata']
}

const PLAIN: [module: string, target: string][] = [
  ['self_attn.q_proj', 'attn_q'],
  ['self_attn.k_proj', 'attn_k'],
  ['self_attn.v_proj', 'attn_v'],
  ['self_attn.o_proj', 'attn_output'],
  ['mlp.gate_proj', 'ffn_gate'],
  ['mlp.up_proj', 'ffn_up'],
  ['mlp.down_proj', 'ffn_down'],
]
const FUSED: [module: string, target: string][] = [
  ['self_attn.qkv_proj', 'attn_qkv'],
  ['self_attn.o_proj', 'attn_output'],
  ['mlp.gate_up_proj', 'ffn_up'],
  ['mlp.down_proj', 'ffn_down'],
]

/** @param paths all parts of the file @throws HubError invalid_request for a family whose names are not known */
export function readBase(paths: readonly string[], types?: Parameters<typeof readGguf>[1]): Base {
  const parts = paths.map(path => readGguf(path, types))
  const metadata = parts[0]?.metadata ?? new Map<string, Uint8Array>()
  const architecture = String(scalar(metadata.get('general.architecture')) ?? 'none')
  const family = FAMILIES.find(each => each.architecture === architecture)
  if (family === undefined) {
    const known = FAMILIES.map(each => each.architecture).join(', ')
    throw new HubError(
      'invalid_request',
      `PEFT adapters of ${architecture} are not known; these families are: ${known}`,
    )
  }
  const number = (key: string): number | undefined => {
    const value = scalar(metadata.get(`${architecture}.${key}`))
    return typeof value === 'number' ? value : undefined
  }
  const heads = number('attention.head_count')
  if (heads === undefined) {
    throw new HubError('invalid_request', `the base does not say ${architecture}.attention.head_count as one number`)
  }
  const shapes = new Map<string, readonly [number, number]>()
  for (const { name, shape } of parts.flatMap(part => part.tensors)) {
    if (shape.length === 2) shapes.set(name, [shape[0]!, shape[1]!])
  }
  return {
    architecture,
    heads,
    kvHeads: number('attention.head_count_kv') ?? heads,
    permuted: family.rope === 'normal',
    modules: new Map(family.fused === true ? FUSED : PLAIN),
    layers: number('block_count') ?? 0,
    shapes,
    metadata,
  }
}

/** Heads whose rows are to be put in another order; 0 where they stay. */
export function permutedHeads(base: Base, target: string): number {
  if (!base.permuted) return 0
  return target === 'attn_q' ? base.heads : target === 'attn_k' ? base.kvHeads : 0
}

/**
 * Rows of B from Hugging Face's order to GGUF's, or back. There a head's first half is rotated with its second one, here
 * neighbours are: row j of half s of a head is row 2 j + s here.
 * @param values [rows, rank], a row after the other
 */
export function permuteRows(values: Float32Array, rank: number, heads: number, to: 'gguf' | 'peft'): Float32Array {
  const headRows = values.length / rank / heads
  const half = headRows / 2
  const result = new Float32Array(values.length)
  for (let head = 0; head < heads; head++) {
    for (let side = 0; side < 2; side++) {
      for (let j = 0; j < half; j++) {
        const peft = (head * headRows + side * half + j) * rank
        const gguf = (head * headRows + 2 * j + side) * rank
        const [from, into] = to === 'gguf' ? [peft, gguf] : [gguf, peft]
        result.set(values.subarray(from, from + rank), into)
      }
    }
  }
  return result
}
