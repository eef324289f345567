/** /infill, /tokenize, /detokenize and /apply-template as llama-server's clients use them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { InfillResponse } from '../../server/wire/completions.ts'
import { fakeFile, fakeModels } from '../helpers/fake_models.ts'
import { testHub } from '../helpers/hub.ts'

/** What an editor's client sends for a suggestion. */
const EDITOR = {
  id_slot: 0,
  input_prefix: 'def area(r):\n',
  input_suffix: '\nprint(area(2))\n',
  input_extra: [{ filename: 'util.py', text: 'import math\n', time: [1, 2] }, { text: 'x = 1\n' }],
  prompt: '    return ',
  n_predict: 64,
  n_indent: 4,
  top_k: 40,
  top_p: 0.9,
  samplers: ['top_k', 'top_p', 'infill'],
  stream: false,
  cache_prompt: true,
  t_max_prompt_ms: 500,
  t_max_predict_ms: 250,
}

test("an editor's request reaches the model whole", async context => {
  const models = fakeModels()
  const hub = await testHub(context, { models })
  const answer = await hub.post('/infill', EDITOR)
  assert.equal(answer.status, 200, answer.text)
  assert.deepEqual(models.generated[0], {
    prompt: {
      type: 'infill',
      prefix: EDITOR.input_prefix,
      suffix: EDITOR.input_suffix,
      prompt: EDITOR.prompt,
      extra: [
        { filename: 'util.py', text: 'import math\n' },
        { filename: '', text: 'x = 1\n' },
      ],
    },
    format: { type: 'text' },
    sampling: {
      temperature: 1,
      topK: 40,
      topP: 0.9,
      minP: 0,
      typicalP: 1,
      topNSigma: -1,
      xtcProbability: 0,
      dryMultiplier: 0,
      repeatPenalty: 1,
      frequencyPenalty: 0,
      presencePenalty: 0,
    },
    stop: [],
    n: 1,
    maxTokens: 64,
    minIndent: 4,
    maxGenerateMs: 250,
    cachePrompt: true,
    adapters: [],
  })
})

test('the answer has content, counts and timings', async context => {
  const hub = await testHub(context)
  const answer = InfillResponse.parse((await hub.post('/infill', { ...EDITOR, return_tokens: true })).json)
  assert.equal(answer.content, 'Hello world!')
  assert.deepEqual(
    [answer.stop, answer.tokens_predicted, answer.tokens_evaluated, answer.tokens_cached, answer.truncated],
    [true, 3, 7, 10, false],
  )
  assert.deepEqual([answer.stop_type, answer.tokens, answer.model], ['eos', [5, 5, 5], 'fake'])
  assert.equal(answer.timings?.prompt_n, 4)
})

test('stop_type tells a stop text and the limit', async context => {
  const word = fakeModels({ answer: () => ({ deltas: [{ content: 'a' }], stop: '\n\n' }) })
  const limit = fakeModels({ answer: () => ({ deltas: [{ content: 'a' }], finishReason: 'length' }) })
  const stopOf = async (models: typeof word): Promise<unknown[]> => {
    const hub = await testHub(context, { models })
    const answer = InfillResponse.parse((await hub.post('/infill', EDITOR)).json)
    return [answer.stop_type, answer.stopping_word]
  }
  assert.deepEqual(await stopOf(word), ['word', '\n\n'])
  assert.deepEqual(await stopOf(limit), ['limit', ''])
})

test('response_fields picks fields under their paths, and an empty name picks none', async context => {
  const hub = await testHub(context)
  const response_fields = ['content', 'timings/prompt_n', 'nope', 'timings/nope', '__proto__']
  const { json } = await hub.post('/infill', { ...EDITOR, response_fields })
  assert.deepEqual(json, { content: 'Hello world!', 'timings/prompt_n': 4 })
  assert.deepEqual((await hub.post('/infill', { ...EDITOR, response_fields: [''] })).json, {})
})

test('chunks have content and stop, the last one the rest', async context => {
  const hub = await testHub(context)
  const { json } = await hub.events('/infill', { ...EDITOR, stream: true })
  assert.deepEqual(json.slice(0, -1), [
    { index: 0, content: 'Hello', stop: false },
    { index: 0, content: ' world', stop: false },
    { index: 0, content: '!', stop: false },
  ])
  const last = InfillResponse.parse(json.at(-1))
  assert.deepEqual([last.content, last.stop, last.tokens_predicted], ['', true, 3])
})

