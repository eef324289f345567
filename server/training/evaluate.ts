/** Compares a candidate with a base on samples that neither has learned, and on general questions, and says in words which is better. */
import { stat } from 'node:fs/promises'
import { basename } from 'node:path'
import { HubError } from '../lib/error.ts'
import type { Lease, Models } from '../models/models.ts'
import type {
  Changed,
  EvaluationReport,
  EvaluationRequest,
  Metric,
  MetricName,
  ModelVersion,
  RegressionResult,
  Verdict,
} from '../wire/evaluation.ts'
import type { ModelFile } from '../wire/model.ts'
import type { Sample } from '../wire/sample.ts'
import { drawFrom } from './bootstrap.ts'
import { forgettingOf, GENERAL, isRight, judge, MAIN, overall, perplexityOf } from './judge.ts'
import { type Measured, type MeasureOptions, measure } from './measure.ts'
import { REGRESSION_ANSWER_TOKENS, REGRESSION_SET, regressionSample } from './regression.ts'

export type EvaluationSettings = Pick<
  EvaluationRequest,
  'max_samples' | 'max_answer_tokens' | 'answers' | 'run_code' | 'regression' | 'confidence' | 'seed'
>

export type EvaluateDeps = {
  models: Pick<Models, 'acquire'>
  now(): number
  /** Hexadecimal, of a file; without it the report names files by size and time only. */
  sha256?(path: string, signal: AbortSignal): Promise<string>
}

export type EvaluateInput = {
  base: string
  candidate: string
  /** Held-out samples. */
  samples: AsyncIterable<Sample>
  dataset?: EvaluationReport['dataset']
  settings: EvaluationSettings
  onProgress?(progress: { stage: 'base' | 'candidate'; done: number; total: number }): void
}

/** Everything that one model got. */
type Pass = { version: ModelVersion; samples: Measured[]; regression: Measured[] }

const MOST_REASONS = 8
const MOST_CHANGED = 20
const ANSWER_LETTERS = 500
/** Fewer samples seldom show anything. */
const FEW_SAMPLES = 30

/**
 * One model after the other, so that two that do not fit into memory together can be compared.
 * @throws HubError invalid_request when there is no sample to measure, or what acquiring and running the models throws
 */
export async function evaluate(
  deps: EvaluateDeps,
  input: EvaluateInput,
  signal: AbortSignal,
): Promise<EvaluationReport> {
  const { settings } = input
  const startedMs = deps.now()
  const { read, taken } = await drawFrom(input.samples, settings.max_samples, settings.seed)
  if (taken.length === 0) {
    throw new HubError('invalid_request', 'There is no sample to evaluate with: that part of the dataset is empty.', {
      param: 'dataset',
    })
  }
  const run = (id: string, stage: 'base' | 'candidate') => pass(deps, input, { id, stage }, taken, signal)
  const base = await run(input.base, 'base')
  const candidate = await run(input.candidate, 'candidate')

  const skipped = countSkipped(base.samples, candidate.samples)
  const metrics = await judge(base.samples, candidate.samples, MAIN, settings)
  const general = await judge(base.regression, candidate.regression, GENERAL, settings)
  const forgetting = settings.regression ? forgettingOf(general) : 'not measured'
  const verdict = overall(metrics)
  const measured = Math.max(0, ...metrics.map(metric => metric.samples))
  if (measured === 0) {
    const [why] = Object.keys(skipped)
    throw new HubError('invalid_request', `None of ${taken.length} samples could be measured: ${why ?? 'no reason'}.`)
  }
  const perplexity = perplexityOf(base.samples, candidate.samples)
  return {
    object: 'training.evaluation.report',
    created: new Date(deps.now()).toISOString(),
    seconds: (deps.now() - startedMs) / 1000,
    base: base.version,
    candidate: candidate.version,
    ...(input.dataset !== undefined && { dataset: input.dataset }),
    samples: { read, taken: taken.length, kinds: countBy(taken.map(({ kind }) => kind)), skipped },
    settings: {
      seed: settings.seed,
      max_samples: settings.max_samples,
      max_answer_tokens: settings.max_answer_tokens,
      answers: settings.answers,
      run_code: settings.run_code,
      regression: settings.regression,
      confidence: settings.confidence,
    },
    ...(perplexity !== undefined && { perplexity }),
    metrics: [...metrics, ...general],
    regression: settings.regression ? regressionResults(base.regression, candidate.regression) : [],
    forgetting,
    verdict,
    summary: summarise(metrics, verdict, forgetting),
    warnings: warningsOf({ input, base, candidate, taken, measured, comparable: perplexity?.comparable ?? true }),
    changed: changedAnswers(base.samples, candidate.samples, taken),
  }
}

