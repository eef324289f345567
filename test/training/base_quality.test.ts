/** What a base model tells of data: its own count of tokens, and which samples are unusual to it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { baseQuality } from '../../server/training/base_quality.ts'
import { inspect } from '../../server/training/quality.ts'
import type { Sample } from '../../server/wire/sample.ts'
import { countingLease } from '../helpers/counting_lease.ts'

const never = new AbortController().signal
const samples: Sample[] = Array.from({ length: 40 }, (_, i) => ({
  kind: 'completion',
  prompt: `Question ${i * 7919} of many`,
  completion: i === 7 ? 'zzz zzz zzz' : `answer number ${i} ${'abc'.slice(0, 1 + (i % 3))}`,
}))
async function* read(): AsyncGenerator<Sample> {
  yield* samples
}

test('tokens are those of the model, and a sample that it finds unlikely is an outlier', async () => {
  const lease = countingLease(100, token => (token === 122 ? 9 : 1 + (token % 5) / 50))
  const { report } = await inspect(
    read,
    baseQuality(lease, () => 0, 1000),
    never,
  )
  assert.equal(report.tokens.exact, true)
  assert.equal(report.tokens.total, 40 * 4 + 39 * 4 + 3)
  const found = report.findings.find(({ id }) => id === 'perplexity')
  assert.equal(found?.count, 1)
  assert.equal(found.examples[0]?.sample, 8)
})

test('what is longer than the context, or is not read in time, is left out', async () => {
  let clock = 0
  const quality = baseQuality(countingLease(6), () => clock++, 2)
  const short: Sample = { kind: 'completion', prompt: 'a', completion: 'b c' }
  const long: Sample = { kind: 'completion', prompt: 'a b c', completion: 'd e f' }
  const chat: Sample = { kind: 'chat', messages: [{ role: 'user', content: 'a' }] }
  assert.deepEqual(await baseQuality(countingLease(6), () => 0, 1).logprobs?.([short, long, chat], never), [
    1,
    Number.NaN,
    Number.NaN,
  ])
  assert.deepEqual(await quality.logprobs?.([short, short, short], never), [1, Number.NaN, Number.NaN])
})
