/** The real grammar engine over a real vocabulary: which texts a grammar accepts, and texts drawn at random from it. */
import { join } from 'node:path'
import { loadNative } from '../../server/native/llama.ts'

export type GrammarEngine = {
  /** Whether the engine parses the grammar. */
  parses(grammar: string): boolean
  /** Feeds the text token by token: every token must be allowed, and at the end the end of the generation. */
  accepts(grammar: string, text: string): boolean
  /** Whether a text of the grammar begins so. */
  begins(grammar: string, text: string): boolean
  /**
   * Feeds the text, cut into the vocabulary's longest pieces or by `random` (0 to below 1) into shorter ones as well, to the
   * grammar that waits for a trigger. No piece goes over the edge of a marker, as where the markers are special tokens.
   */
  waits(
    how: { grammar: string; triggers: string[]; markers?: string[]; random?: (() => number) | undefined },
    text: string,
  ): Waited
  /**
   * One text of the grammar: among the allowed tokens `random` (0 to below 1) chooses, the end and closing marks more and more often.
   * `dead`: the engine allows no token at all before an end. `long`: no end after so many tokens.
   */
  draw(grammar: string, random: () => number): string | { failed: 'dead' | 'long' }
  free(): void
}

export type Waited = {
  /**
   * `kept`: every token was allowed. `refused`: the next one is not. `unfit`: a trigger matches what the grammar cannot begin
   * with, on which the engine would end the process; it was not fed.
   */
  outcome: 'kept' | 'refused' | 'unfit'
  fired: boolean
  /** What was fed. */
  fed: string
  /** Whether the generation may end there. */
  mayEnd: boolean
}

/** Where the call that a trigger of llama_sampler_init_grammar_lazy_patterns sees begins; undefined: it sees none. */
export function callStart(triggers: string[], text: string, flags = ''): number | undefined {
  for (const trigger of triggers) {
    const match = new RegExp(trigger, `d${flags}`).exec(text)
    if (match !== null)
      return match.indices!.slice(1).find(group => group !== undefined && group[1] > group[0])?.[0] ?? match.index
  }
  return undefined
}

/** `models` is the folder of the test models, `vocabulary` a model or a bare vocabulary in it. */
export function openGrammarEngine(models: string, vocabulary = 'stories260K-F32.gguf'): GrammarEngine {
  const native = loadNative()
  const model = native.model_load_from_file(join(models, vocabulary), {
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
  const longest = pieces.reduce((most, piece) => Math.max(most, piece.length), 0)

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

  /** The longest piece that the rest of the bytes begins with, or any of them. */
  const nextPiece = (bytes: string, at: number, until = bytes.length, random?: () => number): string => {
    const found: string[] = []
    for (let length = Math.min(longest, until - at); length > 0; length--) {
      const piece = bytes.slice(at, at + length)
      if (byPiece.has(piece)) found.push(piece)
    }
    return found[random === undefined ? 0 : Math.floor(random() * found.length)]!
  }
  /** Feeds until a token is refused. */
  const feed = (sampler: bigint, text: string): boolean => {
    const bytes = Buffer.from(text).toString('latin1')
    for (let at = 0; at < bytes.length; ) {
      const piece = nextPiece(bytes, at)
      const token = byPiece.get(piece)!
      if (allowed(sampler, [token]).length === 0) return false
      native.sampler_accept(sampler, token)
      at += piece.length
    }
    return true
  }
  const begins = (grammar: string, text: string) => withSampler(grammar, sampler => feed(sampler, text))

  return {
    begins,
    waits({ grammar, triggers, markers = [], random }, text) {
      const sampler = native.sampler_init_grammar_lazy_patterns(
        vocab,
        grammar,
        'root',
        triggers,
        triggers.length,
        null,
        0,
      )
      if (sampler === null) throw new Error(`the engine refuses the grammar:\n${grammar.slice(0, 4000)}`)
      try {
        // The engine's patterns work on bytes.
        const patterns = triggers.map(trigger => Buffer.from(trigger).toString('latin1'))
        const bytes = Buffer.from(text).toString('latin1')
        const edges: number[] = []
        for (const marker of markers.map(text => Buffer.from(text).toString('latin1'))) {
          for (let from = bytes.indexOf(marker); from !== -1; from = bytes.indexOf(marker, from + 1)) {
            edges.push(from, from + marker.length)
          }
        }
        edges.sort((a, b) => a - b)
        let fired = false
        let at = 0
        const result = (outcome: Waited['outcome']): Waited => ({
          outcome,
          fired,
          fed: Buffer.from(bytes.slice(0, at), 'latin1').toString(),
          mayEnd: outcome !== 'unfit' && allowed(sampler, [end]).length === 1,
        })
        while (at < bytes.length) {
          const edge = edges.find(place => place > at)
          const piece = nextPiece(bytes, at, edge, random)
          const token = byPiece.get(piece)!
          if (allowed(sampler, [token]).length === 0) return result('refused')
          const sofar = bytes.slice(0, at + piece.length)
          const start = fired ? undefined : callStart(patterns, sofar)
          if (start !== undefined && !begins(grammar, Buffer.from(sofar.slice(start), 'latin1').toString())) {
            return result('unfit')
          }
          native.sampler_accept(sampler, token)
          at += piece.length
          if (start === undefined) continue
          fired = true
          if (allowed(sampler, [end]).length === 1) throw new Error(`the engine saw no call in: ${sofar}`)
        }
        return result('kept')
      } finally {
        native.sampler_free(sampler)
      }
    },
    parses(grammar) {
      const sampler = native.sampler_init_grammar(vocab, grammar, 'root')
      if (sampler !== null) native.sampler_free(sampler)
      return sampler !== null
    },
    accepts(grammar, text) {
      return withSampler(grammar, sampler => feed(sampler, text) && allowed(sampler, [end]).length === 1)
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
