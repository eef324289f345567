/** What the trainer's loop and its model agree on: settings, rows, parameters and the model itself. */
import type { Variant } from '../native/bins.ts'

export type LoraSettings = {
  rank: number
  alpha: number
  /** Scale by alpha / sqrt(rank) instead of alpha / rank. */
  rsLora: boolean
  /** Projections by their GGUF name: attn_q, attn_k, attn_v, attn_output, ffn_gate, ffn_up, ffn_down. */
  targets: string[]
  /** Share of A's inputs that are zeroed while training, 0 to below 1. */
  dropout: number
}

export type OptimizerSettings = {
  beta1: number
  beta2: number
  epsilon: number
  weightDecay: number
  maxGradNorm: number
  /** LoRA+: rate of B = ratio x rate of A. */
  loraPlusRatio: number
}

/** One packed row: several sequences behind one another. All arrays have the row's length n. */
export type Row = {
  /** [n] */
  tokens: Int32Array
  /** [n], restart at 0 with each sequence. */
  positions: Int32Array
  /** [n], which sequence; -1 = padding. */
  segments: Int32Array
  /** [n], loss weight of predicting THIS token from the one before; 0 = masked, the first token of a sequence is always 0. */
  weights: Float32Array
}

/** Trained tensors, F32, on the device. Names are `blk.0.attn_q.weight.lora_a`, or the weight's own name in full mode. */
export type Trainable = {
  names: string[]
  get(name: string): Float32Array
  set(name: string, values: Float32Array): void
  /** AdamW's moments. */
  moments(name: string): { m: Float32Array; v: Float32Array }
  setMoments(name: string, m: Float32Array, v: Float32Array): void
  /** Gradient accumulated since the last step. */
  gradient(name: string): Float32Array
  /** ggml's order, the fastest first: A is [in, rank], B is [rank, out]; a vector is [n, 1]. */
  shape(name: string): [number, number]
  /** Number of optimizer steps taken: AdamW's bias correction depends on it. */
  stepCount: number
}

export type TrainerModel = {
  architecture: string
  /** What it computes on: its name as ggml gives it, and whether that is the CPU. */
  device: { name: string; isCpu: boolean }
  vocabularySize: number
  contextLength: number
  parameters: Trainable
  trainableCount: number
  /** Loss (sum of weight x -log p over the row, times lossScale); gradients are added to the accumulators. Does not block the event loop. */
  accumulate(row: Row, lossScale: number): Promise<number>
  /** Forward only: sum of weight x -log p, and the sum of weights. */
  evaluate(row: Row): Promise<{ loss: number; weight: number }>
  /** DPO on a pair; the reference is the same model with its adapter scaled to 0. Each row holds one sequence. */
  accumulatePreference(
    pair: { chosen: Row; rejected: Row },
    options: { beta: number; lossScale: number },
  ): Promise<{ loss: number; accuracy: number; margin: number }>
  /** The same without gradients. */
  evaluatePreference(
    pair: { chosen: Row; rejected: Row },
    beta: number,
  ): Promise<{ loss: number; accuracy: number; margin: number }>
  /** Clips by global norm, AdamW, clears the accumulators; gives the gradient norm before clipping. Not finite: nothing is changed but the accumulators, which are cleared. */
  step(rate: number, options: OptimizerSettings): Promise<{ gradientNorm: number; finite: boolean }>
  clearGradients(): void
  /** Logits of all positions (parity check): [n][vocab], flat. */
  logits(row: Row): Promise<Float32Array>
  memory(): { weightsBytes: number; parameterBytes: number; computeBytes: number }
  free(): void
}

export type OpenOptions = {
  path: string
  library: Variant
  /** Device name as ggml gives it, like `CPU`, `Vulkan0` or `CUDA0`; by default the first GPU of the library, of the CPU's library the CPU. */
  device?: string
  threads: number
  mode:
    | { type: 'lora'; lora: LoraSettings }
    | { type: 'full' /** Random weights instead of the file's. */; randomStart: boolean }
  seed: number
  /** Row lengths that graphs are built for; a row runs in the smallest that holds it. */
  buckets: number[]
  /** Recompute each layer in the backward pass instead of keeping its activations. */
  checkpoint: boolean
  /** Most tokens that logits will be asked for, which the plan then counts. */
  logitsTokens?: number
  /** Queries per chunk of attention, and rows per chunk of the head; chosen by size when left out. */
  attentionChunk?: number
  headRows?: number
  /** GELU by its formula also in the forward pass: the CPU reads it from a table of 16-bit floats, too coarse for finite differences. */
  smooth?: boolean
}
