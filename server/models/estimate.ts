/** How much memory a model will take: an estimate from its header, replaced by what was measured once it ran. */
import type { GgufFacts } from '../wire/model.ts'
import type { MemoryFit } from '../wire/pull.ts'
import type { Device } from '../wire/worker.ts'

export type Need = {
  weightsBytes: number
  kvBytes: number
  /** Buffers of the computation, and what a process costs. */
  overheadBytes: number
  totalBytes: number
}

const KV_FACTOR = { f32: 2, f16: 1, q8_0: 34 / 64 } as const
/** A worker's own Node and libraries. */
const PROCESS_BYTES = 80 * 2 ** 20
/** Rows of logits kept, times the vocabulary, in float32; see OUTPUT_ROWS of the worker. */
const LOGIT_ROWS = 64

export function estimateNeed(
  facts: Pick<GgufFacts, 'kv_bytes_per_token' | 'embedding_size' | 'heads' | 'vocabulary_size'>,
  fileBytes: number,
  settings: { contextTokens: number; batchTokens: number; kvType: keyof typeof KV_FACTOR },
): Need {
  const kvBytes = facts.kv_bytes_per_token * settings.contextTokens * KV_FACTOR[settings.kvType]
  const batch = Math.min(settings.batchTokens, settings.contextTokens)
  // The widest activations of a batch live together a few at a time; attention scores grow with the context.
  const activations =
    batch * facts.embedding_size * 4 * 12 + batch * settings.contextTokens * Math.max(1, facts.heads) * 2
  const logits = LOGIT_ROWS * facts.vocabulary_size * 4 * 2
  const overheadBytes = PROCESS_BYTES + activations + logits
  return { weightsBytes: fileBytes, kvBytes, overheadBytes, totalBytes: fileBytes + kvBytes + overheadBytes }
}

/**
 * Layers that fit the device's memory: all (-1) when everything does, else as many as fit beside the buffers.
 * @param usableBytes of device memory that the model may take
 */
export function fitLayers(need: Need, layers: number, usableBytes: number): number {
  if (need.totalBytes <= usableBytes) return -1
  const perLayer = (need.weightsBytes + need.kvBytes) / (layers + 1)
  return Math.max(0, Math.min(layers, Math.floor((usableBytes - need.overheadBytes) / perLayer)))
}

/** Memory that a model may take here, in bytes, and how it would be loaded. */
export type ModelSpace = {
  device: Device
  deviceBytes: number
  /** Main memory beside that of the device; 0 where they are the same. */
  mainBytes: number
  load: { contextTokens: number; batchTokens: number; kvType: keyof typeof KV_FACTOR }
}

/** Numbers of a model of 4 to 8 billion parameters; smaller ones need less, so that the estimate is on the safe side. */
const TYPICAL = { kv_bytes_per_token: 144 * 2 ** 10, embedding_size: 4096, heads: 32, vocabulary_size: 152_000 }

/** Where a model of which only the size of its files is known would run. */
export function fitOfSize(
  fileBytes: number,
  space: ModelSpace,
  kvBytesPerToken = TYPICAL.kv_bytes_per_token,
): MemoryFit {
  const facts = { ...TYPICAL, kv_bytes_per_token: kvBytesPerToken }
  const need = Math.ceil(estimateNeed(facts, fileBytes, space.load).totalBytes)
  const { device, deviceBytes, mainBytes } = space
  const whole = device === 'cpu' ? 'memory' : 'device'
  const fit = need <= deviceBytes ? whole : mainBytes > 0 && need <= deviceBytes + mainBytes ? 'shared' : 'no'
  return { fit, need_bytes: need, free_bytes: Math.floor(deviceBytes + (fit === 'shared' ? mainBytes : 0)) }
}
