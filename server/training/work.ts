/** Works one job through its stages; each leaves its result on the disk and in the job, so that the next start goes on behind it. */
import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { HubError } from '../lib/error.ts'
import type { Reservation, ReserveOptions } from '../models/reserve.ts'
import type { FromTrainer, TrainerJobInput, TrainerResult } from '../wire/trainer.ts'
import type { TokenStats, TrainingPlan } from '../wire/training_plan.ts'
import type { JobLog } from './job_log.ts'
import { type ImportedData, type Job, type JobState, toProgress } from './job_state.ts'
import type { Run, RunEnd } from './run.ts'
import { searchSettings } from './search_job.ts'

/** The parts of a job that are done by others; each writes into the job's folder. */
export type JobSteps = {
  /** Reads, checks and splits the data. */
  importData(job: Job, folder: string, signal: AbortSignal): Promise<ImportedData>
  /** Writes `TRAIN_TOKENS` and, where there is something to validate on, `VALIDATION_TOKENS`. */
  writeTokens(
    job: Job,
    folder: string,
    signal: AbortSignal,
  ): Promise<{ stats: TokenStats; validationStats?: TokenStats }>
  plan(job: Job, signal: AbortSignal): Promise<TrainingPlan>
  /** The trainer's job, as the plan has it. */
  trainerJob(job: Job, folder: string): TrainerJobInput
  /** Makes the adapter a model. @returns its id; called again after a crash it gives the same one */
  publish(job: Job, folder: string): Promise<string>
}

export type WorkDeps = {
  steps: JobSteps
  log: JobLog
  reserve(bytes: number, options: ReserveOptions, signal: AbortSignal): Promise<Reservation>
  startRun(job: TrainerJobInput, receive: (message: FromTrainer) => void, memoryLimitBytes: number): Run
  now(): number
  /** How long the models that took a run's memory must be idle before it goes on. */
  idleMs: number
}

export const TRAIN_TOKENS = 'train.tokens'
export const VALIDATION_TOKENS = 'validation.tokens'
export const ADAPTER = 'adapter.gguf'
export const CHECKPOINT = 'adapter.gguf.checkpoint'
/** The adapter as of the last checkpoint. */
export const SNAPSHOT = 'snapshot.gguf'

/** Beside the device's buffers: Node, the libraries and the tokens. */
export const PROCESS_BYTES = 200 * 2 ** 20
/** Crashes in a row without a new checkpoint between them, after which the job is given up. */
const MOST_CRASHES = 3
/** A long run keeps so many figures of its loss; a short one all. */
const MOST_METRICS = 1000

/** Reads and checks the data, which needs no device. @throws HubError */
export async function prepareJob(deps: WorkDeps, job: Job, folder: string, signal: AbortSignal): Promise<void> {
  if (job.state.imported !== undefined) return
  enter(deps, job, 'data')
  const imported = await deps.steps.importData(job, folder, signal)
  job.state.imported = imported
  const validation = imported.validation > 0 ? `, ${imported.validation} to validate on` : ''
  for (const note of imported.notes) deps.log.say(job, 'warn', note)
  deps.log.say(job, 'info', `The data was read: ${imported.training} samples to learn from${validation}.`)
}

