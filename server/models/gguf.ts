/** What a GGUF file says of its model: the facts of the registry, from the header alone, and its checksum. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { basename } from 'node:path'
import { HubError } from '../lib/error.ts'
import type { GgufFacts } from '../wire/model.ts'
import { type GgufHeader, readGgufHeader } from './gguf_header.ts'
import type { Limits } from './gguf_reader.ts'
import { FILE_TYPES } from './gguf_types.ts'

/**
 * The facts of a model in one file.
 * @throws HubError model_broken with the reason and what to do
 */
export async function readGguf(path: string, limits: Partial<Limits> = {}): Promise<GgufFacts> {
  return factsOf([await readGgufHeader(path, limits)], basename(path))
}

/**
 * The facts of a model from the headers of all its parts, first part first.
 * What is no model by itself (`kind` is `adapter`, `mmproj`, ...) may lack any number; it is 0 then.
 * @throws HubError model_broken when a language model lacks what llama.cpp needs of it
 */
export function factsOf(headers: readonly GgufHeader[], fileName: string): GgufFacts {
  const [first] = headers
  if (!first) throw new HubError('internal', 'factsOf needs at least one header')
  const { metadata } = first
  const broken = (what: string): HubError =>
    new HubError('model_broken', `${fileName} ${what}. Get a GGUF file of a language model that llama.cpp runs.`)

  const text = (key: string): string | undefined => {
    const value = metadata.get(key)
    return typeof value === 'string' ? value : undefined
  }
  const count = (key: string): number | undefined => {
    const value = metadata.get(key)
    return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined
  }
  /** A value that is one number for all layers or a number for each. */
  const perLayer = (key: string): readonly number[] | undefined => {
    const value = metadata.get(key)
    if (typeof value !== 'object') return count(key) === undefined ? undefined : [count(key) as number]
    const numbers = value.values?.filter(n => typeof n === 'number' && Number.isSafeInteger(n) && n >= 0)
    return numbers?.length === value.length ? (numbers as number[]) : undefined
  }

  const architecture = text('general.architecture')
  if (!architecture) throw broken('does not name its architecture')
  const kind = text('general.type') ?? (architecture === 'clip' ? 'mmproj' : 'model')
  const own = (key: string): string => `${architecture}.${key}`
  const needed = (key: string): number => {
    const value = count(own(key))
    if (value === undefined && kind === 'model') throw broken(`has no ${own(key)}, so it is no language model`)
    return value ?? 0
  }

  const layers = needed('block_count')
  const embedding = needed('embedding_length')
  const context = needed('context_length')
  const weights = new Map<string, number>()
  for (const [type, elements] of headers.flatMap(header => [...header.weights])) {
    weights.set(type, (weights.get(type) ?? 0) + elements)
  }
  if (kind === 'model' && weights.size === 0) throw broken('holds a vocabulary but no weights')

  const heads = perLayer(own('attention.head_count')) ?? [0]
  const kvHeads = perLayer(own('attention.head_count_kv')) ?? heads
  const mostHeads = largest(heads)
  const headSize = mostHeads > 0 ? embedding / mostHeads : 0
  const kvSize = (count(own('attention.key_length')) ?? headSize) + (count(own('attention.value_length')) ?? headSize)
  const kvHeadsOfAllLayers = kvHeads.length === 1 ? layers * (kvHeads[0] ?? 0) : kvHeads.reduce((sum, n) => sum + n, 0)

  const tokens = metadata.get('tokenizer.ggml.tokens')
  const hasId = (...keys: string[]): boolean => keys.some(key => count(`tokenizer.ggml.${key}_token_id`) !== undefined)
  const { fimTokens } = first
  const name = text('general.name')
  // Codestral has no middle token, and what marks its parts is in vocabularies that were not trained for it as well.
  const isCodestral = /codestral/i.test(`${name} ${text('general.basename')}`)
  const fim =
    isCodestral ||
    ((hasId('fim_pre', 'prefix') || fimTokens.prefix) &&
      (hasId('fim_suf', 'suffix') || fimTokens.suffix) &&
      (hasId('fim_mid', 'middle') || fimTokens.middle))

  const template = text('tokenizer.chat_template')
  const license = text('general.license')
  const pooling = POOLING[count(own('pooling_type')) ?? -1]
  return {
    architecture,
    ...(name !== undefined && { name }),
    parameters: [...weights.values()].reduce((sum, elements) => sum + elements, 0),
    quantization: FILE_TYPES.get(count('general.file_type') ?? -1) ?? commonestType(weights),
    context_length: context,
    embedding_size: embedding,
    layers,
    heads: mostHeads,
    kv_heads: largest(kvHeads),
    kv_bytes_per_token: kvHeadsOfAllLayers * kvSize * F16_BYTES,
    vocabulary_size: typeof tokens === 'object' ? tokens.length : (count(own('vocab_size')) ?? 0),
    tokenizer: text('tokenizer.ggml.model') ?? 'none',
    ...(template !== undefined && { chat_template: template }),
    fim,
    kind,
    ...(pooling !== undefined && { pooling }),
    ...(license !== undefined && { license }),
  }
}

const F16_BYTES = 2
const POOLING = ['none', 'mean', 'cls', 'last', 'rank'] as const

const largest = (numbers: readonly number[]): number => numbers.reduce((most, n) => Math.max(most, n), 0)

/** The type that holds most of the weights. */
function commonestType(weights: ReadonlyMap<string, number>): string {
  return [...weights].sort((a, b) => b[1] - a[1])[0]?.[0] ?? 'none'
}

/**
 * SHA-256 of a whole file as 64 hexadecimal digits, read as a stream.
 * @throws HubError cancelled when the signal aborts, not_found when the file cannot be read
 */
export async function sha256(path: string, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256')
  try {
    for await (const chunk of createReadStream(path, { signal, highWaterMark: 2 ** 20 })) hash.update(chunk)
  } catch (error) {
    if (signal.aborted) throw new HubError('cancelled', `The checksum of ${basename(path)} was cancelled.`)
    throw new HubError('not_found', `${path} cannot be read: ${error instanceof Error ? error.message : error}`)
  }
  return hash.digest('hex')
}
