/** Chat completions: the request that reaches the model, the answer, the chunks, and every refusal. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ChatChunk, ChatResponse } from '../../server/wire/chat.ts'
import type { Generate } from '../../server/wire/worker.ts'
import { type FakeOptions, fakeFile, fakeModels, logprob } from '../helpers/fake_models.ts'
import { type Events, type TestHub, testHub } from '../helpers/hub.ts'
import { specMissing, validate } from '../helpers/openapi_spec.ts'

const PATH = '/v1/chat/completions'
const HI = { model: 'fake', messages: [{ role: 'user', content: 'hi' }] }
const WEATHER = {
  type: 'function',
  function: {
    name: 'weather',
    description: 'Weather of a city',
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  },
}
const TIME = { type: 'function', function: { name: 'time' } }

/** Sends a body over the plain one and gives back what reached the model. */
async function sent(
  context: Parameters<typeof testHub>[0],
  body: object,
  options: FakeOptions = {},
): Promise<Generate> {
  const models = fakeModels(options)
  const hub = await testHub(context, { models })
  const answer = await hub.post(PATH, { ...HI, ...body })
  assert.equal(answer.status, 200, answer.text)
  assert.equal(models.held(), 0)
  return models.generated[0]!
}

test('roles, content parts, tool calls and reasoning of a conversation reach the model', async context => {
  const request = await sent(context, {
    messages: [
      { role: 'developer', content: 'Be brief.' },
      {
        role: 'system',
        content: [
          { type: 'text', text: 'Two' },
          { type: 'text', text: ' parts.' },
        ],
        name: 'sys',
      },
      { role: 'user', content: 'Weather?' },
      {
        role: 'assistant',
        content: null,
        reasoning_content: 'Ask.',
        refusal: null,
        tool_calls: [{ id: 'c1', type: 'function', function: { name: 'weather', arguments: '{"city":"Hue"}' } }],
      },
      { role: 'tool', tool_call_id: 'c1', content: 'rain' },
      { role: 'assistant', content: [{ type: 'refusal', refusal: 'No.' }] },
      { role: 'user', content: '' },
    ],
  })
  assert.equal(request.prompt.type, 'chat')
  assert.deepEqual(request.prompt.type === 'chat' && request.prompt.messages, [
    { role: 'developer', content: 'Be brief.' },
    { role: 'system', content: 'Two parts.', name: 'sys' },
    { role: 'user', content: 'Weather?' },
    {
      role: 'assistant',
      content: null,
      reasoning: 'Ask.',
      toolCalls: [{ id: 'c1', name: 'weather', arguments: '{"city":"Hue"}' }],
    },
    { role: 'tool', content: 'rain', toolCallId: 'c1' },
    { role: 'assistant', content: 'No.' },
    { role: 'user', content: '' },
  ])
})

test('a plain request leaves everything to the model and the engine', async context => {
  assert.deepEqual(await sent(context, {}), {
    prompt: {
      type: 'chat',
      messages: [{ role: 'user', content: 'hi' }],
      tools: [],
      toolChoice: 'none',
      parallelToolCalls: true,
      templateVariables: {},
    },
    format: { type: 'text' },
    sampling: {},
    stop: [],
    n: 1,
    cachePrompt: true,
    adapters: [],
  })
})

