/** Inspects a data set in two streaming passes and gives its cleaned copy: what is wrong, and what the filters drop, mask and repair. */
import { HubError } from '../lib/error.ts'
import { type FindingId, QualityFilters, type QualityReport } from '../wire/quality.ts'
import type { Sample } from '../wire/sample.ts'
import { HeldOut } from './contamination.ts'
import { Bits, fingerprint, HashSet, NearCandidates, type NearDuplicates } from './duplicates.ts'
import { FINDING_IDS, FINDINGS } from './findings.ts'
import { checkSample, type Prepared, prepare } from './findings_check.ts'
import { Tally } from './findings_tally.ts'
import { TokenCounter } from './findings_tokens.ts'
import { findOutliers, type Logprobs, Selection } from './perplexity.ts'
import { contentOf, contextOf } from './sample_text.ts'

export type QualityOptions = {
  /** Filters to switch; the others stay at the default of their finding. */
  filters?: QualityFilters
  /** Samples of more tokens are too long (8192 when absent), answers of fewer too short (2). */
  maxTokens?: number
  minTokens?: number
  /** Number of tokens of each text by the base model's tokenizer; estimated from characters when absent. */
  countTokens?(texts: string[], signal: AbortSignal): Promise<number[]>
  /** Mean negative log likelihood in nats per learned token of each sample under the base model; NaN where it can't be told. */
  logprobs?: Logprobs
  /** The held-out part that the training part must not contain. */
  heldOut?(): AsyncIterable<Sample>
  /** Examples kept per finding (5). */
  examples?: number
}

/** A report and the decisions behind it; hold the decisions only as long as `clean` is to be run. */
export type Inspection = { report: QualityReport; decisions: Decisions }

/** What `clean` does: which filters transform, which samples (by index) are left out, and how it knows the source again. */
export type Decisions = {
  on: (finding: FindingId) => boolean
  dropped: Bits
  samples: number
  checksum: number
}

/** Samples whose tokens are counted in one call. */
const BATCH = 64

/**
 * Reads the source twice and says what is wrong in it. Changes nothing.
 * Throws invalid_request for an unknown filter, conflict when the source gave other samples the second time.
 */
export async function inspect(
  read: () => AsyncIterable<Sample>,
  options: QualityOptions,
  signal: AbortSignal,
): Promise<Inspection> {
  const on = filtersOf(options.filters)
  const heldOut = options.heldOut && (await readHeldOut(options.heldOut, on, signal))
  const inspection = new Run(on, options, heldOut)
  const checksum = await inspection.readFirst(read, signal)
  const near = await inspection.readSecond(read, checksum, signal)
  const outliers = await inspection.measure(signal)
  const { tally } = inspection
  tally.limits(limitsOf(inspection, near, heldOut, options, outliers))
  const decisions = { on, dropped: inspection.dropped, samples: tally.samples, checksum }
  return { report: tally.report(on), decisions }
}

/**
 * The samples as the filters leave them, in the order of the source, which is read once more.
 * Throws conflict at the end when the source gave other samples than were inspected; what was written then is to be thrown away.
 */
export async function* clean(
  { decisions }: Inspection,
  read: () => AsyncIterable<Sample>,
  signal: AbortSignal,
): AsyncGenerator<Sample> {
  const sum = new Checksum()
  let index = 0
  for await (const sample of read()) {
    signal.throwIfAborted()
    // A sample is repaired and masked again rather than trusted to be the one that was inspected.
    const { sample: prepared } = prepare(sample, decisions.on)
    sum.add(prepared)
    if (!decisions.dropped.has(index++)) yield prepared
  }
  if (index !== decisions.samples || sum.value !== decisions.checksum) throw changed()
}

