/** From what two models got on the same samples to metrics with their intervals, and from those to verdicts. */
import type { EvaluationReport, Metric, MetricName, Verdict } from '../wire/evaluation.ts'
import { compare, type Pair } from './bootstrap.ts'
import type { Measured } from './measure.ts'
import { REGRESSION_SET } from './regression.ts'

/** Below this a difference of the general questions' loss, in nats per token, is no forgetting. */
const HARMLESS_LOSS = 0.05
/** Nats per token by which a model differs from itself: sums run in another order when a batch is cut in another way. */
const NOISE_LOSS = 1e-3

type Kind = {
  name: MetricName
  meaning: string
  goodIs: 'lower' | 'higher'
  /** undefined when one of the two was not measured. */
  pair(base: Measured, candidate: Measured, index: number): Pair | undefined
}

/** Both losses are divided by the base's number of tokens, so that models with other tokens are compared on the same text. */
function lossPair(base: Measured, candidate: Measured): Pair | undefined {
  if (base.loss === undefined || candidate.loss === undefined) return undefined
  const { weight } = base.loss
  if (weight === 0) return undefined
  return { base: base.loss.sum / weight, candidate: candidate.loss.sum / weight, weight }
}

const yesNo = (key: 'exact' | 'passed' | 'preferred') => (base: Measured, candidate: Measured) => {
  const [one, other] = [base[key], candidate[key]]
  return one === undefined || other === undefined ? undefined : { base: Number(one), candidate: Number(other) }
}

export const MAIN: Kind[] = [
  { name: 'loss', meaning: 'nats per token of the answers', goodIs: 'lower', pair: lossPair },
  { name: 'exact_match', meaning: 'answers equal to those of the dataset', goodIs: 'higher', pair: yesNo('exact') },
  { name: 'pass_rate', meaning: 'answers whose code passes its tests', goodIs: 'higher', pair: yesNo('passed') },
  {
    name: 'preference_accuracy',
    meaning: 'preferences in which the chosen answer is the likelier one',
    goodIs: 'higher',
    pair: yesNo('preferred'),
  },
]
export const GENERAL: Kind[] = [
  { name: 'regression_loss', meaning: 'nats per token of general answers', goodIs: 'lower', pair: lossPair },
  {
    name: 'regression_score',
    meaning: 'general questions answered right',
    goodIs: 'higher',
    pair(base, candidate, index) {
      if (base.answer === undefined || candidate.answer === undefined) return undefined
      return { base: Number(isRight(base, index)), candidate: Number(isRight(candidate, index)) }
    },
  },
]

export function isRight({ answer }: Measured, index: number): boolean {
  return answer !== undefined && REGRESSION_SET[index]!.right.test(answer.normalize('NFC'))
}

export async function judge(
  base: readonly Measured[],
  candidate: readonly Measured[],
  kinds: readonly Kind[],
  { seed, confidence }: { seed: number; confidence: number },
): Promise<Metric[]> {
  const found = kinds
    .map(kind => ({ kind, pairs: base.flatMap((one, index) => kind.pair(one, candidate[index]!, index) ?? []) }))
    .filter(({ pairs }) => pairs.length > 0)
  // Several chances to be significant by accident: each has to be surer by itself (Bonferroni).
  const error = (1 - confidence) / Math.max(1, found.length)
  const metrics: Metric[] = []
  for (const { kind, pairs } of found) {
    const { name, meaning, goodIs } = kind
    const compared = await compare(pairs, { seed, level: 1 - error })
    const noise = goodIs === 'lower' ? NOISE_LOSS : 0
    const sure = compared.p < error && (compared.interval.low > noise || compared.interval.high < -noise)
    const good = goodIs === 'higher' ? compared.difference > 0 : compared.difference < 0
    const verdict: Verdict = !sure ? 'not yet known' : good ? 'better' : 'worse'
    metrics.push({ name, meaning, goodIs, samples: pairs.length, ...compared, verdict })
  }
  return metrics
}

/** Better in something and worse in nothing, or the other way round; all else is not known. */
export function overall(metrics: readonly Metric[]): Verdict {
  const better = metrics.some(({ verdict }) => verdict === 'better')
  const worse = metrics.some(({ verdict }) => verdict === 'worse')
  if (better === worse) return 'not yet known'
  return better ? 'better' : 'worse'
}

export function forgettingOf(general: readonly Metric[]): EvaluationReport['forgetting'] {
  const loss = general.find(({ name }) => name === 'regression_loss')
  const score = general.find(({ name }) => name === 'regression_score')
  if (loss === undefined) return 'not measured'
  if (score?.verdict === 'worse' || (loss.verdict === 'worse' && loss.difference > HARMLESS_LOSS)) return 'seen'
  return loss.interval.high < 2 * HARMLESS_LOSS ? 'not seen' : 'not yet known'
}

export function perplexityOf(
  base: readonly Measured[],
  candidate: readonly Measured[],
): EvaluationReport['perplexity'] {
  const both = base.flatMap((one, index) => {
    const other = candidate[index]!
    return one.loss && other.loss ? [{ base: one.loss, candidate: other.loss, same: one.tokens === other.tokens }] : []
  })
  const mean = (key: 'base' | 'candidate') => {
    const weight = both.reduce((sum, pair) => sum + pair[key].weight, 0)
    return Math.exp(both.reduce((sum, pair) => sum + pair[key].sum, 0) / weight)
  }
  const [first, second] = [mean('base'), mean('candidate')]
  if (!Number.isFinite(first) || !Number.isFinite(second)) return undefined
  return { base: first, candidate: second, comparable: both.every(({ same }) => same) }
}
