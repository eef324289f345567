/** A whole job: checks its files, opens the model, guards its family, trains with checkpoints, and writes the result. */
import { basename } from 'node:path'
import { HubError } from '../lib/error.ts'
import type { FromTrainer, Parity, TrainerJob, TrainerResult } from '../wire/trainer.ts'
import { type Adapter, checkAdapter, readAdapter, writeAdapter, writeModel, writtenAlpha } from './adapter.ts'
import {
  type Checkpoint,
  checkIdentity,
  type Identity,
  readCheckpoint,
  restore,
  writeCheckpoint,
} from './checkpoint.ts'
import type { Control } from './control.ts'
import { makeDataSet, readTokenFile, type TokenFile } from './data.ts'
import { fileExists, removeFile, sha256File } from './files.ts'
import type { Fit, Fitted } from './fit.ts'
import { readGguf, scalar, TRAINED_TYPES } from './gguf_read.ts'
import { bucketsOf, resultSettings } from './job.ts'
import { isDone, type Run, START, step, stoppedEarly } from './loop.ts'
import { checkFinite, checkParity, parityRow, type ReferenceLogits, toleranceOf } from './parity.ts'
import { allUnits, Steps } from './steps.ts'
import type { OpenOptions, Trainable, TrainerModel } from './types.ts'

export type Deps = {
  openModel(options: OpenOptions): Promise<TrainerModel>
  referenceLogits: ReferenceLogits
  fit: Fit
  emit(message: FromTrainer): void
  /** A checkpoint from which this very job can go on lies there. */
  stands(checkpoint: string): void
  nowMs(): number
  control: Control
  /** CPU threads when the job does not say. */
  threads: number
}

export type Outcome =
  | { type: 'finished'; result: TrainerResult }
  | { type: 'cancelled'; step: number; checkpoint: string }

/** Where a job's checkpoint lies. */
export const checkpointPath = (job: Pick<TrainerJob, 'checkpoint' | 'output'>): string =>
  job.checkpoint ?? `${job.output}.checkpoint`

/** What is known of the files before the model is opened. */
type Inputs = {
  tokens: TokenFile
  validation: TokenFile | undefined
  adapter: Adapter | undefined
  checkpoint: Checkpoint | undefined
  identity: Identity
  fitted: Fitted
  /** The serving engine computes with the very numbers that the trainer has, so that both agree almost exactly. */
  exact: boolean
}

/**
 * Goes on from the job's checkpoint where there is one. The base is only read.
 * @throws HubError for everything that is wrong with the files, the settings, the device or the run; the last checkpoint stands
 */
export async function train(job: TrainerJob, deps: Deps): Promise<Outcome> {
  const inputs = await readInputs(job, deps)
  const options = openOptions(job, deps, inputs.fitted)
  const path = checkpointPath(job)
  // Undefined while paused: the device is free then.
  let model: TrainerModel | undefined = await deps.openModel(options)
  try {
    const run = await begin(job, inputs, model, deps)
    const fixed = { identity: inputs.identity, fitted: inputs.fitted }
    const save = (parameters: Trainable): void => {
      const bytes = writeCheckpoint(path, { ...fixed, place: run.place, best: run.best }, parameters)
      deps.stands(path)
      if (model !== undefined) writeSnapshot(job, inputs.identity, model)
      deps.emit({ type: 'checkpoint', step: run.place.step, path, bytes })
    }
    while (!isDone(run)) {
      const { wanted } = deps.control
      if (wanted !== 'run') save(model.parameters)
      if (wanted === 'pause') {
        model.free()
        model = undefined
        run.best = null
        deps.emit({ type: 'paused', step: run.place.step })
        await deps.control.unpaused()
        if (deps.control.wanted !== 'cancel') {
          model = await deps.openModel(options)
          resumeFrom(path, readCheckpoint(path), run, model)
          deps.emit({ type: 'resumed', step: run.place.step })
          continue
        }
      }
      if (model === undefined || wanted === 'cancel') {
        return { type: 'cancelled', step: run.place.step, checkpoint: path }
      }
      if (!(await step(run, model, deps))) continue
      const due = run.place.step % job.checkpointEverySteps === 0 && !isDone(run)
      if (deps.control.takeCheckpoint() || due) save(model.parameters)
    }
    let result: TrainerResult
    try {
      result = writeResult(job, inputs.identity, run, model)
    } catch (thrown) {
      // What was learned is not lost with it: the same job, started again, has only this left to do.
      save(model.parameters)
      throw thrown
    }
    removeFile(path)
    return { type: 'finished', result }
  } finally {
    model?.free()
  }
}

