/** A training run before it runs: settings with their reasons, the memory the trainer will really need, and the time it will take. */
import { Child, explainExit } from '../lib/child.ts'
import { HubError } from '../lib/error.ts'
import type { Log } from '../lib/log.ts'
import type { GgufFacts, ModelFile } from '../wire/model.ts'
import type { FromTrainer, LoraTarget, ToTrainer, TrainerJobInput, TrainerPlan, TrainerStats } from '../wire/trainer.ts'
import type { Hyperparameters, TokenStats, TrainingPlan } from '../wire/training_plan.ts'
import { type Choice, type Chosen, chooseHyperparameters, rowsOf, stepsOf } from './hyperparameters.ts'

/** What of a job decides its memory; its other files need not exist. */
export type MemoryQuestion = { job: TrainerJobInput; freeBytes: number; shortest: number }

export type PlanDeps = {
  /** Asks the trainer program; `askTrainer` of this file does. */
  memory(question: MemoryQuestion, signal: AbortSignal): Promise<TrainerPlan>
  /** Tokens per second of an earlier run of this base on this device, when there was one. */
  measuredSpeed?(base: ModelFile): number | undefined
  cores: number
}

export type PlanInput = {
  base: ModelFile
  stats: TokenStats
  /** Memory that the run may take on its device, in bytes. */
  freeBytes: number
  wishes: Partial<Hyperparameters>
  validation?: Pick<TokenStats, 'written' | 'tokens'>
  /** The CPU by default. */
  device?: { library: NonNullable<TrainerJobInput['library']>; name?: string }
  /** An adapter to go on from. */
  continueFrom?: string
}

/** Share of the free memory that a plan fills: drivers and libraries take some for themselves while they compute. */
const SHARE = 0.9
const LEAST_RANK = 4
const ATTENTION: LoraTarget[] = ['attn_q', 'attn_k', 'attn_v', 'attn_output']
/** Row lengths that are tried to say what would fit. */
const LEAST_LENGTH = 64
/** Operations per second that training reaches: a core by measurement, a GPU by a careful guess. */
const CORE_RATE = 20e9
const GPU_RATE = 8e12
/** Forward, and backward through frozen weights; recomputing layers is one forward more. */
const PASSES = { plain: 2, recomputed: 3 }
/** Reading the base and comparing it with the serving engine. */
const START_S = 5

/** @throws HubError insufficient_memory with needed, free and what would fit; invalid_request for a base that cannot be trained */
export async function planTraining(deps: PlanDeps, input: PlanInput, signal: AbortSignal): Promise<TrainingPlan> {
  const { base, stats, validation } = input
  const { facts } = base
  if (facts === undefined) {
    throw new HubError('model_broken', `${base.id} cannot be trained: ${base.reason ?? 'its file is damaged'}`)
  }
  const freeBytes = Math.floor(input.freeBytes * SHARE)
  const { choice, memory } = await fit(deps, { ...input, freeBytes }, facts, signal)
  const { values, reasons } = choice
  const warnings = [...choice.warnings]
  if (memory.rowTokens < values.row_tokens) {
    // The batch stays what it is: shorter rows, more of them.
    const { row_tokens, rows_per_step } = rowsOf(stats, values.batch_size, memory.rowTokens)
    Object.assign(values, { row_tokens: Math.min(row_tokens, memory.rowTokens), rows_per_step })
    values.steps = stepsOf(stats, values)
    warnings.push(`Rows have ${values.row_tokens} tokens, since longer ones do not fit the memory.`)
  }
  if (memory.layerCheckpointing && !values.gradient_checkpointing) {
    values.gradient_checkpointing = true
    reasons.gradient_checkpointing =
      'layers are computed twice, since keeping what they computed does not fit the memory'
  }
  const settings = settingsOf(values, input)
  const { totalBytes, weightsBytes, parameterBytes, computeBytes } = memory
  return {
    settings,
    reasons,
    values: Object.fromEntries(Object.entries(values).filter(([name]) => name in reasons)),
    expected: {
      steps: values.steps,
      ...timeOf(deps, input, facts, values, validation?.tokens ?? 0),
      memoryBytes: totalBytes,
      memory: { weightsBytes, parameterBytes, computeBytes },
      freeBytes: input.freeBytes,
    },
    warnings,
  }
}

