/** What a model family is to the trainer: numbers from the GGUF, and its differences from the common decoder block. */
import { HubError } from '../../lib/error.ts'
import type { RopeParameters } from '../../native/ggml_api.ts'
import type { GgufMetadata } from '../gguf_read.ts'

/** Sizes and constants of one model, as its metadata gives them. */
export type Numbers = {
  architecture: string
  layers: number
  width: number
  feedForward: number
  heads: number
  kvHeads: number
  headSize: number
  /** Rotated dimensions of a head. */
  rotary: number
  epsilon: number
  ropeBase: number
  /** Rope base of layers with a sliding window, where the file gives one. */
  ropeBaseWindow: number | undefined
  /** Positions are multiplied by it: 1 / the scaling factor. */
  ropeScale: number
  ropeScaling: string
  ropeAttentionFactor: number
  contextLength: number
  originalContext: number
  vocabulary: number
  /** Sliding window in tokens, 0 for none. */
  window: number
  /** Every so many layers one attends to everything; undefined when the file does not say. */
  windowPeriod: number | undefined
  /** Window flag of each layer, where the file lists them. */
  windowLayers: boolean[] | undefined
  attentionCap: number
  finalCap: number
}

/** All that differs between families. What is left out is as in llama. */
export type Family = {
  /** `general.architecture` */
  architecture: string
  /** Pairs of neighbours are rotated (`normal`), or the first half with the second (`neox`). */
  rope: 'normal' | 'neox'
  activation?: 'silu' | 'gelu'
  /** Q and K go through an RMS norm per head. */
  qkNorm?: boolean
  /** Attention and feed-forward outputs go through an RMS norm before they are added. */
  postNorms?: boolean
  /** One tensor holds Q, K and V, another gate and up. */
  fused?: boolean
  /** The output projection is always the embedding. */
  tied?: boolean
  embeddingScale?: (numbers: Numbers) => number
  attentionScale?: (numbers: Numbers) => number
  /** Sliding window of a layer in tokens; 0 for none. */
  window?: (numbers: Numbers, layer: number) => number
  /** Rope base and scale of a layer with a window. */
  windowRope?: (numbers: Numbers) => { base: number; scale: number }
  attentionCap?: (numbers: Numbers) => number
  finalCap?: (numbers: Numbers) => number
  /** Why this file cannot be trained, if it cannot. */
  refuses?: (numbers: Numbers, metadata: GgufMetadata) => string | undefined
}

/** Above this no size is believed: the largest models have a hundredth of it. */
const MOST = 2 ** 24
const MOST_LAYERS = 2 ** 12

