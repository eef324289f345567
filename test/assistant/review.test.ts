/** Reviews over scripted models: which findings are kept, where they are put, what is merged. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { review } from '../../server/assistant/review.ts'
import { scriptedAsk } from '../helpers/scripted_ask.ts'

const signal = new AbortController().signal
const TEXT = 'function f(a) {\n  if (a = 1) return eval(a)\n\treturn  null\n}\n'
const input = { path: 'a.js', language: 'javascript', text: TEXT }
const finding = (quote: string, more: object = {}) => ({
  quote,
  severity: 'warning',
  category: 'bug',
  reason: 'It is wrong.',
  replacement: '',
  ...more,
})
const found = async (findings: unknown[], more: object = {}) =>
  review(scriptedAsk([{ findings }]).ask, { ...input, ...more }, 'en', signal)

test('a finding is put at the line that it quotes, white space aside', async () => {
  const cases: [quote: string, line: number | undefined][] = [
    ['  if (a = 1) return eval(a)', 1],
    ['if (a = 1) return eval(a)', 1],
    ['return eval(a)', 1],
    ['return null', 2],
    ['```js\nfunction f(a) {\n```', 0],
    ['function f(a) {\n  if (a = 1)', 0],
    ['return undefined', undefined],
    ['}', undefined],
    ['eval', undefined],
    ['', undefined],
  ]
  for (const [quote, line] of cases) {
    const { findings, dropped } = await found([finding(quote)])
    assert.deepEqual(
      findings.map(each => each.line),
      line === undefined ? [] : [line],
      quote,
    )
    assert.equal(dropped, line === undefined ? 1 : 0)
  }
})

test('findings of one line and category are one, the gravest; others stay, in order', async () => {
  const quote = 'if (a = 1) return eval(a)'
  const { findings } = await found([
    finding('return null', { category: 'style', severity: 'info' }),
    finding(quote, { reason: 'Assigns.' }),
    finding(quote, { reason: 'Assigns, always true.', severity: 'error', replacement: 'if (a === 1) return eval(a)' }),
    finding(quote, { category: 'security', reason: 'Runs input.' }),
  ])
  assert.deepEqual(findings, [
    {
      line: 1,
      severity: 'error',
      category: 'bug',
      reason: 'Assigns, always true.',
      replacement: 'if (a === 1) return eval(a)',
    },
    { line: 1, severity: 'warning', category: 'security', reason: 'Runs input.' },
    { line: 2, severity: 'info', category: 'style', reason: 'It is wrong.' },
  ])
})

test('a replacement that changes nothing is none, and a finding without a reason is dropped', async () => {
  const { findings, dropped } = await found([
    finding('return null', { replacement: '  return null ' }),
    finding('function f(a) {', { reason: ' !' }),
  ])
  assert.deepEqual(findings, [{ line: 2, severity: 'warning', category: 'bug', reason: 'It is wrong.' }])
  assert.equal(dropped, 1)
})

test('of changed lines only those are judged, marked with a plus that may come back in the quote', async () => {
  const { ask, told } = scriptedAsk([
    { findings: [finding('+\treturn  null', { replacement: '+return 0' }), finding('function f(a) {')] },
  ])
  const lines = [{ from: 2, to: 3 }]
  const { findings, dropped } = await review(ask, { ...input, lines }, 'vi', signal)
  assert.deepEqual(findings, [
    { line: 2, severity: 'warning', category: 'bug', reason: 'It is wrong.', replacement: 'return 0' },
  ])
  assert.equal(dropped, 1)
  assert.match(told()[0]!, /Vietnamese[\s\S]* function f\(a\) \{\n {3}if[^\n]*\n\+\treturn {2}null\n \}/)
})

test('what is too long for the context is reviewed in pieces that hold all of it once', async () => {
  const text = Array.from({ length: 900 }, (_, line) => `call_${line}(${'x'.repeat(20)})`).join('\n')
  const { ask, told, models } = scriptedAsk([{ findings: [] }], { info: { contextTokens: 6000 } })
  await review(ask, { ...input, text }, 'en', signal)
  assert.ok(models.generated.length > 5)
  const seen = told().flatMap(prompt =>
    [...prompt.matchAll(/call_(\d+)\(/g)].map(([, line]) => globalThis.Number(line)),
  )
  assert.deepEqual(
    seen,
    Array.from({ length: 900 }, (_, line) => line),
  )
})

test('an empty text is reviewed without a model, a minified one without its length', async () => {
  const none = scriptedAsk([{ findings: [] }])
  assert.deepEqual(await review(none.ask, { ...input, text: '\n\n  \n}\n' }, 'en', signal), {
    findings: [],
    dropped: 0,
  })
  assert.equal(none.models.generated.length, 0)
  const { ask, told } = scriptedAsk([{ findings: [] }])
  await review(ask, { ...input, text: 'a,'.repeat(500_000) }, 'en', signal)
  assert.ok(told()[0]!.length < 3000)
})

test('a list that was cut off gives its whole findings; broken answers are told', async () => {
  const cut = JSON.stringify({ findings: [finding('return null'), finding('function f(a) {')] }).slice(0, -30)
  const { findings } = await review(scriptedAsk([cut]).ask, input, 'en', signal)
  assert.equal(findings.length, 1)
  await assert.rejects(review(scriptedAsk(['I think it is fine.']).ask, input, 'en', signal), {
    code: 'unusable_answer',
  })
  await assert.rejects(review(scriptedAsk([{ findings: [{ quote: 7 }] }]).ask, input, 'en', signal), {
    code: 'unusable_answer',
  })
})
