/** The real grammar engine over a real vocabulary: which texts a grammar accepts, and texts drawn at random from it. */
import { join } from 'node:path'
import { loadNative } from '../../server/native/llama.ts'

export type GrammarEngine = {
  /** Whether the engine parses the grammar. */
  parses(grammar: string): boolean
  /** Feeds the text token by token: every token must be allowed, and at the end the end of the generation. */
  accepts(grammar: string, text: string): boolean
  /**
   * One text of the grammar: among the allowed tokens `random` (0 to below 1) chooses, the end and closing marks more and more often.
   * `dead`: the engine allows no token at all before an end. `long`: no end after so many tokens.
   */
  draw(grammar: string, random: () => number): string | { failed: 'dead' | 'long' }
  free(): void
}

/** `models` is the folder of the test models. */
export function openGrammarEngine(models: string): GrammarEngine {
  const native = loadNative()
  const model = native.model_load_from_file(join(models, 'stories260K-F32.gguf'), {
    ...native.model_default_params(),
    vocab_only: true,
  })
  if (model === null) throw new Error('the test vocabulary does not load')
  const vocab = native.model_get_vocab(model)
  const count = native.vocab_n_tokens(vocab)
  const pieces: Buffer[] = []
  const byPiece = new Map<string, number>()
  const buffer = new Uint8Array(64)
  let end = -1
  for (let token = 0; token < count; token++) {
    const length = native.token_to_piece(vocab, token, buffer, buffer.length, 0, true)
    pieces.push(Buffer.from(buffer.subarray(0, Math.max(0, length))))
    if (native.vocab_is_eog(vocab, token)) end = token
    else if (length > 0 && !native.vocab_is_control(vocab, token)) byPiece.set(pieces[token]!.toString('latin1'), token)
  }
  const longest = Math.max(...pieces.map(piece => piece.length))

  // llama_token_data is { id, logit, p }; llama_token_data_array is { data, size, selected, sorted }.
  const data = native.alloc(count * 12)
  const ids = new Int32Array(native.view(data, count * 12))
  const logits = new Float32Array(ids.buffer, ids.byteOffset, count * 3)
  const list = native.alloc(32)
  const fields = new BigInt64Array(native.view(list, 32))
  const allowed = (sampler: bigint, tokens: readonly number[]): number[] => {
    tokens.forEach((token, index) => {
      ids[index * 3] = token
      logits[index * 3 + 1] = 0
    })
    fields.set([data, BigInt(tokens.length), -1n, 0n])
    native.sampler_apply(sampler, list)
    return tokens.filter((_, index) => logits[index * 3 + 1] === 0)
  }
  const everything = Array.from({ length: count }, (_, token) => token)

  const withSampler = <T>(grammar: string, use: (sampler: bigint) => T): T => {
    const sampler = native.sampler_init_grammar(vocab, grammar, 'root')
    if (sampler === null) throw new Error(`the engine refuses the grammar:\n${grammar.slice(0, 4000)}`)
    try {
      return use(sampler)
    } finally {
      native.sampler_free(sampler)
    }
  }

  return {
    parses(grammar) {
      const sampler = native.sampler_init_grammar(vocab, grammar, 'root')
      if (sampler !== null) native.sampler_free(sampler)
      return sampler !== null
    },
    accepts(grammar, text) {
      const bytes = Buffer.from(text).toString('latin1')
      return withSampler(grammar, sampler => {
        for (let at = 0; at < bytes.length; ) {
          let length = Math.min(longest, bytes.length - at)
          while (!byPiece.has(bytes.slice(at, at + length))) length--
          const token = byPiece.get(bytes.slice(at, at + length))!
          if (allowed(sampler, [token]).length === 0) return false
          native.sampler_accept(sampler, token)
          at += length
        }
        return allowed(sampler, [end]).length === 1
      })
    },
    draw(grammar, random) {
      return withSampler(grammar, sampler => {
        const parts: Buffer[] = []
        for (let step = 0; step < 1500; step++) {
          const tokens = allowed(sampler, everything)
          if (tokens.length === 0) return { failed: 'dead' }
          const closing = tokens.filter(token => token === end || /^["}\]]$/.test(pieces[token]!.toString('latin1')))
          const from = closing.length > 0 && random() < 0.2 + step / 200 ? closing : tokens
          const ends = from.includes(end) && random() < 0.3 + step / 200
          const token = ends ? end : from[Math.floor(random() * from.length)]!
          if (token === end) return Buffer.concat(parts).toString()
          native.sampler_accept(sampler, token)
          parts.push(pieces[token]!)
        }
        return { failed: 'long' }
      })
    },
    free() {
      native.release(list)
      native.release(data)
      native.model_free(model)
    },
  }
}