/** @throws HubError invalid_request when a needed number is missing, differs between layers, or cannot be a size */
export function readNumbers(metadata: GgufMetadata, vocabulary: number): Numbers {
  const architecture = String(metadata['general.architecture'])
  const raw = (key: string) => metadata[`${architecture}.${key}`]
  const optional = (key: string): number | undefined => {
    const value = raw(key)
    if (typeof value === 'number') return value
    if (!Array.isArray(value)) return undefined
    if (value.some(n => n !== value[0]))
      throw new HubError(
        'invalid_request',
        `${architecture}.${key} differs between layers; such a model cannot be trained`,
      )
    return value[0]
  }
  const required = (key: string): number => {
    const value = optional(key)
    if (value === undefined)
      throw new HubError('invalid_request', `the base model does not say ${architecture}.${key}; it cannot be trained`)
    return value
  }
  const broken = (key: string, value: number, wanted: string) =>
    new HubError(
      'invalid_request',
      `${architecture}.${key} is ${value} and must be ${wanted}; the base model is broken, get the file again`,
    )
  const size = (key: string, value: number, most = MOST): number => {
    if (Number.isInteger(value) && value >= 1 && value <= most) return value
    throw broken(key, value, `a whole number from 1 to ${most}`)
  }
  /** 0 for none. */
  const amount = (key: string, value = 0): number => {
    if (value >= 0 && Number.isFinite(value)) return value
    throw broken(key, value, 'a number from 0')
  }
  const positive = (key: string, value: number): number => {
    if (value > 0 && Number.isFinite(value)) return value
    throw broken(key, value, 'above 0')
  }
  const text = (key: string): string | undefined => {
    const value = raw(key)
    return typeof value === 'string' ? value : undefined
  }
  const sized = (key: string, most?: number): number => size(key, required(key), most)
  const width = sized('embedding_length')
  const heads = sized('attention.head_count')
  const headSize = size('attention.key_length', optional('attention.key_length') ?? width / heads)
  const kvHeads = size('attention.head_count_kv', optional('attention.head_count_kv') ?? heads)
  if (heads % kvHeads !== 0)
    throw broken('attention.head_count', heads, `a multiple of its ${kvHeads} heads of K and V`)
  const rotary = size('rope.dimension_count', optional('rope.dimension_count') ?? headSize)
  if (rotary > headSize || rotary % 2 !== 0)
    throw broken('rope.dimension_count', rotary, `even, and at most the head's ${headSize}`)
  const contextLength = sized('context_length', 2 ** 31 - 1)
  const factor = amount('rope.scaling.factor', optional('rope.scaling.factor') ?? optional('rope.scale_linear'))
  const ropeScaling = text('rope.scaling.type') ?? 'linear'
  const pattern = raw('attention.sliding_window_pattern')
  const baseWindow = optional('rope.freq_base_swa')
  return {
    architecture,
    layers: sized('block_count', MOST_LAYERS),
    width,
    feedForward: sized('feed_forward_length'),
    heads,
    kvHeads,
    headSize,
    rotary,
    epsilon: positive('attention.layer_norm_rms_epsilon', required('attention.layer_norm_rms_epsilon')),
    ropeBase: positive('rope.freq_base', optional('rope.freq_base') ?? 10000),
    ropeBaseWindow: baseWindow === undefined ? undefined : positive('rope.freq_base_swa', baseWindow),
    ropeScale: factor === 0 || ropeScaling === 'none' ? 1 : 1 / factor,
    ropeScaling,
    ropeAttentionFactor: optional('rope.scaling.attn_factor') ?? 1,
    contextLength,
    originalContext: optional('rope.scaling.original_context_length') ?? contextLength,
    vocabulary: size('vocab_size', vocabulary),
    window: amount('attention.sliding_window', optional('attention.sliding_window')),
    windowPeriod: typeof pattern === 'number' ? pattern : undefined,
    windowLayers: Array.isArray(pattern) ? pattern.map(flag => Boolean(flag)) : undefined,
    attentionCap: amount('attn_logit_softcapping', optional('attn_logit_softcapping')),
    finalCap: amount('final_logit_softcapping', optional('final_logit_softcapping')),
  }
}

/** The window of every layer but each `period`-th, which attends to everything. */
export const alternating =
  (period: number, window?: number) =>
  (numbers: Numbers, layer: number): number => {
    const every = numbers.windowPeriod ?? period
    const windowed = numbers.windowLayers?.[layer] ?? (every === 0 || layer % every < every - 1)
    return windowed ? numbers.window || (window ?? 0) : 0
  }

/** Rope parameters of a layer, as llama.cpp computes them (llama-context.cpp: YaRN's attention factor is undone, ggml applies it). */
export function ropeParameters(family: Family, numbers: Numbers, windowed: boolean): RopeParameters {
  const own = windowed ? family.windowRope?.(numbers) : undefined
  const yarn = numbers.ropeScaling === 'yarn'
  const factor = 1 / numbers.ropeScale
  const magnitude = yarn ? (factor <= 1 ? 1 : 0.1 * Math.log(factor) + 1) / (1 + 0.1 * Math.log(factor)) : 1
  return [
    numbers.rotary,
    family.rope === 'neox' ? 2 : 0,
    numbers.originalContext,
    own?.base ?? numbers.ropeBase,
    own?.scale ?? numbers.ropeScale,
    yarn ? 1 : 0,
    magnitude * numbers.ropeAttentionFactor,
    32,
    1,
  ]
}
