/** POST /v1/responses and the stored ones: answers and streams in OpenAI's documented form, refusals by name, conversations. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import OpenAI from 'openai'
import { openApi } from '../../server/http/openapi.ts'
import { responsesRoutes } from '../../server/http/responses.ts'
import { toMessages } from '../../server/http/responses_request.ts'
import type { Database } from '../../server/storage/database.ts'
import { MIGRATIONS, migrate, readMigrations } from '../../server/storage/migrate.ts'
import { openSqlite } from '../../server/storage/sqlite.ts'
import { ErrorOut } from '../../server/wire/common.ts'
import { InputItems, type Item, ResponseEvent, ResponseOut } from '../../server/wire/responses.ts'
import { type FakeModels, type FakeOptions, fakeModels, logprob } from '../helpers/fake_models.ts'
import { type TestHub, testHub } from '../helpers/hub.ts'
import { specMissing, validate } from '../helpers/openapi_spec.ts'

type Setup = { hub: TestHub; models: FakeModels; db: Database; post(body: object): Promise<ResponseOut> }

async function setup(context: TestContext, options: FakeOptions = {}): Promise<Setup> {
  const db = openSqlite(':memory:')
  migrate(db, readMigrations(MIGRATIONS), () => 0)
  const models = fakeModels(options)
  const hub = await testHub(context, {
    models,
    routes: deps => responsesRoutes({ ...deps, db }),
  })
  context.after(() => db.close())
  const post = async (body: object): Promise<ResponseOut> => {
    const answer = await hub.post('/v1/responses', { model: 'fake', ...body })
    assert.equal(answer.status, 200, answer.text)
    conforms('Response', answer.json)
    return ResponseOut.parse(answer.json)
  }
  return { hub, models, db, post }
}

function conforms(schema: string, value: unknown): void {
  if (specMissing === false) assert.deepEqual(validate(schema, value), [])
}

async function stream(hub: TestHub, body: object): Promise<ResponseEvent[]> {
  const { status, json } = await hub.events('/v1/responses', { model: 'fake', stream: true, ...body })
  assert.equal(status, 200)
  const events = json.map(event => ResponseEvent.parse(event))
  assert.deepEqual(
    events.map(event => event.sequence_number),
    events.map((_, index) => index),
  )
  for (const event of json) conforms('ResponseStreamEvent', event)
  return events
}

const types = (events: ResponseEvent[]) => events.map(event => event.type.replace('response.', ''))
const lastResponse = (events: ResponseEvent[]): ResponseOut => {
  const last = events.at(-1)
  assert.ok(last !== undefined && 'response' in last)
  return last.response
}
const weather = { type: 'function', name: 'weather', parameters: { type: 'object' } }
const textOf = ({ output }: ResponseOut) =>
  output.flatMap(item => (item.type === 'message' ? item.content : [])).map(part => ('text' in part ? part.text : ''))

test('answers a text', { skip: specMissing }, async context => {
  const { models, post } = await setup(context)
  const response = await post({
    input: 'hi',
    instructions: 'be brief',
    max_output_tokens: 50,
    temperature: 0,
    top_k: 3,
  })
  assert.deepEqual(textOf(response), ['Hello world!'])
  assert.equal(response.status, 'completed')
  assert.equal(response.usage?.total_tokens, 10)
  assert.equal(response.usage?.input_tokens_details.cached_tokens, 3)
  assert.equal(response.temperature, 0)
  const [request] = models.generated
  assert.deepEqual(request?.prompt.type === 'chat' && request.prompt.messages, [
    { role: 'system', content: 'be brief' },
    { role: 'user', content: 'hi' },
  ])
  assert.equal(request?.maxTokens, 50)
  assert.deepEqual(request?.sampling, { temperature: 0, topK: 3 })
  assert.equal(models.held(), 0)
})

test('streams a text in the documented order', { skip: specMissing }, async context => {
  const { hub } = await setup(context)
  const events = await stream(hub, { input: 'hi' })
  assert.deepEqual(types(events), [
    'created',
    'in_progress',
    'output_item.added',
    'content_part.added',
    'output_text.delta',
    'output_text.delta',
    'output_text.delta',
    'output_text.done',
    'content_part.done',
    'output_item.done',
    'completed',
  ])
  const response = lastResponse(events)
  assert.deepEqual(textOf(response), ['Hello world!'])
  const stored = await hub.get(`/v1/responses/${response.id}`)
  assert.deepEqual(stored.json, response)
})

test('streams reasoning, text and parallel calls as items of their own', { skip: specMissing }, async context => {
  const { hub } = await setup(context, {
    answer: () => ({
      deltas: [
        { reasoning: 'hm' },
        { reasoning: ', well' },
        { content: 'I ask.' },
        { toolCalls: [{ index: 0, id: 'c0', name: 'weather', arguments: '' }] },
        { toolCalls: [{ index: 0, arguments: '{"a":1}' }] },
        { toolCalls: [{ index: 1, id: 'c1', name: 'weather', arguments: '{}' }] },
      ],
      finishReason: 'tool_calls',
    }),
  })
  const events = await stream(hub, { input: 'hi', tools: [weather] })
  assert.deepEqual(types(events).slice(2), [
    'output_item.added',
    'content_part.added',
    'reasoning_text.delta',
    'reasoning_text.delta',
    'reasoning_text.done',
    'content_part.done',
    'output_item.done',
    'output_item.added',
    'content_part.added',
    'output_text.delta',
    'output_text.done',
    'content_part.done',
    'output_item.done',
    'output_item.added',
    'function_call_arguments.delta',
    'function_call_arguments.done',
    'output_item.done',
    'output_item.added',
    'function_call_arguments.delta',
    'function_call_arguments.done',
    'output_item.done',
    'completed',
  ])
  const { output } = lastResponse(events)
  assert.deepEqual(
    output.map(item => [item.type, item.status]),
    [
      ['reasoning', 'completed'],
      ['message', 'completed'],
      ['function_call', 'completed'],
      ['function_call', 'completed'],
    ],
  )
  const added = events.filter(event => event.type === 'response.output_item.added')
  assert.deepEqual(
    added.map(event => [event.output_index, event.item.status, event.item.id]),
    output.map((item, index) => [index, 'in_progress', item.id]),
  )
  const [, , first, second] = output
  assert.ok(first?.type === 'function_call' && second?.type === 'function_call')
  assert.deepEqual([first.call_id, first.arguments, second.call_id, second.arguments], ['c0', '{"a":1}', 'c1', '{}'])
})

test('a stream and an answer say the same', { skip: specMissing }, async context => {
  const { hub, post } = await setup(context)
  const body = { input: 'hi', include: ['message.output_text.logprobs'], top_logprobs: 2 }
  const plain = await post(body)
  const events = await stream(hub, body)
  const neutral = (response: ResponseOut) => ({
    ...response,
    id: '',
    created_at: 0,
    completed_at: 0,
    output: response.output.map(item => ({ ...item, id: '' })),
  })
  assert.deepEqual(neutral(lastResponse(events)), neutral(plain))
  const [message] = plain.output
  assert.ok(message?.type === 'message' && message.content[0]?.type === 'output_text')
  assert.deepEqual(
    message.content[0].logprobs.map(one => one.token),
    ['Hello', ' world', '!'],
  )
  const deltas = events.filter(event => event.type === 'response.output_text.delta')
  assert.deepEqual(
    deltas.map(event => event.logprobs.length),
    [1, 1, 1],
  )
})

test('log probabilities wait for the text that is held back', { skip: specMissing }, async context => {
  const { hub } = await setup(context, {
    answer: () => ({
      deltas: [{ logprobs: [logprob('a')] }, { content: 'ab', logprobs: [logprob('b')] }, { logprobs: [logprob('')] }],
    }),
  })
  const events = await stream(hub, { input: 'hi', include: ['message.output_text.logprobs'] })
  const tokens = (event: ResponseEvent) => ('logprobs' in event ? event.logprobs.map(one => one.token) : undefined)
  assert.deepEqual(events.map(tokens).filter(Boolean), [
    ['a', 'b'],
    ['a', 'b', ''],
  ])
})

test('an answer cut off is incomplete, and an empty one is an empty message', { skip: specMissing }, async context => {
  const { post, hub } = await setup(context, {
    answer: () => ({ deltas: [{ content: 'Hal' }], finishReason: 'length' }),
  })
  const response = await post({ input: 'hi' })
  assert.equal(response.status, 'incomplete')
  assert.deepEqual(response.incomplete_details, { reason: 'max_output_tokens' })
  assert.equal(response.output[0]?.status, 'incomplete')
  assert.equal(types(await stream(hub, { input: 'hi' })).at(-1), 'incomplete')
  const empty = await setup(context, { answer: () => ({ deltas: [] }) })
  assert.deepEqual(textOf(await empty.post({ input: 'hi' })), [''])
})

test('a model that fails midway ends the stream with response.failed, and that is stored', {
  skip: specMissing,
}, async context => {
  const { hub, models } = await setup(context, {
    answer: () => ({ deltas: [{ content: 'Hal' }], error: { code: 'worker_crashed', message: 'gone' } }),
  })
  const events = await stream(hub, { input: 'hi' })
  assert.deepEqual(types(events).slice(-4), ['output_text.done', 'content_part.done', 'output_item.done', 'failed'])
  const response = lastResponse(events)
  assert.deepEqual(response.error, { code: 'server_error', message: 'gone' })
  assert.deepEqual(textOf(response), ['Hal'])
  assert.deepEqual((await hub.get(`/v1/responses/${response.id}`)).json, response)
  const plain = await hub.post('/v1/responses', { model: 'fake', input: 'hi' })
  assert.equal(plain.status, 503)
  assert.equal(models.held(), 0)
})

test('a database that fails ends the stream with response.failed instead of response.completed', {
  skip: specMissing,
}, async context => {
  const { hub, db } = await setup(context)
  db.batch([{ sql: 'drop table responses', params: [] }])
  const events = await stream(hub, { input: 'hi' })
  assert.deepEqual(types(events).slice(-2), ['output_item.done', 'failed'])
  assert.doesNotMatch(lastResponse(events).error?.message ?? '', /no such table/)
  assert.equal((await hub.post('/v1/responses', { model: 'fake', input: 'hi' })).status, 500)
  assert.equal((await hub.post('/v1/responses', { model: 'fake', input: 'hi', store: false })).status, 200)
})

test('a client that leaves stops the generation, and nothing is stored', async context => {
  const reached = Promise.withResolvers<void>()
  let steps = 0
  const { hub, models, db } = await setup(context, {
    gate: () => {
      if (++steps < 3) return Promise.resolve()
      reached.resolve()
      return new Promise(() => {})
    },
  })
  const leave = new AbortController()
  const answer = await fetch(`${hub.url}/v1/responses`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'fake', input: 'hi', stream: true }),
    signal: leave.signal,
  })
  await reached.promise
  leave.abort()
  await assert.rejects(answer.text())
  await hub.close()
  assert.equal(models.cancelled(), 1)
  assert.equal(models.held(), 0)
  assert.deepEqual(db.all('select id from responses'), [])
})

test('previous_response_id goes on with the stored turns, and instructions are those of one turn', async context => {
  const { hub, models, post } = await setup(context)
  const first = await post({ input: 'one', instructions: 'sing' })
  const second = await post({ input: [{ role: 'user', content: 'two' }], previous_response_id: first.id })
  const third = await post({ input: 'three', previous_response_id: second.id, instructions: 'hum' })
  assert.equal(third.previous_response_id, second.id)
  const prompt = models.generated.at(-1)?.prompt
  assert.deepEqual(prompt?.type === 'chat' && prompt.messages, [
    { role: 'system', content: 'hum' },
    { role: 'user', content: 'one' },
    { role: 'assistant', content: 'Hello world!' },
    { role: 'user', content: 'two' },
    { role: 'assistant', content: 'Hello world!' },
    { role: 'user', content: 'three' },
  ])
  const deleted = await fetch(`${hub.url}/v1/responses/${first.id}`, { method: 'DELETE' })
  assert.deepEqual(await deleted.json(), { id: first.id, object: 'response', deleted: true })
  assert.equal((await hub.get(`/v1/responses/${first.id}`)).status, 404)
  assert.equal((await fetch(`${hub.url}/v1/responses/${first.id}`, { method: 'DELETE' })).status, 404)
  const broken = await hub.post('/v1/responses', { model: 'fake', input: 'x', previous_response_id: third.id })
  assert.equal(broken.status, 404)
  const { error } = ErrorOut.parse(broken.json)
  assert.equal(error.param, 'previous_response_id')
  assert.match(error.message, new RegExp(first.id))
})

test('store: false keeps nothing', async context => {
  const { hub, db, post } = await setup(context)
  const { id, store } = await post({ input: 'hi', store: false })
  assert.equal(store, false)
  assert.deepEqual(db.all('select id from responses'), [])
  const next = await hub.post('/v1/responses', { model: 'fake', input: 'x', previous_response_id: id })
  assert.equal(next.status, 404)
})

test('a tool is called, answered and the turn goes on', async context => {
  const { models, post } = await setup(context)
  const asked = await post({ input: 'weather?', tools: [weather], tool_choice: { type: 'function', name: 'weather' } })
  const [call] = asked.output
  assert.ok(call?.type === 'function_call')
  assert.equal(call.arguments, '{"city":"Hanoi"}')
  await post({
    previous_response_id: asked.id,
    tools: [weather],
    input: [{ type: 'function_call_output', call_id: call.call_id, output: [{ type: 'input_text', text: 'rain' }] }],
  })
  const prompt = models.generated.at(-1)?.prompt
  assert.deepEqual(prompt?.type === 'chat' && prompt.messages, [
    { role: 'user', content: 'weather?' },
    {
      role: 'assistant',
      content: null,
      toolCalls: [{ id: call.call_id, name: 'weather', arguments: '{"city":"Hanoi"}' }],
    },
    { role: 'tool', content: 'rain', toolCallId: call.call_id, name: 'weather' },
  ])
})

test('tool choices reach the worker', async context => {
  const { models, post } = await setup(context)
  const other = { ...weather, name: 'other' }
  const choices: [unknown, unknown, number][] = [
    [undefined, 'auto', 2],
    ['none', 'none', 2],
    ['required', 'required', 2],
    [{ type: 'function', name: 'other' }, { names: ['other'] }, 2],
    [
      { type: 'allowed_tools', mode: 'required', tools: [{ type: 'function', name: 'other' }] },
      { names: ['other'] },
      2,
    ],
    [{ type: 'allowed_tools', mode: 'auto', tools: [{ type: 'function', name: 'other' }] }, 'auto', 1],
  ]
  for (const [given, expected, count] of choices) {
    await post({ input: 'x', tools: [weather, other], ...(given !== undefined && { tool_choice: given }) })
    const prompt = models.generated.at(-1)?.prompt
    assert.ok(prompt?.type === 'chat')
    assert.deepEqual([prompt.toolChoice, prompt.tools.length], [expected, count])
  }
})

test('text formats reach the worker and stand in the response', async context => {
  const { models, post } = await setup(context)
  const schema = { type: 'object', properties: {} }
  const json = await post({ input: 'x', text: { format: { type: 'json_schema', name: 's', schema } } })
  assert.deepEqual(models.generated.at(-1)?.format, { type: 'json_schema', schema })
  assert.deepEqual(json.text.format, { type: 'json_schema', name: 's', schema, strict: true })
  await post({ input: 'x', text: { format: { type: 'json_object' } } })
  assert.deepEqual(models.generated.at(-1)?.format, { type: 'json_object' })
})

test('input items are listed with ids, in pages', async context => {
  const { hub, post } = await setup(context)
  const input = [
    { role: 'developer', content: 'd' },
    { role: 'user', content: [{ type: 'input_text', text: 'u' }] },
    { type: 'reasoning', id: 'rs_1', summary: [], content: [{ type: 'reasoning_text', text: 'r' }] },
    { role: 'assistant', content: 'a' },
    { type: 'function_call', call_id: 'c', name: 'f', arguments: '{}' },
    { type: 'function_call_output', call_id: 'c', output: 'o' },
  ]
  const { id } = await post({ input })
  const path = `/v1/responses/${id}/input_items`
  const list = async (query: string) => {
    const answer = await hub.get(path + query)
    assert.equal(answer.status, 200, answer.text)
    conforms('ResponseItemList', answer.json)
    return InputItems.parse(answer.json)
  }
  const all = await list('?order=asc')
  assert.deepEqual(
    all.data.map(item => item.type),
    ['message', 'message', 'reasoning', 'message', 'function_call', 'function_call_output'],
  )
  assert.equal(all.has_more, false)
  const newest = await list('?limit=4')
  assert.deepEqual(newest.data, all.data.toReversed().slice(0, 4))
  assert.equal(newest.has_more, true)
  const rest = await list(`?limit=4&after=${newest.last_id}`)
  assert.deepEqual(rest.data, all.data.toReversed().slice(4))
  for (const query of ['?limit=0', '?limit=x', '?after=nope', '?foo=1']) {
    assert.equal((await hub.get(path + query)).status, 400, query)
  }
  assert.equal((await hub.get('/v1/responses/resp_x/input_items')).status, 404)
  assert.equal((await hub.get(`/v1/responses/${id}?stream=true`)).status, 400)
})

test('reasoning, text and calls of one turn are one message', () => {
  const message = (id: string, text: string): Item => ({
    id,
    type: 'message',
    role: 'assistant',
    status: 'completed',
    content: [{ type: 'output_text', text, annotations: [], logprobs: [] }],
  })
  const items: Item[] = [
    { id: '1', type: 'message', role: 'system', status: 'completed', content: [{ type: 'input_text', text: 's' }] },
    { id: '2', type: 'reasoning', summary: [{ type: 'summary_text', text: 'why' }], status: 'completed' },
    message('3', 'a'),
    { id: '4', type: 'function_call', call_id: 'c', name: 'f', arguments: '{}', status: 'completed' },
    message('5', 'b'),
    message('6', 'c'),
    { id: '7', type: 'reasoning', summary: [], status: 'incomplete' },
  ]
  assert.deepEqual(toMessages('i', items, []), [
    { role: 'system', content: 'i\n\ns' },
    { role: 'assistant', content: 'a', reasoning: 'why', toolCalls: [{ id: 'c', name: 'f', arguments: '{}' }] },
    { role: 'assistant', content: 'b' },
    { role: 'assistant', content: 'c' },
    { role: 'assistant', content: '', reasoning: '' },
  ])
})

const REFUSED: [body: object, param: string, words: RegExp][] = [
  [{ foo: 1 }, 'foo', /Unknown parameter/],
  [{ stop: ['x'] }, 'stop', /Unknown parameter/],
  [{ model: undefined }, 'model', /./],
  [{ input: undefined }, 'input', /text or a list of items/],
  [{ input: [] }, 'input', /empty/],
  [
    { input: [{ role: 'user', content: [{ type: 'input_image', image_url: 'x' }] }] },
    'input.0.content.0.type',
    /input_image/,
  ],
  [
    { input: [{ role: 'user', content: [{ type: 'input_file', file_id: 'x' }] }] },
    'input.0.content.0.type',
    /input_file/,
  ],
  [{ input: [{ role: 'tool', content: 'x' }] }, 'input.0.role', /Unknown role 'tool'/],
  [{ input: [{ type: 'web_search_call', id: 'x' }] }, 'input.0.type', /'web_search_call' are not supported/],
  [{ input: [{ type: 'item_reference', id: 'x' }] }, 'input.0.type', /'item_reference' are not supported/],
  [
    { input: [{ type: 'function_call_output', call_id: 'c', output: 'x' }] },
    'input.0.call_id',
    /answers no function call/,
  ],
  [{ input: [{ role: 'user', content: 'x', name: 'y' }] }, 'input.0.name', /Unknown parameter/],
  [{ tools: [{ type: 'web_search' }] }, 'tools.0.type', /'web_search' are not supported/],
  [{ tools: [weather, weather] }, 'tools.1.name', /Two tools/],
  [{ tool_choice: 'required' }, 'tool_choice', /needs tools/],
  [{ tool_choice: { type: 'function', name: 'f' } }, 'tool_choice.name', /not among the tools/],
  [{ tool_choice: { type: 'file_search' } }, 'tool_choice.type', /'file_search' is not supported/],
  [{ truncation: 'auto' }, 'truncation', /'disabled'/],
  [{ background: true }, 'background', /not supported/],
  [{ service_tier: 'flex' }, 'service_tier', /./],
  [{ conversation: 'c' }, 'conversation', /not supported/],
  [{ prompt: { id: 'x' } }, 'prompt', /not supported/],
  [{ max_tool_calls: 1 }, 'max_tool_calls', /not supported/],
  [{ moderation: { model: 'x' } }, 'moderation', /not supported/],
  [{ include: ['reasoning.encrypted_content'] }, 'include.0', /only value/],
  [{ top_logprobs: 3 }, 'top_logprobs', /include/],
  [{ stream_options: {} }, 'stream_options', /stream: true/],
  [{ reasoning: { summary: 'detailed' } }, 'reasoning.summary', /only summary/],
  [{ text: { verbosity: 'low' } }, 'text.verbosity', /only verbosity/],
  [{ text: { format: { type: 'xml' } } }, 'text.format.type', /Unknown text format 'xml'/],
  [{ previous_response_id: 'resp_none' }, 'previous_response_id', /no stored response/],
  [{ temperature: 3 }, 'temperature', /./],
  [{ grammar: 'root ::= "a"', text: { format: { type: 'json_object' } } }, 'grammar', /exclude/],
]
test('what is not supported is refused by name', async context => {
  const { hub, models } = await setup(context)
  for (const [body, param, words] of REFUSED) {
    const answer = await hub.post('/v1/responses', { model: 'fake', input: 'x', ...body })
    const { error } = ErrorOut.parse(answer.json)
    assert.ok(answer.status === 400 || answer.status === 404, answer.text)
    assert.equal(error.param, param, answer.text)
    assert.match(error.message, words)
  }
  assert.equal(models.generated.length, 0)
  const unknown = await hub.post('/v1/responses', { model: 'nope', input: 'x', stream: true })
  assert.equal(unknown.status, 404)
  assert.equal(ErrorOut.parse(unknown.json).error.code, 'model_not_found')
})

test('the openai package creates, streams, retrieves, lists and deletes', async context => {
  const { hub } = await setup(context)
  const openai = new OpenAI({ baseURL: `${hub.url}/v1`, apiKey: 'none', maxRetries: 0 })
  const response = await openai.responses.create({ model: 'fake', input: 'hi' })
  assert.equal(response.output_text, 'Hello world!')
  const next = openai.responses.stream({ model: 'fake', input: 'more', previous_response_id: response.id })
  let text = ''
  next.on('response.output_text.delta', event => {
    text += event.delta
  })
  const final = await next.finalResponse()
  assert.equal(text, 'Hello world!')
  assert.equal(final.output_text, 'Hello world!')
  assert.equal((await openai.responses.retrieve(final.id)).output_text, 'Hello world!')
  const items = await openai.responses.inputItems.list(final.id)
  assert.equal(items.data.length, 1)
  await openai.responses.delete(final.id)
  await assert.rejects(openai.responses.retrieve(final.id), { status: 404 })
})

test('the OpenAPI document tells the request and its stream', async context => {
  const { models, db } = await setup(context)
  const document = JSON.stringify(
    openApi({ routes: responsesRoutes({ models, defaultModel: () => undefined, db }), version: '1' }),
  )
  for (const word of [
    '"/v1/responses"',
    '"/v1/responses/{id}/input_items"',
    'function_call_output',
    'text/event-stream',
  ]) {
    assert.ok(document.includes(word), word)
  }
})
