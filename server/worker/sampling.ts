/**
 * Picks the next token from a row of logits.
 * Penalties and biases touch few tokens, so they are applied to the row itself in JS; greedy is an argmax; the rest is a native
 * sampler chain. A grammar is asked about the one token that was picked and touches the whole vocabulary only when it refuses it.
 */
import { HubError } from '../lib/error.ts'
import type { Native } from '../native/llama.ts'
import type { Pointer } from '../native/structs.ts'
import type { Sampling } from '../wire/worker.ts'
import type { Model } from './model.ts'

/** What a request that names nothing gets; the values of llama-server, which local users expect. */
export const DEFAULTS = {
  temperature: 0.8,
  topK: 40,
  topP: 0.95,
  minP: 0.05,
  repeatPenalty: 1,
  repeatLastN: 64,
  dryBase: 1.75,
  dryAllowedLength: 2,
  dryPenaltyLastN: 1024,
  drySequenceBreakers: ['\n', ':', '"', '*'],
} as const

/** Candidates tried against the grammar before the whole vocabulary is. */
const SHORT_LIST = 256

export type GrammarText = { text: string /** see llama_sampler_init_grammar_lazy_patterns */; triggers?: string[] }

export type SamplerOptions = {
  sampling: Sampling
  grammar: GrammarText | undefined
  infill: boolean
  ignoreEos: boolean
}

/** C memory for candidates: rows of { int32 id; float logit; float p }, behind a { data*, size, selected, sorted }. One per worker. */
export class Candidates {
  readonly #data: Pointer
  readonly #array: Pointer
  readonly #ids: Int32Array
  readonly #values: Float32Array
  readonly #header: BigInt64Array
  readonly #sorted: Uint8Array

