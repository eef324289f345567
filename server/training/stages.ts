/** What a job does beside training: its data becomes a dataset, its samples tokens, its tokens a plan, and its result a model. */
import { createHash } from 'node:crypto'
import { copyFileSync, createReadStream, existsSync, mkdirSync, renameSync, statSync } from 'node:fs'
import { basename, extname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { HubError } from '../lib/error.ts'
import type { Adapters } from '../models/adapter_registry.ts'
import { splitAdapterId } from '../models/adapters.ts'
import type { Models } from '../models/models.ts'
import type { Space } from '../models/reserve.ts'
import type { Database } from '../storage/database.ts'
import { readFile } from '../storage/files.ts'
import { type DatasetManifest, PARTS, type Shares } from '../wire/dataset.ts'
import type { ModelFile } from '../wire/model.ts'
import type { Sample } from '../wire/sample.ts'
import { LoraTarget, type TrainerJobInput } from '../wire/trainer.ts'
import type { TrainingData, TrainingRequest } from '../wire/training.ts'
import type { Hyperparameters } from '../wire/training_plan.ts'
import { baseQuality } from './base_quality.ts'
import { type Dataset, importDataset, openDataset, readPart, versionsOf } from './datasets.ts'
import { withReplay } from './incremental.ts'
import type { ImportedData, Job } from './job_state.ts'
import { type PlanDeps, planTraining } from './plan.ts'
import { writeTokens } from './tokenize.ts'
import { ADAPTER, CHECKPOINT, type JobSteps, PROCESS_BYTES, SNAPSHOT, TRAIN_TOKENS, VALIDATION_TOKENS } from './work.ts'

export type StageDeps = {
  home: string
  db: Database
  /** Where uploads lie, each under its id. */
  filesFolder: string
  /** Base models. */
  models: Pick<Models, 'get' | 'acquire'>
  adapters: Pick<Adapters, 'get' | 'look' | 'publish'>
  space(): Promise<Space>
  plan: PlanDeps
  /** CPU threads of the trainer; undefined for its own choice. */
  threads(): number | undefined
  now(): number
}

/** The adapter to go on from, as it was when the job began. */
const CONTINUED = 'continued.gguf'
/** Reading samples for the report must not hold up the run. */
const MEASURED_MS = 5000
/** Longer samples are rare and cost much memory; a wish or a shorter context goes before. */
const MAX_TOKENS = 2048

export function jobStages(deps: StageDeps): JobSteps & { check(request: TrainingRequest): TrainingRequest } {
  const { home, db, models, adapters } = deps

  function check(request: TrainingRequest): TrainingRequest {
    const { base, continued } = findBase(request)
    const name = `${base.id}:${request.name}`
    if (request.replace !== true && adapters.get(name) !== undefined) {
      throw new HubError(
        'conflict',
        `There is an adapter ${name} already. Choose another name, delete it, or set replace, which keeps it as an older version.`,
        { param: 'name' },
      )
    }
    if (continued !== undefined && adapters.get(`${base.id}:${continued}`) === undefined) {
      throw new HubError('invalid_request', `There is no adapter ${base.id}:${continued} to continue from.`, {
        param: 'continue_from',
      })
    }
    if (request.replay !== undefined && continued === undefined) {
      throw new HubError('invalid_request', "'replay' is for jobs that continue from an adapter: add continue_from.", {
        param: 'replay',
      })
    }
    if (request.output_dir !== undefined && existsSync(join(request.output_dir, `${request.name}.gguf`))) {
      throw new HubError('conflict', `${join(request.output_dir, `${request.name}.gguf`)} exists already.`, {
        param: 'output_dir',
      })
    }
    return {
      ...request,
      model: base.id,
      data: checkData(request.data, 'training_file'),
      ...(request.validation !== undefined && { validation: checkData(request.validation, 'validation_file') }),
      ...(continued !== undefined && { continue_from: continued }),
    }
  }

  /** The base, and the adapter's name where the model or `continue_from` is one. */
  function findBase(request: TrainingRequest): { base: ModelFile; continued: string | undefined } {
    const parts = splitAdapterId(request.model)
    const isAdapter = parts !== undefined && adapters.get(request.model) !== undefined
    const base = models.get(isAdapter ? parts.base : request.model).file
    const kind = base.facts?.kind ?? 'model'
    if (base.status === 'broken' || kind !== 'model') {
      const why = base.status === 'broken' ? (base.reason ?? 'its file is damaged') : `it is of type ${kind}`
      throw new HubError('model_broken', `The model ${base.id} cannot be trained on: ${why}.`, { param: 'model' })
    }
    if (base.files.length > 1) {
      throw new HubError(
        'invalid_request',
        `${base.id} lies in ${base.files.length} files; join them with llama-gguf-split --merge to train on it.`,
        { param: 'model' },
      )
    }
    const wished = request.continue_from
    const named = wished?.startsWith(`${base.id}:`) ? wished.slice(base.id.length + 1) : wished
    return { base, continued: named ?? (isAdapter ? request.model.slice(parts.base.length + 1) : undefined) }
  }

  function checkData(data: TrainingData, param: string): TrainingData {
    if (data.type === 'file') {
      const file = readFile(db, data.id)
      if (file === undefined) {
        throw new HubError('not_found', `There is no file '${data.id}'. Upload it to /v1/files first.`, { param })
      }
      if (file.purpose !== 'fine-tune') {
        throw new HubError(
          'invalid_request',
          `The file ${file.id} was uploaded for ${file.purpose}. Upload it with the purpose fine-tune.`,
          { param },
        )
      }
    }
    if (data.type === 'path' && !existsSync(data.path)) {
      throw new HubError('not_found', `There is no file or folder ${data.path}.`, { param: 'dataset_path' })
    }
    // The version of now, whatever is imported until the job begins.
    if (data.type === 'dataset') return { ...data, version: openDataset(home, data.name, data.version).version }
    return data
  }

  async function importData(job: Job, folder: string, signal: AbortSignal): Promise<ImportedData> {
    const { data, validation, continue_from } = job.request
    if (continue_from !== undefined) await copyContinued(job, folder)
    const notes: string[] = []
    const alone: Shares = { train: 1, validation: 0, test: 0 }
    const { model } = job.request
    const main = await bring(data, validation === undefined ? undefined : alone, model, notes, signal)
    const own = validation === undefined ? undefined : await bring(validation, alone, model, notes, signal)
    if (main.manifest.counts.train === 0) {
      throw new HubError('invalid_request', 'Nothing is left to learn from after the checks of the data.', {
        param: data.type === 'file' ? 'training_file' : 'dataset_path',
      })
    }
    return {
      dataset: { name: main.name, version: main.version },
      ...(own !== undefined && { validationDataset: { name: own.name, version: own.version } }),
      training: main.manifest.counts.train,
      validation: own === undefined ? main.manifest.counts.validation : all(own.manifest),
      notes,
    }
  }

  /** The dataset; a file or folder becomes one, unless its newest version was made of the very same bytes. */
  async function bring(
    data: TrainingData,
    shares: Shares | undefined,
    model: string,
    notes: string[],
    signal: AbortSignal,
  ): Promise<Dataset> {
    if (data.type === 'dataset') return openDataset(home, data.name, data.version)
    const file = data.type === 'file' ? readFile(db, data.id) : undefined
    const path = data.type === 'file' ? join(deps.filesFolder, data.id) : data.path
    const called = file?.filename ?? (data.type === 'path' ? basename(data.path) : data.id)
    const name = nameFor(called, shares)
    const known = await sameDataset(name, path, file?.sha256, signal)
    if (known !== undefined) return known
    const source = { path, name: called }
    const lease = await models.acquire(model, signal)
    let dataset: Dataset
    try {
      dataset = await importDataset(
        { home, now: deps.now, quality: baseQuality(lease, deps.now, MEASURED_MS) },
        { name, sources: [source], onProblem: 'skip', ...(shares !== undefined && { shares }) },
        signal,
      )
    } finally {
      lease.release()
    }
    const { problems, filters } = dataset.manifest
    const first = problems.first[0]
    if (problems.count > 0 && first !== undefined) {
      notes.push(
        `${problems.count} lines of ${called} cannot be read and were left out; the first is line ${first.line}: ${first.message}`,
      )
    }
    for (const [filter, { removed, changed }] of Object.entries(filters)) {
      if (removed > 0) notes.push(`${removed} samples of ${called} were left out: ${filter}.`)
      if (changed > 0) notes.push(`${changed} samples of ${called} were mended: ${filter}.`)
    }
    return dataset
  }

  /**
   * The first name that is free or that holds an earlier state of the same file: a dataset that the user made of something else
   * gets no version from a job. Data without held-out parts has a name of its own, since later versions keep a dataset's shares.
   */
  function nameFor(called: string, shares: Shares | undefined): string {
    const wanted = `${datasetName(called)}${shares === undefined ? '' : '-whole'}`
    for (let number = 1; ; number++) {
      const name = number === 1 ? wanted : `${wanted}-${number}`
      if (versionsOf(home, name).length === 0 || holds(name, called, shares)) return name
    }
  }

  function holds(name: string, called: string, shares: Shares | undefined): boolean {
    try {
      const { sources, split } = openDataset(home, name).manifest
      return (
        sources.length === 1 && sources[0]?.name === called && split.shares.train === (shares ?? split.shares).train
      )
    } catch {
      return false
    }
  }

  async function sameDataset(
    name: string,
    path: string,
    sha256: string | undefined,
    signal: AbortSignal,
  ): Promise<Dataset | undefined> {
    if (versionsOf(home, name).length === 0 || statSync(path).isDirectory()) return undefined
    const dataset = openDataset(home, name)
    return dataset.manifest.sources[0]?.sha256 === (sha256 ?? (await hashOf(path, signal))) ? dataset : undefined
  }

  async function copyContinued(job: Job, folder: string): Promise<void> {
    const id = `${job.request.model}:${job.request.continue_from}`
    const adapter = await adapters.look(id)
    if (adapter === undefined || adapter.status === 'broken') {
      throw new HubError('not_found', `The adapter ${id} to continue from is ${adapter?.reason ?? 'gone'}.`, {
        param: 'continue_from',
      })
    }
    copyFileSync(adapter.path, join(folder, `${CONTINUED}.part`))
    renameSync(join(folder, `${CONTINUED}.part`), join(folder, CONTINUED))
  }

  /** What an adapter that is gone on from decides. @throws HubError invalid_request for another wish */
  async function continuedShape(job: Job): Promise<Pick<Hyperparameters, 'rank' | 'alpha' | 'targets' | 'rslora'>> {
    const { continue_from, model, hyperparameters } = job.request
    if (continue_from === undefined) return {}
    const facts = (await adapters.look(`${model}:${continue_from}`))?.facts
    if (facts === undefined) return {}
    for (const name of ['rank', 'alpha'] as const) {
      const wished = hyperparameters[name]
      if (wished !== undefined && wished !== 'auto' && wished !== facts[name]) {
        throw new HubError(
          'invalid_request',
          `The adapter ${continue_from} has a ${name} of ${facts[name]}, which stays: leave ${name} out.`,
          { param: name },
        )
      }
    }
    // The alpha of the file is the plain one, whatever scale it was trained with.
    const targets = LoraTarget.options.filter(target => facts.targets.includes(target))
    return { rank: facts.rank, alpha: facts.alpha, targets, rslora: false }
  }

  /** What is learned: the training part, for a job that goes on without what its adapter knows but for the replayed share. */
  function trainingSamples(job: Job): AsyncIterable<Sample> {
    const { dataset } = job.state.imported!
    const next = readPart(openDataset(home, dataset.name, dataset.version), 'train')
    const { continue_from, replay, model, seed } = job.request
    if (continue_from === undefined || replay === undefined) return next
    const learned = adapters.get(`${model}:${continue_from}`)?.card.dataset
    if (learned === undefined) return next
    const before = openDataset(home, learned.name, learned.version)
    if (before.name === dataset.name && before.version === dataset.version) return next
    return withReplay(next, () => readPart(before, 'train'), { share: replay, seed })
  }

  async function* validationSamples(job: Job): AsyncGenerator<Sample> {
    const { dataset, validationDataset } = job.state.imported!
    if (validationDataset === undefined) {
      yield* readPart(openDataset(home, dataset.name, dataset.version), 'validation')
      return
    }
    const own = openDataset(home, validationDataset.name, validationDataset.version)
    for (const part of PARTS) yield* readPart(own, part)
  }

  return {
    check,
    importData,

    async writeTokens(job, folder, signal) {
      const { request, state } = job
      // A folder that was cleared meanwhile has it no more.
      if (request.continue_from !== undefined && !existsSync(join(folder, CONTINUED))) await copyContinued(job, folder)
      const wished = request.hyperparameters.max_length
      const lease = await models.acquire(request.model, signal)
      try {
        const context = lease.model.facts?.context_length ?? MAX_TOKENS
        const maxTokens = typeof wished === 'number' ? Math.min(wished, context) : Math.min(MAX_TOKENS, context)
        const options = { maxTokens, tooLong: request.too_long }
        const stats = await writeTokens(lease, trainingSamples(job), join(folder, TRAIN_TOKENS), options, signal)
        const isPreference = stats.kind === 'preferences'
        if (isPreference !== (request.method === 'dpo')) {
          const fix = isPreference
            ? 'holds pairs of a chosen and a rejected answer: set the method to dpo'
            : 'holds no pairs of a chosen and a rejected answer: set the method to supervised'
          throw new HubError('invalid_request', `The data ${fix}.`, { param: 'method' })
        }
        if ((state.imported?.validation ?? 0) === 0) return { stats }
        const path = join(folder, VALIDATION_TOKENS)
        const validationStats = await writeTokens(lease, validationSamples(job), path, options, signal)
        return { stats, validationStats }
      } finally {
        lease.release()
      }
    },

    async plan(job, signal) {
      const { request, state } = job
      const space = await deps.space()
      return planTraining(
        deps.plan,
        {
          base: models.get(request.model).file,
          stats: state.stats!,
          freeBytes: Math.max(0, space.freeBytes - PROCESS_BYTES),
          wishes: { seed: request.seed, ...request.hyperparameters, ...(await continuedShape(job)) },
          ...(state.validationStats !== undefined && { validation: state.validationStats }),
          device: { library: space.library },
          ...(request.continue_from !== undefined && { continueFrom: request.continue_from }),
        },
        signal,
      )
    },

    trainerJob(job, folder): TrainerJobInput {
      const { settings } = job.state.plan!
      const { mode } = settings
      const threads = deps.threads()
      const continued = join(folder, CONTINUED)
      return {
        ...settings,
        mode: mode.type === 'lora' && existsSync(continued) ? { ...mode, continueFrom: continued } : mode,
        base: models.get(job.request.model).file.files[0]!,
        tokens: join(folder, TRAIN_TOKENS),
        ...(job.state.validationStats !== undefined && { validation: join(folder, VALIDATION_TOKENS) }),
        output: join(folder, ADAPTER),
        checkpoint: join(folder, CHECKPOINT),
        snapshot: join(folder, SNAPSHOT),
        ...(threads !== undefined && { threads }),
      }
    },

    async publish(job, folder) {
      const { request, state } = job
      const { model: base, name, output_dir } = request
      const made = join(folder, ADAPTER)
      if (output_dir !== undefined) {
        mkdirSync(output_dir, { recursive: true })
        const target = join(output_dir, `${name}.gguf`)
        copyFileSync(made, `${target}.part`)
        renameSync(`${target}.part`, target)
      }
      // A crash may have come between publishing and noting it.
      const there = await adapters.look(`${base}:${name}`)
      if (there?.card.job === job.id) return there.id
      // A copy is given away, so that a crash in the midst of it loses nothing.
      const file = join(folder, 'publish.gguf')
      copyFileSync(made, file)
      const adapter = await adapters.publish({
        base,
        name,
        file,
        ...(request.replace === true && { replace: true }),
        card: {
          created: deps.now(),
          job: job.id,
          ...(state.imported !== undefined && { dataset: state.imported.dataset }),
          ...(state.plan !== undefined && { settings: { ...state.plan.settings } }),
          ...(state.bestValidationLoss !== undefined && {
            evaluation: { validation_loss: state.bestValidationLoss },
          }),
        },
      })
      return adapter.id
    },
  }
}

const all = ({ counts }: DatasetManifest): number => counts.train + counts.validation + counts.test

/** `My data (1).jsonl` as `My-data-1`. */
function datasetName(filename: string): string {
  const name = basename(filename, extname(filename))
    .replace(/[^A-Za-z0-9._-]+/g, '-')
    .replace(/^[^A-Za-z0-9]+|[^A-Za-z0-9]+$/g, '')
    .slice(0, 60)
  // What Windows keeps for itself is a name with something behind it.
  return name === '' || /^(con|prn|aux|nul|com\d|lpt\d)(\.|$)/i.test(name) ? `data-${name}`.replace(/-$/, '') : name
}

async function hashOf(path: string, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path), hash, { signal })
  return hash.digest('hex')
}