test('every parameter reaches the model under its name', async context => {
  const request = await sent(context, {
    max_completion_tokens: 9,
    temperature: 0,
    top_p: 0.5,
    top_k: 3,
    min_p: 0.1,
    typical_p: 0.9,
    top_n_sigma: 1,
    xtc_probability: 0.2,
    xtc_threshold: 0.3,
    repeat_penalty: 1.1,
    repeat_last_n: 32,
    frequency_penalty: -1,
    presence_penalty: 1,
    dry_multiplier: 0.8,
    dry_base: 1.75,
    dry_allowed_length: 2,
    dry_penalty_last_n: -1,
    dry_sequence_breakers: ['\n'],
    logit_bias: { 7: -100, 8: 2.5 },
    seed: 42,
    stop: ['a', 'b'],
    n: 2,
    logprobs: true,
    top_logprobs: 4,
    cache_prompt: false,
    ignore_eos: true,
    t_max_predict_ms: 500,
    adapters: [{ name: 'law', scale: 0.5 }, { name: 'med' }],
    reasoning_effort: 'low',
    chat_template_kwargs: { enable_thinking: false },
    user: 'u',
    metadata: { a: 'b' },
    safety_identifier: 's',
    prompt_cache_key: 'k',
    store: false,
    service_tier: 'auto',
    modalities: ['text'],
    verbosity: 'medium',
  })
  assert.deepEqual(request.sampling, {
    temperature: 0,
    topP: 0.5,
    topK: 3,
    minP: 0.1,
    typicalP: 0.9,
    topNSigma: 1,
    xtcProbability: 0.2,
    xtcThreshold: 0.3,
    repeatPenalty: 1.1,
    repeatLastN: 32,
    frequencyPenalty: -1,
    presencePenalty: 1,
    dryMultiplier: 0.8,
    dryBase: 1.75,
    dryAllowedLength: 2,
    dryPenaltyLastN: -1,
    drySequenceBreakers: ['\n'],
    logitBias: [
      [7, -100],
      [8, 2.5],
    ],
    seed: 42,
  })
  const { prompt: _, sampling: __, ...rest } = request
  assert.deepEqual(rest, {
    format: { type: 'text' },
    maxTokens: 9,
    stop: ['a', 'b'],
    n: 2,
    topLogprobs: 4,
    cachePrompt: false,
    ignoreEos: true,
    maxGenerateMs: 500,
    adapters: [
      { name: 'law', scale: 0.5 },
      { name: 'med', scale: 1 },
    ],
  })
  assert.equal(request.prompt.type === 'chat' && request.prompt.reasoningEffort, 'low')
  assert.deepEqual(request.prompt.type === 'chat' && request.prompt.templateVariables, { enable_thinking: false })
})

test('null is the same as absent', async context => {
  const nulls = { temperature: null, stop: null, tools: null, max_tokens: null, functions: null, stream: null, n: null }
  assert.deepEqual(await sent(context, nulls), await sent(context, {}))
})

test("sampling that the request leaves out comes from the model's card", async context => {
  const files = [fakeFile('fake', { sidecar: { sampling: { temperature: 0.3, top_k: 20 } } })]
  const request = await sent(context, { temperature: 1 }, { files })
  assert.deepEqual(request.sampling, { temperature: 1, topK: 20 })
})

test('a seed of any size becomes one of 32 bits, and -1 a random one', async context => {
  assert.equal((await sent(context, { seed: 2 ** 32 + 5 })).sampling.seed, 5)
  assert.equal((await sent(context, { seed: -2 })).sampling.seed, 2 ** 32 - 2)
  assert.equal((await sent(context, { seed: -1 })).sampling.seed, undefined)
})

test('tool_choice decides which calls must or may come', async context => {
  const tools = [WEATHER, TIME]
  const choose = async (tool_choice?: unknown): Promise<unknown> => {
    const { prompt } = await sent(context, { tools, ...(tool_choice !== undefined && { tool_choice }) })
    return prompt.type === 'chat' && [prompt.tools.map(tool => tool.name), prompt.toolChoice]
  }
  const names = ['weather', 'time']
  const allow = (mode: string): object => ({ type: 'allowed_tools', allowed_tools: { mode, tools: [TIME] } })
  assert.deepEqual(await choose(), [names, 'auto'])
  assert.deepEqual(await choose('none'), [names, 'none'])
  assert.deepEqual(await choose('required'), [names, 'required'])
  assert.deepEqual(await choose(TIME), [names, { names: ['time'] }])
  assert.deepEqual(await choose(allow('required')), [names, { names: ['time'] }])
  assert.deepEqual(await choose(allow('auto')), [['time'], 'auto'])
})

test('response_format and grammar become the format', async context => {
  const schema = { type: 'object', properties: {}, additionalProperties: false }
  const format = async (body: object): Promise<unknown> => (await sent(context, body)).format
  const json = { type: 'json_schema', json_schema: { name: 'x', schema, strict: true } }
  assert.deepEqual(await format({ response_format: { type: 'text' } }), { type: 'text' })
  assert.deepEqual(await format({ response_format: { type: 'json_object' } }), { type: 'json_object' })
  assert.deepEqual(await format({ response_format: json }), { type: 'json_schema', schema })
  assert.deepEqual(await format({ grammar: 'root ::= "a"' }), { type: 'grammar', grammar: 'root ::= "a"' })
})

