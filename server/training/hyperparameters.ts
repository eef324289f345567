/** Sensible hyperparameters for a model, its data and what the user wished, each with the reason in a sentence. */
import { HubError } from '../lib/error.ts'
import type { GgufFacts } from '../wire/model.ts'
import { LoraTarget } from '../wire/trainer.ts'
import type { Hyperparameters, TokenStats } from '../wire/training_plan.ts'

/** Every one decided; those that only limit may be absent. */
export type Chosen = {
  epochs: number
  batch_size: number
  learning_rate: number
  rank: number
  alpha: number
  rslora: boolean
  targets: LoraTarget[]
  dropout: number
  max_length: number
  warmup_ratio: number
  schedule: 'cosine' | 'linear' | 'constant'
  weight_decay: number
  max_grad_norm: number
  patience: number
  eval_interval: number
  save_interval: number
  max_steps?: number
  gradient_checkpointing: boolean
  beta: number
  seed: number
  /** Follow from the above: tokens of a packed row, rows (or pairs) of a step, steps of the run. */
  row_tokens: number
  rows_per_step: number
  steps: number
}

export type Choice = { values: Chosen; reasons: { [name: string]: string }; warnings: string[] }

export type Data = Pick<TokenStats, 'kind' | 'written' | 'tokens' | 'targetTokens' | 'longest' | 'lengths'>

type Name = Exclude<keyof Chosen, 'row_tokens' | 'rows_per_step' | 'steps' | 'max_steps'>

/** Rows are packed nearly full. */
const FILL = 0.95
/** Samples that are all about as long fill a row only as far as a whole number of them does. */
const ALIKE = 1.25
/** Steps that a run should have at least, for the optimizer to settle. */
const LEAST_STEPS = 60
const MOST_BATCH = 32
/** Rows are as long as the batch wants, for few long graphs, but not longer. */
const ROW_STEP = 64

/**
 * @param limits what memory allows: filled in by the plan when the first choice does not fit
 * @throws HubError invalid_request naming a wish that contradicts the data or the model
 */
