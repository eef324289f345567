/** Tiny random models of every family that can be trained, in any weight type, for the trainer's tests. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadGgml } from '../../server/native/ggml.ts'
import { GGML_TYPE } from '../../server/native/ggml_api.ts'
import { FAMILIES } from '../../server/trainer/families/all.ts'
import { readNumbers } from '../../server/trainer/families/family.ts'
import { type Gguf, readGguf } from '../../server/trainer/gguf_read.ts'
import { f32Value, stringValue, u32Value, type WrittenTensor, writeGguf } from '../../server/trainer/gguf_write.ts'
import { randomAt } from '../../server/trainer/random.ts'
import { expectedTensors } from '../../server/trainer/tensors.ts'
import type { Row } from '../../server/trainer/types.ts'
import { makeModel, TINY } from './gguf_file.ts'

export type WeightType = 'F32' | 'F16' | 'BF16' | 'Q8_0' | 'Q4_0' | 'Q4_K' | 'Q5_K' | 'Q6_K'
export type FamilyModel = {
  architecture: string
  /** One type for all matrices, or those that layers take in turn. */
  types?: WeightType[]
  seed?: number
  /** The name in the file, where the same tensors shall be read as another architecture. */
  writtenAs?: string
  /** Rotary scaling: `none`, `linear` or `yarn`, by that factor, from a context of that many tokens. */
  scaling?: { type: string; factor: number; originalContext?: number; attentionFactor?: number }
}

let vocabulary: Gguf | undefined

/** The header of a tiny model with a vocabulary of bytes. */
function readVocabulary(): Gguf {
  const folder = temporary('vocabulary')
  const path = join(folder, 'tiny.gguf')
  makeModel(path, TINY)
  const header = readGguf(path)
  rmSync(folder, { recursive: true })
  return header
}

/** Two layers; K types need rows of 256. A window is 12 tokens. */
export function writeFamilyModel(path: string, model: FamilyModel): void {
  const { architecture, types = ['F32'], seed = 1, writtenAs = architecture, scaling } = model
  const family = FAMILIES.find(each => each.architecture === architecture)
  if (family === undefined) throw new Error(`no family ${architecture}`)
  const wide = types.some(type => type.endsWith('_K'))
  const heads = wide ? 8 : 4
  const width = wide ? 256 : 64
  // Heads of another size than width / heads show that nobody takes the one for the other.
  const headSize = family.qkNorm ? (wide ? 64 : 32) : width / heads
  const sizes: { [key: string]: number } = {
    block_count: 2,
    context_length: 512,
    embedding_length: width,
    feed_forward_length: wide ? 512 : 96,
    'attention.head_count': heads,
    'attention.head_count_kv': 2,
    'attention.key_length': headSize,
    'attention.value_length': headSize,
    'rope.dimension_count': headSize,
    ...(family.window && { 'attention.sliding_window': 12 }),
    ...(architecture.startsWith('gemma') && { 'attention.sliding_window_pattern': 2 }),
  }
  const reals: { [key: string]: number } = {
    'attention.layer_norm_rms_epsilon': 1e-5,
    'rope.freq_base': architecture === 'gemma3' ? 1e6 : 1e4,
    ...(architecture === 'gemma2' && { attn_logit_softcapping: 4, final_logit_softcapping: 6 }),
  }
  vocabulary ??= readVocabulary()
  const tokens = vocabulary.tensors.find(tensor => tensor.name === 'token_embd.weight')!.shape[1]!
  const keyed = (prefix: string) =>
    Object.fromEntries(Object.entries({ ...sizes, ...reals }).map(([key, value]) => [`${prefix}.${key}`, value]))
  const numbers = readNumbers({ 'general.architecture': architecture, ...keyed(architecture) }, tokens)
  const extra: { [name: string]: boolean } = {
    'output.weight': !family.tied,
    'rope_freqs.weight': architecture === 'llama',
    'rope_factors_long.weight': architecture === 'phi3',
    'rope_factors_short.weight': architecture === 'phi3',
  }
  const bias = /attn_[qkv]\.bias$/
  const tensors = expectedTensors(family, numbers)
    .filter(({ name, optional }) => !optional || extra[name] || (architecture === 'qwen2' && bias.test(name)))
    .map(({ name, shape: [n0, n1] }, index): WrittenTensor => {
      const random = randomAt(seed, 9, index)
      const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
      const value = (): number => {
        if (name.startsWith('rope_')) return 1 + 3 * random()
        if (n1 === 1) return name.endsWith('.bias') ? 0.1 * normal() : 1 + 0.1 * normal()
        if (name.startsWith('token_embd')) return (family.tied ? 2 / Math.sqrt(n0) : 0.7) * normal()
        if (name.startsWith('output')) return (2 / Math.sqrt(n0)) * normal()
        return ((/attn_(q|k|qkv)\./.test(name) ? 1.5 : 1) / Math.sqrt(n0)) * normal()
      }
      const values = Float32Array.from({ length: n0 * n1 }, value)
      const type = n1 === 1 ? 'F32' : types[index % types.length]!
      const bytes = encode(values, type, n0, n1)
      return {
        name,
        shape: n1 === 1 ? [n0] : [n0, n1],
        type: GGML_TYPE[type],
        bytes: bytes.byteLength,
        data: () => [bytes],
      }
    })
  const scaled: [string, Uint8Array][] =
    scaling === undefined
      ? []
      : [
          [`${writtenAs}.rope.scaling.type`, stringValue(scaling.type)],
          [`${writtenAs}.rope.scaling.factor`, f32Value(scaling.factor)],
          ...(scaling.originalContext === undefined
            ? []
            : [[`${writtenAs}.rope.scaling.original_context_length`, u32Value(scaling.originalContext)] as const]),
          ...(scaling.attentionFactor === undefined
            ? []
            : [[`${writtenAs}.rope.scaling.attn_factor`, f32Value(scaling.attentionFactor)] as const]),
        ].map(([key, value]): [string, Uint8Array] => [key as string, value as Uint8Array])
  const metadata: [string, Uint8Array][] = [
    ['general.architecture', stringValue(writtenAs)],
    ...[...vocabulary.metadata].filter(([key]) => key.startsWith('tokenizer.')),
    ...scaled,
    ...Object.entries(sizes).map(([key, value]): [string, Uint8Array] => [`${writtenAs}.${key}`, u32Value(value)]),
    ...Object.entries(reals).map(([key, value]): [string, Uint8Array] => [`${writtenAs}.${key}`, f32Value(value)]),
  ]
  writeGguf(path, metadata, tensors)
}

