/** Embeddings: every form of input, numbers and base64, shortened vectors. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toEmbedding } from '../../server/http/embeddings.ts'
import { EmbeddingResponse } from '../../server/wire/embeddings.ts'
import { fakeFile, fakeModels } from '../helpers/fake_models.ts'
import { testHub } from '../helpers/hub.ts'
import { specMissing, validate } from '../helpers/openapi_spec.ts'

const PATH = '/v1/embeddings'
const BODY = { model: 'fake', input: 'abc' }

test('text, tokens and lists of either are embedded, with their tokens counted', async context => {
  const models = fakeModels()
  const hub = await testHub(context, { models })
  const inputs: [unknown, unknown[], number][] = [
    ['abc', ['abc'], 3],
    [[1, 2], [[1, 2]], 2],
    [['a', 'bc'], ['a', 'bc'], 3],
    [[[1], [2, 3]], [[1], [2, 3]], 3],
  ]
  for (const [input, expected, tokens] of inputs) {
    models.asked.length = 0
    const answer = EmbeddingResponse.parse((await hub.post(PATH, { ...BODY, input })).json)
    assert.deepEqual(models.asked, [{ type: 'embed', inputs: expected }])
    assert.deepEqual(
      answer.data.map(one => one.index),
      expected.map((_, index) => index),
    )
    assert.deepEqual(answer.usage, { prompt_tokens: tokens, total_tokens: tokens })
  }
  assert.equal(models.held(), 0)
})

test('base64 is the same vector as the numbers', async context => {
  const hub = await testHub(context)
  const numbers = EmbeddingResponse.parse((await hub.post(PATH, BODY)).json).data[0]?.embedding
  const base64 = EmbeddingResponse.parse((await hub.post(PATH, { ...BODY, encoding_format: 'base64' })).json).data[0]
  const bytes = Buffer.from(String(base64?.embedding), 'base64')
  assert.deepEqual(
    numbers,
    [0, 4, 8, 12].map(at => bytes.readFloatLE(at)),
  )
})

test('a vector is shortened and normalised only where the card says that it may be', async context => {
  const files = [fakeFile('fake', { sidecar: { matryoshka: true } }), fakeFile('plain')]
  const hub = await testHub(context, { models: fakeModels({ files }) })
  const short = EmbeddingResponse.parse((await hub.post(PATH, { ...BODY, dimensions: 2 })).json).data[0]?.embedding
  assert.ok(Array.isArray(short))
  assert.equal(short.length, 2)
  assert.ok(Math.abs(Math.hypot(...short) - 1) < 1e-9)
  assert.equal((await hub.post(PATH, { ...BODY, model: 'plain', dimensions: 4 })).status, 200)
  for (const body of [
    { ...BODY, dimensions: 5 },
    { ...BODY, model: 'plain', dimensions: 2 },
  ]) {
    const answer = await hub.post(PATH, body)
    assert.equal(answer.status, 400)
    assert.match(answer.text, /"param":"dimensions"/)
  }
})

test('a shortened vector keeps its values in base64', () => {
  const bytes = Buffer.alloc(16)
  for (const [at, value] of [3, 4, 0, 1].entries()) bytes.writeFloatLE(value, at * 4)
  const base64 = bytes.toString('base64')
  assert.deepEqual(toEmbedding(base64, 'float', undefined), [3, 4, 0, 1])
  assert.deepEqual(toEmbedding(base64, 'float', 2), [0.6, 0.8])
  const cut = Buffer.from(String(toEmbedding(base64, 'base64', 2)), 'base64')
  assert.deepEqual([cut.readFloatLE(0), cut.readFloatLE(4)], [Math.fround(0.6), Math.fround(0.8)])
})

test('what is wrong is refused with its name', async context => {
  const hub = await testHub(context)
  const bad: [object, string][] = [
    [{ input: '' }, 'input'],
    [{ input: [] }, 'input'],
    [{ input: [1000] }, 'input'],
    [{ input: ['a', ''] }, 'input.1'],
    [{ input: undefined }, 'input'],
    [{ encoding_format: 'int8' }, 'encoding_format'],
    [{ dimensions: 0 }, 'dimensions'],
    [{ task: 'x' }, 'task'],
  ]
  for (const [body, param] of bad) {
    const answer = await hub.post(PATH, { ...BODY, ...body })
    assert.deepEqual([answer.status, (answer.json as { error: { param: string } }).error.param], [400, param])
  }
  const mute = await testHub(context, { models: fakeModels({ info: { canEmbed: false } }) })
  assert.equal((await mute.post(PATH, BODY)).status, 400)
})

test('the answer has the shape of the specification', { skip: specMissing }, async context => {
  const hub = await testHub(context)
  assert.deepEqual(validate('CreateEmbeddingResponse', (await hub.post(PATH, { ...BODY, input: ['a', 'b'] })).json), [])
})
