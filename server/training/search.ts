/** A small search for hyperparameters by successive halving: many settings for few steps, the better part of them for more. */
import type { Hyperparameters } from '../wire/training_plan.ts'
import { drawCurves, svgCurves } from './plot.ts'

/** Settings of a trial, in the names of the hyperparameters. */
export type TrialSettings = Required<Pick<Hyperparameters, 'learning_rate' | 'rank'>> & {
  learning_rate: number
  rank: number
}

export type TrialOutcome = {
  /** Not finite when the run came to nothing: such settings are out. */
  validationLoss: number
  seconds?: number
}

export type Trial = {
  /** From 1, in the order of the first round. */
  number: number
  settings: TrialSettings
  /** A measurement per round that it took part in. */
  rounds: { round: number; steps: number; validationLoss: number; seconds?: number }[]
  /** Last measured loss; absent when every run of it failed. */
  validationLoss?: number
  /** Why a run of it gave nothing. */
  failure?: string
}

export type SearchResult = { best: TrialSettings; trials: Trial[]; rounds: number; steps: number }

export type SearchOptions = {
  candidates: readonly TrialSettings[]
  /** Steps of each trial in the first round; a later one has `factor` times those of the round before. */
  firstSteps: number
  /** One of so many goes on to the next round. */
  factor?: number
  /** Called before each run; for progress. */
  onTrial?(trial: Trial, place: { round: number; rounds: number; index: number; of: number; steps: number }): void
}

/** Rates around the one that would be chosen, a factor of 3 apart, each with ranks around the chosen one. */
export function candidatesAround(chosen: TrialSettings, limits: { mostRank: number }): TrialSettings[] {
  const rates = [1 / 9, 1 / 3, 1, 3, 9].map(factor => Number((chosen.learning_rate * factor).toPrecision(3)))
  const ranks = [...new Set([chosen.rank / 4, chosen.rank, chosen.rank * 4].map(rank => Math.max(1, Math.round(rank))))]
  return ranks
    .filter(rank => rank <= Math.max(limits.mostRank, chosen.rank))
    .flatMap(rank => rates.map(learning_rate => ({ learning_rate, rank })))
}

/** Steps of the whole search, for a plan of it. */
export function searchSteps(options: Pick<SearchOptions, 'candidates' | 'firstSteps' | 'factor'>): number {
  return roundsOf(options).reduce((sum, { trials, steps }) => sum + trials * steps, 0)
}

/**
 * @param runTrial trains with the settings for so many steps from the start, and validates; a run that throws is out, unless the
 * signal is aborted
 * @throws what the last run threw when no run gave a loss; the signal's reason
 */
export async function search(
  runTrial: (settings: TrialSettings, steps: number, signal: AbortSignal) => Promise<TrialOutcome>,
  options: SearchOptions,
  signal: AbortSignal,
): Promise<SearchResult> {
  const trials = options.candidates.map((settings, index): Trial => ({ number: index + 1, settings, rounds: [] }))
  const rounds = roundsOf(options)
  let running = trials
  let steps = 0
  let failure: unknown
  for (const [round, planned] of rounds.entries()) {
    for (const [index, trial] of running.entries()) {
      signal.throwIfAborted()
      const place = { round: round + 1, rounds: rounds.length, index: index + 1, of: running.length }
      options.onTrial?.(trial, { ...place, steps: planned.steps })
      try {
        const { validationLoss, seconds } = await runTrial(trial.settings, planned.steps, signal)
        steps += planned.steps
        trial.rounds.push({
          round: round + 1,
          steps: planned.steps,
          validationLoss,
          ...(seconds !== undefined && { seconds }),
        })
        if (Number.isFinite(validationLoss)) trial.validationLoss = validationLoss
        else trial.failure = 'the loss was not finite'
      } catch (thrown) {
        signal.throwIfAborted()
        failure = thrown
        trial.failure = thrown instanceof Error ? thrown.message : String(thrown)
      }
    }
    const standing = running.filter(({ failure }) => failure === undefined).sort(byLoss)
    // When the last ones fail, the best of the round before stands.
    if (standing.length === 0) break
    running = standing.slice(0, rounds[round + 1]?.trials ?? 1)
  }
  const [best] = trials.filter(({ validationLoss }) => validationLoss !== undefined).sort(byMerit)
  if (best === undefined) throw failure ?? new RangeError('a search needs candidates')
  return { best: best.settings, trials: [...trials].sort(byMerit), rounds: rounds.length, steps }
}

function roundsOf({ candidates, firstSteps, factor = 3 }: Pick<SearchOptions, 'candidates' | 'firstSteps' | 'factor'>) {
  const rounds: { trials: number; steps: number }[] = []
  for (let [trials, steps] = [candidates.length, firstSteps]; trials > 0; steps *= factor) {
    rounds.push({ trials, steps })
    if (trials === 1) break
    trials = Math.max(1, Math.floor(trials / factor))
  }
  return rounds
}

const loss = ({ validationLoss }: Trial): number => validationLoss ?? Number.POSITIVE_INFINITY
const byLoss = (a: Trial, b: Trial): number => loss(a) - loss(b) || a.number - b.number
const lastRound = ({ rounds }: Trial): number =>
  rounds.findLast(({ validationLoss }) => Number.isFinite(validationLoss))?.round ?? 0
/** Losses after different numbers of steps do not compare: who came further is better. */
const byMerit = (a: Trial, b: Trial): number => lastRound(b) - lastRound(a) || byLoss(a, b)

/** The trials as a table for a terminal, the best first. */
export function searchTable({ trials }: Pick<SearchResult, 'trials'>): string {
  const rows = trials.map(({ number, settings, rounds, validationLoss, failure }) => [
    String(number),
    settings.learning_rate.toExponential(2),
    String(settings.rank),
    String(rounds.at(-1)?.steps ?? 0),
    validationLoss?.toFixed(4) ?? '-',
    failure ?? '',
  ])
  const all = [['trial', 'learning rate', 'rank', 'steps', 'validation loss', ''], ...rows]
  const widths = all[0]!.map((_, column) => Math.max(...all.map(row => row[column]!.length)))
  return all
    .map(row =>
      row
        .map((cell, column) => (column === 5 ? cell : cell.padStart(widths[column]!)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

/** Validation loss over the learning rate, a curve per rank: each trial with its last loss. */
function curvesOf(trials: readonly Trial[]) {
  const ranks = [...new Set(trials.map(({ settings }) => settings.rank))].sort((a, b) => a - b)
  return ranks.map(rank => ({
    name: `rank ${rank}`,
    points: trials.flatMap(({ settings, validationLoss }) =>
      settings.rank === rank && validationLoss !== undefined ? [[settings.learning_rate, validationLoss] as const] : [],
    ),
  }))
}

export function searchPlot(
  { trials }: Pick<SearchResult, 'trials'>,
  size: { width: number; height: number; color?: boolean },
): string {
  return drawCurves(curvesOf(trials), { ...size, logX: true, xName: 'learning rate' })
}

export function searchSvg({ trials }: Pick<SearchResult, 'trials'>): string {
  return svgCurves(curvesOf(trials), {
    title: 'Trials of the search',
    xName: 'learning rate',
    yName: 'validation loss',
    logX: true,
  })
}
