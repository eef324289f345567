/** What a base model's header says before anything else of it is read: its family and numbers, and which tensors are trained or stay as they are. */
import { HubError } from '../lib/error.ts'
import type { Backend, Ggml } from '../native/ggml.ts'
import { chooseFamily } from './families/all.ts'
import type { Family, Numbers } from './families/family.ts'
import { decodeMetadata, dimensions, type GgufMetadata, type GgufTensor, readGguf } from './gguf_read.ts'
import type { Base } from './graph.ts'
import { fullTensors, loraScale, loraTensors, type Trained } from './lora.ts'
import type { Parameters } from './parameters.ts'
import type { Value } from './tape.ts'
import { checkTensors, expectedTensors, isConstant } from './tensors.ts'
import type { OpenOptions } from './types.ts'

/** The offsets of the tensors do not matter. */
export type Header = { metadata: GgufMetadata; tensors: readonly GgufTensor[] }

/** @throws HubError as readGguf */
export function readHeader(path: string): Header {
  const gguf = readGguf(path)
  return { metadata: decodeMetadata(gguf), tensors: gguf.tensors }
}

export type Described = {
  family: Family
  numbers: Numbers
  /** Tensors that are loaded as they stand in the file. */
  frozen: GgufTensor[]
  trained: Trained[]
}

/**
 * A base may be a bare skeleton, metadata and vocabulary without tensors, when all weights start at random.
 * @throws HubError invalid_request for a base or settings that cannot be trained
 */
export function describeBase({ metadata, tensors }: Header, mode: OpenOptions['mode']): Described {
  const { family, numbers } = chooseFamily(metadata, vocabularySize({ metadata, tensors }))
  const skeleton = mode.type === 'full' && mode.randomStart && tensors.length === 0
  if (!skeleton) checkTensors(family, numbers, tensors)
  if (mode.type === 'lora') {
    const shapes = new Map(tensors.map(tensor => [tensor.name, { shape: dimensions(tensor) }]))
    return { family, numbers, frozen: [...tensors], trained: loraTensors(shapes, numbers.layers, mode.lora) }
  }
  const named = skeleton
    ? expectedTensors(family, numbers).filter(each => !each.optional)
    : tensors.map(({ name, shape: [n0 = 1, n1 = 1] }) => ({ name, shape: [n0, n1] as [number, number] }))
  return { family, numbers, frozen: tensors.filter(({ name }) => isConstant(name)), trained: fullTensors(named) }
}

/** Rows of the embedding, or texts of the vocabulary where there is no embedding yet. */
function vocabularySize({ metadata, tensors }: Header): number {
  const embedding = tensors.find(tensor => tensor.name === 'token_embd.weight')
  const listed = metadata['tokenizer.ggml.tokens']
  const texts = typeof listed === 'object' && 'texts' in listed ? listed.texts : 0
  const size = embedding?.shape[1] ?? texts
  if (size > 0) return size
  throw new HubError('invalid_request', 'the base model has no token_embd.weight and no vocabulary; it is incomplete')
}

/** The base as graphs see it; `frozen` may be without memory when only a plan is wanted. */
export function assembleBase(
  ggml: Ggml,
  backend: Backend,
  { family, numbers }: Pick<Described, 'family' | 'numbers'>,
  mode: OpenOptions['mode'],
  frozen: ReadonlyMap<string, Value>,
  parameters: Parameters,
): Base {
  const tensor = (name: string) => parameters.value(name) ?? frozen.get(name)
  if (mode.type === 'full') return { ggml, backend, family, numbers, tensor }
  const pair = (weight: string) => {
    const a = parameters.value(`${weight}.lora_a`)
    const b = parameters.value(`${weight}.lora_b`)
    return a && b && { a, b }
  }
  return { ggml, backend, family, numbers, tensor, adapter: { scale: loraScale(mode.lora), pair } }
}
