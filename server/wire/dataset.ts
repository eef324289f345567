/** Datasets: what an import takes, what its manifest says, and how the HTTP API shows both. */
import * as z from 'zod'
import { ModelId } from './common.ts'
import { QualityReport } from './quality.ts'
import { Sample } from './sample.ts'
import { SamplePreview } from './training_plan.ts'

/** What one record of a file was written as; `code` and `plain_text` are whole files. */
export const FormatName = z.enum([
  'instruction',
  'openai_chat',
  'sharegpt',
  'prompt_completion',
  'preference',
  'infill',
  'text',
  'sample',
  'collected',
  'plain_text',
  'code',
])
export type FormatName = z.infer<typeof FormatName>

/** Part of a dataset. */
export const Part = z.enum(['train', 'validation', 'test'])
export type Part = z.infer<typeof Part>
export const PARTS = Part.options

export const DatasetName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, 'letters, digits, dot, dash and underscore, at most 64, no dot first')
  .refine(name => !name.endsWith('.'), 'no dot at the end')
  .refine(name => !/^(con|prn|aux|nul|com\d|lpt\d)(\.|$)/i.test(name), 'a name that Windows keeps for itself')
  .describe('name of a dataset')

const Share = z.number().min(0).max(1)
/** Shares of the parts; they add up to 1. */
export const Shares = z
  .strictObject({ train: Share, validation: Share, test: Share })
  .refine(({ train, validation, test }) => Math.abs(train + validation + test - 1) < 1e-6, 'the shares add up to 1')
export type Shares = z.infer<typeof Shares>

/** How training samples are made of code files. The shares are relative to each other. */
export const CodeOptions = z.strictObject({
  samples_per_file: z.int().min(1).max(64).default(6).describe('most samples of one file'),
  text_share: Share.default(0.2).describe('whole files'),
  line_share: Share.default(0.5).describe('gaps of whole or broken lines'),
  bracket_share: Share.default(0.3).describe('gaps between two brackets'),
  seed: z.string().max(100).default('').describe('another seed makes other gaps'),
})
export type CodeOptions = z.infer<typeof CodeOptions>

export const Problem = z.object({ source: z.string(), line: z.int(), message: z.string() })
export type Problem = z.infer<typeof Problem>

export const DatasetSource = z.object({
  kind: z.enum(['file', 'folder', 'git', 'text', 'samples', 'version']),
  /** As it was given: a path, the name of an upload, `v3`. */
  name: z.string(),
  bytes: z.number(),
  /** Of the bytes of a file; of a folder, over the paths and hashes of its files; of a git history, its commit. */
  sha256: z.string(),
  formats: z.partialRecord(FormatName, z.int()),
  encoding: z.string().optional(),
  samples: z.int(),
  problems: z.int(),
  /** Files of a folder that were left out, by reason. */
  skipped: z.record(z.string(), z.int()).optional(),
  /** Licences found in the files of a folder, with the number of files. */
  licences: z.record(z.string(), z.int()).optional(),
})
export type DatasetSource = z.infer<typeof DatasetSource>

export const DatasetManifest = z.object({
  name: z.string(),
  version: z.int().positive(),
  /** ISO 8601, UTC. */
  created: z.string(),
  sources: z.array(DatasetSource),
  counts: z.object({ train: z.int(), validation: z.int(), test: z.int() }),
  kinds: z.record(z.string(), z.int()),
  /** What each filter took out or changed; `on` false says that it was switched off. */
  filters: z.record(z.string(), z.object({ on: z.boolean(), removed: z.int(), changed: z.int() })),
  split: z.object({ salt: z.string(), shares: Shares }),
  files: z.record(z.string(), z.object({ bytes: z.number(), sha256: z.string() })),
  problems: z.object({ count: z.int(), /** the first hundred */ first: z.array(Problem) }),
})
export type DatasetManifest = z.infer<typeof DatasetManifest>

const Paths = z.array(z.string().min(1).max(4096)).max(1000)

