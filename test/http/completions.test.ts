/** Text completions: prompts of every form, suffix, echo, log probabilities, several prompts at once. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CompletionChunk, CompletionResponse } from '../../server/wire/completions.ts'
import { fakeModels } from '../helpers/fake_models.ts'
import { testHub } from '../helpers/hub.ts'
import { specMissing, validate } from '../helpers/openapi_spec.ts'

const PATH = '/v1/completions'
const ONCE = { model: 'fake', prompt: 'Once' }

test('text, tokens and lists of either become prompts', async context => {
  const models = fakeModels()
  const hub = await testHub(context, { models })
  const prompts: [unknown, object[]][] = [
    ['a', [{ type: 'text', text: 'a', special: true }]],
    [[1, 2], [{ type: 'tokens', tokens: [1, 2] }]],
    [
      ['a', 'b'],
      [
        { type: 'text', text: 'a', special: true },
        { type: 'text', text: 'b', special: true },
      ],
    ],
    [
      [[1], [2, 3]],
      [
        { type: 'tokens', tokens: [1] },
        { type: 'tokens', tokens: [2, 3] },
      ],
    ],
    [undefined, [{ type: 'text', text: '', special: true }]],
  ]
  for (const [prompt, expected] of prompts) {
    models.generated.length = 0
    const answer = await hub.post(PATH, { model: 'fake', prompt })
    assert.equal(answer.status, 200, answer.text)
    assert.deepEqual(
      models.generated.map(request => request.prompt),
      expected,
    )
  }
  assert.equal(models.generated[0]?.maxTokens, 16)
  assert.equal(models.held(), 0)
})

test('a suffix makes a fill-in-the-middle prompt, where the model has one', async context => {
  const models = fakeModels()
  const hub = await testHub(context, { models })
  await hub.post(PATH, { ...ONCE, suffix: 'end' })
  assert.deepEqual(models.generated[0]?.prompt, {
    type: 'infill',
    prefix: 'Once',
    suffix: 'end',
    prompt: '',
    extra: [],
  })
  const plain = await testHub(context, { models: fakeModels({ info: { hasFim: false } }) })
  const answer = await plain.post(PATH, { ...ONCE, suffix: 'end' })
  assert.equal(answer.status, 400)
  assert.match(answer.text, /"param":"suffix"/)
})

test('choices of several prompts are numbered through, usage and timings add up', async context => {
  const hub = await testHub(context)
  const { json } = await hub.post(PATH, { ...ONCE, prompt: ['a', 'b'], n: 2, best_of: 2 })
  const answer = CompletionResponse.parse(json)
  assert.deepEqual(
    answer.choices.map(choice => [choice.index, choice.text, choice.finish_reason]),
    [0, 1, 2, 3].map(index => [index, 'Hello world!', 'stop']),
  )
  assert.equal(answer.usage.completion_tokens, 12)
  assert.equal(answer.timings.predicted_n, 12)
})

test('echo and log probabilities: offsets count characters of the whole text', async context => {
  const hub = await testHub(context)
  const { json } = await hub.post(PATH, { ...ONCE, prompt: '😀nce', echo: true, logprobs: 1, max_tokens: 5 })
  const choice = CompletionResponse.parse(json).choices[0]
  assert.equal(choice?.text, '😀nceHello world!')
  assert.deepEqual(choice?.logprobs?.text_offset.slice(2), [4, 9, 15])
  assert.equal(choice?.logprobs?.token_logprobs[0], null)
  assert.equal(choice?.logprobs?.top_logprobs[0], null)
  assert.deepEqual(choice?.logprobs?.top_logprobs[2], { Hello: -0.25, x: -2 })
})

test('a prompt can be scored without generating', async context => {
  const models = fakeModels()
  const hub = await testHub(context, { models })
  const { json } = await hub.post(PATH, { ...ONCE, echo: true, logprobs: 0, max_tokens: 0 })
  const choice = CompletionResponse.parse(json).choices[0]
  assert.deepEqual([choice?.text, choice?.finish_reason], ['Once', 'length'])
  assert.equal(models.generated[0]?.maxTokens, 0)
})

test('chunks carry the same text as the answer, each choice its finish, and the last one the timings', async context => {
  const hub = await testHub(context)
  const body = { ...ONCE, prompt: ['a', 'b'], echo: true, logprobs: 1, stream: true }
  const events = await hub.events(PATH, body)
  assert.equal(events.data.at(-1), '[DONE]')
  const chunks = events.json.map(chunk => CompletionChunk.parse(chunk))
  for (const [index, prompt] of ['a', 'b'].entries()) {
    const own = chunks.flatMap(chunk => chunk.choices).filter(choice => choice.index === index)
    assert.equal(own.map(choice => choice.text).join(''), `${prompt}Hello world!`)
    assert.deepEqual(own.map(choice => choice.finish_reason).filter(Boolean), ['stop'])
    assert.deepEqual(own.flatMap(choice => choice.logprobs?.text_offset ?? []).slice(2), [1, 6, 12])
  }
  assert.deepEqual(
    chunks.map(chunk => chunk.timings !== undefined),
    chunks.map((_, at) => at === chunks.length - 1),
  )
})

test('include_usage adds the usage of all prompts', async context => {
  const hub = await testHub(context)
  const body = { ...ONCE, prompt: ['a', 'b'], stream: true, stream_options: { include_usage: true } }
  const chunks = (await hub.events(PATH, body)).json.map(chunk => CompletionChunk.parse(chunk))
  assert.equal(chunks.at(-1)?.usage?.prompt_tokens, 14)
  assert.deepEqual(chunks.at(-1)?.choices, [])
  assert.ok(chunks.slice(0, -1).every(chunk => chunk.usage === null))
})

test('when one of several prompts fails, the others stop and the error is told', async context => {
  const error = { code: 'context_length_exceeded' as const, message: 'Too long.', param: 'prompt' }
  const models = fakeModels({
    answer: request =>
      request.prompt.type === 'text' && request.prompt.text === 'b'
        ? { deltas: [], error }
        : { deltas: Array.from({ length: 1000 }, () => ({ content: 'x' })) },
  })
  const hub = await testHub(context, { models })
  const answer = await hub.post(PATH, { ...ONCE, prompt: ['a', 'b'] })
  assert.equal(answer.status, 400)
  assert.match(answer.text, /context_length_exceeded/)
  assert.equal(models.held(), 0)
  assert.equal(models.cancelled(), 1)
})

test('what is wrong is refused with 400 and its name', async context => {
  const hub = await testHub(context)
  const bad: [object, string][] = [
    [{ best_of: 3 }, 'best_of'],
    [{ prompt: 3 }, 'prompt'],
    [{ prompt: [] }, 'prompt'],
    [{ prompt: [1, 'x'] }, 'prompt.1'],
    [{ prompt: [[1], []] }, 'prompt.1'],
    [{ prompt: [1000] }, 'prompt'],
    [{ prompt: [-1] }, 'prompt.0'],
    [{ prompt: [1], suffix: 'x' }, 'suffix'],
    [{ suffix: 'x', echo: true }, 'echo'],
    [{ logprobs: 6 }, 'logprobs'],
    [{ logprobs: true }, 'logprobs'],
    [{ prompt: Array(100).fill('x'), n: 2 }, 'n'],
    [{ messages: [] }, 'messages'],
    [{ stream_options: {} }, 'stream_options'],
  ]
  for (const [body, param] of bad) {
    const answer = await hub.post(PATH, { ...ONCE, ...body })
    const { error } = answer.json as { error: { param: string } }
    assert.deepEqual([answer.status, error.param], [400, param], answer.text)
  }
})

test('answers and chunks have the shape of the specification', { skip: specMissing }, async context => {
  const hub = await testHub(context)
  for (const body of [ONCE, { ...ONCE, logprobs: 2, n: 2 }]) {
    assert.deepEqual(validate('CreateCompletionResponse', (await hub.post(PATH, body)).json), [])
    for (const chunk of (await hub.events(PATH, { ...body, stream: true })).json) {
      // The document gives chunks the shape of the whole answer; OpenAI's own chunks have a null finish until the last.
      const wrong = validate('CreateCompletionResponse', chunk).filter(line => !line.includes('/finish_reason '))
      assert.deepEqual(wrong, [])
    }
  }
})