async function readInputs(job: TrainerJob, deps: Deps): Promise<Inputs> {
  const base = readGguf(job.base)
  const parts = scalar(base.metadata.get('split.count'))
  if (typeof parts === 'number' && parts > 1) {
    throw new HubError('invalid_request', `${basename(job.base)} is one of ${parts} parts; join them into one file`, {
      param: 'base',
    })
  }
  const type = scalar(base.metadata.get('general.type'))
  if (type !== undefined && type !== 'model') {
    throw new HubError('invalid_request', `${basename(job.base)} is of type ${type}, not a model; name a base model`, {
      param: 'base',
    })
  }
  // In full mode the trainer turns all weights into F32, and the serving engine rounds its activations to F16 for those in F16.
  const alike = job.mode.type === 'full' ? ['F32'] : ['F32', 'F16']
  const exact = base.tensors.every(tensor => alike.includes(TRAINED_TYPES.get(tensor.type)![0]))
  const tokens = readTokenFile(job.tokens)
  const validation = job.validation === undefined ? undefined : readTokenFile(job.validation)
  const continueFrom = job.mode.type === 'lora' ? job.mode.continueFrom : undefined
  const identity: Identity = {
    baseSha256: await sha256File(job.base),
    tokensSha256: tokens.sha256,
    validationSha256: validation?.sha256 ?? null,
    continuedSha256: continueFrom === undefined ? null : await sha256File(continueFrom),
    settings: resultSettings(job),
  }
  const path = checkpointPath(job)
  const checkpoint = fileExists(path) ? readCheckpoint(path) : undefined
  if (checkpoint !== undefined) {
    checkIdentity(path, checkpoint.identity, identity)
    deps.stands(path)
  }
  const adapter = continueFrom === undefined ? undefined : readAdapter(continueFrom)
  const sequences = [...tokens.sequences, ...(validation?.sequences ?? [])]
  const longest = sequences.reduce((most, sequence) => Math.max(most, sequence.tokens.length), 0)
  const wanted = { buckets: bucketsOf(job), checkpoint: job.layerCheckpointing }
  // Rows of another length would make another run of it: a resumed one keeps its own.
  const fitted = checkpoint?.fitted ?? deps.fit(openOptions(job, deps, wanted), longest)
  return { tokens, validation, adapter, checkpoint, identity, fitted, exact }
}

function openOptions(job: TrainerJob, deps: Deps, fitted: Fitted): OpenOptions {
  const { mode } = job
  return {
    path: job.base,
    library: job.library,
    ...(job.device !== undefined && { device: job.device }),
    threads: job.threads ?? deps.threads,
    mode:
      mode.type === 'full'
        ? mode
        : {
            type: 'lora',
            lora: {
              rank: mode.rank,
              alpha: mode.alpha,
              rsLora: mode.rsLora,
              targets: mode.targets,
              dropout: mode.dropout,
            },
          },
    seed: job.seed,
    logitsTokens: job.parityTokens,
    ...fitted,
  }
}