/** From tokens to the published adapter. @throws HubError; cancelled when the signal aborts */
export async function workJob(deps: WorkDeps, job: Job, folder: string, signal: AbortSignal): Promise<void> {
  const { state } = job
  const { steps, log } = deps
  if (state.stats === undefined || !existsSync(join(folder, TRAIN_TOKENS))) {
    enter(deps, job, 'tokens')
    delete state.validationStats
    Object.assign(state, await steps.writeTokens(job, folder, signal))
    const { stats } = state
    if (stats !== undefined) log.say(job, 'info', tellTokens(stats))
  }
  if (state.plan === undefined) {
    enter(deps, job, 'plan')
    state.plan = await steps.plan(job, signal)
    for (const warning of state.plan.warnings) log.say(job, 'warn', warning)
  }
  if (job.request.search !== undefined && state.search === undefined) {
    enter(deps, job, 'search')
    await searchSettings(
      {
        run: (trainerJob, hearTrial) => runTrainer(deps, job, () => trainerJob, hearTrial, signal),
        trainerJob: deps.steps.trainerJob(job, folder),
        save: () => log.save(job),
        say: message => log.say(job, 'info', message),
      },
      job,
      folder,
      signal,
    )
    log.save(job)
  }
  if (job.request.search?.train === false) return
  if (!isTrained(state, folder)) {
    const hearRun = (message: FromTrainer, pid: number | undefined) => hear(deps, job, message, pid)
    await runTrainer(deps, job, () => deps.steps.trainerJob(job, folder), hearRun, signal)
  }
  if (signal.aborted) throw new HubError('cancelled', 'the job was stopped')
  state.trained = true
  enter(deps, job, 'publishing')
  state.resultModel = await steps.publish(job, folder)
  if (state.stats !== undefined && state.progress !== undefined) {
    state.trainedTokens = Math.round(state.stats.tokens * state.progress.epoch)
  }
}

/** Its checkpoint goes away once the result is written whole. */
function isTrained(state: JobState, folder: string): boolean {
  return state.trained === true || (existsSync(join(folder, ADAPTER)) && !existsSync(join(folder, CHECKPOINT)))
}

/** Runs the trainer to its end, through crashes and through the requests that it makes way for. @throws HubError */
async function runTrainer(
  deps: WorkDeps,
  job: Job,
  trainerJob: () => TrainerJobInput,
  hearRun: (message: FromTrainer, pid: number | undefined) => void,
  signal: AbortSignal,
): Promise<TrainerResult> {
  const { state } = job
  const bytes = state.plan!.expected.memoryBytes + PROCESS_BYTES
  for (let idleMs = 0; ; idleMs = deps.idleMs) {
    const stage = state.stage === 'search' ? 'search' : 'training'
    if (stage === 'training') enter(deps, job, 'waiting')
    let run: Run | undefined
    let isYielding = false
    const gone = Promise.withResolvers<void>()
    const reservation = await deps.reserve(
      bytes,
      {
        what: `the training job ${job.id}`,
        idleMs,
        usedBytes: () => run?.usedBytes() ?? 0,
        async makeWay() {
          isYielding = true
          void run?.stop()
          await gone.promise
        },
        waits(reason) {
          state.note = reason
          deps.log.say(job, 'info', `The run waits: ${reason}.`)
          deps.log.save(job)
        },
      },
      signal,
    )
    let end: RunEnd
    try {
      if (stage === 'training') enter(deps, job, 'training')
      const asked = { ...trainerJob(), library: reservation.library }
      run = deps.startRun(
        asked,
        message => {
          try {
            hearRun(message, run?.pid)
          } catch {
            // The run is worth more than a line of its log, which a full disk cannot take.
          }
        },
        2 * bytes + 2 ** 30,
      )
      const abort = () => void run?.stop()
      signal.addEventListener('abort', abort, { once: true })
      // Either may have come before the run was there.
      if (signal.aborted || isYielding) abort()
      end = await run.ended
      signal.removeEventListener('abort', abort)
    } finally {
      reservation.release()
      gone.resolve()
    }
    if (end.type === 'finished') return end.result
    if (end.type === 'failed') throw end.error
    if (signal.aborted) throw new HubError('cancelled', 'the job was stopped')
    if (end.type === 'stopped') {
      deps.log.say(job, 'info', 'A request needs the memory: the run made way and goes on when the models are idle.')
      continue
    }
    state.restarts++
    state.crashes++
    if (state.crashes >= MOST_CRASHES) throw end.error
    deps.log.say(job, 'warn', `${end.error.message} It is started again.`)
  }
}

