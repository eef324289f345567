/** Headers of real model sizes, for plans that need no weights. */
import { GGML_TYPE } from '../../server/native/ggml_api.ts'
import type { Header } from '../../server/trainer/base.ts'
import type { GgufMetadata, GgufTensor } from '../../server/trainer/gguf_read.ts'
import { projections, type TrainShape } from './train_model.ts'

/** Llama 3.1 8B. */
export const EIGHT_BILLION: TrainShape = {
  width: 4096,
  feedForward: 14336,
  heads: 32,
  kvHeads: 8,
  layers: 32,
  vocabulary: 128256,
}

/** Qwen2.5 14B, as a llama without its biases, which are a millionth of it. */
export const FOURTEEN_BILLION: TrainShape = {
  width: 5120,
  feedForward: 13824,
  heads: 40,
  kvHeads: 8,
  layers: 48,
  vocabulary: 152064,
}

/** What a GGUF of a llama in Q4_K_M says: Q6_K for the output and, in half of the layers, for attn_v and ffn_down; Q4_K else, norms in F32. */
export function modelHeader(shape: TrainShape): Header {
  const { width, feedForward, heads, kvHeads, layers, vocabulary } = shape
  const { F32, Q4_K, Q6_K } = GGML_TYPE
  const tensors: GgufTensor[] = []
  const add = (name: string, type: number, n0: number, n1 = 1): void => {
    const [block, bytes] = type === Q4_K ? [256, 144] : type === Q6_K ? [256, 210] : [1, 4]
    const offset = tensors.reduce((end, tensor) => Math.max(end, tensor.offset + tensor.bytes), 0)
    tensors.push({ name, type, shape: [n0, n1], offset, bytes: ((n0 * n1) / block) * bytes })
  }
  add('token_embd.weight', Q4_K, width, vocabulary)
  add('output.weight', Q6_K, width, vocabulary)
  add('output_norm.weight', F32, width)
  for (let layer = 0; layer < layers; layer++) {
    // llama.cpp's use_more_bits.
    const eighth = Math.floor(layers / 8)
    const more = layer < eighth || layer >= 7 * eighth || (layer - eighth) % 3 === 2
    add(`blk.${layer}.attn_norm.weight`, F32, width)
    add(`blk.${layer}.ffn_norm.weight`, F32, width)
    for (const [name, [input, output]] of Object.entries(projections(shape))) {
      const type = more && (name === 'attn_v' || name === 'ffn_down') ? Q6_K : Q4_K
      add(`blk.${layer}.${name}.weight`, type, input, output)
    }
  }
  const metadata: GgufMetadata = {
    'general.architecture': 'llama',
    'llama.block_count': layers,
    'llama.context_length': 131072,
    'llama.embedding_length': width,
    'llama.feed_forward_length': feedForward,
    'llama.attention.head_count': heads,
    'llama.attention.head_count_kv': kvHeads,
    'llama.attention.layer_norm_rms_epsilon': 1e-5,
    'llama.rope.freq_base': 5e5,
    'llama.rope.dimension_count': width / heads,
  }
  return { metadata, tensors }
}