async function begin(job: TrainerJob, inputs: Inputs, model: TrainerModel, deps: Deps): Promise<Run> {
  const preferences = job.loss.type === 'preference'
  const { tokens, validation } = inputs
  const rowTokens = Math.max(...inputs.fitted.buckets)
  const data = makeDataSet(
    { tokens, ...(validation !== undefined && { validation }) },
    {
      kind: preferences ? 'preferences' : 'samples',
      vocabularySize: model.vocabularySize,
      contextLength: model.contextLength,
      rowTokens,
      share: job.validationShare,
      seed: job.seed,
    },
  )
  const run: Run = {
    job,
    steps: new Steps(data.training, {
      preferences,
      rowTokens,
      unitsPerStep: job.rowsPerStep,
      epochs: job.epochs,
      maxSteps: job.maxSteps,
      seed: job.seed,
    }),
    validation: allUnits(data.validation, { preferences, rowTokens }),
    place: START,
    best: null,
    clock: { tokens: 0, trainedMs: 0, spentMs: 0, steps: 0 },
  }
  // Before anything trained is put in: the bare base is what the serving engine computes as well.
  const row = parityRow(data.training, Math.min(job.parityTokens, rowTokens))
  const parity = await guard(job, inputs, model, row, deps)
  if (inputs.checkpoint !== undefined) resumeFrom(checkpointPath(job), inputs.checkpoint, run, model)
  else if (inputs.adapter !== undefined && job.mode.type === 'lora') {
    const alpha = writtenAlpha(job.mode)
    const { architecture, parameters } = model
    checkAdapter(inputs.adapter, parameters, { architecture, alpha, baseSha256: inputs.identity.baseSha256 })
    for (const [name, { values }] of inputs.adapter.tensors) parameters.set(name, values)
  }
  // Held by the run or the device from here on.
  inputs.checkpoint = undefined
  inputs.adapter = undefined
  deps.emit({
    type: 'started',
    architecture: model.architecture,
    device: model.device.name,
    trainableParameters: model.trainableCount,
    samples: data.training.length,
    validationSamples: data.validation.length,
    emptySamples: data.empty,
    totalSteps: run.steps.total,
    resumedStep: run.place.step,
    rowTokens,
    layerCheckpointing: inputs.fitted.checkpoint,
    ...(parity !== undefined && { parity }),
    ...model.memory(),
  })
  return run
}

async function guard(
  job: TrainerJob,
  inputs: Inputs,
  model: TrainerModel,
  row: ReturnType<typeof parityRow>,
  deps: Deps,
): Promise<Parity | undefined> {
  if (job.mode.type === 'full' && job.mode.randomStart) {
    checkFinite(await model.logits(row), model.vocabularySize)
    return undefined
  }
  return checkParity(model, deps.referenceLogits, {
    path: job.base,
    row,
    threads: job.threads ?? deps.threads,
    tolerance: toleranceOf({ exact: inputs.exact, onCpu: model.device.isCpu }),
  })
}

function resumeFrom(path: string, checkpoint: Checkpoint, run: Run, model: TrainerModel): void {
  restore(path, checkpoint, model.parameters)
  run.place = checkpoint.place
  run.best = checkpoint.best
}

/** What was learned so far, for whoever wants to look. It is no part of the run: where it cannot be written, the run goes on. */
function writeSnapshot({ snapshot, mode, base: basePath }: TrainerJob, identity: Identity, model: TrainerModel): void {
  if (snapshot === undefined || mode.type !== 'lora') return
  const { parameters, architecture } = model
  const facts = {
    architecture,
    alpha: writtenAlpha(mode),
    basePath,
    baseSha256: identity.baseSha256,
    type: 'F32' as const,
  }
  try {
    writeAdapter(snapshot, parameters, facts)
  } catch {
    removeFile(snapshot)
  }
}

/** The best values where there was a validation, else the last ones. */
function writeResult(job: TrainerJob, identity: Identity, run: Run, model: TrainerModel): TrainerResult {
  const { parameters, architecture } = model
  const { place, best } = run
  const trained = {
    names: parameters.names,
    shape: (name: string) => parameters.shape(name),
    get: (name: string) => best?.get(name) ?? parameters.get(name),
  }
  const { mode, outputType: type, base: basePath, output } = job
  const bytes =
    mode.type === 'full'
      ? writeModel(output, trained, { basePath, type })
      : writeAdapter(output, trained, {
          architecture,
          alpha: writtenAlpha(mode),
          basePath,
          baseSha256: identity.baseSha256,
          type,
        })
  return {
    output,
    bytes,
    steps: place.step,
    reason: stoppedEarly(run) && place.step < run.steps.total ? 'early_stop' : 'complete',
    loss: place.loss,
    ...(place.best !== null && { bestValidationLoss: place.best.loss, bestStep: place.best.step }),
    skippedSteps: place.skipped,
  }
}
