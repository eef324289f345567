/** What the inspection of a data set found: counts, lengths, languages, and each kind of fault with examples and what its filter did. */
import * as z from 'zod'

/** Every fault that is looked for. The name of a finding is the name of its filter. */
export const FindingId = z.enum([
  'empty',
  'no_answer',
  'role_order',
  'too_short',
  'too_long',
  'truncated',
  'repetition',
  'control_characters',
  'replacement_characters',
  'mojibake',
  'mojibake_uncertain',
  'not_nfc',
  'duplicate_exact',
  'duplicate_near',
  'contamination',
  'secret',
  'email',
  'phone',
  'payment',
  'perplexity',
])
export type FindingId = z.infer<typeof FindingId>

/** What the filter of a finding does to a sample. `report` never changes anything. */
export const FindingAction = z.enum(['drop', 'mask', 'repair', 'report'])
export type FindingAction = z.infer<typeof FindingAction>

/** Which filters are switched; those left out stay at their default. */
export const QualityFilters = z.partialRecord(FindingId, z.boolean())
export type QualityFilters = z.infer<typeof QualityFilters>

export const FindingExample = z.strictObject({
  /** Number of the sample in its source, from 1. */
  sample: z.int().positive(),
  source: z.string().optional(),
  line: z.int().positive().optional(),
  /** A short piece of the sample; secrets and personal data in it are always masked. */
  excerpt: z.string(),
  /** What is wrong in this one. */
  note: z.string().optional(),
})
export type FindingExample = z.infer<typeof FindingExample>

export const Finding = z.strictObject({
  id: FindingId,
  title: z.string(),
  severity: z.enum(['error', 'warning', 'info']),
  /** Samples that have the fault. */
  count: z.int().nonnegative(),
  /** How often each kind of it occurs, e.g. `{ github_token: 2 }`. */
  kinds: z.record(z.string(), z.int()),
  examples: z.array(FindingExample),
  action: FindingAction,
  /** Whether the filter was on, and whether it is when nobody says anything. */
  filtered: z.boolean(),
  filteredByDefault: z.boolean(),
  /** Samples that the filter drops; a sample with several faults counts for the first of them. */
  removed: z.int().nonnegative(),
  /** Samples that the filter masks or repairs and keeps. */
  changed: z.int().nonnegative(),
  /** Why it was not looked for, or only in part. */
  limit: z.string().optional(),
})
export type Finding = z.infer<typeof Finding>

export const TokenLengths = z.strictObject({
  /** False: estimated from characters, since no tokenizer was given. */
  exact: z.boolean(),
  total: z.int().nonnegative(),
  mean: z.number(),
  least: z.int(),
  p50: z.int(),
  p90: z.int(),
  p95: z.int(),
  p99: z.int(),
  most: z.int(),
  /** Samples of at most `upTo` tokens and more than the entry before. */
  histogram: z.array(z.strictObject({ upTo: z.int(), samples: z.int() })),
})
export type TokenLengths = z.infer<typeof TokenLengths>

export const QualityReport = z.strictObject({
  /** Samples read, and of them: written by the filters, dropped, and kept in another form. */
  samples: z.int().nonnegative(),
  kept: z.int().nonnegative(),
  removed: z.int().nonnegative(),
  changed: z.int().nonnegative(),
  characters: z.int().nonnegative(),
  kinds: z.record(z.string(), z.int()),
  tokens: TokenLengths,
  /** Most frequent first; `language` is an ISO 639-1 code, `vi-plain` (Vietnamese without diacritics), `code` or `unknown`. Shares are of characters. */
  languages: z.array(z.strictObject({ language: z.string(), share: z.number(), samples: z.int() })),
  duplicates: z.strictObject({
    exact: z.int().nonnegative(),
    near: z.int().nonnegative(),
    /** Jaccard similarity of three-word shingles from which two samples are near duplicates. */
    threshold: z.number(),
  }),
  /** Most serious first; those with count 0 are listed as well, so that it shows what was looked for. */
  findings: z.array(Finding),
})
export type QualityReport = z.infer<typeof QualityReport>
