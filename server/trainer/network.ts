/** What the blocks of one graph share: the tape, the model's numbers, its tensors, the adapter and the row's inputs. */
import { HubError } from '../lib/error.ts'
import type { Pointer } from '../native/structs.ts'
import type { Family, Numbers } from './families/family.ts'
import type { Tape, Value } from './tape.ts'

/** Queries `start` to `start + count` see the keys `low` to `low + keys`; the mask is F32 [keys, count], 0 or -Infinity. */
export type Chunk = { start: number; count: number; low: number; keys: number; mask: Pointer }

export type Adapter = {
  scale: number
  pair(weight: string): { a: Value; b: Value } | undefined
  /** Factors 0 or 1 / (1 - rate) for the input, of that width, of the linear of that name; undefined without dropout. */
  dropout?: (width: number, name: string) => Pointer
}

export type Network = {
  tape: Tape
  family: Family
  numbers: Numbers
  /** Tokens of the row. */
  length: number
  tensor(name: string): Value | undefined
  adapter?: Adapter
  /** I32 [length] */
  positions: Pointer
  ropeFactors: Pointer | null
  /** The queries' chunks with their masks, for layers of that window (0: none). */
  chunks(window: number): Chunk[]
  /** Whether a layer's attention probabilities are kept for the backward pass rather than computed again. */
  keeps(window: number): boolean
  /** GELU by its formula instead of the library's. */
  smooth: boolean
}

/** @throws HubError invalid_request when the file lacks the tensor */
export function need(net: Network, name: string): Value {
  const value = net.tensor(name)
  if (value === undefined) {
    throw new HubError(
      'invalid_request',
      `the base model has no tensor ${name}, which a ${net.family.architecture} needs; it may be incomplete`,
    )
  }
  return value
}
