/** The inspection on seeded dirty data: what was planted is found, what only looks like it is not, and the cleaned copy is clean. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { describeReport } from '../../server/training/findings_report.ts'
import { clean, type Inspection, inspect, type QualityOptions } from '../../server/training/quality.ts'
import { FindingId, QualityReport } from '../../server/wire/quality.ts'
import type { Sample } from '../../server/wire/sample.ts'
import { makeDirtyData } from '../helpers/dirty_data.ts'

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
const words = async (texts: string[]) => texts.map(text => text.split(/\s+/).filter(Boolean).length)

const data = makeDirtyData(5, 6000)
const options: QualityOptions = { examples: Number.POSITIVE_INFINITY, countTokens: words, maxTokens: 2000 }
const whole = await look(data.samples, options)

/** Least recall and precision of each finding on the planted data. */
const BAR: { [id in FindingId]?: [recall: number, precision: number] } = {
  empty: [1, 1],
  no_answer: [1, 1],
  role_order: [1, 1],
  too_long: [1, 1],
  too_short: [1, 1],
  truncated: [0.95, 0.95],
  repetition: [1, 1],
  control_characters: [1, 1],
  replacement_characters: [1, 1],
  not_nfc: [1, 1],
  mojibake: [0.98, 1],
  duplicate_exact: [1, 1],
  duplicate_near: [0.95, 0.99],
  secret: [0.95, 0.95],
  email: [0.95, 0.95],
  phone: [0.95, 0.95],
  payment: [0.95, 0.95],
}

for (const [id, [leastRecall, leastPrecision]] of Object.entries(BAR)) {
  test(`${id}: what was planted is found, and hardly anything else`, t => {
    const planted = data.planted.get(id as FindingId)!
    const found = new Set(finding(whole.report, id as FindingId).examples.map(({ sample }) => sample - 1))
    const right = [...found].filter(index => planted.has(index)).length
    const [recall, precision] = [right / planted.size, right / found.size]
    t.diagnostic(`${id}: ${planted.size} planted, recall ${recall.toFixed(3)}, precision ${precision.toFixed(3)}`)
    const missed = [...planted].filter(index => !found.has(index)).map(index => data.names.get(index))
    const wrong = [...found].filter(index => !planted.has(index)).map(index => data.names.get(index))
    assert.ok(recall >= leastRecall, `recall ${recall}, missed ${missed.slice(0, 8).join(' | ')}`)
    assert.ok(precision >= leastPrecision, `precision ${precision}, wrong ${wrong.slice(0, 8).join(' | ')}`)
  })
}

test('the report keeps its schema, and its numbers add up', () => {
  const { report } = whole
  QualityReport.parse(JSON.parse(JSON.stringify({ ...report, findings: report.findings })))
  assert.equal(report.samples, data.samples.length)
  assert.equal(report.kept + report.removed, report.samples)
  assert.equal(
    report.findings.reduce((sum, { removed }) => sum + removed, 0),
    report.removed,
  )
  assert.equal(
    report.tokens.histogram.reduce((sum, { samples }) => sum + samples, 0),
    report.samples,
  )
  assert.deepEqual(report.findings.map(({ id }) => id).toSorted(), FindingId.options.toSorted())
})

test('the cleaned copy has what the report says, and no secret in it; neither has the report', async () => {
  const copy = await cleaned(whole, data.samples)
  assert.equal(copy.length, whole.report.kept)
  const text = JSON.stringify(copy)
  const report = JSON.stringify(whole.report) + describeReport(whole.report)
  const caught = finding(whole.report, 'secret').count + finding(whole.report, 'email').count
  assert.ok(caught > 500)
  const leaks = data.secrets.filter(secret => text.includes(JSON.stringify(secret).slice(1, -1)))
  assert.ok(leaks.length <= data.secrets.length * 0.05, leaks.slice(0, 5).join(' '))
  assert.deepEqual(
    data.secrets.filter(secret => !leaks.includes(secret) && report.includes(secret)),
    [],
  )
})

test('a broken text is repaired to exactly what it was', async t => {
  const kept = await cleaned(await look(data.samples, { filters: allOff('mojibake') }), data.samples)
  let exact = 0
  for (const [index, original] of data.originals) {
    const sample = kept[index]!
    if (sample.kind === 'chat' && sample.messages[1]!.content === original) exact++
    else if (JSON.stringify(sample) !== JSON.stringify(data.samples[index]))
      assert.fail(`changed to something else: ${JSON.stringify(sample)}`)
  }
  t.diagnostic(`${exact} of ${data.originals.size} broken texts restored exactly, the others left as they were`)
  assert.ok(exact >= 0.98 * data.originals.size)
  const untouched = [...kept.keys()].filter(index => !data.planted.get('mojibake')!.has(index))
  assert.deepEqual(
    untouched.filter(index => kept[index] !== data.samples[index]),
    [],
  )
})

function allOff(...but: FindingId[]) {
  return Object.fromEntries(FindingId.options.map(id => [id, but.includes(id)]))
}

test('with every filter off nothing is changed and nothing left out', async () => {
  const inspection = await look(data.samples, { filters: allOff() })
  assert.equal(inspection.report.kept, data.samples.length)
  assert.equal(inspection.report.changed, 0)
  assert.deepEqual(await cleaned(inspection, data.samples), data.samples)
  assert.ok(finding(inspection.report, 'secret').count > 100, 'faults are reported all the same')
})

test('cleaning what is clean changes nothing', async () => {
  const on = {
    filters: { mojibake_uncertain: true, role_order: true, truncated: true, too_short: true, too_long: true },
  }
  const first = await cleaned(await look(data.samples, on), data.samples)
  const again = await look(first, on)
  assert.equal(again.report.removed, 0)
  assert.equal(again.report.changed, 0)
  assert.deepEqual(await cleaned(again, first), first)
})

test('the same data gives the same report', async () => {
  assert.deepEqual((await look(data.samples, options)).report, whole.report)
})

test('the text for the terminal names numbers, faults and what was done', () => {
  const text = describeReport(whole.report)
  assert.match(text, /6,000 samples/)
  assert.match(text, /Keys, tokens and passwords: \d+ .* \d+ masked\s+\[secret\]/)
  assert.match(text, /Longer than the context: .*filter off: nothing changed/)
})
