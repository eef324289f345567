/** One run of the trainer program: started, watched, stopped with a checkpoint, and its end told in words. */
import { Child, type Exit } from '../lib/child.ts'
import { HubError } from '../lib/error.ts'
import type { Log } from '../lib/log.ts'
import type { FromTrainer, ToTrainer, TrainerJobInput, TrainerResult, TrainerStats } from '../wire/trainer.ts'

export type RunEnd =
  | { type: 'finished'; result: TrainerResult }
  /** As it was asked to; the job's checkpoint says where it goes on. */
  | { type: 'stopped' }
  /** The trainer said what is wrong: trying again changes nothing. */
  | { type: 'failed'; error: HubError }
  /** The process died; started again it goes on from the last checkpoint. */
  | { type: 'crashed'; error: HubError }

export type Run = {
  readonly pid: number | undefined
  /** Resolves once the process is gone and its memory free. */
  readonly ended: Promise<RunEnd>
  /** Resident bytes, as of its last sign of life. */
  usedBytes(): number
  /** Writes a checkpoint and ends; a run that has not begun yet, or that takes longer than `graceMs`, is ended at once. */
  stop(graceMs?: number): Promise<RunEnd>
}

export type RunDeps = { script: string; log: Log; pingMs?: number; hungMs?: number }

/** The row that is being computed is finished first, which takes long on a large model without a GPU. */
const GRACE_MS = 60_000

/** @param receive gets every message, in order; it must not throw */
export function startRun(
  deps: RunDeps,
  job: TrainerJobInput,
  receive: (message: FromTrainer) => void,
  memoryLimitBytes?: number,
): Run {
  const { script, log, pingMs, hungMs } = deps
  let end: RunEnd | undefined
  let isStopping = false
  let hasStarted = false
  let deviceBytes = 0
  const child = new Child<ToTrainer, FromTrainer, TrainerStats>(
    { script, log, ...(pingMs !== undefined && { pingMs }), ...(hungMs !== undefined && { hungMs }) },
    message => {
      if (message.type === 'started') hasStarted = true
      if (message.type === 'progress') deviceBytes = job.library === 'cpu' ? 0 : message.deviceBytes
      if (message.type === 'finished') end = { type: 'finished', result: message }
      if (message.type === 'failed') end = { type: 'failed', error: HubError.fromBody(message.error) }
      if (message.type === 'cancelled') end = { type: 'stopped' }
      receive(message)
      if (end !== undefined) void child.close({ type: 'exit' })
    },
  )
  if (memoryLimitBytes !== undefined) child.memoryLimitBytes = memoryLimitBytes
  child.send({ type: 'start', job })
  const ended = child.exited.then(
    (exit): RunEnd => end ?? (isStopping ? { type: 'stopped' } : { type: 'crashed', error: explainCrash(exit) }),
  )
  return {
    pid: child.pid,
    ended,
    usedBytes: () => (deviceBytes > 0 ? deviceBytes : (child.stats?.rssBytes ?? 0)),
    async stop(graceMs = GRACE_MS) {
      isStopping = true
      if (!hasStarted || graceMs === 0) {
        await child.close({ type: 'exit' })
        return ended
      }
      child.send({ type: 'cancel' })
      const timer = setTimeout(() => void child.close({ type: 'exit' }), graceMs)
      const result = await ended
      clearTimeout(timer)
      return result
    },
  }
}

/** What a person is told of a trainer that ended on its own. */
function explainCrash(exit: Exit): HubError {
  const said = exit.said.findLast(line => /assert|error|abort|failed/i.test(line))?.slice(0, 300)
  const about = said === undefined ? '' : ` It said: ${said}`
  if (exit.reason !== undefined) {
    const fix = /memory/.test(exit.reason) ? 'Take shorter samples (max_length) or a smaller rank' : 'Resume the job'
    return new HubError('training_failed', `The trainer was ended: ${exit.reason}.${about} ${fix}.`)
  }
  if (exit.signal === 'SIGKILL') {
    return new HubError(
      'training_failed',
      `The trainer was killed from outside, as systems do when memory runs out.${about} Close other programs, or take shorter samples (max_length) or a smaller rank; then resume the job.`,
    )
  }
  const how = exit.signal === null ? `exit code ${exit.code}` : `signal ${exit.signal}`
  return new HubError(
    'training_failed',
    `The trainer's process ended unexpectedly (${how}).${about} Resume the job; when it happens again, set the device to cpu, or look into the log.`,
  )
}
