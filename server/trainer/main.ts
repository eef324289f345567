/** The trainer: one job, from a file by hand or over IPC from the hub, whose end it does not outlive. */
import { readdirSync } from 'node:fs'
import { constants, setPriority } from 'node:os'
import { type ErrorBody, HubError } from '../lib/error.ts'
import { physicalCores } from '../lib/memory.ts'
import type { FromTrainer, ToTrainer, TrainerJob, TrainerJobInput, TrainerPlan, TrainerStats } from '../wire/trainer.ts'
import { Control } from './control.ts'
import { fitDevice } from './fit.ts'
import { parseJob, readJobFile } from './job.ts'
import { openModel } from './model.ts'
import { childLogits } from './parity.ts'
import { planJob } from './plan.ts'
import { type Outcome, train } from './run.ts'
import { describe } from './say.ts'

const control = new Control()
const stats: Omit<TrainerStats, 'rssBytes'> = { step: 0, state: 'idle' }
const [jobFile] = process.argv.slice(2)

if (jobFile !== undefined) byHand(jobFile)
else if (process.connected) overIpc()
else {
  console.error('usage: node server/trainer/main.ts JOB.json')
  process.exitCode = 2
}

function byHand(path: string): void {
  const emit = (message: FromTrainer): void => {
    const line = describe(message)
    if (line === undefined) return
    if (message.type === 'failed') console.error(line)
    else console.log(line)
  }
  // A reader that has gone away, as `head` does, is no reason to stop.
  process.stdout.on('error', () => undefined)
  process.on('SIGINT', () => {
    if (control.wanted === 'cancel') die()
    console.log('stopping with a checkpoint; press Ctrl+C again to stop without one')
    control.cancel()
  })
  void work(() => readJobFile(path), emit).then(code => {
    process.exitCode = code
  })
}

function overIpc(): void {
  // A parent that died cannot be told anything, and a running native call would hold up an orderly exit.
  process.on('disconnect', die)
  // The hub decides when a job ends; a Ctrl+C in its terminal reaches the whole group.
  process.on('SIGINT', () => undefined)
  const send = (message: FromTrainer, sent: () => void = () => undefined): void => {
    if (process.connected) process.send?.(message, undefined, undefined, sent)
  }
  process.on('message', (message: ToTrainer) => {
    switch (message.type) {
      case 'plan':
        send({ type: 'plan', id: message.id, plan: planned(message) })
        break
      case 'start':
        void start(message.job, send)
        break
      case 'pause':
        control.pause()
        break
      case 'resume':
        control.resume()
        break
      case 'checkpoint':
        control.checkpoint()
        break
      case 'cancel':
        control.cancel()
        break
      case 'ping':
        send({ type: 'pong', id: message.id, stats: { ...stats, rssBytes: process.memoryUsage.rss() } })
        break
      case 'exit':
        die()
    }
  })
}

function planned({
  job,
  freeBytes,
  shortest,
}: Extract<ToTrainer, { type: 'plan' }>): TrainerPlan | { error: ErrorBody } {
  try {
    return planJob(job, freeBytes, shortest)
  } catch (thrown) {
    return { error: HubError.from(thrown).toBody() }
  }
}

async function start(job: TrainerJobInput, send: (message: FromTrainer, sent?: () => void) => void): Promise<void> {
  if (stats.state !== 'idle') {
    const error = new HubError('conflict', 'this trainer has a job already; start another process for another job')
    send({ type: 'failed', error: error.toBody() })
    return
  }
  await work(() => parseJob(job, process.cwd()), send)
}

/** @returns the exit code: 0 finished, 1 failed, 130 cancelled */
async function work(readJob: () => TrainerJob, emit: (message: FromTrainer) => void): Promise<number> {
  stats.state = 'running'
  let checkpoint: string | undefined
  try {
    const job = readJob()
    if (job.lowPriority) lowerPriority()
    const outcome: Outcome = await train(job, {
      openModel,
      referenceLogits: childLogits,
      fit: fitDevice,
      emit(message) {
        if (message.type === 'progress') stats.step = message.step
        if (message.type === 'paused') stats.state = 'paused'
        if (message.type === 'resumed') stats.state = 'running'
        emit(message)
      },
      stands(path) {
        checkpoint = path
      },
      nowMs: () => performance.now(),
      control,
      // One is left for the person at the machine.
      threads: Math.max(1, (await physicalCores()) - 1),
    })
    emit(outcome.type === 'finished' ? { type: 'finished', ...outcome.result } : outcome)
    return outcome.type === 'finished' ? 0 : 130
  } catch (thrown) {
    emit({ type: 'failed', error: HubError.from(thrown).toBody(), ...(checkpoint !== undefined && { checkpoint }) })
    return 1
  } finally {
    stats.state = 'ended'
  }
}

/** Linux knows a priority per thread, and new threads take that of the one that makes them. */
function lowerPriority(): void {
  const { PRIORITY_LOW } = constants.priority
  try {
    setPriority(PRIORITY_LOW)
    if (process.platform !== 'linux') return
    for (const thread of readdirSync('/proc/self/task')) setPriority(Number(thread), PRIORITY_LOW)
  } catch {
    // A system that refuses trains at its usual priority.
  }
}

/** At once, also in the midst of a native call; the files are whole at any moment. */
function die(): never {
  process.kill(process.pid, 'SIGKILL')
  // Not reached: the signal is delivered before the call returns.
  process.exit(1)
}
