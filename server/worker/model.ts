/** The loaded weights and their vocabulary: text to tokens, tokens to bytes, special tokens. */
import { statSync } from 'node:fs'
import { HubError } from '../lib/error.ts'
import { type Native, runAsync } from '../native/llama.ts'
import { LOAD_MODE, type Pointer } from '../native/structs.ts'
import type { LoadOptions } from '../wire/worker.ts'
import { type Fim, readFim } from './fim.ts'

export class Model {
  readonly native: Native
  readonly pointer: Pointer
  readonly vocab: Pointer
  readonly vocabularySize: number
  readonly embeddingSize: number
  readonly layers: number
  readonly bos: number
  readonly addBos: boolean
  /** How it fills in a middle; undefined where it cannot. */
  readonly fim: Fim | undefined
  /** KV of a part of a sequence can be cut off; recurrent state cannot. */
  readonly canCut: boolean
  readonly #plain = new Map<number, Buffer>()
  readonly #special = new Map<number, Buffer>()
  readonly #endOfGeneration = new Map<number, boolean>()
  #scratch = new Uint8Array(256)

  constructor(native: Native, pointer: Pointer) {
    this.native = native
    this.pointer = pointer
    this.vocab = native.model_get_vocab(pointer)
    this.vocabularySize = native.vocab_n_tokens(this.vocab)
    this.embeddingSize = native.model_n_embd_out(pointer)
    this.layers = native.model_n_layer(pointer)
    this.bos = native.vocab_bos(this.vocab)
    this.addBos = native.vocab_get_add_bos(this.vocab)
    this.canCut = !native.model_is_recurrent(pointer) && !native.model_is_hybrid(pointer)
    this.fim = readFim(this)
  }

  /** A metadata value of the GGUF as text, or undefined. */
  metadata(key: string): string | undefined {
    const buffer = new Uint8Array(4096)
    const length = this.native.model_meta_val_str(this.pointer, key, buffer, buffer.length)
    return length < 0
      ? undefined
      : Buffer.from(buffer.subarray(0, Math.min(length, buffer.length - 1))).toString('utf8')
  }

  chatTemplate(): string | undefined {
    return this.native.model_chat_template(this.pointer, null) ?? undefined
  }

  /** @param addSpecial put BOS/EOS where the model is configured so @param parseSpecial read `<|im_end|>` and the like as the tokens they name */
  tokenize(text: string, addSpecial: boolean, parseSpecial: boolean): Int32Array {
    const bytes = Buffer.from(text, 'utf8')
    let tokens = new Int32Array(bytes.length + 8)
    let count = this.native.tokenize(this.vocab, bytes, bytes.length, tokens, tokens.length, addSpecial, parseSpecial)
    if (count < 0) {
      tokens = new Int32Array(-count)
      count = this.native.tokenize(this.vocab, bytes, bytes.length, tokens, tokens.length, addSpecial, parseSpecial)
    }
    return tokens.subarray(0, count)
  }

  /** Tokens of a text that goes on from another: without the space that some vocabularies put in front of a beginning. */
  continuation(text: string, parseSpecial: boolean): number[] {
    if (text === '') return []
    const direct = [...this.tokenize(text, false, parseSpecial)]
    const bytes = direct.reduce((sum, token) => sum + this.piece(token, true).length, 0)
    if (bytes === Buffer.byteLength(text)) return direct
    const anchor = this.tokenize('\n', false, false)
    const anchored = [...this.tokenize(`\n${text}`, false, parseSpecial)]
    return anchor.every((token, index) => anchored[index] === token) ? anchored.slice(anchor.length) : direct
  }

  /** The bytes of one token, which may be a part of a UTF-8 character; control tokens have none unless `special`. */
  piece(token: number, special: boolean): Buffer {
    const cache = special ? this.#special : this.#plain
    let piece = cache.get(token)
    if (piece === undefined) {
      let length = this.native.token_to_piece(this.vocab, token, this.#scratch, this.#scratch.length, 0, special)
      if (length < 0) {
        this.#scratch = new Uint8Array(-length)
        length = this.native.token_to_piece(this.vocab, token, this.#scratch, this.#scratch.length, 0, special)
      }
      piece = Buffer.from(this.#scratch.subarray(0, Math.max(0, length)))
      cache.set(token, piece)
    }
    return piece
  }

  detokenize(tokens: readonly number[]): string {
    const ids = Int32Array.from(tokens)
    let text = new Uint8Array(ids.length * 8 + 16)
    let length = this.native.detokenize(this.vocab, ids, ids.length, text, text.length, false, true)
    if (length < 0) {
      text = new Uint8Array(-length)
      length = this.native.detokenize(this.vocab, ids, ids.length, text, text.length, false, true)
    }
    return Buffer.from(text.subarray(0, length)).toString('utf8')
  }

  endsGeneration(token: number): boolean {
    let ends = this.#endOfGeneration.get(token)
    if (ends === undefined) {
      // A model that goes on to another part or file has come to the end of this one.
      ends = this.native.vocab_is_eog(this.vocab, token) || this.fim?.ends.includes(token) === true
      this.#endOfGeneration.set(token, ends)
    }
    return ends
  }

  /** Every token that ends a generation; one pass over the vocabulary, made on first use. */
  endTokens(): number[] {
    this.#ends ??= Array.from({ length: this.vocabularySize }, (_, token) => token).filter(token =>
      this.endsGeneration(token),
    )
    return this.#ends
  }
  #ends: number[] | undefined

  /** @throws HubError invalid_request naming the first id that the vocabulary does not have */
  checkTokens(tokens: readonly number[], param: string): void {
    const wrong = tokens.findIndex(token => !Number.isInteger(token) || token < 0 || token >= this.vocabularySize)
    if (wrong >= 0) {
      throw new HubError(
        'invalid_request',
        `${param}: ${tokens[wrong]} is no token of this model; ids go from 0 to ${this.vocabularySize - 1}`,
        {
          param,
        },
      )
    }
  }

  free(): void {
    this.native.model_free(this.pointer)
  }
}

/** The library reports every tensor, and each report stops its thread until JS has taken it: 150 ms in all, too much for a small file. */
const WORTH_REPORTING = 2 ** 30

function reportProgress(native: Native, report: (fraction: number) => void) {
  let last = 0
  return native.progressCallback(fraction => {
    if (fraction - last < 0.01 && fraction < 1) return
    last = fraction
    report(fraction)
  })
}

/** @throws HubError model_load_failed with what the native library said */
export async function loadModel(
  native: Native,
  options: LoadOptions,
  report: (fraction: number) => void,
): Promise<Model> {
  const said: string[] = []
  native.listen(line => said.push(line))
  const progress = statSync(options.path).size < WORTH_REPORTING ? undefined : reportProgress(native, report)
  try {
    const pointer = await runAsync(native.model_load_from_file, options.path, {
      ...native.model_default_params(),
      n_gpu_layers: options.device === 'cpu' ? 0 : options.gpuLayers < 0 ? 999 : options.gpuLayers,
      load_mode: options.useMmap ? LOAD_MODE.mmap : LOAD_MODE.none,
      progress_callback: progress?.pointer ?? null,
    })
    if (pointer === null) {
      const why = said.find(line => line.includes('error')) ?? said.at(-1) ?? 'no reason given'
      throw new HubError('model_load_failed', `the model did not load: ${why.replace(/^\w+: /, '')}`)
    }
    return new Model(native, pointer)
  } finally {
    native.silence()
    progress?.free()
  }
}