function encode(values: Float32Array, type: WeightType, n0: number, n1: number): Uint8Array {
  if (type === 'F32') return new Uint8Array(values.buffer)
  const ggml = loadGgml()
  const bytes = new Uint8Array(Number(ggml.row_size(GGML_TYPE[type], n0)) * n1)
  ggml.quantize_chunk(GGML_TYPE[type], values, bytes, 0, n1, n0, null)
  return bytes
}

/** A folder of its own for a test's files. */
export function temporary(name: string): string {
  return mkdtempSync(join(tmpdir(), `hub-${name}-`))
}

/** Random sequences of those lengths packed into one row; every other token of each is a target, of weights 1 and 0.5. */
export function randomRow(lengths: number[], vocabulary: number, seed: number): Row {
  const n = lengths.reduce((sum, length) => sum + length, 0)
  const row: Row = {
    tokens: new Int32Array(n),
    positions: new Int32Array(n),
    segments: new Int32Array(n),
    weights: new Float32Array(n),
  }
  let at = 0
  lengths.forEach((length, segment) => {
    // Each sequence draws its own numbers, so that it is the same wherever it stands.
    const random = randomAt(seed, segment)
    for (let i = 0; i < length; i++, at++) {
      row.tokens[at] = Math.floor(random() * vocabulary)
      row.positions[at] = i
      row.segments[at] = segment
      row.weights[at] = i > 0 && i % 2 === 0 ? (i % 4 === 0 ? 1 : 0.5) : 0
    }
  })
  return row
}

/** One sequence of a row as a row of its own. */
export function takeSegment(row: Row, segment: number): Row {
  const inside = (_: number, i: number) => row.segments[i] === segment
  return {
    tokens: row.tokens.filter(inside),
    positions: row.positions.filter(inside),
    segments: row.segments.filter(inside).fill(0),
    weights: row.weights.filter(inside),
  }
}
