/** /v1/training/datasets: import, list, inspect, report, compare and delete. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import * as z from 'zod'
import { HubError } from '../lib/error.ts'
import type { Models } from '../models/models.ts'
import { baseQuality } from '../training/base_quality.ts'
import { collectedFolder } from '../training/collect.ts'
import {
  type Dataset,
  deleteDataset,
  type ImportDeps,
  importDataset,
  listDatasets,
  openDataset,
  readPart,
  readReport,
  versionsOf,
} from '../training/datasets.ts'
import { checkSources } from '../training/datasets_check.ts'
import { compareVersions } from '../training/datasets_compare.ts'
import { previewSample } from '../training/preview.ts'
import type { Source } from '../training/sources.ts'
import { conversationSamples, type Turn } from '../training/sources_conversations.ts'
import { pathInsideHome } from '../training/sources_path.ts'
import {
  DatasetCheck,
  DatasetCheckRequest,
  DatasetCompareQuery,
  DatasetComparison,
  DatasetDeleted,
  DatasetImportRequest,
  DatasetInspection,
  DatasetList,
  DatasetName,
  DatasetOut,
  DatasetPreview,
  DatasetPreviewQuery,
  DatasetQuery,
  DatasetVersionQuery,
} from '../wire/dataset.ts'
import { FindingId, type QualityFilters, QualityReport } from '../wire/quality.ts'
import type { Sample } from '../wire/sample.ts'
import { withLease } from './generate.ts'
import { type Route, route } from './route.ts'

export type DatasetDeps = ImportDeps & {
  /** Words for what uses a dataset, such as `job ftjob-1`; undefined when nothing does. */
  inUse?(name: string): string | undefined
  /** Turns of the stored conversations whose owners agreed to training. */
  conversations?(): AsyncIterable<Turn>
  /** Path and name of an uploaded file. @throws HubError not_found */
  uploadedFile?(id: string): { path: string; name: string }
  /** Base models, for what only a model can tell of data. */
  models?: Pick<Models, 'acquire'>
}

/** A person waits for the answer. */
const MEASURED_MS = 30_000

const Params = z.strictObject({ name: DatasetName })

export function datasetRoutes(deps: DatasetDeps): Route[] {
  const { home } = deps
  return [
    route({
      method: 'GET',
      path: '/v1/training/datasets',
      summary: 'Datasets with the manifest of their newest version',
      tag: 'Training',
      scope: 'manage',
      response: DatasetList,
      handler: () => ({ object: 'list' as const, data: listDatasets(home).map(dataset => toDataset(home, dataset)) }),
    }),
    route({
      method: 'POST',
      path: '/v1/training/datasets/import',
      summary: 'Make a new version of a dataset from files, folders, git histories, text or an upload',
      tag: 'Training',
      scope: 'manage',
      request: DatasetImportRequest,
      response: DatasetOut,
      async handler({ body, signal }) {
        const { name, append, format, shares, code } = body
        const input = {
          name,
          append,
          sources: await sourcesOf(deps, body),
          filters: filtersOf(body.filters),
          onProblem: body.on_problem,
          ...(format !== undefined && { format }),
          ...(shares !== undefined && { shares }),
          ...(code !== undefined && { code }),
        }
        const dataset = await withQuality(deps, body.model, signal, quality =>
          importDataset({ ...deps, quality }, input, signal),
        )
        return toDataset(home, dataset)
      },
    }),
    route({
      method: 'POST',
      path: '/v1/training/datasets/check',
      summary: 'What an import would read and what is wrong with it, with nothing written',
      tag: 'Training',
      scope: 'manage',
      request: DatasetCheckRequest,
      response: DatasetCheck,
      handler({ body, signal }) {
        const { format, code, model } = body
        const options = { ...(format !== undefined && { format }), ...(code !== undefined && { code }) }
        const filters = filtersOf(body.filters)
        return withQuality(deps, model, signal, quality =>
          checkSources(() => sourcesOf(deps, body), options, { ...quality, filters }, signal),
        )
      },
    }),
    route({
      method: 'GET',
      path: '/v1/training/datasets/{name}',
      summary: 'Manifest of a dataset and samples of one of its parts',
      tag: 'Training',
      scope: 'manage',
      params: Params,
      query: DatasetQuery,
      response: DatasetInspection,
      async handler({ params, query, signal }) {
        const dataset = openDataset(home, params.name, query.version)
        const { samples, hasMore } = await page(dataset, query, signal)
        const { part, offset } = query
        return { ...toDataset(home, dataset), part, offset, samples, has_more: hasMore }
      },
    }),
    route({
      method: 'GET',
      path: '/v1/training/datasets/{name}/report',
      summary: 'What the inspection of a dataset found, and what its filters did',
      tag: 'Training',
      scope: 'manage',
      params: Params,
      query: DatasetVersionQuery,
      response: QualityReport,
      handler: ({ params, query }) => readReport(openDataset(home, params.name, query.version)),
    }),
    route({
      method: 'GET',
      path: '/v1/training/datasets/{name}/preview',
      summary: 'A sample behind the chat template of a model, with what is learned and what is only read',
      tag: 'Training',
      scope: 'manage',
      params: Params,
      query: DatasetPreviewQuery,
      response: DatasetPreview,
      async handler({ params, query, signal }) {
        const { model, part, offset } = query
        const dataset = openDataset(home, params.name, query.version)
        const [sample] = (await page(dataset, { part, offset, limit: 1 }, signal)).samples
        if (sample === undefined) {
          throw new HubError('not_found', `The ${part} part of ${params.name} has no sample ${offset}.`, {
            param: 'offset',
          })
        }
        const preview = await withLease(modelsOf(deps), model, signal, lease => previewSample(lease, sample, signal))
        const { name, version } = dataset
        return { object: 'dataset.preview' as const, name, version, part, offset, model, sample, preview }
      },
    }),
    route({
      method: 'GET',
      path: '/v1/training/datasets/{name}/compare',
      summary: 'Samples that a version has and an earlier one has not',
      tag: 'Training',
      scope: 'manage',
      params: Params,
      query: DatasetCompareQuery,
      response: DatasetComparison,
      handler: ({ params, query }) => compareVersions(home, params.name, query.from, query.to),
    }),
    route({
      method: 'DELETE',
      path: '/v1/training/datasets/{name}',
      summary: 'Delete a dataset that no job uses, with all versions; the files it was made of stay',
      tag: 'Training',
      scope: 'manage',
      params: Params,
      response: DatasetDeleted,
      handler({ params }) {
        deleteDataset(deps, params.name)
        return { object: 'dataset.deleted' as const, name: params.name, deleted: true as const }
      },
    }),
  ]
}

