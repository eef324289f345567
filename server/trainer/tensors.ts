/** The tensors that a model of a family consists of, with their shapes: to check a base, and to start a model from nothing. */
import { HubError } from '../lib/error.ts'
import { GGML_TYPE } from '../native/ggml_api.ts'
import type { Family, Numbers } from './families/family.ts'
import { dimensions, type GgufTensor } from './gguf_read.ts'

export type Expected = { name: string; shape: [number, number]; optional?: boolean }

/** In the order of llama.cpp's converters; vectors have a second dimension of 1. */
export function expectedTensors(family: Family, numbers: Numbers): Expected[] {
  const { width, feedForward: ff, heads, kvHeads, headSize, vocabulary, layers, rotary } = numbers
  const q = heads * headSize
  const kv = kvHeads * headSize
  const fused = family.fused === true
  const matrix = (name: string, n0: number, n1: number): Expected[] => [
    { name: `${name}.weight`, shape: [n0, n1] },
    { name: `${name}.bias`, shape: [n1, 1], optional: true },
  ]
  const norm = (name: string, size: number): Expected => ({ name: `${name}.weight`, shape: [size, 1] })
  const expected: Expected[] = [
    { name: 'token_embd.weight', shape: [width, vocabulary] },
    norm('output_norm', width),
    { name: 'output.weight', shape: [width, vocabulary], optional: true },
    ...['rope_freqs', 'rope_factors_long', 'rope_factors_short'].map(
      (name): Expected => ({ name: `${name}.weight`, shape: [rotary / 2, 1], optional: true }),
    ),
  ]
  for (let layer = 0; layer < layers; layer++) {
    const blk = (part: string) => `blk.${layer}.${part}`
    expected.push(norm(blk('attn_norm'), width))
    if (fused) expected.push(...matrix(blk('attn_qkv'), width, q + 2 * kv))
    else {
      expected.push(...matrix(blk('attn_q'), width, q))
      expected.push(...matrix(blk('attn_k'), width, kv), ...matrix(blk('attn_v'), width, kv))
    }
    if (family.qkNorm) expected.push(norm(blk('attn_q_norm'), headSize), norm(blk('attn_k_norm'), headSize))
    expected.push(...matrix(blk('attn_output'), q, width))
    if (family.postNorms) expected.push(norm(blk('post_attention_norm'), width))
    expected.push(norm(blk('ffn_norm'), width))
    if (fused) expected.push(...matrix(blk('ffn_up'), width, 2 * ff))
    else expected.push(...matrix(blk('ffn_gate'), width, ff), ...matrix(blk('ffn_up'), width, ff))
    expected.push(...matrix(blk('ffn_down'), ff, width))
    if (family.postNorms) expected.push(norm(blk('post_ffw_norm'), width))
  }
  return expected
}

/** @throws HubError invalid_request naming a tensor that is missing, has another shape, or that this family would not use */
export function checkTensors(family: Family, numbers: Numbers, tensors: readonly GgufTensor[]): void {
  const { architecture } = family
  const expected = new Map(expectedTensors(family, numbers).map(each => [each.name, each]))
  for (const tensor of tensors) {
    const { name, type } = tensor
    const shape = dimensions(tensor)
    const known = expected.get(name)
    if (known === undefined) {
      throw new HubError('invalid_request', `this ${architecture} cannot be trained: its tensor ${name} is not known`)
    }
    if (shape[0] !== known.shape[0] || shape[1] !== known.shape[1] || shape[2] !== 1 || shape[3] !== 1) {
      throw new HubError(
        'invalid_request',
        `${name} is ${shape.join(' x ')} instead of ${known.shape.join(' x ')}; the base model is broken`,
      )
    }
    if (shape[1] === 1 && type !== GGML_TYPE.F32)
      throw new HubError('invalid_request', `${name} is a vector that is not F32; the base model is broken`)
    expected.delete(name)
  }
  const missing = [...expected.values()].find(each => !each.optional)
  if (missing !== undefined) {
    throw new HubError('invalid_request', `the base model has no tensor ${missing.name}; it is incomplete`)
  }
}

/** Tensors that hold constants of the rope instead of weights. */
export const isConstant = (name: string): boolean => name.startsWith('rope_')
