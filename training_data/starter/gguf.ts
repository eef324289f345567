/** The starter model as GGUF: its shape, the skeleton that training starts from, and its quantised form. */
import { readFileSync } from 'node:fs'
import { readNumbers } from '../../server/trainer/families/family.ts'
import { qwen3 } from '../../server/trainer/families/qwen3.ts'
import { readGguf } from '../../server/trainer/gguf_read.ts'
import {
  f32Value,
  floatTensor,
  stringValue,
  toHalf,
  u32Value,
  type WrittenTensor,
  writeGguf,
} from '../../server/trainer/gguf_write.ts'
import { expectedTensors } from '../../server/trainer/tensors.ts'
import { CHAT_END, END, FIM_MIDDLE, FIM_PAD, FIM_PREFIX, FIM_SUFFIX, SPECIAL, type Vocabulary } from './tokenizer.ts'

export type Shape = {
  width: number
  layers: number
  feedForward: number
  heads: number
  kvHeads: number
  headSize: number
  context: number
}

export type About = { name: string; description: string; licence: string }

/** ChatML; a system message is optional. */
export const CHAT_TEMPLATE =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"

const ARCHITECTURE = 'qwen3'
const NORMAL = 1
const CONTROL = 3
const Q8_0 = 8
const BLOCK = 32
const BLOCK_BYTES = 34

function metadataOf(shape: Shape, vocabulary: Vocabulary, about: About): [string, Uint8Array][] {
  const id = (token: string): Uint8Array => u32Value(vocabulary.tokens.indexOf(token))
  const special = new Set<string>(SPECIAL)
  const sized = Object.entries({
    block_count: shape.layers,
    context_length: shape.context,
    embedding_length: shape.width,
    feed_forward_length: shape.feedForward,
    vocab_size: vocabulary.tokens.length,
    'attention.head_count': shape.heads,
    'attention.head_count_kv': shape.kvHeads,
    'attention.key_length': shape.headSize,
    'attention.value_length': shape.headSize,
    'rope.dimension_count': shape.headSize,
  }).map(([key, value]): [string, Uint8Array] => [`${ARCHITECTURE}.${key}`, u32Value(value)])
  return [
    ['general.architecture', stringValue(ARCHITECTURE)],
    ['general.type', stringValue('model')],
    ['general.name', stringValue(about.name)],
    ['general.description', stringValue(about.description)],
    ['general.license', stringValue(about.licence)],
    ['general.size_label', stringValue(`${Math.round(parametersOf(shape, vocabulary.tokens.length) / 1e6)}M`)],
    ...sized,
    [`${ARCHITECTURE}.attention.layer_norm_rms_epsilon`, f32Value(1e-6)],
    [`${ARCHITECTURE}.rope.freq_base`, f32Value(10_000)],
    ['tokenizer.ggml.model', stringValue('gpt2')],
    ['tokenizer.ggml.pre', stringValue('qwen2')],
    ['tokenizer.ggml.tokens', stringsValue(vocabulary.tokens)],
    ['tokenizer.ggml.token_type', i32sValue(vocabulary.tokens.map(each => (special.has(each) ? CONTROL : NORMAL)))],
    ['tokenizer.ggml.merges', stringsValue(vocabulary.merges)],
    ['tokenizer.ggml.bos_token_id', id(END)],
    ['tokenizer.ggml.eos_token_id', id(END)],
    ['tokenizer.ggml.eot_token_id', id(CHAT_END)],
    ['tokenizer.ggml.padding_token_id', id(FIM_PAD)],
    ['tokenizer.ggml.fim_pre_token_id', id(FIM_PREFIX)],
    ['tokenizer.ggml.fim_suf_token_id', id(FIM_SUFFIX)],
    ['tokenizer.ggml.fim_mid_token_id', id(FIM_MIDDLE)],
    ['tokenizer.ggml.fim_pad_token_id', id(FIM_PAD)],
    ['tokenizer.ggml.add_bos_token', boolValue(false)],
    ['tokenizer.chat_template', stringValue(CHAT_TEMPLATE)],
  ]
}

/** Numbers in a model: the embedding, which is the output as well, the layers and their norms. */
export function parametersOf(shape: Shape, vocabulary: number): number {
  const { width, layers, feedForward, heads, kvHeads, headSize } = shape
  const attention = width * headSize * (2 * heads + 2 * kvHeads) + 2 * headSize
  return vocabulary * width + width + layers * (attention + 3 * width * feedForward + 2 * width)
}