/** Which filters are on: those that were switched, and the defaults of the others. */
export function filtersOf(filters: QualityFilters = {}): (finding: FindingId) => boolean {
  const parsed = QualityFilters.safeParse(filters)
  if (!parsed.success) {
    const name = Object.keys(filters).find(key => !FINDING_IDS.includes(key as FindingId)) ?? 'filters'
    const message = `There is no filter "${name}" that can be true or false. Filters: ${FINDING_IDS.join(', ')}.`
    throw new HubError('invalid_request', message, { param: `filters.${name}` })
  }
  const chosen = parsed.data
  return finding => FINDINGS[finding].action !== 'report' && (chosen[finding] ?? FINDINGS[finding].on)
}

async function readHeldOut(
  read: () => AsyncIterable<Sample>,
  on: (finding: FindingId) => boolean,
  signal: AbortSignal,
): Promise<HeldOut> {
  const heldOut = new HeldOut()
  for await (const sample of read()) {
    signal.throwIfAborted()
    heldOut.add(contentOf(prepare(sample, on).sample))
  }
  return heldOut
}

function changed(): HubError {
  return new HubError('conflict', 'The source changed while it was read. Import it again when nothing writes to it.')
}

/** Order and content of the samples read, in 32 bits. */
class Checksum {
  value = 0

  add(sample: Sample): { words: Uint32Array; high: number; low: number; salt: number } {
    const context = fingerprint(contextOf(sample))
    const { words, high, low } = fingerprint(contentOf(sample))
    const print = { words, high: (high ^ context.high) >>> 0, low: (low ^ context.low) >>> 0, salt: 0 }
    // Texts under different instructions are different samples; the context of a file to be filled in is part of its text.
    if (sample.kind !== 'infill') print.salt = context.low
    this.value = (Math.imul(this.value, 31) + print.low) | 0
    return print
  }
}

class Run {
  readonly tally: Tally
  readonly dropped = new Bits()
  /** Samples that are no longer compared with others: equal ones, and those that a filter drops anyway. */
  readonly #settled = new Bits()
  readonly #changed = new Bits()
  #exact = new HashSet()
  #candidates = new NearCandidates()
  readonly #sum = new Checksum()
  readonly #on: (finding: FindingId) => boolean
  readonly #options: QualityOptions
  readonly #heldOut: HeldOut | undefined
  readonly #selection: Selection | undefined
  exactRefused = 0

  constructor(on: (finding: FindingId) => boolean, options: QualityOptions, heldOut: HeldOut | undefined) {
    this.#on = on
    this.#options = options
    this.#heldOut = heldOut
    this.tally = new Tally(options.examples ?? 5, options.countTokens !== undefined)
    this.#selection = options.logprobs && new Selection()
  }