export const DatasetImportRequest = z.strictObject({
  name: DatasetName,
  paths: Paths.optional().describe('files and folders inside the home, absolute or relative to it'),
  git: Paths.optional().describe('folders inside the home whose git history is read'),
  text: z.string().min(1).optional().describe('the data itself'),
  file: z.string().min(1).max(200).optional().describe('id of an uploaded file'),
  collected: z.boolean().default(false).describe('also the completions and edits collected with consent'),
  conversations: z.boolean().default(false).describe('also the stored conversations that may be used'),
  format: FormatName.optional().describe('refuse records of any other format; found out when absent'),
  on_problem: z.enum(['skip', 'refuse']).default('skip').describe('what a malformed line does'),
  append: z.boolean().default(false).describe('the new version also holds the samples of the last one'),
  filters: z.record(z.string(), z.boolean()).default({}).describe('quality filters switched on or off by name'),
  shares: Shares.optional().describe('of the parts; those of the last version, else 0.9, 0.05, 0.05'),
  code: CodeOptions.optional(),
  model: ModelId.optional().describe('base model whose tokens are counted, and to which unusual samples are found'),
})
export type DatasetImportRequest = z.output<typeof DatasetImportRequest>

/** POST /v1/training/datasets/check: an import that writes nothing. */
export const DatasetCheckRequest = DatasetImportRequest.omit({
  name: true,
  append: true,
  on_problem: true,
  shares: true,
})
export const DatasetCheck = z.object({
  object: z.literal('dataset.check'),
  sources: z.array(DatasetSource),
  problems: z.object({ count: z.int(), first: z.array(Problem) }),
  report: QualityReport,
})
export type DatasetCheck = z.infer<typeof DatasetCheck>

export const DatasetOut = z.object({
  object: z.literal('dataset'),
  ...DatasetManifest.shape,
  versions: z.array(z.int()),
})
export type DatasetOut = z.infer<typeof DatasetOut>

export const DatasetList = z.object({ object: z.literal('list'), data: z.array(DatasetOut) })

const Whole = (most: number) =>
  z
    .string()
    .regex(/^\d{1,9}$/, 'a whole number')
    .transform(Number)
    .refine(value => value <= most, `at most ${most}`)
export const DatasetVersionQuery = z.strictObject({ version: Whole(999_999_999).optional() })
export const DatasetQuery = z.strictObject({
  version: Whole(999_999_999).optional(),
  part: Part.default('train'),
  offset: Whole(999_999_999).default(0),
  limit: Whole(100).default(10),
  kind: z.enum(['chat', 'completion', 'text', 'infill', 'preference']).optional(),
  search: z.string().min(1).max(200).optional().describe('text that a sample holds, whatever its case'),
})

export const DatasetPreviewQuery = z.strictObject({
  model: ModelId.describe('the base whose template and tokens are used'),
  version: Whole(999_999_999).optional(),
  part: Part.default('train'),
  offset: Whole(999_999_999).default(0).describe('which sample of the part'),
})
/** One sample as the model would be trained on it. */
export const DatasetPreview = z.object({
  object: z.literal('dataset.preview'),
  name: z.string(),
  version: z.int(),
  part: Part,
  offset: z.int(),
  model: z.string(),
  sample: Sample,
  preview: SamplePreview,
})
export type DatasetPreview = z.infer<typeof DatasetPreview>

export const DatasetInspection = z.object({
  ...DatasetOut.shape,
  part: Part,
  offset: z.int(),
  samples: z.array(Sample),
  /** True when more samples match behind these. */
  has_more: z.boolean(),
})

export const DatasetDeleted = z.object({
  object: z.literal('dataset.deleted'),
  name: z.string(),
  deleted: z.literal(true),
})

export const DatasetCompareQuery = z.strictObject({ from: Whole(999_999_999), to: Whole(999_999_999).optional() })
const PerPart = z.object({ train: z.int(), validation: z.int(), test: z.int() })
/** Samples of version `to` against those of version `from`, told apart by their content. */
export const DatasetComparison = z.object({
  name: z.string(),
  from: z.int(),
  to: z.int(),
  added: PerPart,
  kept: PerPart,
  removed: z.int(),
})
export type DatasetComparison = z.infer<typeof DatasetComparison>
