/** Counts samples, lengths, languages and findings, and keeps a few examples of each: the report in the making. */
import type { Finding, FindingExample, FindingId, QualityReport, TokenLengths } from '../wire/quality.ts'
import type { Sample } from '../wire/sample.ts'
import { NEAR_THRESHOLD } from './duplicates.ts'
import { FINDING_IDS, FINDINGS } from './findings.ts'
import { type Found, type Prepared, prepare } from './findings_check.ts'
import { countLanguages, type LanguageCounts } from './languages.ts'
import { answersOf, contentOf, groupsOf } from './sample_text.ts'

type Counted = {
  count: number
  kinds: Map<string, number>
  examples: FindingExample[]
  removed: number
  changed: number
}

const EXCERPT = 160
const SEVERITIES = ['error', 'warning', 'info']

export class Tally {
  samples = 0
  #characters = 0
  #removed = 0
  #changed = 0
  readonly #kinds = new Map<string, number>()
  readonly #lengths = new Lengths()
  readonly #characterShares: LanguageCounts = new Map()
  readonly #samplesOf: LanguageCounts = new Map()
  readonly #findings: Map<FindingId, Counted>
  readonly #mostExamples: number
  readonly #exactTokens: boolean
  #limits: Partial<Record<FindingId, string>> = {}

  constructor(mostExamples: number, exactTokens: boolean) {
    this.#mostExamples = mostExamples
    this.#exactTokens = exactTokens
    this.#findings = new Map(
      FINDING_IDS.map(id => [id, { count: 0, kinds: new Map(), examples: [], removed: 0, changed: 0 }]),
    )
  }

  /** Counts the next sample. `reason` is the finding for which it is dropped. */
  add(prepared: Prepared, tokens: number, reason: FindingId | undefined): void {
    const index = this.samples++
    const { sample, found } = prepared
    add(this.#kinds, sample.kind, 1)
    this.#lengths.add(tokens)
    this.#addLanguages(sample)
    for (const [id, details] of found) this.#find(id, index, sample, details)
    if (reason !== undefined) {
      this.#removed++
      this.#findings.get(reason)!.removed++
    } else if (prepared.changed) this.#addChanged(prepared, 1)
  }

  /** A near duplicate, found when the sample was counted already. */
  addNear(prepared: Prepared, index: number, note: string, drops: boolean): void {
    this.#find('duplicate_near', index, prepared.sample, { note })
    if (!drops) return
    this.#removed++
    this.#findings.get('duplicate_near')!.removed++
    if (prepared.changed) this.#addChanged(prepared, -1)
  }

  addOutlier(sample: Sample, index: number, note: string): void {
    this.#find('perplexity', index, sample, { note })
  }

  limits(limits: Partial<Record<FindingId, string>>): void {
    this.#limits = limits
  }

  #addChanged({ found }: Prepared, by: number): void {
    this.#changed += by
    for (const id of found.keys()) if (isTransform(id)) this.#findings.get(id)!.changed += by
  }

  #addLanguages(sample: Sample): void {
    const counts: LanguageCounts = new Map()
    for (const text of contentOf(sample)) countLanguages(text, counts)
    let main = 'unknown'
    let most = 0
    for (const [language, characters] of counts) {
      add(this.#characterShares, language, characters)
      this.#characters += characters
      if (characters <= most) continue
      main = language
      most = characters
    }
    add(this.#samplesOf, main, 1)
  }

  #find(id: FindingId, index: number, sample: Sample, { kinds, note }: Found): void {
    const counted = this.#findings.get(id)!
    counted.count++
    for (const [kind, n] of Object.entries(kinds ?? {})) add(counted.kinds, kind, n)
    if (counted.examples.length >= this.#mostExamples) return
    const said = note ?? (kinds && Object.keys(kinds).join(', '))
    counted.examples.push({
      sample: index + 1,
      ...(sample.origin !== undefined && { source: sample.origin.source }),
      ...(sample.origin?.line !== undefined && { line: sample.origin.line }),
      excerpt: excerptOf(id, sample),
      ...(said !== undefined && { note: said }),
    })
  }

  report(on: (finding: FindingId) => boolean): QualityReport {
    const findings = FINDING_IDS.map(id => this.#finding(id, on(id)))
    findings.sort((a, b) => rank(a) - rank(b))
    const languages = [...this.#characterShares].map(([language, characters]) => ({
      language,
      share: characters / this.#characters,
      samples: this.#samplesOf.get(language) ?? 0,
    }))
    return {
      samples: this.samples,
      kept: this.samples - this.#removed,
      removed: this.#removed,
      changed: this.#changed,
      characters: this.#characters,
      kinds: Object.fromEntries(this.#kinds),
      tokens: this.#lengths.report(this.#exactTokens),
      languages: languages.sort((a, b) => b.share - a.share || (a.language < b.language ? -1 : 1)),
      duplicates: {
        exact: this.#findings.get('duplicate_exact')!.count,
        near: this.#findings.get('duplicate_near')!.count,
        threshold: NEAR_THRESHOLD,
      },
      findings,
    }
  }

  #finding(id: FindingId, filtered: boolean): Finding {
    const { count, kinds, examples, removed, changed } = this.#findings.get(id)!
    const { title, severity, action, on } = FINDINGS[id]
    const limit = this.#limits[id]
    return {
      ...{ id, title, severity, count, kinds: Object.fromEntries([...kinds].sort()), examples, action },
      ...{ filtered, filteredByDefault: on, removed, changed: filtered ? changed : 0 },
      ...(limit !== undefined && { limit }),
    }
  }
}