function modelsOf({ models }: DatasetDeps): Pick<Models, 'acquire'> {
  if (models !== undefined) return models
  throw new HubError('invalid_request', "'model' cannot be used: this hub has no models.", { param: 'model' })
}

/** With what the model can tell, which is held so long; without one the tokens are estimated. */
async function withQuality<T>(
  deps: DatasetDeps,
  model: string | undefined,
  signal: AbortSignal,
  act: (quality: NonNullable<ImportDeps['quality']>) => Promise<T>,
): Promise<T> {
  if (model === undefined) return act(deps.quality ?? {})
  return withLease(modelsOf(deps), model, signal, lease => act(baseQuality(lease, deps.now, MEASURED_MS)))
}

type Wanted = Omit<z.output<typeof DatasetCheckRequest>, 'filters'>

async function sourcesOf(deps: DatasetDeps, body: Wanted): Promise<Source[]> {
  const sources: Source[] = []
  for (const [index, path] of (body.paths ?? []).entries()) {
    sources.push({ path: await pathInsideHome(deps.home, path, `paths.${index}`) })
  }
  for (const [index, path] of (body.git ?? []).entries()) {
    sources.push({ git: await pathInsideHome(deps.home, path, `git.${index}`), within: deps.home })
  }
  if (body.text !== undefined) sources.push({ text: body.text })
  if (body.file !== undefined) {
    if (deps.uploadedFile === undefined) {
      throw new HubError('invalid_request', "'file' cannot be used: this hub keeps no uploaded files.", {
        param: 'file',
      })
    }
    sources.push(deps.uploadedFile(body.file))
  }
  if (body.collected) sources.push(...(await collectedFiles(deps.home)))
  if (body.conversations) {
    if (deps.conversations === undefined) {
      throw new HubError('invalid_request', "'conversations' cannot be used: this hub keeps none for training.", {
        param: 'conversations',
      })
    }
    sources.push({ samples: conversationSamples(deps.conversations()), name: 'conversations', kind: 'samples' })
  }
  return sources
}

/** What was collected with consent, a file for each kind. */
async function collectedFiles(home: string): Promise<Source[]> {
  const folder = collectedFolder(home)
  const names = await readdir(folder).catch(() => [])
  const files = names.filter(name => name.endsWith('.jsonl')).sort()
  if (files.length === 0) {
    throw new HubError(
      'not_found',
      'No suggestion has been collected yet. Allow it in the settings of the editor first.',
      {
        param: 'collected',
      },
    )
  }
  return files.map(name => ({ path: join(folder, name) }))
}

function filtersOf(filters: { [name: string]: boolean }): QualityFilters {
  for (const name of Object.keys(filters)) {
    if (FindingId.safeParse(name).success) continue
    throw new HubError('invalid_request', `There is no filter '${name}'. There are ${FindingId.options.join(', ')}.`, {
      param: `filters.${name}`,
    })
  }
  return filters
}

function toDataset(home: string, { manifest, name }: Dataset): DatasetOut {
  return { object: 'dataset', ...manifest, versions: versionsOf(home, name) }
}

/** A page of the samples that match; reading ends behind it. */
async function page(
  dataset: Dataset,
  query: Pick<z.output<typeof DatasetQuery>, 'part' | 'offset' | 'limit' | 'kind' | 'search'>,
  signal: AbortSignal,
): Promise<{ samples: Sample[]; hasMore: boolean }> {
  const search = query.search?.toLowerCase()
  const samples: Sample[] = []
  let matches = 0
  for await (const sample of readPart(dataset, query.part)) {
    signal.throwIfAborted()
    if (query.kind !== undefined && sample.kind !== query.kind) continue
    if (search !== undefined && !texts(sample).some(text => text.toLowerCase().includes(search))) continue
    if (matches++ < query.offset) continue
    if (samples.length === query.limit) return { samples, hasMore: true }
    samples.push(sample)
  }
  return { samples, hasMore: false }
}

/** Everything in a sample that a person wrote or reads. */
function texts(sample: Sample): string[] {
  switch (sample.kind) {
    case 'chat':
      return sample.messages.flatMap(({ content, tool_calls = [] }) => [
        content ?? '',
        ...tool_calls.map(call => `${call.name} ${call.arguments}`),
      ])
    case 'preference':
      return [...sample.messages.map(({ content }) => content ?? ''), sample.chosen, sample.rejected]
    case 'completion':
      return [sample.prompt, sample.completion]
    case 'text':
      return [sample.text]
    case 'infill':
      return [sample.prefix, sample.middle, sample.suffix, sample.path ?? '']
  }
}
