/** From samples to the trainer's token file, through the model that will be trained on: streaming, with what is too long split, cut or dropped. */
import { HubError } from '../lib/error.ts'
import { TokenFileWriter } from '../lib/token_file.ts'
import type { Lease } from '../models/models.ts'
import type { Sample } from '../wire/sample.ts'
import type { TokenStats } from '../wire/training_plan.ts'
import type { EncodedSample, EncodedSequence } from '../wire/worker.ts'

/**
 * What becomes of a sample above the longest row. `split`: a conversation by its turns, everything else by windows, so that every
 * token that would be learned is learned once. `truncate`: the part that holds the most of what is learned. Of an infill sample
 * both first cut what is far from the middle, and a preference pair is never split but cut.
 */
export type TooLong = 'split' | 'truncate' | 'drop'

type Encoder = { ask: Lease['ask']; info: Pick<Lease['info'], 'vocabularySize'> }

const BATCH_SAMPLES = 64
/** Characters of text per ask: the worker answers chats between samples, and messages stay small. */
const BATCH_CHARACTERS = 200_000
/** Context that a window has in common with the one before it, as a share of the longest row and in tokens. */
const OVERLAP = { share: 1 / 8, most: 256 }
const MOST_PROBLEMS = 20

/**
 * Writes the token file at `path`; the file appears whole or not at all.
 * @throws HubError invalid_request when preferences and other samples are mixed or nothing can be learned, cancelled,
 * insufficient_storage
 */
export async function writeTokens(
  lease: Encoder,
  samples: AsyncIterable<Sample>,
  path: string,
  options: { maxTokens: number; tooLong: TooLong },
  signal: AbortSignal,
): Promise<TokenStats> {
  let run: Tokenizer | undefined
  try {
    for await (const batch of batches(samples)) {
      signal.throwIfAborted()
      const kind = kindOf(batch[0]!)
      const { vocabularySize } = lease.info
      run ??= new Tokenizer(lease, options, signal, await TokenFileWriter.create(path, { kind, vocabularySize }))
      await run.write(batch)
    }
    if (run === undefined) throw new HubError('invalid_request', 'the training data has no sample')
    return await run.close()
  } catch (thrown) {
    await run?.abandon()
    if (signal.aborted) throw new HubError('cancelled', 'the request was cancelled', { cause: thrown })
    throw thrown
  }
}

const kindOf = (sample: Sample): TokenStats['kind'] => (sample.kind === 'preference' ? 'preferences' : 'samples')

async function* batches(samples: AsyncIterable<Sample>): AsyncGenerator<Sample[]> {
  let batch: Sample[] = []
  let characters = 0
  for await (const sample of samples) {
    batch.push(sample)
    characters += sizeOf(sample)
    if (batch.length < BATCH_SAMPLES && characters < BATCH_CHARACTERS) continue
    yield batch
    batch = []
    characters = 0
  }
  if (batch.length > 0) yield batch
}

function sizeOf(sample: Sample): number {
  switch (sample.kind) {
    case 'chat':
      return sample.messages.reduce((sum, { content }) => sum + (content?.length ?? 0), 0)
    case 'completion':
      return sample.prompt.length + sample.completion.length
    case 'text':
      return sample.text.length
    case 'infill':
      return sample.prefix.length + sample.middle.length + sample.suffix.length
    case 'preference':
      return sample.chosen.length + sample.rejected.length
  }
}

class Tokenizer {
  readonly #lease: Encoder
  readonly #maxTokens: number
  readonly #tooLong: TooLong
  readonly #signal: AbortSignal
  readonly #file: TokenFileWriter
  /** Sequences by their length. */
  readonly #lengths: Uint32Array
  readonly #stats: Omit<TokenStats, 'longest' | 'lengths'>

