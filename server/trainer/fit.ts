/** Before the weights are read: the row lengths and the recomputation with which a run fits the device, or a refusal with the numbers. */
import { readMemory } from '../lib/memory.ts'
import { loadGgml } from '../native/ggml.ts'
import { DEVICE_TYPE } from '../native/structs.ts'
import { fitMemory } from './memory.ts'
import type { OpenOptions } from './types.ts'

/** What was chosen; a run keeps it to its end, also when it is resumed. */
export type Fitted = {
  /** Row lengths with a graph; the longest is the length of the packed rows. */
  buckets: number[]
  /** Layers are recomputed in the backward pass. */
  checkpoint: boolean
}

/** @param shortest length of the longest sequence, which a row must hold @throws HubError insufficient_memory with the figures */
export type Fit = (options: OpenOptions, shortest: number) => Fitted

/** Share of the free memory that is used: drivers and libraries take some for themselves while they compute. */
const SHARE = 0.9

export const fitDevice: Fit = (options, shortest) => {
  const ggml = loadGgml(options.library)
  const { device, pointer } = ggml.openBackend(options.device, 1)
  ggml.backend_free(pointer)
  // What the library says of the CPU knows nothing of the limits of a container.
  const free = device.type === DEVICE_TYPE.cpu ? readMemory().availableBytes : device.freeBytes
  const { buckets, checkpoint } = fitMemory(options.path, options, { freeBytes: Math.floor(free * SHARE), shortest })
  return { buckets, checkpoint }
}
