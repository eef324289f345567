/** A job in memory: what was asked for, what it has come to, and how both are shown. */
import type { StoredEvent, StoredJob } from '../storage/jobs.ts'
import type { TrainerProgress } from '../wire/trainer.ts'
import type {
  JobError,
  JobProgress,
  JobStage,
  JobStatus,
  SearchOut,
  TrainingEventOut,
  TrainingJobOut,
  TrainingRequest,
} from '../wire/training.ts'
import type { TokenStats, TrainingPlan } from '../wire/training_plan.ts'
import type { TrialOutcome } from './search.ts'

/** What the data became. */
export type ImportedData = {
  dataset: { name: string; version: number }
  /** Where all parts are validated on. */
  validationDataset?: { name: string; version: number }
  training: number
  validation: number
  /** What was left out or mended, in sentences. */
  notes: string[]
}

/** Everything that must survive a restart beside the files in the job's folder. */
export type JobState = {
  stage?: JobStage
  note?: string
  startedMs?: number
  finishedMs?: number
  imported?: ImportedData
  stats?: TokenStats
  validationStats?: TokenStats
  plan?: TrainingPlan
  progress?: JobProgress
  bestValidationLoss?: number
  checkpointStep?: number
  /** Results of trials by their settings, and the whole once it is done. */
  trials?: { [key: string]: TrialOutcome }
  search?: SearchOut
  /** Id of the evaluation that was asked for. */
  evaluation?: string
  /** The trainer has written its result. */
  trained?: boolean
  lostSteps: number
  restarts: number
  /** Crashes since the last checkpoint. */
  crashes: number
  error?: JobError
  resultModel?: string
  trainedTokens?: number
}

export type Job = {
  id: string
  createdMs: number
  status: JobStatus
  request: TrainingRequest
  state: JobState
}

/** Statuses of a job that is still to be worked on by itself. */
export const OPEN: readonly JobStatus[] = ['validating_files', 'queued', 'running']
/** Statuses of a job that holds on to its files and its name. */
export const UNFINISHED: readonly JobStatus[] = [...OPEN, 'paused']

export function fromStored(stored: StoredJob): Job {
  return {
    id: stored.id,
    createdMs: stored.createdMs,
    // Written by this room and by nothing else.
    status: stored.status as JobStatus,
    request: stored.request as TrainingRequest,
    state: stored.state as JobState,
  }
}

export function toStored({ id, createdMs, status, request, state }: Job): StoredJob {
  const dataset = request.data.type === 'dataset' ? request.data.name : state.imported?.dataset?.name
  return {
    id,
    createdMs,
    status,
    priority: request.priority,
    model: request.model,
    name: request.name,
    ...(dataset !== undefined && { dataset }),
    ...(request.data.type === 'file' && { trainingFile: request.data.id }),
    ...(request.validation?.type === 'file' && { validationFile: request.validation.id }),
    request,
    state,
  }
}

export function toJobOut({ id, createdMs, status, request, state }: Job): TrainingJobOut {
  const works = status === 'running' || status === 'validating_files'
  return {
    object: 'training.job',
    id,
    model: request.model,
    name: request.name,
    status,
    ...(works && state.stage !== undefined && { stage: state.stage }),
    ...(works && state.note !== undefined && { note: state.note }),
    priority: request.priority,
    created_at: seconds(createdMs),
    ...(state.startedMs !== undefined && { started_at: seconds(state.startedMs) }),
    ...(state.finishedMs !== undefined && { finished_at: seconds(state.finishedMs) }),
    result_model: state.resultModel ?? null,
    error: state.error ?? null,
    ...(state.progress !== undefined && { progress: state.progress }),
    ...(state.bestValidationLoss !== undefined && { best_validation_loss: state.bestValidationLoss }),
    ...(state.checkpointStep !== undefined && { checkpoint_step: state.checkpointStep }),
    ...(state.plan !== undefined && { checkpoint_every_steps: state.plan.settings.checkpointEverySteps }),
    lost_steps: state.lostSteps,
    restarts: state.restarts,
    data: request.data,
    ...(state.imported?.dataset !== undefined && { dataset: state.imported.dataset }),
    ...(state.stats !== undefined && { stats: state.stats }),
    ...(state.plan !== undefined && { plan: state.plan }),
    ...(state.search !== undefined && { search: state.search }),
    ...(state.evaluation !== undefined && { evaluation: state.evaluation }),
    ...(request.metadata !== undefined && { metadata: request.metadata }),
  }
}

export function toProgress(message: TrainerProgress): JobProgress {
  return {
    step: message.step,
    total_steps: message.totalSteps,
    epoch: message.epoch,
    loss: message.loss,
    ...(message.validationLoss !== undefined && { validation_loss: message.validationLoss }),
    ...(message.accuracy !== undefined && { accuracy: message.accuracy }),
    ...(message.margin !== undefined && { margin: message.margin }),
    learning_rate: message.rate,
    gradient_norm: message.gradientNorm,
    tokens_per_second: message.tokensPerSecond,
    memory_bytes: message.rssBytes,
    device_bytes: message.deviceBytes,
    seconds_left: message.leftS,
  }
}

/** `ftevent-JOB-7`: the number is the place in the job's own log. */
export const eventId = (event: Pick<StoredEvent, 'job' | 'number'>): string => `ftevent-${event.job}-${event.number}`

export function toEventOut(event: StoredEvent): TrainingEventOut {
  const { createdMs, level, type, message, data } = event
  return {
    id: eventId(event),
    created_at: seconds(createdMs),
    level,
    type,
    message,
    ...(data !== undefined && { data }),
  }
}

export const seconds = (ms: number): number => Math.floor(ms / 1000)
