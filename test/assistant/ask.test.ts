/** Asking a chat model: fitting the context, structured answers, what happens to bad ones. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import * as z from 'zod'
import { askModel, cutParts, readJson, unusable } from '../../server/assistant/ask.ts'
import { fakeModels } from '../helpers/fake_models.ts'
import { scriptedAsk } from '../helpers/scripted_ask.ts'

const signal = new AbortController().signal
const Count = z.object({ number: z.number() })
const ASK = { system: 'Count.', parts: ['one two'], maxTokens: 50 }

test('a structured answer is asked for by schema, and the model is given back', async () => {
  const { ask, models } = scriptedAsk([{ number: 2 }])
  assert.equal(await ask.json(ASK, Count, ({ number }) => number, signal), 2)
  const [request] = models.generated
  assert.equal(request?.format.type, 'json_schema')
  assert.deepEqual(request?.format.type === 'json_schema' && request.format.schema, {
    type: 'object',
    properties: { number: { type: 'number' } },
    required: ['number'],
    additionalProperties: false,
  })
  assert.equal(request?.maxTokens, 50)
  assert.equal(models.held(), 0)
})

test('a bad answer is asked for once more, otherwise, and then refused', async () => {
  const once = scriptedAsk(['not json', { number: 3 }])
  assert.equal(await once.ask.json(ASK, Count, ({ number }) => number, signal), 3)
  assert.notDeepEqual(once.models.generated[0]?.sampling, once.models.generated[1]?.sampling)
  const never = scriptedAsk([{ other: 1 }])
  await assert.rejects(
    never.ask.json(ASK, Count, value => value, signal),
    { code: 'unusable_answer' },
  )
  assert.equal(never.models.generated.length, 2)
  const refused = scriptedAsk([{ number: 4 }])
  const read = () => {
    throw unusable('Four is no answer.')
  }
  await assert.rejects(refused.ask.json(ASK, Count, read, signal), /Four is no answer/)
  assert.equal(refused.models.held(), 0)
})

test('nothing said is no answer', async () => {
  await assert.rejects(scriptedAsk(['  \n']).ask.text(ASK, signal), { code: 'unusable_answer' })
})

test('what the context does not hold is cut from the parts that may be cut', async () => {
  const { ask, told } = scriptedAsk(['fine'], { info: { contextTokens: 2000 } })
  const before = Array.from({ length: 300 }, (_, line) => `before ${line}\n`).join('')
  const after = Array.from({ length: 300 }, (_, line) => `after ${line}\n`).join('')
  const parts = [{ text: before, lose: 'start' as const }, 'THE PART', { text: after, lose: 'end' as const }]
  await ask.text({ system: 'Look.', parts, maxTokens: 200 }, signal)
  const [said = ''] = told()
  assert.ok(said.length <= 1800 && said.length > 1200, `${said.length} of 1800 characters`)
  assert.match(said, /before 299\nTHE PARTafter 0\n/)
  assert.doesNotMatch(said, /before 0\n|after 299/)
  // Lines stay whole.
  assert.match(said, /\nbefore \d+\n/)
})

test('what may not be cut and is too long is refused, without asking a tokenizer for megabytes', async () => {
  const { ask, models } = scriptedAsk(['fine'], { info: { contextTokens: 1000 } })
  await assert.rejects(ask.text({ ...ASK, parts: ['x'.repeat(3000)] }, signal), { code: 'context_length_exceeded' })
  const asked = models.asked.length
  await assert.rejects(ask.text({ ...ASK, parts: ['x'.repeat(5_000_000)] }, signal), {
    code: 'context_length_exceeded',
  })
  assert.equal(models.asked.length, asked)
  assert.equal(models.held(), 0)
})

test('a model without a chat template is asked by plain text, one without words not at all', async () => {
  const plain = scriptedAsk(['fine'], { info: { hasChatTemplate: false } })
  assert.equal(await plain.ask.text(ASK, signal), 'fine')
  assert.equal(plain.models.generated[0]?.prompt.type, 'text')
  const mute = scriptedAsk(['fine'], { info: { canGenerate: false } })
  await assert.rejects(mute.ask.text(ASK, signal), /embeddings only/)
})

test('a template that knows no switch for thinking is asked again without it, and from then on', async () => {
  const error = {
    code: 'unsupported_parameter' as const,
    message: 'no such variable',
    param: 'chat_template_kwargs.enable_thinking',
  }
  const models = fakeModels({
    info: { contextTokens: 9000 },
    answer: ({ prompt }) =>
      prompt.type === 'chat' && 'enable_thinking' in prompt.templateVariables
        ? { deltas: [], error }
        : { deltas: [{ content: 'fine' }] },
  })
  const ask = askModel(given => models.acquire('fake', given))
  assert.equal(await ask.text(ASK, signal), 'fine')
  assert.equal(await ask.text(ASK, signal), 'fine')
  assert.equal(models.generated.length, 3)
})

test('cancelling ends the generation and gives the model back', async () => {
  const controller = new AbortController()
  const models = fakeModels({ gate: async () => controller.abort(), info: { contextTokens: 9000 } })
  const ask = askModel(given => models.acquire('fake', given))
  await assert.rejects(ask.text(ASK, controller.signal), { code: 'cancelled' })
  assert.equal(models.held(), 0)
  assert.equal(models.cancelled(), 1)
})

test('JSON is found in prose and fences, and saved from a cut-off list', () => {
  const cases: [text: string, value: unknown][] = [
    ['{"a": 1}', { a: 1 }],
    ['Here it is:\n```json\n{"a": {"b": 2}}\n```\nGood luck!', { a: { b: 2 } }],
    ['{"list": [{"a": 1}, {"a": 2}, {"a": ', { list: [{ a: 1 }, { a: 2 }] }],
    ['{"list": [{"a": "}"}, {"a": "x', { list: [{ a: '}' }] }],
    ['{"list": [', undefined],
    ['no braces', undefined],
    ['', undefined],
    ['}{', undefined],
  ]
  for (const [text, value] of cases) assert.deepEqual(readJson(text), value, text)
})

test('cut parts are never longer than allowed, keep their end that matters, and never hold half a character', () => {
  const text = fc.string({ unit: fc.constantFrom('a', '\n', '😀', 'ế', ' '), maxLength: 80 })
  fc.assert(
    fc.property(text, text, fc.nat(100), (first, second, keep) => {
      const cut = cutParts([{ text: first, lose: 'start' }, '|', { text: second, lose: 'end' }], keep)
      const [start = '', end = ''] = cut.split('|')
      assert.ok(first.endsWith(start) && second.startsWith(end))
      assert.ok(cut.length - 1 <= Math.max(keep, 0) || cut.length - 1 === first.length + second.length)
      assert.ok(cut.isWellFormed())
    }),
    { seed: 6, numRuns: 500 },
  )
})