test('continue_final_message goes on with the last assistant message', async context => {
  const messages = [...HI.messages, { role: 'assistant', content: 'Well' }]
  const { prompt } = await sent(context, { messages, continue_final_message: true })
  assert.equal(prompt.type === 'chat' && prompt.continueLast, true)
})

test('the answer has text, usage and timings', async context => {
  const hub = await testHub(context)
  const { json } = await hub.post(PATH, HI)
  const answer = ChatResponse.parse(json)
  assert.deepEqual(answer.choices, [
    {
      index: 0,
      message: { role: 'assistant', content: 'Hello world!', refusal: null },
      logprobs: null,
      finish_reason: 'stop',
    },
  ])
  assert.deepEqual(answer.usage, {
    prompt_tokens: 7,
    completion_tokens: 3,
    total_tokens: 10,
    prompt_tokens_details: { cached_tokens: 3 },
    completion_tokens_details: { reasoning_tokens: 0 },
  })
  assert.equal(answer.timings.cache_n, 3)
})

test('the answer has reasoning, tool calls put together from their pieces, and no content beside them', async context => {
  const models = fakeModels({
    answer: () => ({
      deltas: [
        { reasoning: 'Hm' },
        { reasoning: '.' },
        { toolCalls: [{ index: 0, id: 'a', name: 'weather', arguments: '' }] },
        {
          toolCalls: [
            { index: 0, arguments: '{}' },
            { index: 1, id: 'b', name: 'time', arguments: '{' },
          ],
        },
        { toolCalls: [{ index: 1, arguments: '}' }] },
      ],
      finishReason: 'tool_calls',
    }),
  })
  const hub = await testHub(context, { models })
  const { json } = await hub.post(PATH, { ...HI, tools: [WEATHER, TIME] })
  assert.deepEqual(ChatResponse.parse(json).choices[0], {
    index: 0,
    message: {
      role: 'assistant',
      content: null,
      refusal: null,
      reasoning_content: 'Hm.',
      tool_calls: [
        { id: 'a', type: 'function', function: { name: 'weather', arguments: '{}' } },
        { id: 'b', type: 'function', function: { name: 'time', arguments: '{}' } },
      ],
    },
    logprobs: null,
    finish_reason: 'tool_calls',
  })
})

test('chunks: role first, then text, the finish with timings last, then [DONE]', async context => {
  const hub = await testHub(context)
  const events = await hub.events(PATH, { ...HI, stream: true })
  assert.equal(events.headers.get('content-type'), 'text/event-stream; charset=utf-8')
  assert.equal(events.data.at(-1), '[DONE]')
  const chunks = events.json.map(chunk => ChatChunk.parse(chunk))
  assert.deepEqual(
    chunks.map(chunk => [chunk.choices[0]?.delta, chunk.choices[0]?.finish_reason]),
    [
      [{ role: 'assistant', content: '', refusal: null }, null],
      [{ content: 'Hello' }, null],
      [{ content: ' world' }, null],
      [{ content: '!' }, null],
      [{}, 'stop'],
    ],
  )
  assert.equal(new Set(chunks.map(chunk => chunk.id)).size, 1)
  assert.ok(chunks.every(chunk => !('usage' in chunk)))
  assert.equal(chunks.at(-1)?.timings?.predicted_n, 3)
})

test('include_usage adds a last chunk with usage, and null in the others', async context => {
  const hub = await testHub(context)
  const { json } = await hub.events(PATH, { ...HI, stream: true, stream_options: { include_usage: true } })
  const chunks = json.map(chunk => ChatChunk.parse(chunk))
  assert.deepEqual(chunks.at(-1)?.choices, [])
  assert.equal(chunks.at(-1)?.usage?.total_tokens, 10)
  assert.ok(chunks.slice(0, -1).every(chunk => chunk.usage === null))
})

test('several choices come interleaved, each with its role and finish', async context => {
  const hub = await testHub(context)
  const chunks = (await hub.events(PATH, { ...HI, stream: true, n: 3 })).json.map(chunk => ChatChunk.parse(chunk))
  for (const index of [0, 1, 2]) {
    const own = chunks.flatMap(chunk => chunk.choices).filter(choice => choice.index === index)
    assert.equal(own[0]?.delta.role, 'assistant')
    assert.equal(own.map(choice => choice.delta.content ?? '').join(''), 'Hello world!')
    assert.equal(own.at(-1)?.finish_reason, 'stop')
  }
  assert.equal(chunks.filter(chunk => chunk.timings !== undefined).length, 1)
})

