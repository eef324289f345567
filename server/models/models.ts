/** The seam that the doors see: models by id, loaded on demand and kept while someone uses them. */
import type { ErrorCode } from '../lib/error.ts'
import type { ModelFile, ModelState } from '../wire/model.ts'
import type { Answer, Ask, Generate, GenerateEvent, ModelInfo, WorkerStats } from '../wire/worker.ts'

/** A model with what the hub knows of its worker. */
export type ModelStatus = {
  file: ModelFile
  state: ModelState
  /** While loading, 0 to 1. */
  progress?: number
  /** The last failure, until the next load. */
  error?: string
  errorCode?: ErrorCode
  info?: ModelInfo
  stats?: WorkerStats
  pid?: number
  /** What it wrote and read since it was loaded. */
  speeds?: Speeds
  /** Requests that hold the model now. */
  inUse: number
  lastUsedMs?: number
  /** What loading it is expected to take, in bytes, by estimate or as measured before. */
  estimatedBytes: number
}

/** Speeds seen while a model was resident. */
export type Speeds = {
  promptTokens: number
  promptMs: number
  predictedTokens: number
  predictedMs: number
  requests: number
}

/** The right to use a loaded model; it is not evicted until `release`. */
export type Lease = {
  readonly model: ModelFile
  readonly info: ModelInfo
  /**
   * The events of one generation, in order; the last is `done`. An `error` event is thrown as a HubError.
   * Aborting the signal stops it within a chunk of prompt or one token and throws HubError `cancelled`.
   */
  generate(request: Generate, signal: AbortSignal): AsyncIterable<GenerateEvent>
  ask<T extends keyof Answer>(ask: Extract<Ask, { type: T }>, signal: AbortSignal): Promise<Answer[T]>
  release(): void
}

export type Models = {
  list(): ModelStatus[]
  /** @throws HubError model_not_found, with the nearest names */
  get(id: string): ModelStatus
  /**
   * Loads the model when it is not resident, after making room when it must, and waits for it.
   * @throws HubError model_not_found, model_broken, insufficient_memory, model_load_failed, busy (queue full), cancelled
   */
  acquire(id: string, signal: AbortSignal): Promise<Lease>
  load(id: string, signal: AbortSignal): Promise<ModelStatus>
  /** @throws HubError conflict when the model is in use */
  unload(id: string): Promise<ModelStatus>
}