function add(counts: Map<string, number>, key: string, n: number): void {
  counts.set(key, (counts.get(key) ?? 0) + n)
}

function isTransform(id: FindingId): boolean {
  return FINDINGS[id].action === 'mask' || FINDINGS[id].action === 'repair'
}

/** Found ones first, then by severity; the sort keeps the order of the list among equals. */
function rank({ count, severity }: Finding): number {
  return (count === 0 ? SEVERITIES.length : 0) + SEVERITIES.indexOf(severity)
}

/** A piece of the sample that shows the fault, with everything repaired and masked whatever the filters say. */
function excerptOf(id: FindingId, sample: Sample): string {
  const { sample: safe } = prepare(sample, () => true)
  if (id === 'truncated') return shorten(answersOf(safe).at(-1) ?? '', 'end')
  if (id === 'repetition') return shorten(answersOf(safe)[0] ?? '', 'end')
  const texts = groupsOf(safe).flat()
  const mark = markOf(id)
  for (const text of texts) {
    const at = text.search(mark)
    if (at !== -1) return shorten(text.slice(Math.max(0, at - 60), at + 100), 'start')
  }
  return shorten(contentOf(safe).find(text => text.trim() !== '') ?? '', 'start')
}

/** What shows the place of the fault in the safe text. */
function markOf(id: FindingId): RegExp {
  if (id === 'email') return /<EMAIL_\d+>/
  if (id === 'phone') return /<PHONE_\w+>/
  if (id === 'payment') return /<(?:CARD|IBAN)_\d+>/
  if (id === 'secret') return /<(?!EMAIL|PHONE|CARD|IBAN)[A-Z_]+_\d+>/
  if (id === 'replacement_characters') return /\ufffd/
  return /(?!)/
}

function shorten(text: string, keep: 'start' | 'end'): string {
  const line = text.trim().replace(/\s+/g, ' ')
  if (line.length <= EXCERPT) return line
  // A pair of surrogates is not cut in two.
  return keep === 'start' ? `${line.slice(0, EXCERPT).toWellFormed()}…` : `…${line.slice(-EXCERPT).toWellFormed()}`
}

/** Lengths in tokens, exact up to LONGEST, from a table of counts. */
const LONGEST = 1 << 17

class Lengths {
  readonly #counts = new Uint32Array(LONGEST + 1)
  #samples = 0
  #total = 0
  #least = Number.POSITIVE_INFINITY
  #most = 0

  add(tokens: number): void {
    this.#counts[Math.min(tokens, LONGEST)]!++
    this.#samples++
    this.#total += tokens
    this.#least = Math.min(this.#least, tokens)
    this.#most = Math.max(this.#most, tokens)
  }

  report(exact: boolean): TokenLengths {
    const histogram: { upTo: number; samples: number }[] = []
    let from = 0
    for (let upTo = 16; from <= LONGEST; upTo *= 2) {
      const last = upTo >= LONGEST ? LONGEST : upTo
      const samples = this.#counts.subarray(from, last + 1).reduce((sum, n) => sum + n, 0)
      histogram.push({ upTo: last === LONGEST ? Math.max(LONGEST, this.#most) : upTo, samples })
      from = last + 1
    }
    while (histogram.at(-1)?.samples === 0) histogram.pop()
    return {
      exact,
      total: this.#total,
      mean: this.#samples === 0 ? 0 : this.#total / this.#samples,
      least: this.#samples === 0 ? 0 : this.#least,
      p50: this.#percentile(0.5),
      p90: this.#percentile(0.9),
      p95: this.#percentile(0.95),
      p99: this.#percentile(0.99),
      most: this.#most,
      histogram,
    }
  }

  /** The least length that a share of the samples does not exceed. */
  #percentile(share: number): number {
    let left = Math.ceil(this.#samples * share)
    for (let length = 0; length <= LONGEST && left > 0; length++) {
      left -= this.#counts[length]!
      if (left <= 0) return length === LONGEST ? this.#most : length
    }
    return 0
  }
}
