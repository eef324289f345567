/** How one sample looks after the base's chat template: what is learned and what is only read. */
import { HubError } from '../lib/error.ts'
import type { Lease } from '../models/models.ts'
import type { Sample } from '../wire/sample.ts'
import type { SamplePreview, SampleSegment } from '../wire/training_plan.ts'
import type { EncodedSequence } from '../wire/worker.ts'

/** @throws HubError invalid_request with the reason when the sample cannot be encoded */
export async function previewSample(
  lease: Pick<Lease, 'ask'>,
  sample: Sample,
  signal: AbortSignal,
): Promise<SamplePreview> {
  const [encoded] = (await lease.ask({ type: 'encode', samples: [sample] }, signal)).encoded
  if (encoded === undefined || 'error' in encoded) {
    throw new HubError('invalid_request', encoded?.error ?? 'the model gave no tokens for the sample')
  }
  const segments = (sequence: EncodedSequence) => segmentsOf(lease, sequence, signal)
  const more: SampleSegment[][] = []
  for (const sequence of encoded.more ?? []) more.push(await segments(sequence))
  const all = [encoded, ...(encoded.more ?? []), ...(encoded.rejected ? [encoded.rejected] : [])]
  return {
    segments: await segments(encoded),
    ...(more.length > 0 && { more }),
    ...(encoded.rejected !== undefined && { rejected: await segments(encoded.rejected) }),
    tokens: all.reduce((sum, { tokens }) => sum + tokens.length, 0),
    targetTokens: all.reduce((sum, { weights }) => sum + weights.filter(weight => weight > 0).length, 0),
  }
}

async function segmentsOf(
  lease: Pick<Lease, 'ask'>,
  { tokens, weights }: EncodedSequence,
  signal: AbortSignal,
): Promise<SampleSegment[]> {
  const text = async (from: number, to: number): Promise<string> =>
    (await lease.ask({ type: 'detokenize', tokens: tokens.slice(from, to) }, signal)).text
  const segments: SampleSegment[] = []
  let before = ''
  for (let start = 0; start < tokens.length; ) {
    const weight = weights[start]!
    let end = start
    while (end < tokens.length && weights[end] === weight) end++
    // The text up to here less the text before: alone, some vocabularies drop the space that a piece begins with.
    const whole = await text(0, end)
    const piece = whole.startsWith(before) ? whole.slice(before.length) : await text(start, end)
    segments.push({ text: piece, learned: weight > 0, weight })
    before = whole
    start = end
  }
  return segments
}
