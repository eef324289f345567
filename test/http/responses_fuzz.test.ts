/** Random and near-valid bodies on POST /v1/responses: never a 5xx, every refusal in OpenAI's shape, every answer as the specification says. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import fc from 'fast-check'
import { responsesRoutes } from '../../server/http/responses.ts'
import { MIGRATIONS, migrate, readMigrations } from '../../server/storage/migrate.ts'
import { openSqlite } from '../../server/storage/sqlite.ts'
import { ErrorOut } from '../../server/wire/common.ts'
import { ResponseOut, ResponsesRequest } from '../../server/wire/responses.ts'
import { fakeModels } from '../helpers/fake_models.ts'
import { testHub } from '../helpers/hub.ts'
import { specMissing, validate } from '../helpers/openapi_spec.ts'

const db = openSqlite(':memory:')
migrate(db, readMigrations(MIGRATIONS), () => 0)
const models = fakeModels()
const hub = await testHub({ after }, { models, routes: deps => responsesRoutes({ ...deps, db }) })
after(() => db.close())

const tool = { type: 'function', name: 'f', parameters: { type: 'object' } }
const items = [
  { role: 'system', content: 's' },
  { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'u' }] },
  { type: 'reasoning', id: 'r', summary: [{ type: 'summary_text', text: 'w' }] },
  { type: 'message', role: 'assistant', id: 'm', content: [{ type: 'output_text', text: 'a', annotations: [] }] },
  { type: 'function_call', call_id: 'c', name: 'f', arguments: '{}' },
  { type: 'function_call_output', call_id: 'c', output: 'o' },
]
const base = {
  model: 'fake',
  input: items,
  tools: [tool],
  tool_choice: { type: 'allowed_tools', mode: 'auto', tools: [{ type: 'function', name: 'f' }] },
  text: { format: { type: 'json_schema', name: 'n', schema: {} } },
  reasoning: { effort: 'low' },
}

/** Values that come close to what parameters take. */
const likely = fc.constantFrom<unknown>(
  null,
  true,
  false,
  0,
  1,
  -1,
  0.5,
  2 ** 53,
  1e308,
  '',
  'fake',
  'auto',
  'required',
  'disabled',
  'x\u0000\ud800',
  [],
  ['message.output_text.logprobs'],
  {},
  items,
  items.slice(4),
  [...items, ...items],
  tool,
  [tool, tool],
  { format: { type: 'json_object' } },
  { format: null },
  [{ role: 'assistant', content: [] }],
  [{ type: 'function_call_output', call_id: 'x', output: [] }],
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

const keys = fc.constantFrom(...Object.keys(ResponsesRequest.shape), 'foo', '__proto__')
const pairs = fc.array(fc.tuple(keys, fc.oneof(likely, fc.jsonValue())), { maxLength: 4 })
const place = fc.array(fc.nat(20), { minLength: 1, maxLength: 5 })
const body = fc.oneof(
  { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 4 }) },
  { weight: 3, arbitrary: pairs.map(given => ({ ...base, ...Object.fromEntries(given) })) },
  { weight: 2, arbitrary: pairs.map(given => ({ model: 'fake', input: 'x', ...Object.fromEntries(given) })) },
  { weight: 2, arbitrary: pairs.map(given => ({ ...base, stream: true, ...Object.fromEntries(given) })) },
  {
    weight: 4,
    arbitrary: fc.tuple(place, fc.oneof(likely, fc.jsonValue())).map(([at, put]) => graft(base, at, put)),
  },
)

test('POST /v1/responses takes or refuses whatever comes', async () => {
  const seen = { taken: 0, streamed: 0, refused: 0 }
  await fc.assert(
    fc.asyncProperty(body, async value => {
      const answer = await hub.post('/v1/responses', value)
      assert.ok(answer.status < 500, answer.text)
      if (answer.status !== 200) {
        seen.refused++
        ErrorOut.parse(answer.json)
      } else if (answer.json === undefined) {
        seen.streamed++
        assert.match(answer.text, /^event: response\.created\n[\s\S]*event: response\.completed\n.*\n\n$/)
      } else {
        seen.taken++
        const { id, store } = ResponseOut.parse(answer.json)
        if (specMissing === false) assert.deepEqual(validate('Response', answer.json), [])
        assert.equal((await hub.get(`/v1/responses/${id}`)).status, store ? 200 : 404)
      }
    }),
    { seed: 20_261_122, numRuns: 600 },
  )
  assert.equal(models.held(), 0)
  assert.ok(seen.taken > 50 && seen.streamed > 0 && seen.refused > 100, JSON.stringify(seen))
})

test('whatever id is asked for, the answer is a 404 or the response', async () => {
  await fc.assert(
    fc.asyncProperty(fc.string({ unit: 'binary', minLength: 1, maxLength: 40 }), async id => {
      const encoded = encodeURIComponent(id.toWellFormed())
      const answer = await hub.get(`/v1/responses/${encoded}`)
      assert.ok([200, 400, 404].includes(answer.status), `${answer.status} ${encoded}`)
      if (answer.status !== 200) ErrorOut.parse(answer.json)
    }),
    { seed: 5, numRuns: 200 },
  )
})
