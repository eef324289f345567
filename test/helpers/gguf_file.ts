/** Writes GGUF files for tests and benchmarks: any header at all, and seeded random-weight models that llama.cpp loads and runs. */
import { closeSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { randomWeights, TENSOR_TYPE, type TensorType } from './random_weights.ts'

/** A metadata value with its GGUF type; `raw` is a type tag and value copied as bytes from another file. */
export type Value =
  | { type: 'u8' | 'i8' | 'u16' | 'i16' | 'u32' | 'i32' | 'f32' | 'f64'; value: number }
  | { type: 'u64' | 'i64'; value: bigint }
  | { type: 'bool'; value: boolean }
  | { type: 'string'; value: string }
  | { type: 'array'; of: 'u32' | 'i32' | 'f32'; value: readonly number[] }
  | { type: 'array'; of: 'string'; value: readonly string[] }
  | { type: 'raw'; value: Uint8Array }
export type Metadata = { [key: string]: Value }

export type Tensor = {
  name: string
  /** In ggml's order: the length of a row first. */
  shape: number[]
  type: TensorType
  /** The tensor's bytes in chunks of any size, together exactly `tensorBytes(type, shape)`. */
  data: Iterable<Uint8Array>
}

// The index of each is its number in the file.
const TAGS = ['u8', 'i8', 'u16', 'i16', 'u32', 'i32', 'f32', 'bool', 'string', 'array', 'u64', 'i64', 'f64'] as const
const TAG_BYTES = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8]
const TAG = Object.fromEntries(TAGS.map((name, tag) => [name, tag])) as { [name in (typeof TAGS)[number]]: number }
const ALIGNMENT = 32

export const u32 = (value: number): Value => ({ type: 'u32', value })
export const f32 = (value: number): Value => ({ type: 'f32', value })
export const bool = (value: boolean): Value => ({ type: 'bool', value })
export const str = (value: string): Value => ({ type: 'string', value })
export const strings = (value: readonly string[]): Value => ({ type: 'array', of: 'string', value })
export const i32s = (value: readonly number[]): Value => ({ type: 'array', of: 'i32', value })

/** Bytes of a tensor of this type and shape. @throws Error when a row is not a whole number of blocks */
export function tensorBytes(type: TensorType, shape: readonly number[]): number {
  const { block, bytes } = TENSOR_TYPE[type]
  const row = shape[0] ?? 1
  if (row % block !== 0) throw new Error(`a row of ${row} is not a whole number of ${type} blocks of ${block}`)
  return (shape.reduce((product, n) => product * n, 1) / block) * bytes
}

/** The header: magic, version 3, counts, metadata, tensor infos, padding to the first tensor. */
export function ggufHeader(metadata: Metadata, tensors: readonly Omit<Tensor, 'data'>[]): Buffer {
  const parts: Buffer[] = [
    Buffer.from('GGUF'),
    number('u32', 3),
    long(tensors.length),
    long(Object.keys(metadata).length),
  ]
  for (const [key, value] of Object.entries(metadata)) parts.push(text(key), ...encode(value))
  let offset = 0
  for (const { name, shape, type } of tensors) {
    parts.push(text(name), number('u32', shape.length), ...shape.map(long))
    parts.push(number('u32', TENSOR_TYPE[type].id), long(offset))
    offset += align(tensorBytes(type, shape))
  }
  const header = Buffer.concat(parts)
  return Buffer.concat([header, Buffer.alloc(align(header.length) - header.length)])
}

/** Writes a GGUF of version 3, little endian, alignment 32, tensor by tensor; creates the folder when absent. */
export function writeGguf(path: string, metadata: Metadata, tensors: readonly Tensor[]): void {
  mkdirSync(dirname(path), { recursive: true })
  const file = openSync(path, 'w')
  try {
    writeAll(file, ggufHeader(metadata, tensors))
    for (const { name, shape, type, data } of tensors) {
      let written = 0
      for (const chunk of data) {
        writeAll(file, chunk)
        written += chunk.length
      }
      const expected = tensorBytes(type, shape)
      if (written !== expected) throw new Error(`tensor ${name} has ${written} bytes of data instead of ${expected}`)
      writeAll(file, Buffer.alloc(align(written) - written))
    }
  } finally {
    closeSync(file)
  }
}

function writeAll(file: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at)
}