test('chunks of tool calls: id, type and name once, then arguments', async context => {
  const hub = await testHub(context)
  const { json } = await hub.events(PATH, { ...HI, stream: true, tools: [WEATHER], tool_choice: 'required' })
  const calls = json.map(chunk => ChatChunk.parse(chunk)).flatMap(chunk => chunk.choices[0]?.delta.tool_calls ?? [])
  assert.deepEqual(calls, [
    { index: 0, id: 'call_0', type: 'function', function: { name: 'weather', arguments: '' } },
    { index: 0, function: { arguments: '{"city":' } },
    { index: 0, function: { arguments: '"Hanoi"}' } },
  ])
})

test('log probabilities are in the answer and in the chunks', async context => {
  const hub = await testHub(context)
  const body = { ...HI, logprobs: true, top_logprobs: 2 }
  const entry = (token: string): object => {
    const { id: _, top, ...own } = logprob(token)
    return { ...own, top_logprobs: top.map(({ id: _, ...one }) => one) }
  }
  const whole = ChatResponse.parse((await hub.post(PATH, body)).json).choices[0]?.logprobs
  assert.deepEqual(whole, { content: ['Hello', ' world', '!'].map(entry), refusal: null })
  const chunks = (await hub.events(PATH, { ...body, stream: true })).json.map(chunk => ChatChunk.parse(chunk))
  assert.deepEqual(
    chunks.flatMap(chunk => chunk.choices[0]?.logprobs?.content ?? []),
    ['Hello', ' world', '!'].map(entry),
  )
})

test('an error before the first chunk has its status, one after it is an error event at the end', async context => {
  const error = { code: 'worker_crashed' as const, message: 'The model stopped.' }
  const early = await testHub(context, { models: fakeModels({ answer: () => ({ deltas: [], error }) }) })
  assert.equal((await early.post(PATH, { ...HI, stream: true })).status, 503)
  const models = fakeModels({ answer: () => ({ deltas: [{ content: 'a' }], error }) })
  const late = await testHub(context, { models })
  const events = await late.events(PATH, { ...HI, stream: true })
  assert.equal(events.status, 200)
  assert.deepEqual(events.json.at(-1), {
    error: { message: 'The model stopped.', type: 'server_error', param: null, code: 'worker_crashed' },
  })
  assert.ok(!events.data.includes('[DONE]'))
  assert.equal(models.held(), 0)
})

