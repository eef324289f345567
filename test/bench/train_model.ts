/** The model that training is measured on: random Q4_K weights, 1024 wide, feed-forward 2816, 3 layers, vocabulary 4096. */
import { existsSync, mkdirSync, renameSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { f32, str, type Tensor, u32, writeGguf } from '../helpers/gguf_file.ts'
import { randomWeights, type TensorType } from '../helpers/random_weights.ts'

export type TrainShape = {
  width: number
  feedForward: number
  heads: number
  kvHeads: number
  layers: number
  vocabulary: number
}

export const BENCH_SHAPE: TrainShape = {
  width: 1024,
  feedForward: 2816,
  heads: 16,
  kvHeads: 4,
  layers: 3,
  vocabulary: 4096,
}

/** Rows and columns of the matrices of one block, as [in, out]. */
export function projections(shape: TrainShape): { [name: string]: [input: number, output: number] } {
  const { width, feedForward, heads, kvHeads } = shape
  const kv = (width / heads) * kvHeads
  return {
    attn_q: [width, width],
    attn_k: [width, kv],
    attn_v: [width, kv],
    attn_output: [width, width],
    ffn_gate: [width, feedForward],
    ffn_up: [width, feedForward],
    ffn_down: [feedForward, width],
  }
}

/** Path of a llama model without a tokenizer, made once and kept under the temporary folder. */
export function trainModel(type: TensorType, shape: TrainShape = BENCH_SHAPE): string {
  const { width, feedForward, heads, kvHeads, layers, vocabulary } = shape
  const folder = join(tmpdir(), 'ai-backend-hub-bench-models')
  const name = [type.toLowerCase(), width, feedForward, heads, kvHeads, layers, vocabulary].join('-')
  const path = join(folder, `train-${name}.gguf`)
  if (existsSync(path)) return path
  const tensors: Tensor[] = []
  const add = (name: string, shape: number[], std: number, mean = 0): void => {
    const kind = shape.length === 1 ? 'F32' : type
    const elements = shape.reduce((product, n) => product * n, 1)
    tensors.push({ name, shape, type: kind, data: randomWeights(kind, elements, std, mean, 1 + tensors.length) })
  }
  add('token_embd.weight', [width, vocabulary], 0.7)
  add('output.weight', [width, vocabulary], 2 / Math.sqrt(width))
  add('output_norm.weight', [width], 0.05, 1)
  for (let layer = 0; layer < layers; layer++) {
    add(`blk.${layer}.attn_norm.weight`, [width], 0.05, 1)
    add(`blk.${layer}.ffn_norm.weight`, [width], 0.05, 1)
    for (const [name, [input, output]] of Object.entries(projections(shape)))
      add(`blk.${layer}.${name}.weight`, [input, output], 1 / Math.sqrt(input))
  }
  mkdirSync(folder, { recursive: true })
  // Made under another name, so that an interrupted run leaves no half a model behind.
  const temporary = `${path}.${process.pid}.part`
  writeGguf(
    temporary,
    {
      'general.architecture': str('llama'),
      'general.name': str('random training benchmark'),
      'llama.block_count': u32(layers),
      'llama.context_length': u32(8192),
      'llama.embedding_length': u32(width),
      'llama.feed_forward_length': u32(feedForward),
      'llama.attention.head_count': u32(heads),
      'llama.attention.head_count_kv': u32(kvHeads),
      'llama.attention.layer_norm_rms_epsilon': f32(1e-5),
      'llama.rope.freq_base': f32(1e4),
      'llama.rope.dimension_count': u32(width / heads),
      'llama.vocab_size': u32(vocabulary),
    },
    tensors,
  )
  renameSync(temporary, path)
  return path
}
