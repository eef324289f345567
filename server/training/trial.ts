/** One trial of a search: a short run of the trainer program with given settings, for the validation loss at its end. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { Child, explainExit } from '../lib/child.ts'
import { HubError } from '../lib/error.ts'
import type { Log } from '../lib/log.ts'
import type { FromTrainer, ToTrainer, TrainerJobInput, TrainerStats } from '../wire/trainer.ts'
import type { TrialOutcome, TrialSettings } from './search.ts'

/**
 * @param deps.script path of the trainer program
 * @param job what the trials are of, with an adapter and validation data; its steps, rate and rank are those of the trial
 * @param folder where a trial's files lie while it runs
 * @returns the `runTrial` that `search` wants; it throws what the trainer says of a run that fails
 */
export function trainerTrial(
  deps: { script: string; log: Log },
  job: TrainerJobInput,
  folder: string,
): (settings: TrialSettings, steps: number, signal: AbortSignal) => Promise<TrialOutcome> {
  const { mode } = job
  if (mode?.type === 'full' || (mode?.type === 'lora' && mode.continueFrom !== undefined)) {
    throw new HubError('invalid_request', 'a search is for new adapters; leave out the full mode and continueFrom')
  }
  if (job.validation === undefined && (job.validationShare ?? 0) === 0) {
    throw new HubError('invalid_request', 'a search compares by validation data; give some', { param: 'validation' })
  }
  const output = join(folder, 'trial.gguf')
  const checkpoint = join(folder, 'trial.checkpoint')
  const clear = () => {
    for (const path of [output, checkpoint]) rmSync(path, { force: true, maxRetries: 5 })
  }
  return async (settings, steps, signal) => {
    signal.throwIfAborted()
    // A trial is another run than the one before it, whose checkpoint it must not find.
    clear()
    const trial: TrainerJobInput = {
      ...job,
      output,
      checkpoint,
      mode: { ...mode, type: 'lora', rank: settings.rank, alpha: 2 * settings.rank },
      rate: settings.learning_rate,
      maxSteps: steps,
      epochs: Math.max(job.epochs ?? 1, steps),
      validateEverySteps: steps,
      checkpointEverySteps: steps,
      patience: 0,
    }
    const done = Promise.withResolvers<TrialOutcome>()
    const startedMs = performance.now()
    let validationLoss = Number.NaN
    const child = new Child<ToTrainer, FromTrainer, TrainerStats>(deps, message => {
      if (message.type === 'validation') validationLoss = message.loss
      else if (message.type === 'failed') done.reject(HubError.fromBody(message.error))
      else if (message.type === 'finished') {
        done.resolve({ validationLoss, seconds: (performance.now() - startedMs) / 1000 })
      }
    })
    void child.exited.then(exit => done.reject(explainExit("the trainer's process", exit)))
    const abort = () => done.reject(new HubError('cancelled', 'the search was cancelled'))
    signal.addEventListener('abort', abort, { once: true })
    child.send({ type: 'start', job: trial })
    try {
      return await done.promise
    } finally {
      signal.removeEventListener('abort', abort)
      await child.close({ type: 'exit' })
      clear()
    }
  }
}
