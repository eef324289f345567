/** What the inspection and the cleaning keep to with any data, and each finding that needs more than the samples. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { HubError } from '../../server/lib/error.ts'
import { describeReport } from '../../server/training/findings_report.ts'
import { clean, type Inspection, inspect, type QualityOptions } from '../../server/training/quality.ts'
import type { FindingId, QualityReport } from '../../server/wire/quality.ts'
import { Sample } from '../../server/wire/sample.ts'
import { BREAKS, chat, prose, SECRETS, seeded } from '../helpers/dirty_data.ts'

const never = new AbortController().signal
const reader = (samples: Sample[]) =>
  async function* () {
    yield* samples
  }
const look = (samples: Sample[], options: QualityOptions = {}) => inspect(reader(samples), options, never)
async function cleaned(inspection: Inspection, samples: Sample[]): Promise<Sample[]> {
  const kept: Sample[] = []
  for await (const sample of clean(inspection, reader(samples), never)) kept.push(sample)
  return kept
}
const finding = (report: QualityReport, id: FindingId) => report.findings.find(found => found.id === id)!

const anyText = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 80 }),
  fc.string({ unit: fc.integer({ min: 0, max: 0xffff }).map(code => String.fromCharCode(code)), maxLength: 80 }),
  fc.string({ unit: fc.integer({ min: 0, max: 0x17f }).map(code => String.fromCharCode(code)), maxLength: 80 }),
  fc.integer().map(seed => prose(seeded(seed))),
  fc.tuple(fc.constantFrom(...BREAKS), fc.integer()).map(([{ break: spoil }, seed]) => spoil(prose(seeded(seed)))),
  fc.tuple(fc.constantFrom(...SECRETS), fc.integer()).map(([{ make, around }, seed]) => around(make(seeded(seed)))),
)
const message = fc.record({
  role: fc.constantFrom('system', 'user', 'assistant', 'tool'),
  content: fc.option(anyText),
}) as fc.Arbitrary<Extract<Sample, { kind: 'chat' }>['messages'][number]>
const messages = fc.array(message, { minLength: 1, maxLength: 4 })
const anySample: fc.Arbitrary<Sample> = fc.oneof(
  fc.record({ kind: fc.constant('chat' as const), messages }),
  fc.record({ kind: fc.constant('completion' as const), prompt: anyText, completion: anyText }),
  fc.record({ kind: fc.constant('text' as const), text: anyText }),
  fc.record({ kind: fc.constant('infill' as const), prefix: anyText, middle: anyText, suffix: anyText }),
  fc.record({ kind: fc.constant('preference' as const), messages, chosen: anyText, rejected: anyText }),
)

test('any sample is inspected and cleaned, and cleaning twice is cleaning once', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(anySample, { maxLength: 6 }), async samples => {
      const inspection = await look(samples)
      const once = await cleaned(inspection, samples)
      assert.equal(once.length, inspection.report.kept)
      for (const sample of once) Sample.parse(sample)
      assert.ok(describeReport(inspection.report).length > 0)
      const again = await look(once)
      assert.deepEqual(await cleaned(again, once), once)
      assert.equal(again.report.changed, 0)
    }),
    { seed: 7, numRuns: 60 },
  )
})

test('samples that stand in the held-out part are left out, whole or in large part', async () => {
  const random = seeded(3)
  const samples = Array.from({ length: 200 }, () => chat(prose(random), prose(random)))
  const held = samples.slice(0, 10)
  const [, answer] = (held[3] as Extract<Sample, { kind: 'chat' }>).messages
  const long: Sample = {
    kind: 'text',
    text: `${prose(random)}\n${prose(random)}\n${answer!.content}\n${JSON.stringify(held[3])}`,
  }
  const train = [...samples.slice(5), long]
  const { report } = await look(train, { heldOut: reader(held), examples: 50 })
  const found = finding(report, 'contamination').examples.map(({ sample }) => sample)
  assert.deepEqual(found, [1, 2, 3, 4, 5, train.length])
})

test('samples that the base model finds very unusual are named', async () => {
  const random = seeded(4)
  const samples = Array.from({ length: 100 }, () => chat(prose(random), prose(random)))
  samples[40] = chat(prose(random), 'zqx vvk wpl '.repeat(3))
  const logprobs = async (asked: Sample[]) =>
    asked.map(sample => (JSON.stringify(sample).includes('zqx') ? 9 : 2 + (JSON.stringify(sample).length % 7) / 10))
  const { report } = await look(samples, { logprobs })
  assert.deepEqual(
    finding(report, 'perplexity').examples.map(({ sample }) => sample),
    [41],
  )
})

test('equal texts under different instructions, and short texts that differ in a number, are different samples', async () => {
  const system = (content: string): Sample => ({
    kind: 'chat',
    messages: [
      { role: 'system', content },
      ...(chat(prose(seeded(1)), prose(seeded(2))) as Extract<Sample, { kind: 'chat' }>).messages,
    ],
  })
  const sums = [17, 18, 19].map(n => chat(`What is ${n} plus 25?`, `${n} plus 25 is ${n + 25}.`))
  const { report } = await look([system('Be brief.'), system('Trả lời bằng tiếng Việt.'), ...sums])
  assert.deepEqual(report.duplicates, { exact: 0, near: 0, threshold: 0.8 })
})

test('an unknown filter is refused by its name', async () => {
  await assert.rejects(look([], { filters: { typo: true } as object }), (error: unknown) => {
    assert.ok(error instanceof HubError)
    assert.equal(error.param, 'filters.typo')
    return true
  })
})

test('a source that changes between the readings is refused', async () => {
  let reads = 0
  const read = () => reader([chat('One question here', `Answer ${reads++}`)])()
  await assert.rejects(inspect(read, {}, never), /changed while it was read/)
  const inspection = await look([chat('One', 'Two')])
  await assert.rejects(cleaned(inspection, [chat('One', 'Three')]), /changed while it was read/)
})