  constructor(
    lease: Encoder,
    { maxTokens, tooLong }: { maxTokens: number; tooLong: TooLong },
    signal: AbortSignal,
    file: TokenFileWriter,
  ) {
    this.#lease = lease
    this.#maxTokens = maxTokens
    this.#tooLong = tooLong
    this.#signal = signal
    this.#file = file
    this.#lengths = new Uint32Array(maxTokens + 1)
    this.#stats = {
      kind: file.kind,
      vocabularySize: file.vocabularySize,
      samples: 0,
      written: 0,
      tokens: 0,
      targetTokens: 0,
      dropped: 0,
      truncated: 0,
      split: 0,
      lostTokens: 0,
      failed: 0,
      empty: 0,
      problems: [],
    }
  }

  async write(samples: Sample[]): Promise<void> {
    const stray = samples.find(sample => kindOf(sample) !== this.#file.kind)
    if (stray !== undefined) {
      throw new HubError(
        'invalid_request',
        'the training data mixes preference pairs with other samples; make a dataset of each',
      )
    }
    for (const [index, encoded] of (await this.#encode(samples)).entries()) {
      await this.#take(samples[index]!, encoded)
      this.#stats.samples++
    }
  }

  async #encode(samples: Sample[]): Promise<EncodedSample[]> {
    const limit = this.#tooLong === 'drop' ? {} : { infillTokens: this.#maxTokens }
    return (await this.#lease.ask({ type: 'encode', samples, ...limit }, this.#signal)).encoded
  }

  async #take(sample: Sample, encoded: EncodedSample): Promise<void> {
    if ('error' in encoded) {
      this.#stats.failed++
      this.#report(sample, encoded.error)
      return
    }
    if (encoded.rejected !== undefined) return this.#pair(sample, encoded, encoded.rejected)
    const sequences = [encoded, ...(encoded.more ?? [])]
    const longest = Math.max(...sequences.map(({ tokens }) => tokens.length))
    if (longest <= this.#maxTokens) {
      for (const sequence of sequences) await this.#append(sequence)
      return
    }
    switch (this.#tooLong) {
      case 'drop':
        this.#drop(sample, sequences)
        break
      case 'truncate':
        this.#stats.truncated++
        this.#report(sample, `${longest} tokens were cut to ${this.#maxTokens}`)
        for (const sequence of sequences) {
          const kept = richest(sequence, this.#maxTokens)
          this.#stats.lostTokens += sequence.tokens.length - kept.tokens.length
          await this.#append(kept)
        }
        break
      case 'split':
        this.#stats.split++
        for (const piece of await this.#split(sample, sequences)) await this.#append(piece)
    }
  }

  /** By turns while there are several, then by windows. */
  async #split(sample: Sample, sequences: EncodedSequence[]): Promise<EncodedSequence[]> {
    if (sequences.every(({ tokens }) => tokens.length <= this.#maxTokens)) return sequences
    const halves = sample.kind === 'chat' ? halve(sample) : []
    if (halves.length < 2) return sequences.flatMap(sequence => windows(sequence, this.#maxTokens))
    const encoded = await this.#encode(halves)
    const pieces: EncodedSequence[] = []
    for (const [index, half] of encoded.entries()) {
      // What cannot be encoded alone, or has nothing to learn left, keeps the whole together.
      if ('error' in half) {
        if (learns(halves[index]!)) return sequences.flatMap(sequence => windows(sequence, this.#maxTokens))
        continue
      }
      pieces.push(...(await this.#split(halves[index]!, [half, ...(half.more ?? [])])))
    }
    return pieces
  }

  async #pair(sample: Sample, chosen: EncodedSequence, rejected: EncodedSequence): Promise<void> {
    let pair = [chosen, rejected]
    const longest = Math.max(chosen.tokens.length, rejected.tokens.length)
    if (longest > this.#maxTokens) {
      if (this.#tooLong === 'drop') return this.#drop(sample, pair)
      this.#stats.truncated++
      this.#report(sample, `a pair of ${longest} tokens was cut to ${this.#maxTokens}`)
      pair = cutPair(pair, this.#maxTokens)
      this.#stats.lostTokens += chosen.tokens.length + rejected.tokens.length - count(pair)
    }
    if (!pair.every(hasTarget)) {
      this.#stats.empty++
      return
    }
    for (const { tokens, weights } of pair) await this.#file.append(tokens, weights)
    this.#count(pair)
  }

  async #append(sequence: EncodedSequence): Promise<void> {
    if (!hasTarget(sequence)) {
      this.#stats.empty++
      return
    }
    await this.#file.append(sequence.tokens, sequence.weights)
    this.#count([sequence])
  }

  #count(sequences: EncodedSequence[]): void {
    this.#stats.written++
    this.#stats.tokens += count(sequences)
    for (const { weights } of sequences) this.#stats.targetTokens += targets(weights)
    this.#lengths[Math.max(...sequences.map(({ tokens }) => tokens.length))]!++
  }

  #drop(sample: Sample, sequences: EncodedSequence[]): void {
    this.#stats.dropped++
    this.#stats.lostTokens += count(sequences)
    this.#report(sample, `dropped: it has ${count(sequences)} tokens, and a row holds ${this.#maxTokens}`)
  }

  #report(sample: Sample, message: string): void {
    const { problems, samples } = this.#stats
    if (problems.length >= MOST_PROBLEMS) return
    const { origin } = sample
    const source = origin && `${origin.source}${origin.line === undefined ? '' : `:${origin.line}`}`
    problems.push({ sample: samples, ...(source !== undefined && { source }), message })
  }

  async close(): Promise<TokenStats> {
    const { samples, written, problems } = this.#stats
    if (written === 0) {
      const why = problems[0] === undefined ? '' : `; the first problem: ${problems[0].message}`
      throw new HubError('invalid_request', `none of the ${samples} samples has anything to learn${why}`)
    }
    await this.#file.close()
    const at = (share: number): number => {
      let left = Math.ceil(written * share)
      return this.#lengths.findIndex(found => {
        left -= found
        return left <= 0
      })
    }
    const mean = this.#lengths.reduce((sum, found, length) => sum + found * length, 0) / written
    const lengths = { mean, p50: at(0.5), p90: at(0.9), p95: at(0.95), p99: at(0.99) }
    return { ...this.#stats, longest: this.#lengths.findLastIndex(found => found > 0), lengths }
  }

  abandon(): Promise<void> {
    return this.#file.abandon()
  }
}

const count = (sequences: EncodedSequence[]): number => sequences.reduce((sum, { tokens }) => sum + tokens.length, 0)
const targets = (weights: number[]): number => weights.reduce((sum, weight) => sum + (weight > 0 ? 1 : 0), 0)
/** The first token is never learned: nothing stands before it. */
const hasTarget = ({ weights }: EncodedSequence): boolean => weights.some((weight, index) => index > 0 && weight > 0)
const learns = (sample: Sample): boolean =>
  sample.kind !== 'chat' || sample.messages.some(({ role, weight }) => role === 'assistant' && weight !== 0)

/** A conversation as two, each with the system messages of the beginning; one alone when it has a single exchange. */
function halve(sample: Extract<Sample, { kind: 'chat' }>): Extract<Sample, { kind: 'chat' }>[] {
  const { messages } = sample
  const first = messages.findIndex(({ role }) => role !== 'system' && role !== 'developer')
  if (first === -1) return [sample]
  const lead = messages.slice(0, first)
  const starts = messages.flatMap(({ role }, index) =>
    index > first && role === 'user' && messages[index - 1]!.role === 'assistant' ? [index] : [],
  )
  const middle = starts[Math.floor((starts.length - 1) / 2)]
  if (middle === undefined) return [sample]
  return [
    { ...sample, messages: messages.slice(0, middle) },
    { ...sample, messages: [...lead, ...messages.slice(middle)] },
  ]
}

/** Pieces of at most `most` tokens in which every learned token is learned exactly once, with some context in front of it. */
export function windows({ tokens, weights }: EncodedSequence, most: number): EncodedSequence[] {
  if (tokens.length <= most) return [{ tokens, weights }]
  const overlap = Math.max(1, Math.min(OVERLAP.most, Math.floor(most * OVERLAP.share)))
  const end = weights.findLastIndex(weight => weight > 0) + 1
  const pieces: EncodedSequence[] = []
  for (let next = firstTarget(weights, 1); next < end; ) {
    // The last window reaches back as far as it can.
    const start = Math.max(0, Math.min(next - overlap, end - most))
    const stop = Math.min(start + most, end)
    pieces.push({
      tokens: tokens.slice(start, stop),
      weights: weights.slice(start, stop).map((weight, index) => (start + index < next ? 0 : weight)),
    })
    next = firstTarget(weights, stop)
  }
  return pieces
}

function firstTarget(weights: number[], from: number): number {
  const at = weights.findIndex((weight, index) => index >= from && weight > 0)
  return at === -1 ? weights.length : at
}

/** The earliest stretch of `most` tokens in which the most is learned. */
export function richest({ tokens, weights }: EncodedSequence, most: number): EncodedSequence {
  if (tokens.length <= most) return { tokens, weights }
  // The first token of a stretch is not learned.
  let sum = 0
  for (let index = 1; index < most; index++) sum += weights[index]!
  let best = { sum, start: 0 }
  for (let start = 1; start + most <= tokens.length; start++) {
    sum += weights[start + most - 1]! - weights[start]!
    if (sum > best.sum + 1e-9) best = { sum, start }
  }
  return { tokens: tokens.slice(best.start, best.start + most), weights: weights.slice(best.start, best.start + most) }
}

/** Takes the same beginning of the prompt from both, as long as there is prompt; then the ends of the answers. */
function cutPair(pair: EncodedSequence[], most: number): EncodedSequence[] {
  const longest = Math.max(...pair.map(({ tokens }) => tokens.length))
  const prompt = Math.min(...pair.map(({ weights }) => firstTarget(weights, 1)))
  const from = Math.max(0, Math.min(longest - most, prompt - 1))
  return pair.map(({ tokens, weights }) => ({
    tokens: tokens.slice(from, from + most),
    weights: weights.slice(from, from + most),
  }))
}
