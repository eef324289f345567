/** Vocabularies without weights for tests: real ones, or bytes with the control tokens that a template names. */

import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { loadNative } from '../../server/native/llama.ts'
import { Model } from '../../server/worker/model.ts'
import { bool, i32s, str, strings, u32, writeGguf } from './gguf_file.ts'

export function openVocabulary(path: string): Model {
  const native = loadNative()
  const pointer = native.model_load_from_file(path, { ...native.model_default_params(), vocab_only: true })
  if (pointer === null) throw new Error(`the test vocabulary ${path} does not load`)
  return new Model(native, pointer)
}

const NORMAL = 1
const CONTROL = 3

/** 256 byte tokens and the control tokens; `eos` and `bos` are among them. */
export function writeVocabulary(
  path: string,
  control: string[],
  ids: { eos: string; bos?: string; name?: string },
): void {
  let next = 256
  const printable = (byte: number): boolean => (byte > 32 && byte < 127) || (byte > 160 && byte !== 173)
  const bytes = Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(printable(byte) ? byte : next++))
  // A merge at a line end, so that a prompt's last token can be another one once more text follows.
  const tokens = [...bytes, 'ĊĊ', ...control]
  mkdirSync(dirname(path), { recursive: true })
  writeGguf(
    path,
    {
      'general.architecture': str('llama'),
      ...(ids.name !== undefined && { 'general.name': str(ids.name) }),
      'llama.block_count': u32(1),
      'llama.context_length': u32(512),
      'llama.embedding_length': u32(64),
      'llama.feed_forward_length': u32(64),
      'llama.attention.head_count': u32(4),
      'tokenizer.ggml.model': str('gpt2'),
      'tokenizer.ggml.pre': str('qwen2'),
      'tokenizer.ggml.tokens': strings(tokens),
      'tokenizer.ggml.token_type': i32s(tokens.map((_, index) => (index > 256 ? CONTROL : NORMAL))),
      'tokenizer.ggml.merges': strings(['Ċ Ċ']),
      'tokenizer.ggml.eos_token_id': u32(tokens.indexOf(ids.eos)),
      ...(ids.bos !== undefined && { 'tokenizer.ggml.bos_token_id': u32(tokens.indexOf(ids.bos)) }),
      'tokenizer.ggml.add_bos_token': bool(ids.bos !== undefined),
    },
    [],
  )
}