export function chooseHyperparameters(
  facts: GgufFacts,
  data: Data,
  wishes: Partial<Hyperparameters>,
  options: { validation: boolean; continued: boolean; limits?: Partial<Pick<Chosen, 'rank' | 'targets'>> },
): Choice {
  const reasons: Choice['reasons'] = {}
  const warnings: string[] = []
  const { limits = {} } = options
  const preferences = data.kind === 'preferences'
  const samples = data.written

  const choose = <T>(name: Name, value: T, reason: string): T => {
    const wished = wishes[name]
    const asked = wished !== undefined && wished !== 'auto'
    reasons[name] = asked ? 'as asked' : reason
    // The wish of a name has the type of its value, as the schema says.
    return asked ? (wished as T) : value
  }

  const what = `${count(samples)} ${preferences ? 'pairs' : 'samples'}`
  const epochs = preferences
    ? choose('epochs', 1, 'preferences are learned in one pass; more makes the model talk past its base')
    : choose(
        'epochs',
        samples < 50 ? 10 : samples < 200 ? 5 : samples < 2000 ? 3 : samples < 20_000 ? 2 : 1,
        samples < 2000
          ? `${what} are few, so they are gone through several times`
          : `${what} are many, so few passes are enough`,
      )

  const wanted = powerBelow((samples * epochs) / LEAST_STEPS)
  const batch_size = choose(
    'batch_size',
    clamp(wanted, 1, preferences ? MOST_BATCH / 2 : MOST_BATCH),
    `${what} over ${epochs} ${epochs === 1 ? 'epoch' : 'epochs'} give at least ${LEAST_STEPS} steps so, where there are enough of them`,
  )

  const longest = choose(
    'max_length',
    Math.min(facts.context_length, roundUp(data.longest, ROW_STEP)),
    `the longest sample has ${count(data.longest)} tokens, half of them at most ${count(data.lengths.p50)}`,
  )
  if (longest > facts.context_length) {
    throw new HubError(
      'invalid_request',
      `max_length is ${longest}, but the model was made for ${facts.context_length} tokens; set it to that at most`,
      { param: 'max_length' },
    )
  }
  if (longest < data.longest) {
    throw new HubError(
      'invalid_request',
      `max_length is ${longest}, but the longest sample has ${data.longest} tokens; tokenise the data with that max_length, which splits, cuts or drops what is longer`,
      { param: 'max_length' },
    )
  }
  const { row_tokens, rows_per_step } = rowsOf(data, batch_size, longest)
  const max_steps = typeof wishes.max_steps === 'number' ? wishes.max_steps : undefined
  const steps = stepsOf(data, { row_tokens, rows_per_step, epochs, max_steps })
  const packed = Math.round((row_tokens * rows_per_step) / Math.max(1, data.lengths.mean))
  if (!preferences && packed > 2 * batch_size) {
    warnings.push(`A row holds more than ${batch_size} samples, so that a step takes about ${packed}.`)
  }
  if (steps < 30) warnings.push(`Only ${steps} steps: the adapter will hardly change the model. Add data or epochs.`)

  const targets = choose(
    'targets',
    limits.targets ?? LoraTarget.options,
    limits.targets === undefined
      ? 'adapters on all projections learn as well as full training does, on attention alone they do not'
      : 'fewer projections, so that it fits the memory',
  )
  const perRank = numbersPerRank(facts, targets)
  const fitting = clamp(powerAbove(data.targetTokens / perRank), 8, 64)
  const rank = choose(
    'rank',
    Math.min(limits.rank ?? 1024, preferences ? 16 : fitting),
    limits.rank !== undefined
      ? 'smaller than the data would want, so that it fits the memory'
      : preferences
        ? 'preferences hold little information per pair'
        : `${count(data.targetTokens)} learned tokens want about as many trained numbers, and a rank of 1 has ${count(perRank)} here; at least 8, at most 64`,
  )
  const alpha = choose('alpha', 2 * rank, 'twice the rank, so that the rate need not follow the rank')

  const multiplier = typeof wishes.learning_rate_multiplier === 'number' ? wishes.learning_rate_multiplier : 1
  const base = rateFor(facts.embedding_size) * (preferences ? 0.05 : 1) * (options.continued ? 0.5 : 1)
  const learning_rate = choose(
    'learning_rate',
    Number((base * multiplier).toPrecision(3)),
    [
      `wide models want smaller rates: this one is ${facts.embedding_size} wide`,
      ...(preferences ? ['preferences want a twentieth of it'] : []),
      ...(options.continued ? ['half of it, since an adapter is gone on from'] : []),
      ...(multiplier === 1 ? [] : [`times ${multiplier}, as asked`]),
    ].join('; '),
  )

  const few = samples < 1000 && !preferences
  const values: Chosen = {
    epochs,
    batch_size,
    learning_rate,
    rank,
    alpha,
    rslora: choose('rslora', false, 'the plain scale alpha / rank, which every program reads alike'),
    targets,
    dropout: choose(
      'dropout',
      few ? 0.05 : 0,
      few ? `${what} are learned by heart easily; a little dropout holds against it` : `${what} need none`,
    ),
    max_length: longest,
    warmup_ratio: choose(
      'warmup_ratio',
      steps < 200 ? 0.1 : 0.03,
      steps < 200 ? 'of few steps, a tenth is needed to warm up' : 'a few steps are enough to warm up',
    ),
    schedule: choose('schedule', 'cosine', 'a rate that falls smoothly ends nearer to the best place'),
    weight_decay: choose('weight_decay', 0, 'a small adapter needs none'),
    max_grad_norm: choose('max_grad_norm', 1, 'a single odd batch cannot throw the run off'),
    patience: choose(
      'patience',
      options.validation ? 3 : 0,
      options.validation
        ? 'three validations without a better one say that it begins to learn by heart'
        : 'there is no validation data to watch',
    ),
    eval_interval: choose('eval_interval', Math.max(1, Math.round(steps / 10)), 'about ten validations in the run'),
    save_interval: choose(
      'save_interval',
      clamp(Math.round(steps / 20), 1, 50),
      'a crash costs a twentieth of the run at most, and never more than 50 steps',
    ),
    ...(max_steps !== undefined && { max_steps }),
    gradient_checkpointing: choose(
      'gradient_checkpointing',
      false,
      'computing layers twice is slower, and done only where the memory asks for it',
    ),
    beta: choose('beta', 0.1, 'the usual firmness of preference training'),
    seed: choose('seed', 1, 'the same seed gives the same run'),
    row_tokens,
    rows_per_step,
    steps,
  }
  if (!preferences) delete reasons.beta
  return { values, reasons, warnings }
}