type Fitting = Extract<TrainerPlan, { fits: true }>

/** The chosen settings, or smaller ones of what the user left open; refused with the figures when none fit. */
async function fit(
  deps: PlanDeps,
  input: PlanInput,
  facts: GgufFacts,
  signal: AbortSignal,
): Promise<{ choice: Choice; memory: Fitting }> {
  const { wishes, stats, freeBytes, continueFrom } = input
  const choose = (limits: Partial<Pick<Chosen, 'rank' | 'targets'>>) =>
    chooseHyperparameters(facts, stats, wishes, {
      validation: input.validation !== undefined,
      continued: continueFrom !== undefined,
      limits,
    })
  const first = choose({})
  const ask = ({ values }: Choice, longest = stats.longest) => {
    const row = Math.max(8, longest)
    const asked = longest === stats.longest ? values : { ...values, row_tokens: row }
    // Early stopping takes no memory, and the trainer wants the validation data for it.
    const settings = { ...settingsOf(asked, input), patience: 0 }
    const job = { ...settings, base: input.base.files[0]!, tokens: 'tokens', output: 'output' }
    return deps.memory({ job, freeBytes, shortest: row }, signal)
  }
  const open = (name: 'rank' | 'targets') => wishes[name] === undefined || wishes[name] === 'auto'
  // What an adapter was begun with, it keeps.
  const ranks = [first.values.rank]
  if (open('rank') && continueFrom === undefined) {
    for (let rank = first.values.rank / 2; rank >= LEAST_RANK; rank /= 2) ranks.push(rank)
  }
  const sets: (LoraTarget[] | undefined)[] =
    open('targets') && continueFrom === undefined ? [undefined, ATTENTION] : [undefined]
  let least: { choice: Choice; needBytes: number } | undefined
  for (const targets of sets) {
    for (const rank of ranks) {
      const smaller = rank < first.values.rank
      const choice =
        smaller || targets !== undefined
          ? choose({ ...(smaller && { rank }), ...(targets !== undefined && { targets }) })
          : first
      const memory = await ask(choice)
      if (memory.fits) {
        if (choice !== first)
          choice.warnings.push('The adapter is smaller than the data would want: the memory is short.')
        return { choice, memory }
      }
      if (least === undefined || memory.needBytes < least.needBytes) least = { choice, needBytes: memory.needBytes }
    }
  }
  const { choice, needBytes } = least!
  let remedy = 'choose a smaller or a more strongly quantised base, or free memory'
  for (let length = powerBelow(stats.longest - 1); length >= LEAST_LENGTH; length /= 2) {
    if (!(await ask(choice, length)).fits) continue
    remedy = `set max_length to ${length}, which fits, or choose a smaller base`
    break
  }
  throw new HubError(
    'insufficient_memory',
    `training ${input.base.id} on samples of up to ${stats.longest} tokens needs at least ${mebibytes(needBytes)} MiB, and ${mebibytes(freeBytes)} MiB of the free memory may be used; ${remedy}`,
  )
}

function settingsOf(values: Chosen, { stats, device, continueFrom }: PlanInput): TrainingPlan['settings'] {
  return {
    mode: {
      type: 'lora',
      rank: values.rank,
      alpha: values.alpha,
      rsLora: values.rslora,
      targets: values.targets,
      dropout: values.dropout,
      ...(continueFrom !== undefined && { continueFrom }),
    },
    loss: stats.kind === 'preferences' ? { type: 'preference', beta: values.beta } : { type: 'supervised' },
    rowTokens: values.row_tokens,
    rowsPerStep: values.rows_per_step,
    epochs: values.epochs,
    ...(values.max_steps !== undefined && { maxSteps: values.max_steps }),
    rate: values.learning_rate,
    schedule: values.schedule,
    warmupShare: values.warmup_ratio,
    optimizer: {
      beta1: 0.9,
      beta2: 0.999,
      epsilon: 1e-8,
      weightDecay: values.weight_decay,
      maxGradNorm: values.max_grad_norm,
      loraPlusRatio: 1,
    },
    validateEverySteps: values.eval_interval,
    patience: values.patience,
    checkpointEverySteps: values.save_interval,
    seed: values.seed,
    layerCheckpointing: values.gradient_checkpointing,
    library: device?.library ?? 'cpu',
    ...(device?.name !== undefined && { device: device.name }),
  }
}

