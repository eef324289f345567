/** The model that is served when none is named: random weights in the shape of a 0.5B one, made once and kept under the temporary folder. */
import { existsSync, mkdirSync, renameSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type Metadata,
  modelParts,
  qwenHalfBillion,
  type Tensor,
  tensorBytes,
  writeGguf,
} from '../helpers/gguf_file.ts'
import { testModels } from '../helpers/models.ts'

/** Path of the model; another seed gives another file of the same shape. */
export function benchModel(seed: number, type: 'Q4_0' | 'Q8_0' = 'Q4_0'): string {
  const folder = join(tmpdir(), 'ai-backend-hub-bench-models')
  const vocabulary = join(testModels() ?? '', 'vocab', 'ggml-vocab-qwen2.gguf')
  const real = testModels() !== undefined && existsSync(vocabulary)
  const path = join(folder, `random-0.5b-${real ? 'qwen2' : 'bytes'}-${type.toLowerCase()}-${seed}.gguf`)
  if (existsSync(path)) return path
  mkdirSync(folder, { recursive: true })
  console.log(`making ${path}`)
  const shape = { ...qwenHalfBillion(vocabulary, type), seed }
  const { metadata, tensors } = modelParts(real ? shape : { ...shape, tokenizer: 'bytes' })
  const silent = tokenTexts(metadata).map(text => !/^[!-~\u0120\u010a]+$/.test(text) || /^<.+>$/.test(text))
  // Made under another name, so that an interrupted run leaves no half a model behind.
  const temporary = `${path}.${process.pid}.part`
  writeGguf(
    temporary,
    metadata,
    tensors.map(tensor => (tensor.name === 'token_embd.weight' ? zeroRows(tensor, silent) : tensor)),
  )
  renameSync(temporary, path)
  return path
}

/**
 * Random weights would write random bytes, which are no text, and servers hold such back or refuse it. The embedding is the
 * output matrix too: a token whose row is zero gets the logit 0 and never wins. Plain ASCII remains.
 */
function zeroRows(tensor: Tensor, rows: readonly boolean[]): Tensor {
  const rowBytes = tensorBytes(tensor.type, [tensor.shape[0] ?? 0])
  return {
    ...tensor,
    data: (function* () {
      let at = 0
      for (const chunk of tensor.data) {
        for (let row = Math.floor(at / rowBytes); row * rowBytes < at + chunk.length; row++) {
          if (rows[row] === true)
            chunk.fill(0, Math.max(0, row * rowBytes - at), Math.min(chunk.length, (row + 1) * rowBytes - at))
        }
        at += chunk.length
        yield chunk
      }
    })(),
  }
}

/** The tokens in the vocabulary's own alphabet, where a space is U+0120 and a line end U+010A. */
function tokenTexts(metadata: Metadata): string[] {
  const value = metadata['tokenizer.ggml.tokens']
  if (value?.type === 'array' && value.of === 'string') return [...value.value]
  if (value?.type !== 'raw') throw new Error('the model has no tokens')
  // As GGUF has it: type of the value, type of its items, their number, then length and bytes of each.
  const bytes = Buffer.from(value.value)
  const texts: string[] = []
  let at = 16
  for (let left = Number(bytes.readBigUInt64LE(8)); left > 0; left--) {
    const length = Number(bytes.readBigUInt64LE(at))
    texts.push(bytes.toString('utf8', at + 8, at + 8 + length))
    at += 8 + length
  }
  return texts
}
