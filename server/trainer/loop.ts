/** The training loop: steps, validation and the guard against values that are not finite; it knows no files and no process. */
import { HubError } from '../lib/error.ts'
import type { FromTrainer, TrainerJob } from '../wire/trainer.ts'
import type { Place } from './checkpoint.ts'
import type { Control } from './control.ts'
import { rateAt } from './schedule.ts'
import { type Steps, type Unit, unitTokens, unitWeight } from './steps.ts'
import type { TrainerModel } from './types.ts'

export const START: Place = {
  step: 0,
  epoch: 0,
  stepInEpoch: 0,
  skipped: 0,
  skippedInRow: 0,
  loss: null,
  validation: null,
  best: null,
  withoutBest: 0,
  validationDue: false,
}

/** A run between two steps; `step` is the only thing that moves it on. */
export type Run = {
  job: TrainerJob
  steps: Steps
  validation: Unit[]
  place: Place
  /** Values at the best validation so far. */
  best: Map<string, Float32Array> | null
  /** For speed and the time left; not part of the result. */
  clock: { tokens: number; trainedMs: number; spentMs: number; steps: number }
}

export type LoopDeps = { emit(message: FromTrainer): void; nowMs(): number; control: Control }

export const stoppedEarly = ({ job, place }: Run): boolean => job.patience > 0 && place.withoutBest >= job.patience
export const isDone = (run: Run): boolean =>
  !run.place.validationDue && (run.place.step >= run.steps.total || stoppedEarly(run))

/**
 * One step and the validation that is due behind it, or that validation alone where it was interrupted.
 * @returns false when something else than running was wanted before the step was done: nothing has changed then
 * @throws HubError training_failed after too many steps in a row that were not finite
 */
export async function step(run: Run, model: TrainerModel, deps: LoopDeps): Promise<boolean> {
  const { job, steps, place } = run
  const startedMs = deps.nowMs()
  if (place.validationDue) return validate(run, model, deps)
  const units = steps.units(place.epoch, place.stepInEpoch)
  const rate = rateAt(place.step, steps.total, job)
  const outcome = await accumulate(units, model, job, deps)
  if (outcome === undefined) {
    model.clearGradients()
    return false
  }
  let problem = Number.isFinite(outcome.loss) ? undefined : `the loss is ${outcome.loss}`
  let gradientNorm = Number.NaN
  if (problem === undefined) {
    const stepped = await model.step(rate, job.optimizer)
    gradientNorm = stepped.gradientNorm
    if (!stepped.finite) problem = `the gradient norm is ${gradientNorm}`
  } else model.clearGradients()

  const ofEpoch = steps.stepsOf(place.epoch)
  const ends = place.stepInEpoch + 1 >= ofEpoch
  run.place = {
    ...place,
    step: place.step + 1,
    epoch: ends ? place.epoch + 1 : place.epoch,
    stepInEpoch: ends ? 0 : place.stepInEpoch + 1,
    skipped: place.skipped + (problem === undefined ? 0 : 1),
    skippedInRow: problem === undefined ? 0 : place.skippedInRow + 1,
    loss: problem === undefined ? outcome.loss : place.loss,
  }
  const trainedMs = deps.nowMs() - startedMs
  if (problem === undefined) {
    run.clock.tokens += units.reduce((sum, unit) => sum + unitTokens(unit), 0)
    run.clock.trainedMs += trainedMs
  } else {
    deps.emit({ type: 'skipped', step: run.place.step, inRow: run.place.skippedInRow, what: problem })
    if (run.place.skippedInRow >= job.maxBadSteps) {
      throw new HubError(
        'training_failed',
        `${job.maxBadSteps} steps in a row were not finite (${problem}), so the run stopped at step ${run.place.step}. Check the data, or start anew with a lower rate: a checkpoint goes on only with the rate it was made with, so delete it, or name another one`,
      )
    }
  }
  const isLast = run.place.step >= steps.total
  if (run.validation.length > 0 && (run.place.step % job.validateEverySteps === 0 || isLast)) {
    run.place.validationDue = true
    await validate(run, model, deps)
  }
  run.clock.spentMs += deps.nowMs() - startedMs
  run.clock.steps++
  if (problem === undefined) deps.emit(progress(run, model, { ...outcome, rate, gradientNorm, ofEpoch, at: place }))
  return true
}