/** Seconds of the whole run, and what they were taken from. */
function timeOf(
  deps: PlanDeps,
  input: PlanInput,
  facts: GgufFacts,
  values: Chosen,
  validationTokens: number,
): { seconds: number; tokensPerSecond: number; basis: string } {
  const { stats, base, device } = input
  const passes = values.gradient_checkpointing ? PASSES.recomputed : PASSES.plain
  const onCpu = (device?.library ?? 'cpu') === 'cpu'
  const measured = deps.measuredSpeed?.(base)
  const cores = Math.max(1, deps.cores)
  const estimated = (onCpu ? cores * CORE_RATE : GPU_RATE) / (2 * passes * Math.max(1, facts.parameters))
  const tokensPerSecond = measured ?? estimated
  const basis =
    measured !== undefined
      ? 'measured: the speed of the last run of this base here'
      : onCpu
        ? `estimated: by the size of the model and ${cores} cores; the first steps will show`
        : 'estimated: by the size of the model and a usual GPU; the first steps will show'
  // The reference of a preference run is one forward pass more over each pair.
  const work = stats.kind === 'preferences' ? (passes + 1) / passes : 1
  const whole = stepsOf(stats, { ...values, max_steps: undefined })
  const trained = stats.tokens * values.epochs * Math.min(1, values.steps / whole) * work
  const validated = (validationTokens * Math.ceil(values.steps / values.eval_interval)) / passes
  return { seconds: START_S + (trained + validated) / tokensPerSecond, tokensPerSecond, basis }
}

/** Asks trainer programs what jobs would take. A program is kept between questions until `close`. */
export function askTrainer(deps: { script: string; log: Log }): {
  memory: PlanDeps['memory']
  close(): Promise<void>
} {
  type Asked = { resolve(plan: TrainerPlan): void; reject(error: Error): void }
  const asked = new Map<number, Asked>()
  let child: Child<ToTrainer, FromTrainer, TrainerStats> | undefined
  let last = 0
  const start = () => {
    const started = new Child<ToTrainer, FromTrainer, TrainerStats>(deps, message => {
      if (message.type !== 'plan') return
      const { id, plan } = message
      const waiting = asked.get(id)
      if ('error' in plan) waiting?.reject(HubError.fromBody(plan.error))
      else waiting?.resolve(plan)
    })
    void started.exited.then(exit => {
      if (child === started) child = undefined
      for (const { reject } of asked.values()) reject(explainExit("the trainer's process", exit))
    })
    return started
  }
  return {
    async memory(question, signal) {
      if (signal.aborted) throw cancelled()
      child ??= start()
      const id = ++last
      const answer = Promise.withResolvers<TrainerPlan>()
      const abort = () => answer.reject(cancelled())
      asked.set(id, answer)
      signal.addEventListener('abort', abort, { once: true })
      child.send({ type: 'plan', id, ...question })
      try {
        return await answer.promise
      } finally {
        signal.removeEventListener('abort', abort)
        asked.delete(id)
      }
    },
    async close() {
      await child?.close({ type: 'exit' })
    },
  }
}

const cancelled = () => new HubError('cancelled', 'the request was cancelled')
const mebibytes = (bytes: number): number => Math.ceil(bytes / 2 ** 20)
const powerBelow = (value: number): number => 2 ** Math.floor(Math.log2(Math.max(1, value)))
