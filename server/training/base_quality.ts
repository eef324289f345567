/** What the inspection of data asks of a base model: exact token counts, and how likely samples are to it. */
import { HubError } from '../lib/error.ts'
import type { Lease } from '../models/models.ts'
import type { Sample } from '../wire/sample.ts'
import { lossOf } from './measure.ts'
import type { QualityOptions } from './quality.ts'

/**
 * @param lease of the base, to be held until the inspection has ended
 * @param measuredMs a large model without a GPU reads slowly: samples that it has not read after so long are left out
 */
export function baseQuality(
  lease: Pick<Lease, 'ask' | 'generate' | 'info' | 'model'>,
  now: () => number,
  measuredMs: number,
): Pick<QualityOptions, 'countTokens' | 'logprobs' | 'maxTokens'> {
  const maxTokens = lease.model.facts?.context_length ?? lease.info.trainedContextTokens
  let endsMs: number | undefined
  return {
    maxTokens,
    countTokens: (texts, signal) =>
      Promise.all(
        texts.map(async text => {
          const ask = { type: 'tokenize' as const, text, addSpecial: false, parseSpecial: false }
          return (await lease.ask(ask, signal)).tokens.length
        }),
      ),
    async logprobs(samples, signal) {
      endsMs ??= now() + measuredMs
      const values: number[] = []
      for (const sample of samples) {
        values.push(now() < endsMs ? await lossPerToken(lease, sample, signal) : Number.NaN)
      }
      return values
    },
  }
}

/** In nats per learned token; NaN for what cannot be encoded or is longer than the context. @throws HubError when the model ends */
async function lossPerToken(
  lease: Pick<Lease, 'ask' | 'generate' | 'info' | 'model'>,
  sample: Sample,
  signal: AbortSignal,
): Promise<number> {
  const ask = { type: 'encode' as const, samples: [sample], infillTokens: lease.info.contextTokens - 1 }
  const [encoded] = (await lease.ask(ask, signal)).encoded
  if (encoded === undefined || 'error' in encoded) return Number.NaN
  let sum = 0
  let weight = 0
  for (const sequence of [encoded, ...(encoded.more ?? [])]) {
    if (sequence.tokens.length >= lease.info.contextTokens) return Number.NaN
    try {
      const loss = await lossOf(lease, sequence, signal)
      sum += loss.sum
      weight += loss.weight
    } catch (thrown) {
      if (HubError.from(thrown).code !== 'context_length_exceeded') throw thrown
      return Number.NaN
    }
  }
  return sum / weight
}