/** A model of zeros, whose shape and vocabulary a run with a random start takes. */
export function writeSkeleton(path: string, shape: Shape, vocabulary: Vocabulary, about: About): void {
  const numbers = readNumbers(
    {
      'general.architecture': ARCHITECTURE,
      [`${ARCHITECTURE}.block_count`]: shape.layers,
      [`${ARCHITECTURE}.context_length`]: shape.context,
      [`${ARCHITECTURE}.embedding_length`]: shape.width,
      [`${ARCHITECTURE}.feed_forward_length`]: shape.feedForward,
      [`${ARCHITECTURE}.attention.head_count`]: shape.heads,
      [`${ARCHITECTURE}.attention.head_count_kv`]: shape.kvHeads,
      [`${ARCHITECTURE}.attention.key_length`]: shape.headSize,
      [`${ARCHITECTURE}.attention.layer_norm_rms_epsilon`]: 1e-6,
    },
    vocabulary.tokens.length,
  )
  const tensors = expectedTensors(qwen3, numbers)
    .filter(({ optional }) => !optional)
    .map(({ name, shape: [n0, n1] }) =>
      floatTensor(name, n1 === 1 ? [n0] : [n0, n1], 'F32', () => new Float32Array(n0 * n1)),
    )
  writeGguf(path, metadataOf(shape, vocabulary, about), tensors)
}

/**
 * Writes a trained F32 model with its matrices as Q8_0: blocks of 32 numbers with one scale.
 * @returns bytes of the file
 */
export function writeQuantised(
  source: string,
  target: string,
  shape: Shape,
  vocabulary: Vocabulary,
  about: About,
): number {
  const model = readGguf(source)
  const file = readFileSync(source)
  const tensors = model.tensors.map(({ name, shape: sizes, offset, bytes }): WrittenTensor => {
    const values = new Float32Array(file.buffer.slice(file.byteOffset + offset, file.byteOffset + offset + bytes))
    const data = sizes.length === 1 || sizes[1] === 1 ? undefined : quantise(values)
    return data === undefined
      ? { name, shape: sizes, type: 0, bytes, data: () => [new Uint8Array(values.buffer)] }
      : { name, shape: sizes, type: Q8_0, bytes: data.length, data: () => [data] }
  })
  return writeGguf(target, [...metadataOf(shape, vocabulary, about), ['general.file_type', u32Value(7)]], tensors)
}

/** Q8_0 as ggml has it: scale = largest / 127 as a half, then 32 signed bytes. @param values a multiple of 32 */
export function quantise(values: Float32Array): Uint8Array {
  const blocks = values.length / BLOCK
  const out = Buffer.alloc(blocks * BLOCK_BYTES)
  for (let block = 0; block < blocks; block++) {
    const from = block * BLOCK
    let largest = 0
    for (let i = 0; i < BLOCK; i++) largest = Math.max(largest, Math.abs(values[from + i]!))
    const scale = Math.fround(largest / 127)
    const inverse = scale === 0 ? 0 : Math.fround(1 / scale)
    out.writeUInt16LE(toHalf(scale), block * BLOCK_BYTES)
    for (let i = 0; i < BLOCK; i++) {
      const scaled = Math.fround(values[from + i]! * inverse)
      out.writeInt8(Math.sign(scaled) * Math.round(Math.abs(scaled)), block * BLOCK_BYTES + 2 + i)
    }
  }
  return out
}

function stringsValue(texts: readonly string[]): Uint8Array {
  const parts: Uint8Array[] = [arrayHead(8, texts.length)]
  for (const text of texts) {
    const bytes = Buffer.from(text)
    const length = Buffer.alloc(8)
    length.writeBigUInt64LE(BigInt(bytes.length))
    parts.push(length, bytes)
  }
  return Buffer.concat(parts)
}

const i32sValue = (numbers: readonly number[]): Uint8Array =>
  Buffer.concat([arrayHead(5, numbers.length), new Uint8Array(Int32Array.from(numbers).buffer)])

const boolValue = (value: boolean): Uint8Array => Buffer.from([7, 0, 0, 0, value ? 1 : 0])

function arrayHead(type: number, length: number): Uint8Array {
  const head = Buffer.alloc(16)
  head.writeUInt32LE(9, 0)
  head.writeUInt32LE(type, 4)
  head.writeBigUInt64LE(BigInt(length), 8)
  return head
}

/** The vocabulary that a model's file holds. */
export function readVocabulary(path: string): Vocabulary {
  const { metadata } = readGguf(path)
  return {
    tokens: readStrings(metadata.get('tokenizer.ggml.tokens')!),
    merges: readStrings(metadata.get('tokenizer.ggml.merges')!),
  }
}

function readStrings(value: Uint8Array): string[] {
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength)
  let at = 16
  return Array.from({ length: Number(bytes.readBigUInt64LE(8)) }, () => {
    const length = Number(bytes.readBigUInt64LE(at))
    at += 8 + length
    return bytes.toString('utf8', at - length, at)
  })
}