  constructor(native: Native, capacity: number) {
    this.#data = native.alloc(capacity * 12)
    this.#array = native.alloc(32)
    const rows = native.view(this.#data, capacity * 12)
    this.#ids = new Int32Array(rows)
    this.#values = new Float32Array(rows)
    const header = native.view(this.#array, 32)
    this.#header = new BigInt64Array(header)
    this.#sorted = new Uint8Array(header)
  }

  get pointer(): Pointer {
    return this.#array
  }

  #open(size: number): void {
    this.#header[0] = this.#data
    this.#header[1] = BigInt(size)
    this.#header[2] = -1n
    this.#sorted[24] = 0
  }

  fillAll(logits: Float32Array): void {
    const ids = this.#ids
    const values = this.#values
    for (let token = 0, at = 0; token < logits.length; token++, at += 3) {
      ids[at] = token
      values[at + 1] = logits[token]!
      values[at + 2] = 0
    }
    this.#open(logits.length)
  }

  fill(tokens: ArrayLike<number>, logits: Float32Array): void {
    for (let index = 0; index < tokens.length; index++) {
      const token = tokens[index]!
      this.#ids[index * 3] = token
      this.#values[index * 3 + 1] = logits[token]!
      this.#values[index * 3 + 2] = 0
    }
    this.#open(tokens.length)
  }

  get size(): number {
    return Number(this.#header[1])
  }

  logit(index: number): number {
    return this.#values[index * 3 + 1]!
  }

  id(index: number): number {
    return this.#ids[index * 3]!
  }

  /** How many of the rows a grammar has left possible. */
  possible(): number {
    let count = 0
    for (let index = 0; index < this.size; index++) if (this.logit(index) !== -Infinity) count++
    return count
  }

  /** The token that a chain selected, or undefined when it may not be. */
  selected(): number | undefined {
    const index = Number(this.#header[2])
    if (index < 0 || this.logit(index) === -Infinity) return undefined
    return this.id(index)
  }

  best(): number | undefined {
    let best = -1
    for (let index = 0; index < this.size; index++) {
      if (this.logit(index) !== -Infinity && (best < 0 || this.logit(index) > this.logit(best))) best = index
    }
    return best < 0 ? undefined : this.id(best)
  }
}

export class Sampler {
  readonly #model: Model
  readonly #native: Native
  readonly #candidates: Candidates
  readonly #options: SamplerOptions
  /** undefined when greedy */
  readonly #chain: Pointer | undefined
  readonly #grammar: Pointer | undefined
  readonly #topK: number
  readonly #greedy: boolean
  /** Tokens sampled or given before, the newest last; only kept while a penalty looks at them. */
  readonly #recent: number[] = []
  readonly #lastN: number

  /** @throws HubError invalid_request when the grammar does not parse */
  constructor(model: Model, candidates: Candidates, options: SamplerOptions) {
    const { sampling } = options
    this.#model = model
    this.#native = model.native
    this.#candidates = candidates
    this.#options = options
    this.#topK = sampling.topK ?? DEFAULTS.topK
    this.#greedy = (sampling.temperature ?? DEFAULTS.temperature) <= 0 && !((sampling.dryMultiplier ?? 0) > 0)
    this.#lastN = penalises(sampling) ? (sampling.repeatLastN ?? DEFAULTS.repeatLastN) : 0
    this.#grammar = options.grammar === undefined ? undefined : createGrammar(model, options.grammar)
    this.#chain = this.#greedy ? undefined : createChain(model, options)
  }

  /** Tokens of the prompt, so that penalties see them. */
  prime(prompt: readonly number[]): void {
    if (this.#lastN !== 0) this.#remember(this.#lastN > 0 ? prompt.slice(-this.#lastN) : prompt)
    if (this.#chain !== undefined && (this.#options.sampling.dryMultiplier ?? 0) > 0) {
      const lastN = this.#options.sampling.dryPenaltyLastN ?? DEFAULTS.dryPenaltyLastN
      for (const token of lastN < 0 ? prompt : prompt.slice(-Math.max(1, lastN)))
        this.#native.sampler_accept(this.#chain, token)
    }
  }

  #remember(tokens: readonly number[]): void {
    for (const token of tokens) this.#recent.push(token)
    const excess = this.#lastN > 0 ? this.#recent.length - this.#lastN : 0
    if (excess > 0) this.#recent.splice(0, excess)
  }

  /**
   * @param logits the row of the decode, [vocabulary]; biased in place
   * @param index of that row in the batch
   * @returns the token, or undefined when the grammar leaves none
   */
  sample(logits: Float32Array, context: Pointer, index: number): number | undefined {
    this.#bias(logits)
    let token: number | undefined
    if (this.#grammar !== undefined) {
      token = this.#sampleConstrained(logits)
    } else if (this.#chain === undefined) {
      token = argmax(logits)
    } else {
      token = this.#native.sampler_sample(this.#chain, context, index)
    }
    if (token === undefined) return undefined
    // llama_sampler_sample has accepted the token into the chain already.
    if (this.#chain !== undefined && this.#grammar !== undefined) this.#native.sampler_accept(this.#chain, token)
    if (this.#grammar !== undefined) this.#native.sampler_accept(this.#grammar, token)
    if (this.#lastN !== 0) this.#remember([token])
    return token
  }

  /** A token that was chosen elsewhere; without a grammar. */
  take(token: number | undefined): number | undefined {
    if (token === undefined) return undefined
    if (this.#chain !== undefined) this.#native.sampler_accept(this.#chain, token)
    if (this.#lastN !== 0) this.#remember([token])
    return token
  }

  #sampleConstrained(logits: Float32Array): number | undefined {
    const candidates = this.#candidates
    const grammar = this.#grammar!
    let token = this.#pick(logits)
    if (token !== undefined) {
      candidates.fill([token], logits)
      this.#native.sampler_apply(grammar, candidates.pointer)
      if (candidates.logit(0) !== -Infinity) return token
    }
    // The likeliest ones next: exact when enough of them are possible for what the chain keeps anyway.
    const short = largest(logits, SHORT_LIST)
    candidates.fill(short, logits)
    this.#native.sampler_apply(grammar, candidates.pointer)
    const possible = candidates.possible()
    const enough = this.#greedy ? possible > 0 : this.#topK > 0 && possible >= this.#topK
    if (!enough) {
      candidates.fillAll(logits)
      this.#native.sampler_apply(grammar, candidates.pointer)
    }
    token = candidates.best()
    if (token === undefined || this.#chain === undefined) return token
    this.#native.sampler_apply(this.#chain, candidates.pointer)
    return candidates.selected() ?? token
  }

  #pick(logits: Float32Array): number | undefined {
    if (this.#chain === undefined) return argmax(logits)
    this.#candidates.fillAll(logits)
    this.#native.sampler_apply(this.#chain, this.#candidates.pointer)
    return this.#candidates.selected()
  }

  #bias(logits: Float32Array): void {
    const { sampling, ignoreEos } = this.#options
    if (this.#recent.length > 0) penalise(logits, this.#recent, sampling)
    for (const [token, bias] of sampling.logitBias ?? []) {
      logits[token] = bias <= -100 ? -Infinity : logits[token]! + bias
    }
    if (ignoreEos) for (const token of this.#model.endTokens()) logits[token] = -Infinity
  }

  free(): void {
    if (this.#chain !== undefined) this.#native.sampler_free(this.#chain)
    if (this.#grammar !== undefined) this.#native.sampler_free(this.#grammar)
  }
}

function penalises(sampling: Sampling): boolean {
  return (
    (sampling.repeatPenalty ?? 1) !== 1 ||
    (sampling.frequencyPenalty ?? 0) !== 0 ||
    (sampling.presencePenalty ?? 0) !== 0
  )
}

/** Repetition penalty of Keskar et al. 2019 (arXiv 1909.05858), frequency and presence penalties as OpenAI's documentation gives them. */
export function penalise(logits: Float32Array, recent: readonly number[], sampling: Sampling): void {
  const counts = new Map<number, number>()
  for (const token of recent) counts.set(token, (counts.get(token) ?? 0) + 1)
  const repeat = sampling.repeatPenalty ?? 1
  for (const [token, count] of counts) {
    const logit = logits[token]!
    const repeated = logit > 0 ? logit / repeat : logit * repeat
    logits[token] = repeated - count * (sampling.frequencyPenalty ?? 0) - (sampling.presencePenalty ?? 0)
  }
}

/** Four running maxima, so that the processor compares them side by side; the first of equal values wins. */
export function argmax(logits: Float32Array): number {
  const quarter = logits.length >> 2
  let [a, b, c, d] = [0, quarter, 2 * quarter, 3 * quarter]
  let [va, vb, vc, vd] = [logits[a]!, logits[b]!, logits[c]!, logits[d]!]
  for (let at = 1; at < quarter; at++) {
    const x = logits[at]!
    const y = logits[quarter + at]!
    const z = logits[2 * quarter + at]!
    const w = logits[3 * quarter + at]!
    if (x > va) {
      va = x
      a = at
    }
    if (y > vb) {
      vb = y
      b = quarter + at
    }
    if (z > vc) {
      vc = z
      c = 2 * quarter + at
    }
    if (w > vd) {
      vd = w
      d = 3 * quarter + at
    }
  }
  let best = a
  for (const index of [b, c, d]) if (logits[index]! > logits[best]!) best = index
  for (let at = 4 * quarter; at < logits.length; at++) if (logits[at]! > logits[best]!) best = at
  return best
}

/** Ids of the `count` largest values, in no particular order: a min-heap of that size over one pass. */
export function largest(logits: Float32Array, count: number): Int32Array {
  const size = Math.min(count, logits.length)
  const heap = new Int32Array(size)
  const sink = (from: number) => {
    let at = from
    for (;;) {
      const left = 2 * at + 1
      if (left >= size) return
      const right = left + 1
      const child = right < size && logits[heap[right]!]! < logits[heap[left]!]! ? right : left
      if (logits[heap[at]!]! <= logits[heap[child]!]!) return
      const token = heap[at]!
      heap[at] = heap[child]!
      heap[child] = token
      at = child
    }
  }
  for (let token = 0; token < size; token++) heap[token] = token
  for (let at = size >> 1; at >= 0; at--) sink(at)
  for (let token = size; token < logits.length; token++) {
    if (logits[token]! > logits[heap[0]!]!) {
      heap[0] = token
      sink(0)
    }
  }
  return heap
}

function createGrammar(model: Model, grammar: GrammarText): Pointer {
  const { native, vocab } = model
  const sampler =
    grammar.triggers === undefined
      ? native.sampler_init_grammar(vocab, grammar.text, 'root')
      : native.sampler_init_grammar_lazy_patterns(
          vocab,
          grammar.text,
          'root',
          grammar.triggers,
          grammar.triggers.length,
          null,
          0,
        )
  if (sampler === null) {
    throw new HubError('invalid_request', 'the grammar does not parse; it must be GBNF with a rule named root', {
      param: 'grammar',
    })
  }
  return sampler
}

function createChain(model: Model, { sampling, infill, grammar }: SamplerOptions): Pointer {
  const { native, vocab } = model
  const chain = native.sampler_chain_init({ no_perf: true })
  const add = (sampler: Pointer) => native.sampler_chain_add(chain, sampler)
  const seed =
    sampling.seed === undefined
      ? Math.floor(Math.random() * 2 ** 32)
      : Number(BigInt.asUintN(32, BigInt(sampling.seed)))
  if ((sampling.dryMultiplier ?? 0) > 0) {
    const dryLastN = sampling.dryPenaltyLastN ?? DEFAULTS.dryPenaltyLastN
    // -1 is the whole context.
    const contextTokens = Math.max(DEFAULTS.dryPenaltyLastN, native.model_n_ctx_train(model.pointer))
    const breakers = [...(sampling.drySequenceBreakers ?? DEFAULTS.drySequenceBreakers)]
    add(
      native.sampler_init_dry(
        vocab,
        sampling.dryMultiplier ?? 0,
        sampling.dryBase ?? DEFAULTS.dryBase,
        sampling.dryAllowedLength ?? DEFAULTS.dryAllowedLength,
        dryLastN < 0 ? contextTokens : dryLastN,
        breakers,
        breakers.length,
      ),
    )
  }
  if (sampling.topNSigma !== undefined) add(native.sampler_init_top_n_sigma(sampling.topNSigma))
  add(native.sampler_init_top_k(sampling.topK ?? DEFAULTS.topK))
  if (sampling.typicalP !== undefined) add(native.sampler_init_typical(sampling.typicalP, 1))
  add(native.sampler_init_top_p(sampling.topP ?? DEFAULTS.topP, 1))
  add(native.sampler_init_min_p(sampling.minP ?? DEFAULTS.minP, 1))
  if ((sampling.xtcProbability ?? 0) > 0) {
    add(native.sampler_init_xtc(sampling.xtcProbability ?? 0, sampling.xtcThreshold ?? 0.1, 1, seed))
  }
  add(native.sampler_init_temp(sampling.temperature ?? DEFAULTS.temperature))
  // It may choose the end of the text out of nothing, which a grammar could not take.
  if (infill && grammar === undefined) add(native.sampler_init_infill(vocab))
  const temperature = sampling.temperature ?? DEFAULTS.temperature
  add(temperature <= 0 ? native.sampler_init_greedy() : native.sampler_init_dist(seed))
  return chain
}