  /** Everything that one sample shows by itself, equal texts, and which samples are worth a comparison. */
  async readFirst(read: () => AsyncIterable<Sample>, signal: AbortSignal): Promise<number> {
    const counter = new TokenCounter(this.#options.countTokens, this.#options.minTokens ?? 2)
    let batch: Prepared[] = []
    const flush = async () => {
      const counts = await counter.count(batch, signal)
      for (const [i, prepared] of batch.entries()) this.#judge(prepared, counts[i]!)
      batch = []
    }
    for await (const sample of read()) {
      signal.throwIfAborted()
      batch.push(prepare(sample, this.#on))
      if (batch.length === BATCH) await flush()
    }
    await flush()
    this.exactRefused = this.#exact.refused
    this.#exact = new HashSet(2)
    return this.#sum.value
  }

  #judge(prepared: Prepared, tokens: { all: number; answerTooShort: boolean }): void {
    const index = this.tally.samples
    checkSample(prepared)
    // The words of a fingerprint last until the next one is taken.
    const print = this.#sum.add(prepared.sample)
    const { found } = prepared
    if (tokens.all > (this.#options.maxTokens ?? 8192)) found.set('too_long', { note: `${tokens.all} tokens` })
    if (tokens.answerTooShort && !found.has('empty') && !found.has('no_answer')) found.set('too_short', {})
    const { words, high, low, salt } = print
    // What another filter drops can't be the one that stays of several equal samples.
    let reason = this.#reason(prepared)
    if (reason === undefined && this.#heldOut !== undefined) {
      // The buffer of words is used again by the comparison, so that the candidates are noted before it.
      const note = this.#heldOut.match(contentOf(prepared.sample))
      if (note !== undefined) found.set('contamination', { note })
      reason = this.#reason(prepared)
    }
    if (reason === undefined) {
      if (this.#exact.add(high, low)) {
        found.set('duplicate_exact', {})
        this.#settled.set(index)
        reason = this.#reason(prepared)
      } else this.#candidates.add(this.#heldOut ? fingerprint(contentOf(prepared.sample)).words : words, salt)
    }
    if (reason !== undefined) {
      this.dropped.set(index)
      this.#settled.set(index)
    } else this.#selection?.offer(index, low, prepared.sample)
    if (prepared.changed) this.#changed.set(index)
    this.tally.add(prepared, tokens.all, reason)
  }

  /** The first finding for which a filter drops the sample. */
  #reason({ found }: Prepared): FindingId | undefined {
    return FINDING_IDS.find(id => FINDINGS[id].action === 'drop' && found.has(id) && this.#on(id))
  }

  /** Compares the candidates. */
  async readSecond(read: () => AsyncIterable<Sample>, checksum: number, signal: AbortSignal): Promise<NearDuplicates> {
    const near = this.#candidates.finish()
    this.#candidates = new NearCandidates()
    const sum = new Checksum()
    let index = 0
    for await (const sample of read()) {
      signal.throwIfAborted()
      const prepared = this.#changed.has(index) ? prepare(sample, this.#on) : undefined
      const now = prepared?.sample ?? sample
      const print = sum.add(now)
      if (!this.#settled.has(index)) {
        const match = near.match(index, print.words, print.salt)
        if (match !== undefined) {
          const drops = this.#on('duplicate_near')
          if (drops) this.dropped.set(index)
          const note = `${Math.round(match.similarity * 100)}% like sample ${match.sample + 1}`
          this.tally.addNear(prepared ?? prepare(sample, this.#on), index, note, drops)
        }
      }
      index++
    }
    if (index !== this.tally.samples || sum.value !== checksum) throw changed()
    return near
  }

  /** Asks the model about a selection of the samples that are kept. */
  async measure(signal: AbortSignal): Promise<number> {
    const { logprobs } = this.#options
    if (logprobs === undefined || this.#selection === undefined) return 0
    const chosen = this.#selection.samples.filter(({ index }) => !this.dropped.has(index))
    let measured = 0
    const counted: Logprobs = async (samples, signal) => {
      const values = await logprobs(samples, signal)
      measured += values.filter(Number.isFinite).length
      return values
    }
    for (const { sample, index, note } of await findOutliers(chosen, counted, signal))
      this.tally.addOutlier(sample, index, note)
    return measured
  }
}

function limitsOf(
  run: Run,
  near: NearDuplicates,
  heldOut: HeldOut | undefined,
  options: QualityOptions,
  measured: number,
): Partial<Record<FindingId, string>> {
  const limits: Partial<Record<FindingId, string>> = {}
  if (run.exactRefused > 0)
    limits.duplicate_exact = `The memory for comparison was full: ${run.exactRefused} samples were not remembered.`
  if (near.refused > 0)
    limits.duplicate_near = `The memory for comparison was full: ${near.refused} samples were not compared with later ones.`
  if (heldOut === undefined) limits.contamination = 'Not looked for: no held-out part was given.'
  else if (heldOut.refused > 0)
    limits.contamination = `Of ${heldOut.refused} held-out samples only whole copies were looked for: the memory was full.`
  if (options.logprobs === undefined) limits.perplexity = 'Not looked for: no base model was given.'
  else limits.perplexity = `Measured on ${measured} samples, chosen by content.`
  if (options.countTokens === undefined) {
    const estimate = 'Tokens are estimated from characters: no tokenizer was given.'
    limits.too_long = estimate
    limits.too_short = estimate
  }
  return limits
}