const align = (n: number): number => Math.ceil(n / ALIGNMENT) * ALIGNMENT

function encode(value: Value): Buffer[] {
  if (value.type === 'raw') return [Buffer.from(value.value)]
  const tag = number('u32', TAG[value.type])
  switch (value.type) {
    case 'string':
      return [tag, text(value.value)]
    case 'bool':
      return [tag, Buffer.of(value.value ? 1 : 0)]
    case 'u64':
    case 'i64':
      return [tag, Buffer.from(BigUint64Array.of(BigInt.asUintN(64, value.value)).buffer)]
    case 'array': {
      const head = [tag, number('u32', TAG[value.of]), long(value.value.length)]
      if (value.of === 'string') return [...head, ...value.value.map(text)]
      const { of } = value
      return [...head, ...value.value.map(n => number(of, n))]
    }
    default:
      return [tag, number(value.type, value.value)]
  }
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value)
  return Buffer.concat([long(bytes.length), bytes])
}

function long(value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}

function number(type: 'u8' | 'i8' | 'u16' | 'i16' | 'u32' | 'i32' | 'f32' | 'f64', value: number): Buffer {
  const view = new DataView(new ArrayBuffer(8))
  if (type === 'u8' || type === 'i8') view.setUint8(0, value & 0xff)
  else if (type === 'u16' || type === 'i16') view.setUint16(0, value & 0xffff, true)
  else if (type === 'u32' || type === 'i32') view.setUint32(0, value >>> 0, true)
  else if (type === 'f32') view.setFloat32(0, value, true)
  else view.setFloat64(0, value, true)
  return Buffer.from(view.buffer, 0, TAG_BYTES[TAG[type]])
}

export type ModelOptions = {
  architecture: 'llama' | 'qwen2'
  layers: number
  /** A multiple of 32 for the quantised types, and of `2 * heads`. */
  embedding: number
  heads: number
  kvHeads: number
  /** A multiple of 32 for the quantised types. */
  feedForward: number
  /** Trained context in tokens. */
  context: number
  seed: number
  type: TensorType
  /** `bytes`: a byte-level BPE of its own with 256 + about 30 tokens; else the vocabulary of another GGUF, which may hold no weights. */
  tokenizer: 'bytes' | { vocabFrom: string }
  chatTemplate?: string
  /** FIM tokens: in the `bytes` vocabulary by default; `false` leaves them out. */
  fim?: boolean
  /** The output shares the embedding's weights, as in small Qwen models. */
  tied?: boolean
  pooling?: 'none' | 'mean' | 'cls' | 'last' | 'rank'
  /** `general.name` */
  name?: string
}

/** A model that loads in milliseconds: 2 layers, 64 wide, byte tokenizer. */
export const TINY: ModelOptions = {
  architecture: 'llama',
  layers: 2,
  embedding: 64,
  heads: 4,
  kvHeads: 2,
  feedForward: 128,
  context: 512,
  seed: 1,
  type: 'F32',
  tokenizer: 'bytes',
}

/** The shape of Qwen2.5 0.5B, for benchmarks; needs a Qwen vocabulary of 151,936 tokens. */
export const qwenHalfBillion = (vocabFrom: string, type: TensorType): ModelOptions => ({
  architecture: 'qwen2',
  layers: 24,
  embedding: 896,
  heads: 14,
  kvHeads: 2,
  feedForward: 4864,
  context: 32768,
  seed: 1,
  type,
  tokenizer: { vocabFrom },
  tied: true,
})

/** Writes a random-weight model; the same options give the same bytes. */
export function makeModel(path: string, options: ModelOptions): void {
  const { metadata, tensors } = modelParts(options)
  writeGguf(path, metadata, tensors)
}

/** The same model as a split GGUF `NAME-00001-of-0000N.gguf`, ...; returns the paths, first part first. */
export function makeSplitModel(folder: string, name: string, parts: number, options: ModelOptions): string[] {
  const { metadata, tensors } = modelParts(options)
  const each = Math.ceil(tensors.length / parts)
  const padded = (n: number): string => String(n).padStart(5, '0')
  return Array.from({ length: parts }, (_, i) => {
    const path = join(folder, `${name}-${padded(i + 1)}-of-${padded(parts)}.gguf`)
    const split: Metadata = {
      'split.no': { type: 'u16', value: i },
      'split.count': { type: 'u16', value: parts },
      'split.tensors.count': { type: 'i32', value: tensors.length },
    }
    writeGguf(path, i === 0 ? { ...metadata, ...split } : split, tensors.slice(i * each, (i + 1) * each))
    return path
  })
}