test('a request that only warms the cache evaluates the prompt and generates nothing', async context => {
  const models = fakeModels()
  const hub = await testHub(context, { models })
  const body = { ...EDITOR, n_predict: 0, samplers: [], t_max_prompt_ms: 1, t_max_predict_ms: 1, temperature: 0 }
  assert.equal((await hub.post('/infill', body)).status, 200)
  assert.equal(models.generated[0]?.maxTokens, 0)
})

test("a sampler that the list leaves out is off, whatever the model's card says", async context => {
  const files = [fakeFile('fake', { sidecar: { sampling: { temperature: 0.2, min_p: 0.3, top_k: 5 } } })]
  const models = fakeModels({ files })
  const hub = await testHub(context, { models })
  await hub.post('/infill', { samplers: ['top_k', 'temperature'] })
  const sampling = models.generated[0]?.sampling
  assert.deepEqual([sampling?.temperature, sampling?.topK, sampling?.minP], [0.2, 5, 0])
})

test('without a model the best one for code is taken, and without any the request is refused', async context => {
  const purposes: string[] = []
  const hub = await testHub(context, {
    deps: {
      defaultModel: purpose => {
        purposes.push(purpose)
        return purpose === 'code' ? 'team/other' : undefined
      },
    },
  })
  assert.equal(InfillResponse.parse((await hub.post('/infill', EDITOR)).json).model, 'team/other')
  const answer = await hub.post('/tokenize', { content: 'x' })
  assert.equal(answer.status, 400)
  assert.match(answer.text, /"param":"model"/)
  assert.deepEqual(purposes, ['code', 'chat'])
})

test('what is wrong is refused with its name', async context => {
  const hub = await testHub(context)
  const bad: [object, string][] = [
    [{ samplers: ['top_p', 'top_k'] }, 'samplers'],
    [{ samplers: ['mirostat'] }, 'samplers.0'],
    [{ lora: [{ id: 0, scale: 1 }] }, 'lora'],
    [{ n_probs: 3 }, 'n_probs'],
    [{ input_extra: [{ filename: 'x' }] }, 'input_extra.0.text'],
    [{ n_predict: -2 }, 'n_predict'],
    [{ prompt: [1] }, 'prompt'],
  ]
  for (const [body, param] of bad) {
    const answer = await hub.post('/infill', { ...EDITOR, ...body })
    assert.deepEqual([answer.status, (answer.json as { error: { param: string } }).error.param], [400, param])
  }
  const plain = await testHub(context, { models: fakeModels({ info: { hasFim: false } }) })
  assert.equal((await plain.post('/infill', EDITOR)).status, 400)
})

test('text becomes tokens and tokens become text', async context => {
  const models = fakeModels()
  const hub = await testHub(context, { models })
  assert.deepEqual((await hub.post('/tokenize', { content: 'ab' })).json, { tokens: [97, 98] })
  assert.deepEqual(models.asked[0], { type: 'tokenize', text: 'ab', addSpecial: false, parseSpecial: true })
  const body = { content: 'a', add_special: true, parse_special: false, with_pieces: true, model: 'team/other' }
  assert.deepEqual((await hub.post('/tokenize', body)).json, { tokens: [{ id: 97, piece: 'a' }] })
  assert.deepEqual(models.asked[1], { type: 'tokenize', text: 'a', addSpecial: true, parseSpecial: false })
  assert.deepEqual((await hub.post('/detokenize', { tokens: [97, 98] })).json, { content: 'ab' })
  assert.equal((await hub.post('/detokenize', { tokens: [1000] })).status, 400)
  assert.equal((await hub.post('/detokenize', { tokens: ['a'] })).status, 400)
  assert.equal(models.held(), 0)
})

test('messages become the prompt of the template', async context => {
  const models = fakeModels()
  const hub = await testHub(context, { models })
  const answer = await hub.post('/apply-template', { messages: [{ role: 'user', content: 'hi' }] })
  assert.deepEqual(answer.json, { prompt: '<user>hi', tokens: 8 })
  assert.equal((await hub.post('/apply-template', { messages: [] })).status, 400)
})