/** Takes one message of the trainer; never throws. */
function hear(deps: WorkDeps, job: Job, message: FromTrainer, pid: number | undefined): void {
  const { log } = deps
  const { state } = job
  switch (message.type) {
    case 'started': {
      const lost = Math.max(0, (state.progress?.step ?? 0) - message.resumedStep)
      state.lostSteps += lost
      state.checkpointStep = message.resumedStep
      const again = lost === 0 ? '' : `; ${lost} steps behind its last checkpoint are done again`
      const where = message.resumedStep === 0 ? 'begins' : `goes on from step ${message.resumedStep}`
      log.say(job, 'info', `The run ${where}: ${message.totalSteps} steps, ${message.samples} samples${again}.`, {
        ...(pid !== undefined && { pid }),
        resumed_step: message.resumedStep,
        lost_steps: lost,
        total_steps: message.totalSteps,
        trained_parameters: message.trainableParameters,
        row_tokens: message.rowTokens,
        ...(message.parity !== undefined && { parity: message.parity }),
      })
      log.touch(job)
      break
    }
    case 'progress': {
      state.progress = toProgress(message)
      const stride = Math.ceil(message.totalSteps / MOST_METRICS)
      if (message.step % stride === 0 || message.step === message.totalSteps) {
        log.metrics(job, `Step ${message.step}/${message.totalSteps}: loss ${message.loss.toFixed(4)}`, {
          step: message.step,
          train_loss: message.loss,
          learning_rate: message.rate,
          ...(message.accuracy !== undefined && { accuracy: message.accuracy, margin: message.margin }),
        })
      }
      log.progress(job, state.progress)
      break
    }
    case 'validation':
      if (message.best) state.bestValidationLoss = message.loss
      log.metrics(job, `Step ${message.step}: validation loss ${message.loss.toFixed(4)}`, {
        step: message.step,
        valid_loss: message.loss,
      })
      break
    case 'skipped':
      log.say(job, 'warn', `Step ${message.step} was left out: ${message.what}.`)
      break
    case 'checkpoint': {
      state.checkpointStep = message.step
      state.crashes = 0
      const { progress } = state
      log.checkpoint({
        job: job.id,
        step: message.step,
        createdMs: deps.now(),
        bytes: message.bytes,
        metrics: {
          step: message.step,
          ...(progress !== undefined && { train_loss: progress.loss }),
          ...(progress?.validation_loss !== undefined && { valid_loss: progress.validation_loss }),
        },
      })
      log.touch(job)
      log.tell(job)
      break
    }
    case 'finished': {
      const best =
        message.bestValidationLoss === undefined
          ? ''
          : `; best validation loss ${message.bestValidationLoss.toFixed(4)} at step ${message.bestStep}`
      const early = message.reason === 'early_stop' ? ', since validation got no better' : ''
      log.say(job, 'info', `The run is complete after ${message.steps} steps${early}${best}.`, {
        steps: message.steps,
        reason: message.reason,
        bytes: message.bytes,
      })
      break
    }
    default:
      break
  }
}

/** A new stage is shown and stored at once. */
function enter(deps: WorkDeps, job: Job, stage: NonNullable<JobState['stage']>): void {
  job.state.stage = stage
  delete job.state.note
  deps.log.save(job)
}

function tellTokens(stats: TokenStats): string {
  return [
    `${stats.written} samples with ${stats.tokens} tokens, ${stats.targetTokens} of them learned; the longest has ${stats.longest}.`,
    ...tellLost(stats),
  ].join(' ')
}

/** What became of the samples that were not taken as they are, in sentences. */
export function tellLost(stats: TokenStats): string[] {
  const parts: string[] = []
  if (stats.truncated > 0) parts.push(`${stats.truncated} were too long and cut.`)
  if (stats.split > 0) parts.push(`${stats.split} were too long and split.`)
  if (stats.dropped > 0) parts.push(`${stats.dropped} were too long and left out.`)
  if (stats.failed > 0) parts.push(`${stats.failed} could not be encoded.`)
  if (stats.empty > 0) parts.push(`${stats.empty} have nothing to learn.`)
  return parts
}

/** Frees the disk of what a job that is done no longer needs. */
export function clearFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
}