/** The metadata and tensors of a random-weight model, for a caller who wants to spoil or split them before `writeGguf`. */
export function modelParts(options: ModelOptions): { metadata: Metadata; tensors: Tensor[] } {
  const { architecture, layers, embedding, heads, kvHeads, feedForward, seed, type, tied = false } = options
  const headSize = embedding / heads
  if (!Number.isInteger(headSize / 2) || heads % kvHeads !== 0) {
    throw new Error(
      `rotary attention needs embedding / heads even and heads / kvHeads whole: ${JSON.stringify(options)}`,
    )
  }
  const vocabulary = options.tokenizer === 'bytes' ? byteVocabulary(options.fim ?? true) : copyVocabulary(options)
  const tensors: Tensor[] = []
  const add = (name: string, shape: number[], std: number, mean = 0): void => {
    // Norms and biases stay F32, as llama.cpp wants them.
    const kind = shape.length === 1 ? 'F32' : type
    const elements = shape.reduce((product, n) => product * n, 1)
    tensors.push({
      name,
      shape,
      type: kind,
      data: randomWeights(kind, elements, std, mean, seed * 7919 + tensors.length),
    })
  }
  const inner = 1 / Math.sqrt(embedding)
  // Logits get a standard deviation of 2: spread enough that greedy decoding is not decided by rounding, small enough for sampling.
  add('token_embd.weight', [embedding, vocabulary.size], tied ? 2 * inner : 0.7)
  if (!tied) add('output.weight', [embedding, vocabulary.size], 2 * inner)
  add('output_norm.weight', [embedding], 0.05, 1)
  for (let i = 0; i < layers; i++) {
    const block = `blk.${i}.`
    add(`${block}attn_norm.weight`, [embedding], 0.05, 1)
    add(`${block}ffn_norm.weight`, [embedding], 0.05, 1)
    add(`${block}attn_q.weight`, [embedding, embedding], 1.5 * inner)
    add(`${block}attn_k.weight`, [embedding, headSize * kvHeads], 1.5 * inner)
    add(`${block}attn_v.weight`, [embedding, headSize * kvHeads], inner)
    add(`${block}attn_output.weight`, [embedding, embedding], inner)
    if (architecture === 'qwen2') {
      add(`${block}attn_q.bias`, [embedding], 0.1)
      add(`${block}attn_k.bias`, [headSize * kvHeads], 0.1)
      add(`${block}attn_v.bias`, [headSize * kvHeads], 0.1)
    }
    add(`${block}ffn_gate.weight`, [embedding, feedForward], inner)
    add(`${block}ffn_up.weight`, [embedding, feedForward], inner)
    add(`${block}ffn_down.weight`, [feedForward, embedding], 1 / Math.sqrt(feedForward))
  }
  const a = architecture
  const metadata: Metadata = {
    'general.architecture': str(a),
    'general.type': str('model'),
    'general.name': str(options.name ?? `random ${a}`),
    'general.license': str('mit'),
    'general.file_type': u32(TENSOR_TYPE[type].fileType),
    [`${a}.block_count`]: u32(layers),
    [`${a}.context_length`]: u32(options.context),
    [`${a}.embedding_length`]: u32(embedding),
    [`${a}.feed_forward_length`]: u32(feedForward),
    [`${a}.attention.head_count`]: u32(heads),
    [`${a}.attention.head_count_kv`]: u32(kvHeads),
    [`${a}.attention.layer_norm_rms_epsilon`]: f32(1e-6),
    [`${a}.rope.freq_base`]: f32(a === 'qwen2' ? 1e6 : 1e4),
    [`${a}.rope.dimension_count`]: u32(headSize),
    ...(options.pooling && {
      [`${a}.pooling_type`]: u32(['none', 'mean', 'cls', 'last', 'rank'].indexOf(options.pooling)),
    }),
    ...vocabulary.metadata,
    ...(options.chatTemplate !== undefined && { 'tokenizer.chat_template': str(options.chatTemplate) }),
  }
  return { metadata, tensors }
}

type Vocabulary = { metadata: Metadata; size: number }

