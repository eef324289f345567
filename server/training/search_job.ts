/** The search of a job: short runs of the trainer by successive halving, whose best settings go into the job's plan. */
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { HubError } from '../lib/error.ts'
import type { FromTrainer, TrainerJobInput, TrainerResult } from '../wire/trainer.ts'
import type { Job } from './job_state.ts'
import { candidatesAround, search, searchPlot, searchSteps, searchTable, type TrialSettings } from './search.ts'

export type SearchJobDeps = {
  run(job: TrainerJobInput, hear: (message: FromTrainer) => void): Promise<TrainerResult>
  /** The job's own run, of which the trials are shorter ones. */
  trainerJob: TrainerJobInput
  /** Stores and shows the job. */
  save(): void
  say(message: string): void
}

const PLOT = { width: 80, height: 16 }

/** Trials that were done before a restart are not done again. @throws HubError invalid_request without anything to validate on */
export async function searchSettings(
  deps: SearchJobDeps,
  job: Job,
  folder: string,
  signal: AbortSignal,
): Promise<void> {
  const { state, request } = job
  const { settings, reasons, expected } = state.plan!
  const { mode } = settings
  if (state.validationStats === undefined || mode.type !== 'lora') {
    throw new HubError(
      'invalid_request',
      'A search compares validation losses, and this data has no part to validate on. Add samples, or a file with validation_path.',
      { param: 'validation_path' },
    )
  }
  const chosen: TrialSettings = { learning_rate: settings.rate, rank: mode.rank }
  // More than the planned rank might not fit the memory; an adapter that is gone on from keeps its own.
  const candidates = candidatesAround(chosen, { mostRank: mode.rank }).filter(
    ({ rank }) => request.continue_from === undefined || rank === mode.rank,
  )
  const firstSteps = request.search?.first_steps ?? Math.min(50, Math.max(5, Math.round(expected.steps / 20)))
  const options = { candidates, firstSteps }
  deps.say(`The search tries ${candidates.length} settings in ${searchSteps(options)} steps altogether.`)
  state.trials ??= {}
  const { trials } = state
  const shapeOf = (rank: number) => ({ ...mode, rank, alpha: (mode.alpha * rank) / mode.rank })
  const trialFolder = join(folder, 'trials')
  mkdirSync(trialFolder, { recursive: true })

  const runTrial = async ({ learning_rate, rank }: TrialSettings, steps: number) => {
    const key = `${learning_rate}-${rank}-${steps}`
    const known = trials[key]
    if (known !== undefined) return known
    const output = join(trialFolder, `${key}.gguf`)
    const startedMs = performance.now()
    const result = await deps.run(
      {
        ...deps.trainerJob,
        output,
        checkpoint: `${output}.checkpoint`,
        mode: { ...deps.trainerJob.mode, ...shapeOf(rank) },
        rate: learning_rate,
        maxSteps: steps,
        // The last rounds may be longer than the run itself.
        epochs: Math.max(deps.trainerJob.epochs ?? 1, steps),
        validateEverySteps: steps,
        checkpointEverySteps: steps,
        patience: 0,
      },
      () => undefined,
    )
    const outcome = {
      validationLoss: result.bestValidationLoss ?? Number.NaN,
      seconds: (performance.now() - startedMs) / 1000,
    }
    rmSync(output, { force: true })
    trials[key] = outcome
    deps.save()
    return outcome
  }

  const found = await search(
    runTrial,
    {
      ...options,
      onTrial(trial, { round, rounds, index, of, steps }) {
        const { learning_rate, rank } = trial.settings
        state.note = `round ${round} of ${rounds}, trial ${index} of ${of}: learning rate ${learning_rate}, rank ${rank}, ${steps} steps`
        deps.save()
      },
    },
    signal,
  )
  const { best } = found
  state.search = { ...found, table: searchTable(found), plot: searchPlot(found, PLOT) }
  delete state.note
  settings.rate = best.learning_rate
  settings.mode = shapeOf(best.rank)
  reasons.learning_rate = 'the best of the search'
  reasons.rank = 'the best of the search'
  rmSync(trialFolder, { recursive: true, force: true, maxRetries: 5 })
  deps.say(`The best of the search: learning rate ${best.learning_rate}, rank ${best.rank}.`)
}