type Outcome = { loss: number; accuracy?: number; margin?: number }

async function accumulate(
  units: Unit[],
  model: TrainerModel,
  job: TrainerJob,
  { control }: LoopDeps,
): Promise<Outcome | undefined> {
  const lossScale = 1 / units.reduce((sum, unit) => sum + unitWeight(unit), 0)
  const beta = job.loss.type === 'preference' ? job.loss.beta : 0
  let loss = 0
  let accuracy = 0
  let margin = 0
  for (const unit of units) {
    if (control.wanted !== 'run') return undefined
    if (unit.type === 'row') loss += await model.accumulate(unit.row, lossScale)
    else {
      const pair = await model.accumulatePreference(unit, { beta, lossScale })
      loss += pair.loss
      accuracy += pair.accuracy / units.length
      margin += pair.margin / units.length
    }
  }
  return job.loss.type === 'preference' ? { loss, accuracy, margin } : { loss }
}

/** @returns false when something else than running was wanted in between: it is still due then */
async function validate(run: Run, model: TrainerModel, deps: LoopDeps): Promise<boolean> {
  const beta = run.job.loss.type === 'preference' ? run.job.loss.beta : 0
  let sum = 0
  let weight = 0
  for (const unit of run.validation) {
    if (deps.control.wanted !== 'run') return false
    if (unit.type === 'row') {
      const row = await model.evaluate(unit.row)
      sum += row.loss
      weight += row.weight
    } else {
      sum += (await model.evaluatePreference(unit, beta)).loss
      weight += 1
    }
  }
  const loss = sum / weight
  const { place } = run
  const finite = Number.isFinite(loss)
  const best = finite && (place.best === null || loss < place.best.loss)
  run.place = {
    ...place,
    validationDue: false,
    // JSON has no word for what is not finite, and a checkpoint is read back.
    validation: finite ? { step: place.step, loss } : place.validation,
    best: best ? { step: place.step, loss } : place.best,
    withoutBest: best ? 0 : place.withoutBest + 1,
  }
  if (best) run.best = new Map(model.parameters.names.map(name => [name, model.parameters.get(name)]))
  if (finite) deps.emit({ type: 'validation', step: place.step, loss, best })
  else deps.emit({ type: 'unvalidated', step: place.step, what: `the validation loss is ${loss}` })
  return true
}

function progress(
  run: Run,
  model: TrainerModel,
  made: Outcome & { rate: number; gradientNorm: number; ofEpoch: number; at: Place },
): FromTrainer {
  const { place, clock, steps } = run
  const { loss, rate, gradientNorm, at, ofEpoch } = made
  const memory = model.memory()
  return {
    type: 'progress',
    step: place.step,
    totalSteps: steps.total,
    epoch: at.epoch + (at.stepInEpoch + 1) / ofEpoch,
    loss,
    ...(place.validation !== null && { validationLoss: place.validation.loss }),
    ...(made.accuracy !== undefined && { accuracy: made.accuracy }),
    ...(made.margin !== undefined && { margin: made.margin }),
    rate,
    gradientNorm,
    tokensPerSecond: clock.trainedMs > 0 ? (clock.tokens * 1000) / clock.trainedMs : 0,
    rssBytes: process.memoryUsage.rss(),
    deviceBytes: memory.weightsBytes + memory.parameterBytes + memory.computeBytes,
    leftS: ((steps.total - place.step) * clock.spentMs) / Math.max(1, clock.steps) / 1000,
  }
}