const FIM = [
  ['fim_pre', '<|fim_prefix|>'],
  ['fim_suf', '<|fim_suffix|>'],
  ['fim_mid', '<|fim_middle|>'],
  ['fim_pad', '<|fim_pad|>'],
  ['fim_rep', '<|repo_name|>'],
  ['fim_sep', '<|file_sep|>'],
] as const
const MERGES = [
  'Ġ t',
  'h e',
  'Ġt he',
  'i n',
  'e r',
  'a n',
  'an d',
  'Ġ and',
  'o u',
  'in g',
  'r e',
  'o n',
  'Ġ a',
  'Ġ w',
  'Ġ s',
]
const NORMAL = 1
const CONTROL = 3
const USER_DEFINED = 4

/** 256 byte tokens in GPT-2's alphabet, a few merges, and the control tokens of a Qwen-like chat and code model. */
function byteVocabulary(fim: boolean): Vocabulary {
  const tokens = [...byteAlphabet(), ...MERGES.map(merge => merge.replace(' ', ''))]
  const types = tokens.map(() => NORMAL)
  const push = (type: number, ...texts: string[]): void => {
    tokens.push(...texts)
    types.push(...texts.map(() => type))
  }
  push(CONTROL, '<|endoftext|>', '<|im_start|>', '<|im_end|>')
  if (fim) push(CONTROL, ...FIM.map(([, token]) => token))
  push(USER_DEFINED, '<tool_call>', '</tool_call>', '<think>', '</think>')
  const id = (token: string): Value => u32(tokens.indexOf(token))
  const metadata: Metadata = {
    'tokenizer.ggml.model': str('gpt2'),
    'tokenizer.ggml.pre': str('qwen2'),
    'tokenizer.ggml.tokens': strings(tokens),
    'tokenizer.ggml.token_type': i32s(types),
    'tokenizer.ggml.merges': strings(MERGES),
    'tokenizer.ggml.eos_token_id': id('<|im_end|>'),
    'tokenizer.ggml.eot_token_id': id('<|im_end|>'),
    'tokenizer.ggml.bos_token_id': id('<|endoftext|>'),
    'tokenizer.ggml.padding_token_id': id('<|endoftext|>'),
    'tokenizer.ggml.add_bos_token': bool(false),
  }
  if (fim) for (const [key, token] of FIM) metadata[`tokenizer.ggml.${key}_token_id`] = id(token)
  return { metadata, size: tokens.length }
}

/** GPT-2's characters for the bytes 0 to 255: printable ones stand for themselves, the others for U+0100 onwards. */
function byteAlphabet(): string[] {
  let next = 256
  const printable = (byte: number): boolean => (byte > 32 && byte < 127) || (byte > 160 && byte !== 173)
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(printable(byte) ? byte : next++))
}

/** The `tokenizer.*` entries of another GGUF, copied byte by byte. */
function copyVocabulary(options: ModelOptions): Vocabulary {
  if (options.tokenizer === 'bytes') throw new Error('the byte vocabulary is made, not copied')
  const path = options.tokenizer.vocabFrom
  const file = readFileSync(path)
  if (file.toString('latin1', 0, 4) !== 'GGUF') throw new Error(`${path} is no GGUF file`)
  let at = 24
  let size = 0
  const metadata: Metadata = {}
  const length = (): number => {
    at += 8
    return Number(file.readBigUInt64LE(at - 8))
  }
  const skip = (tag: number): void => {
    if (tag === TAG.string) {
      const bytes = length()
      at += bytes
    } else if (tag === TAG.array) {
      const of = file.readUInt32LE(at)
      at += 4
      for (let left = length(); left > 0; left--) skip(of)
    } else at += TAG_BYTES[tag] ?? 0
  }
  for (let left = Number(file.readBigUInt64LE(16)); left > 0; left--) {
    const keyBytes = length()
    const key = file.toString('utf8', at, at + keyBytes)
    at += keyBytes
    const start = at
    const tag = file.readUInt32LE(at)
    if (key === 'tokenizer.ggml.tokens') size = Number(file.readBigUInt64LE(at + 8))
    at += 4
    skip(tag)
    if (key.startsWith('tokenizer.')) metadata[key] = { type: 'raw', value: file.subarray(start, at) }
  }
  if (size === 0) throw new Error(`${path} has no vocabulary`)
  return { metadata, size }
}
