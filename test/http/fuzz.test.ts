/** Random and near-valid bodies on every POST: never a 5xx, and every refusal in OpenAI's shape. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import fc from 'fast-check'
import type * as z from 'zod'
import { ApplyTemplateRequest, ChatRequest } from '../../server/wire/chat.ts'
import { ErrorOut } from '../../server/wire/common.ts'
import { CompletionRequest, DetokenizeRequest, InfillRequest, TokenizeRequest } from '../../server/wire/completions.ts'
import { EmbeddingRequest } from '../../server/wire/embeddings.ts'
import { ModelRequest } from '../../server/wire/system.ts'
import { fakeModels } from '../helpers/fake_models.ts'
import { testHub } from '../helpers/hub.ts'

const models = fakeModels()
const hub = await testHub({ after }, { models })

const messages = [
  { role: 'system', content: 'x' },
  { role: 'user', content: [{ type: 'text', text: 'y' }] },
]
const tool = { type: 'function', function: { name: 'f', parameters: { type: 'object' } } }
const bases: [path: string, schema: z.ZodObject, base: object][] = [
  ['/v1/chat/completions', ChatRequest, { model: 'fake', messages, tools: [tool] }],
  ['/v1/completions', CompletionRequest, { model: 'fake', prompt: ['a', 'b'] }],
  ['/v1/embeddings', EmbeddingRequest, { model: 'fake', input: [[1, 2], [3]] }],
  ['/infill', InfillRequest, { input_prefix: 'a', input_suffix: 'b', input_extra: [{ text: 'x' }] }],
  ['/tokenize', TokenizeRequest, { content: 'abc' }],
  ['/detokenize', DetokenizeRequest, { tokens: [1, 2] }],
  ['/apply-template', ApplyTemplateRequest, { messages }],
  ['/v1/models/load', ModelRequest, { model: 'fake' }],
  ['/v1/models/unload', ModelRequest, { model: 'fake' }],
]

/** Values that come close to what parameters take. */
const likely = fc.constantFrom<unknown>(
  null,
  true,
  false,
  0,
  1,
  2,
  16,
  -1,
  0.5,
  2 ** 31,
  2 ** 53,
  1e308,
  '',
  'fake',
  'auto',
  'required',
  'x\u0000\ud800',
  [],
  ['a'],
  [1],
  [[1], ['x']],
  {},
  { type: 'json_object' },
  { type: 'function', function: { name: 'f' } },
  [{ role: 'assistant', tool_calls: [{ id: '1', function: { name: 'f', arguments: '{' } }] }],
  [{ role: 'user', content: null }],
  [tool, tool],
  { __proto__: null, '1': 5 },
  JSON.parse('{"__proto__": {"x": 1}, "constructor": 1}'),
)

/** Replaces one value somewhere inside. */
function graft(value: unknown, path: number[], put: unknown): unknown {
  if (typeof value !== 'object' || value === null || path.length === 0) return put
  const keys = Object.keys(value)
  const key = keys[path[0]! % Math.max(1, keys.length)]
  if (key === undefined) return put
  if (Array.isArray(value)) {
    return value.map((one, at) => (String(at) === key ? graft(one, path.slice(1), put) : one))
  }
  return { ...value, [key]: graft((value as { [key: string]: unknown })[key], path.slice(1), put) }
}

for (const [path, schema, base] of bases) {
  const keys = fc.constantFrom(...Object.keys(schema.shape), 'foo', '__proto__')
  const body = fc.oneof(
    { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 4 }) },
    {
      weight: 4,
      arbitrary: fc
        .array(fc.tuple(keys, fc.oneof(likely, fc.jsonValue())), { maxLength: 4 })
        .map(pairs => ({ ...base, ...Object.fromEntries(pairs) })),
    },
    {
      weight: 3,
      arbitrary: fc
        .tuple(fc.array(fc.nat(20), { minLength: 1, maxLength: 5 }), fc.oneof(likely, fc.jsonValue()))
        .map(([at, put]) => graft(base, at, put)),
    },
  )
  test(`POST ${path} takes or refuses whatever comes`, async () => {
    await fc.assert(
      fc.asyncProperty(body, async value => {
        const answer = await hub.post(path, value)
        assert.ok(answer.status < 500, answer.text)
        if (answer.status !== 200) ErrorOut.parse(answer.json)
        else if (answer.json === undefined) assert.match(answer.text, /^data: [\s\S]*\n\n$/)
      }),
      { seed: 20_261_122, numRuns: 300 },
    )
    assert.equal(models.held(), 0)
  })
}

test('text that is not JSON is a 400', async () => {
  await fc.assert(
    fc.asyncProperty(fc.string({ unit: 'binary', maxLength: 50 }), async text => {
      const answer = await hub.post('/v1/chat/completions', text)
      assert.equal(answer.status, 400)
      ErrorOut.parse(answer.json)
    }),
    { seed: 7, numRuns: 300 },
  )
})
