/** The npm package `openai` as a client of the hub. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import OpenAI from 'openai'
import { type FakeOptions, fakeModels } from '../helpers/fake_models.ts'
import { testHub } from '../helpers/hub.ts'

async function client(context: TestContext, options: FakeOptions = {}): Promise<OpenAI> {
  const hub = await testHub(context, { models: fakeModels(options) })
  return new OpenAI({ baseURL: `${hub.url}/v1`, apiKey: 'none', maxRetries: 0 })
}
const messages: OpenAI.ChatCompletionMessageParam[] = [{ role: 'user', content: 'hi' }]
const weather: OpenAI.ChatCompletionTool = {
  type: 'function',
  function: { name: 'weather', parameters: { type: 'object', properties: { city: { type: 'string' } } } },
}

test('lists and finds models', async context => {
  const openai = await client(context)
  const { data } = await openai.models.list()
  assert.deepEqual(
    data.map(model => model.id),
    ['fake', 'team/other'],
  )
  assert.equal((await openai.models.retrieve('team/other')).id, 'team/other')
})

test('chats', async context => {
  const openai = await client(context)
  const answer = await openai.chat.completions.create({ model: 'fake', messages })
  assert.equal(answer.choices[0]?.message.content, 'Hello world!')
  assert.equal(answer.usage?.prompt_tokens_details?.cached_tokens, 3)
})

test('streams, with usage', async context => {
  const openai = await client(context)
  const stream = await openai.chat.completions.create({
    model: 'fake',
    messages,
    stream: true,
    stream_options: { include_usage: true },
  })
  let text = ''
  let total: number | undefined
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? ''
    total = chunk.usage?.total_tokens ?? total
  }
  assert.deepEqual([text, total], ['Hello world!', 10])
})

test('puts a streamed answer with tool calls together', async context => {
  const openai = await client(context)
  const runner = openai.chat.completions.stream({ model: 'fake', messages, tools: [weather], tool_choice: 'required' })
  const message = await runner.finalMessage()
  const call = message.tool_calls?.[0]
  assert.deepEqual(call?.type === 'function' && [call.function.name, JSON.parse(call.function.arguments)], [
    'weather',
    { city: 'Hanoi' },
  ])
})

test('runs tools until the answer comes', async context => {
  const openai = await client(context, {
    answer: request => {
      const last = request.prompt.type === 'chat' ? request.prompt.messages.at(-1) : undefined
      if (last?.role === 'tool') return { deltas: [{ content: `It is ${last.content ?? ''}.` }] }
      return {
        deltas: [{ toolCalls: [{ index: 0, id: 'call_1', name: 'weather', arguments: '{"city":"Hue"}' }] }],
        finishReason: 'tool_calls',
      }
    },
  })
  const runner = openai.chat.completions.runTools({
    model: 'fake',
    messages,
    tools: [
      {
        type: 'function',
        function: {
          name: 'weather',
          description: 'Weather of a city',
          parameters: { type: 'object', properties: { city: { type: 'string' } } },
          parse: JSON.parse,
          function: ({ city }: { city: string }) => `rain in ${city}`,
        },
      },
    ],
  })
  assert.equal(await runner.finalContent(), 'It is "rain in Hue".'.replaceAll('"', ''))
})

test('asks for JSON by a schema', async context => {
  const openai = await client(context)
  const answer = await openai.chat.completions.parse({
    model: 'fake',
    messages,
    response_format: {
      type: 'json_schema',
      json_schema: {
        name: 'answer',
        strict: true,
        schema: { type: 'object', properties: { answer: { type: 'integer' } } },
      },
    },
  })
  assert.deepEqual(JSON.parse(answer.choices[0]?.message.content ?? ''), { answer: 42 })
})

test('continues a text, whole and streamed', async context => {
  const openai = await client(context)
  const whole = await openai.completions.create({ model: 'fake', prompt: 'Once', max_tokens: 5, logprobs: 1 })
  assert.equal(whole.choices[0]?.text, 'Hello world!')
  let text = ''
  for await (const chunk of await openai.completions.create({ model: 'fake', prompt: 'Once', stream: true })) {
    text += chunk.choices[0]?.text ?? ''
  }
  assert.equal(text, 'Hello world!')
})

test('embeds, by numbers and by its own default of base64', async context => {
  const openai = await client(context)
  for (const format of [{}, { encoding_format: 'float' as const }]) {
    const { data, usage } = await openai.embeddings.create({ model: 'fake', input: ['a', 'bc'], ...format })
    assert.deepEqual(
      data.map(one => [...one.embedding]),
      [
        [0.5, 0.5, 0.5, -0.5],
        [0.5, 0.5, 0.5, -0.5],
      ],
    )
    assert.equal(usage.prompt_tokens, 3)
  }
})

test('gets its own error classes', async context => {
  const openai = await client(context)
  const create = (body: object): Promise<unknown> =>
    openai.chat.completions.create({
      model: 'fake',
      messages,
      ...body,
    } as OpenAI.ChatCompletionCreateParamsNonStreaming)
  await assert.rejects(create({ model: 'nope' }), (error: unknown) => {
    assert.ok(error instanceof OpenAI.NotFoundError)
    assert.equal(error.code, 'model_not_found')
    assert.match(error.requestID ?? '', /^req_/)
    return true
  })
  await assert.rejects(create({ foo: 1 }), (error: unknown) => {
    assert.ok(error instanceof OpenAI.BadRequestError)
    assert.equal(error.param, 'foo')
    return true
  })
})

test('hears of an error in the middle of a stream', async context => {
  const openai = await client(context, {
    answer: () => ({ deltas: [{ content: 'a' }], error: { code: 'worker_crashed', message: 'The model stopped.' } }),
  })
  const stream = await openai.chat.completions.create({ model: 'fake', messages, stream: true })
  const texts: string[] = []
  await assert.rejects(async () => {
    for await (const chunk of stream) texts.push(chunk.choices[0]?.delta.content ?? '')
  }, /The model stopped/)
  assert.deepEqual(texts, ['', 'a'])
})