test('what is wrong is refused with 400 and its name', async context => {
  const hub = await testHub(context)
  const user = HI.messages[0]
  const named = { type: 'function', function: { name: 'nope' } }
  const bad: [body: object, param: string, words?: RegExp][] = [
    [{ foo: 1 }, 'foo'],
    [{ model: undefined }, 'model', /Missing/],
    [{ model: 3 }, 'model'],
    [{ messages: [] }, 'messages'],
    [{ messages: 'hi' }, 'messages'],
    [{ messages: [{ role: 'user' }] }, 'messages.0.content'],
    [{ messages: [user, { role: 'user', content: 3 }] }, 'messages.1.content'],
    [{ messages: [{ role: 'user', content: 'x', cache: 1 }] }, 'messages.0.cache'],
    [{ messages: [{ role: 'function', name: 'f', content: 'x' }] }, 'messages.0.role', /tool_call_id/],
    [{ messages: [{ role: 'robot', content: 'x' }] }, 'messages.0.role', /robot/],
    [{ messages: [{ role: 'assistant' }] }, 'messages.0.content'],
    [{ messages: [{ role: 'assistant', content: 'x', function_call: {} }] }, 'messages.0.function_call', /tool_calls/],
    [{ messages: [{ role: 'tool', content: 'x' }] }, 'messages.0.tool_call_id'],
    ...['image_url', 'input_audio', 'file', 'dance'].map((type): [object, string, RegExp] => [
      { messages: [{ role: 'user', content: [{ type, [type]: {} }] }] },
      'messages.0.content.0.type',
      new RegExp(type),
    ]),
    [{ temperature: 2.1 }, 'temperature'],
    [{ temperature: '1' }, 'temperature'],
    [{ top_p: -1 }, 'top_p'],
    [{ n: 17 }, 'n'],
    [{ max_tokens: 0 }, 'max_tokens'],
    [{ max_tokens: 5, max_completion_tokens: 6 }, 'max_tokens'],
    [{ stop: Array(17).fill('x') }, 'stop'],
    [{ stop: [''] }, 'stop.0'],
    [{ logit_bias: { abc: 1 } }, 'logit_bias.abc'],
    [{ logit_bias: { 1: 101 } }, 'logit_bias.1'],
    [{ logit_bias: { 1000: 1 } }, 'logit_bias'],
    [{ top_logprobs: 2 }, 'top_logprobs'],
    [{ logprobs: true, top_logprobs: 21 }, 'top_logprobs'],
    [{ stream_options: { include_usage: true } }, 'stream_options'],
    [{ stream: true, stream_options: { include_obfuscation: true } }, 'stream_options.include_obfuscation'],
    [{ tools: [WEATHER, WEATHER] }, 'tools.1.function.name'],
    [{ tools: [{ type: 'custom', custom: { name: 'x' } }] }, 'tools.0.type', /function/],
    [{ tools: [{ type: 'function', function: { name: 'a b' } }] }, 'tools.0.function.name'],
    [{ tool_choice: 'required' }, 'tool_choice'],
    [{ tools: [WEATHER], tool_choice: named }, 'tool_choice.function.name', /nope/],
    [{ tools: [WEATHER], tool_choice: 'maybe' }, 'tool_choice'],
    [{ response_format: { type: 'xml' } }, 'response_format.type'],
    [{ response_format: { type: 'json_schema' } }, 'response_format.json_schema'],
    [{ response_format: { type: 'json_object' }, grammar: 'root ::= "a"' }, 'grammar'],
    [{ continue_final_message: true }, 'continue_final_message'],
    [{ reasoning_effort: 'huge' }, 'reasoning_effort'],
    [{ adapters: [{ name: 'x', weight: 1 }] }, 'adapters.0.weight'],
    [{ functions: [] }, 'functions', /tools/],
    [{ function_call: 'auto' }, 'function_call', /tool_choice/],
    [{ service_tier: 'flex' }, 'service_tier'],
    [{ modalities: ['text', 'audio'] }, 'modalities.1'],
    [{ verbosity: 'high' }, 'verbosity'],
    [{ audio: { voice: 'x', format: 'mp3' } }, 'audio'],
    [{ prediction: { type: 'content', content: 'x' } }, 'prediction'],
    [{ web_search_options: {} }, 'web_search_options'],
  ]
  for (const [body, param, words] of bad) {
    const answer = await hub.post(PATH, { ...HI, ...body })
    const { error } = answer.json as { error: { param: string; message: string; type: string } }
    assert.deepEqual([answer.status, error.type, error.param], [400, 'invalid_request_error', param], answer.text)
    if (words !== undefined) assert.match(error.message, words)
  }
})

test('an unknown model is 404, a broken one 409, an embedding model 400', async context => {
  const hub = await testHub(context)
  const missing = await hub.post(PATH, { ...HI, model: 'nope' })
  assert.equal(missing.status, 404)
  assert.match(missing.text, /"model_not_found"/)
  assert.equal((await hub.post(PATH, { ...HI, model: 'damaged' })).status, 409)
  const models = fakeModels({ info: { canGenerate: false } })
  const embedder = await testHub(context, { models })
  assert.equal((await embedder.post(PATH, HI)).status, 400)
  assert.equal(models.held(), 0)
})

test('answers and chunks have the shape of the specification', { skip: specMissing }, async context => {
  const hub = await testHub(context)
  const bodies: object[] = [
    {},
    { n: 2, logprobs: true, top_logprobs: 2 },
    { tools: [WEATHER], tool_choice: 'required' },
    { response_format: { type: 'json_object' } },
    { stream_options: { include_usage: true } },
  ]
  for (const body of bodies) {
    if (!('stream_options' in body)) {
      assert.deepEqual(validate('CreateChatCompletionResponse', (await hub.post(PATH, { ...HI, ...body })).json), [])
    }
    await checkChunks(hub, { ...HI, ...body, stream: true })
  }
})

async function checkChunks(hub: TestHub, body: object): Promise<Events> {
  const events = await hub.events(PATH, body)
  assert.ok(events.json.length > 2)
  for (const chunk of events.json) assert.deepEqual(validate('CreateChatCompletionStreamResponse', chunk), [])
  return events
}