async function pass(
  deps: EvaluateDeps,
  { settings, onProgress }: EvaluateInput,
  { id, stage }: { id: string; stage: 'base' | 'candidate' },
  samples: readonly Sample[],
  signal: AbortSignal,
): Promise<Pass> {
  const lease = await deps.models.acquire(id, signal)
  try {
    checkGenerates(lease)
    const total = samples.length + (settings.regression ? REGRESSION_SET.length : 0)
    let done = 0
    const onSample = () => onProgress?.({ stage, done: ++done, total })
    const options: MeasureOptions = {
      answers: settings.answers,
      runCode: settings.run_code,
      maxAnswerTokens: settings.max_answer_tokens,
      onSample,
    }
    const general = settings.regression
      ? REGRESSION_SET.map(item => regressionSample(item, lease.info.hasChatTemplate))
      : []
    // Before the measuring: while it goes on, another file may take the place.
    const version = await versionOf(deps, lease.model, signal)
    return {
      samples: await measure(lease, samples, options, signal),
      regression: await measure(
        lease,
        general,
        { answers: true, runCode: false, maxAnswerTokens: REGRESSION_ANSWER_TOKENS, fullAnswers: true, onSample },
        signal,
      ),
      version,
    }
  } finally {
    lease.release()
  }
}

function checkGenerates({ model, info }: Lease): void {
  if (info.canGenerate) return
  throw new HubError('invalid_request', `Model '${model.id}' gives embeddings only; it cannot be evaluated.`, {
    param: 'model',
  })
}

async function versionOf(deps: EvaluateDeps, file: ModelFile, signal: AbortSignal): Promise<ModelVersion> {
  const files: ModelVersion['files'] = []
  for (const path of file.files) {
    const { size, mtimeMs } = await stat(path)
    const sha256 = await deps.sha256?.(path, signal)
    files.push({ name: basename(path), bytes: size, modified_ms: mtimeMs, ...(sha256 !== undefined && { sha256 }) })
  }
  return {
    id: file.id,
    ...(file.parent !== undefined && { parent: file.parent }),
    ...(file.facts !== undefined && { architecture: file.facts.architecture, quantization: file.facts.quantization }),
    files,
  }
}

// What goes into the report beside the metrics.

function regressionResults(base: readonly Measured[], candidate: readonly Measured[]): RegressionResult[] {
  const lossOf = ({ loss }: Measured) => (loss === undefined || loss.weight === 0 ? undefined : loss.sum / loss.weight)
  return REGRESSION_SET.map(({ id, language, prompt }, index) => {
    const [one, other] = [base[index]!, candidate[index]!]
    const [baseLoss, candidateLoss] = [lossOf(one), lossOf(other)]
    return {
      id,
      language,
      question: prompt,
      ...(baseLoss !== undefined && { base_loss: baseLoss }),
      ...(candidateLoss !== undefined && { candidate_loss: candidateLoss }),
      base_right: isRight(one, index),
      candidate_right: isRight(other, index),
    }
  })
}

function changedAnswers(
  base: readonly Measured[],
  candidate: readonly Measured[],
  samples: readonly Sample[],
): Changed[] {
  const changed: Changed[] = []
  for (const [metric, key] of [
    ['pass_rate', 'passed'],
    ['exact_match', 'exact'],
  ] as const) {
    base.forEach((one, index) => {
      const other = candidate[index]!
      if (one[key] === undefined || other[key] === undefined || one[key] === other[key]) return
      const { origin } = samples[index]!
      changed.push({
        metric,
        index,
        ...(origin !== undefined && { source: origin.source }),
        ...(origin?.line !== undefined && { line: origin.line }),
        better: one[key] ? 'base' : 'candidate',
        base_answer: (one.answer ?? '').slice(0, ANSWER_LETTERS),
        candidate_answer: (other.answer ?? '').slice(0, ANSWER_LETTERS),
      })
    })
  }
  return changed.slice(0, MOST_CHANGED)
}