/** Rows no longer than a batch needs, and as many of them as make it. */
export function rowsOf(data: Data, batch: number, longest: number): { row_tokens: number; rows_per_step: number } {
  const least = Math.max(8, data.longest)
  if (data.kind === 'preferences')
    return { row_tokens: Math.max(least, Math.min(longest, least)), rows_per_step: batch }
  const tokens = batch * data.lengths.mean
  const row_tokens = Math.min(Math.max(least, roundUp(tokens / FILL, ROW_STEP)), Math.max(least, longest))
  return { row_tokens, rows_per_step: Math.max(1, Math.round(tokens / (row_tokens * FILL))) }
}

/** An estimate: how well rows are filled is known only when they are packed. */
export function stepsOf(
  data: Data,
  run: { row_tokens: number; rows_per_step: number; epochs: number; max_steps?: number | undefined },
): number {
  const units =
    data.kind === 'preferences'
      ? data.written
      : Math.max(1, Math.ceil(data.tokens / (run.row_tokens * fillOf(data, run.row_tokens))))
  const steps = Math.ceil(units / run.rows_per_step) * run.epochs
  return Math.max(1, Math.min(steps, run.max_steps ?? steps))
}

function fillOf({ lengths: { mean, p90 } }: Data, rowTokens: number): number {
  if (p90 > ALIKE * mean) return FILL
  return Math.min(FILL, (Math.max(1, Math.floor(rowTokens / p90)) * mean) / rowTokens)
}

/**
 * Rate of an adapter by the width of its base: 5e-4 at 2000, falling with its power 0.78, as fitted for LoRA over model sizes
 * (Schulman et al. 2025, "LoRA Without Regret").
 */
export function rateFor(embeddingSize: number): number {
  return clamp(5e-4 * (2000 / Math.max(1, embeddingSize)) ** 0.78, 5e-5, 5e-3)
}

/** Trained numbers of a rank of 1 on these projections; the width of the feed-forward is taken from the parameters. */
export function numbersPerRank(facts: GgufFacts, targets: readonly LoraTarget[]): number {
  const { embedding_size: embedding, layers, heads, kv_heads: kvHeads, vocabulary_size: vocabulary, parameters } = facts
  const kv = heads > 0 ? (embedding * kvHeads) / heads : embedding
  const perLayer = Math.max(0, parameters - vocabulary * embedding) / Math.max(1, layers)
  const attention = 2 * embedding * embedding + 2 * embedding * kv
  const forward = Math.max(embedding, (perLayer - attention) / (3 * Math.max(1, embedding)))
  const sizes: { [target in LoraTarget]: number } = {
    attn_q: 2 * embedding,
    attn_k: embedding + kv,
    attn_v: embedding + kv,
    attn_output: 2 * embedding,
    ffn_gate: embedding + forward,
    ffn_up: embedding + forward,
    ffn_down: embedding + forward,
  }
  return Math.max(1, Math.round(layers * targets.reduce((sum, target) => sum + sizes[target], 0)))
}

const clamp = (value: number, least: number, most: number): number => Math.min(most, Math.max(least, value))
const roundUp = (value: number, step: number): number => Math.ceil(value / step) * step
const powerBelow = (value: number): number => 2 ** Math.floor(Math.log2(Math.max(1, value)))
const powerAbove = (value: number): number => 2 ** Math.ceil(Math.log2(Math.max(1, value)))
const count = (value: number): string => Math.round(value).toLocaleString('en')