function countSkipped(base: readonly Measured[], candidate: readonly Measured[]): { [reason: string]: number } {
  const reasons = base.flatMap((one, index) => one.skipped ?? candidate[index]!.skipped ?? [])
  const counts = Object.entries(countBy(reasons.map(reason => reason.slice(0, 200)))).sort((a, b) => b[1] - a[1])
  const rest = counts.slice(MOST_REASONS).reduce((sum, [, count]) => sum + count, 0)
  return Object.fromEntries([
    ...counts.slice(0, MOST_REASONS),
    ...(rest > 0 ? ([['other reasons', rest]] as [string, number][]) : []),
  ])
}

function countBy(names: readonly string[]): { [name: string]: number } {
  const counts: { [name: string]: number } = {}
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1
  return counts
}

// In words.

function summarise(metrics: readonly Metric[], verdict: Verdict, forgetting: EvaluationReport['forgetting']): string {
  const decided = metrics.filter(metric => metric.verdict !== 'not yet known')
  const mixed = verdict === 'not yet known' && decided.length > 0
  const head = mixed
    ? 'Not yet known: the candidate is better in one thing and worse in another.'
    : verdict === 'not yet known'
      ? 'Not yet known: the differences are within what chance gives.'
      : `The candidate is ${verdict} than the base.`
  const lines = (decided.length > 0 ? decided : metrics).map(sentence)
  const memory = {
    seen: 'It has forgotten things: general questions go worse than with the base.',
    'not seen': 'General questions go as well as with the base.',
    'not yet known': 'Whether it has forgotten general things is not yet known.',
    'not measured': '',
  }[forgetting]
  return [head, ...lines, memory].filter(text => text !== '').join(' ')
}

function sentence(metric: Metric): string {
  const { base, candidate, interval, samples } = metric
  const percent = metric.goodIs === 'higher'
  const show = (value: number, signed = false) => {
    const text = percent ? `${(value * 100).toFixed(1)} %` : value.toFixed(3)
    return signed && value > 0 ? `+${text}` : text
  }
  const level = Number((interval.level * 100).toFixed(2))
  return `${TITLES[metric.name]}: ${show(candidate)} instead of ${show(base)} (difference ${show(metric.difference, true)}, ${level} % interval ${show(interval.low, true)} to ${show(interval.high, true)}, ${samples} samples).`
}

const TITLES: { [name in MetricName]: string } = {
  loss: 'Loss per token',
  exact_match: 'Exact answers',
  pass_rate: 'Code that passes its tests',
  preference_accuracy: 'Preferences met',
  regression_loss: 'Loss on general answers',
  regression_score: 'General questions right',
}

function warningsOf(found: {
  input: EvaluateInput
  base: Pass
  candidate: Pass
  taken: readonly Sample[]
  measured: number
  comparable: boolean
}): string[] {
  const { input, base, candidate, taken, measured } = found
  const warnings: string[] = []
  const tests = taken.filter(sample => sample.tests !== undefined).length
  const unrun = candidate.samples.filter((one, index) => taken[index]!.tests && one.answer && one.passed === undefined)
  if (measured < FEW_SAMPLES) {
    warnings.push(`Only ${measured} samples were measured; differences have to be large to show with so few.`)
  }
  if (tests > 0 && !input.settings.run_code) {
    warnings.push(
      `${tests} samples carry tests that were not run: running code that a model wrote has to be asked for.`,
    )
  } else if (unrun.length > 0) {
    warnings.push(`The tests of ${unrun.length} samples were not run: this machine has no interpreter for them.`)
  }
  if (!found.comparable) {
    warnings.push(
      'The two models cut the text into other tokens: their perplexities cannot be compared, the losses can.',
    )
  }
  const { parent } = candidate.version
  if (parent !== undefined && parent !== base.version.id) {
    warnings.push(`The candidate is an adapter of ${parent}, not of ${base.version.id}: the base differs as well.`)
  }
  return warnings
}
