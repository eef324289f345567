/** The whole hub with real workers: what clients see, through npm's own OpenAI client and through bare sockets. */
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { after, before, describe, test } from 'node:test'
import OpenAI from 'openai'
import { startHub } from '../server/hub.ts'
import { needsModels } from './helpers/models.ts'
import { RANDOM_CHAT, type RealHub, realHub } from './helpers/real_hub.ts'

const KNOWN = ', there was a little girl named Lily. She loved to play outside in the park.'
const cleanups: (() => Promise<void>)[] = []
const context = { after: (close: () => Promise<void>) => void cleanups.push(close) }

async function post(hub: RealHub, path: string, body: unknown, signal?: AbortSignal): Promise<Response> {
  return fetch(hub.url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    ...(signal && { signal }),
  })
}

after(async () => {
  for (const close of cleanups) await close()
})

describe('a model of random weights with tools, FIM and a byte vocabulary', () => {
  let hub: RealHub
  let client: OpenAI
  before(async () => {
    hub = await realHub(context, { random: RANDOM_CHAT, other: { ...RANDOM_CHAT, seed: 2 } })
    client = new OpenAI({ baseURL: `${hub.url}/v1`, apiKey: 'none', maxRetries: 0 })
  })

  const weather = {
    type: 'function' as const,
    function: {
      name: 'get_weather',
      parameters: {
        type: 'object',
        properties: {
          city: { type: 'string', maxLength: 12 },
          unit: { type: 'string', enum: ['celsius', 'fahrenheit'] },
          days: { type: 'integer', minimum: 1, maximum: 7 },
        },
        required: ['city', 'unit', 'days'],
        additionalProperties: false,
      },
    },
  }
  const checkWeather = (text: string) => {
    const value = JSON.parse(text) as { city: unknown; unit: string; days: number }
    assert.deepEqual(Object.keys(value).sort(), ['city', 'days', 'unit'])
    assert.equal(typeof value.city, 'string')
    assert.ok(['celsius', 'fahrenheit'].includes(value.unit))
    assert.ok(Number.isInteger(value.days) && value.days >= 1 && value.days <= 7)
  }

  test('a required tool is called with arguments that fit its schema, whatever the weights say', async () => {
    for (const seed of [1, 2, 3]) {
      const answer = await client.chat.completions.create({
        model: 'random',
        messages: [{ role: 'user', content: 'Weather?' }],
        tools: [weather],
        tool_choice: 'required',
        parallel_tool_calls: false,
        temperature: 1,
        seed,
      })
      const calls = answer.choices[0]!.message.tool_calls ?? []
      assert.equal(calls.length, 1)
      assert.equal(answer.choices[0]!.finish_reason, 'tool_calls')
      const call = calls[0]!
      assert.ok(call.type === 'function' && call.function.name === 'get_weather')
      checkWeather(call.function.arguments)
    }
  })

  test('a tool with a schema beyond the grammar is called as nearly as can be, and refused when it is strict', async () => {
    const parameters = {
      type: 'object',
      properties: { count: { type: 'integer', multipleOf: 7 }, unit: { type: 'string', enum: ['kg', 'lb'] } },
      required: ['count', 'unit'],
      minProperties: 2,
      not: { required: ['other'] },
    }
    const ask = (strict: boolean) =>
      client.chat.completions.create({
        model: 'random',
        messages: [{ role: 'user', content: 'Weigh.' }],
        tools: [{ type: 'function', function: { name: 'weigh', parameters, strict } }],
        tool_choice: 'required',
        parallel_tool_calls: false,
        seed: 1,
      })
    const call = (await ask(false)).choices[0]!.message.tool_calls![0]!
    const value = JSON.parse(call.type === 'function' ? call.function.arguments : '') as { count: number; unit: string }
    assert.ok(Number.isInteger(value.count) && ['kg', 'lb'].includes(value.unit))
    await assert.rejects(ask(true), (error: unknown) => error instanceof OpenAI.APIError && error.status === 400)
  })

  test('a named tool is the one that is called, streamed in pieces', async () => {
    const other = {
      type: 'function' as const,
      function: { name: 'other_tool', parameters: { type: 'object', properties: {} } },
    }
    const stream = await client.chat.completions.create({
      model: 'random',
      messages: [{ role: 'user', content: 'Weather?' }],
      tools: [other, weather],
      tool_choice: { type: 'function', function: { name: 'get_weather' } },
      parallel_tool_calls: false,
      temperature: 1,
      seed: 5,
      stream: true,
    })
    let name = ''
    let text = ''
    let id = ''
    let finish: string | null = null
    for await (const chunk of stream) {
      const call = chunk.choices[0]?.delta.tool_calls?.[0]
      name += call?.function?.name ?? ''
      text += call?.function?.arguments ?? ''
      id += call?.id ?? ''
      finish = chunk.choices[0]?.finish_reason ?? finish
    }
    assert.equal(name, 'get_weather')
    assert.notEqual(id, '')
    assert.equal(finish, 'tool_calls')
    checkWeather(text)
  })

  test('a JSON schema is kept', async () => {
    const schema = weather.function.parameters
    const answer = await client.chat.completions.create({
      model: 'random',
      messages: [{ role: 'user', content: 'Weather?' }],
      response_format: { type: 'json_schema', json_schema: { name: 'weather', schema, strict: true } },
      temperature: 1,
      seed: 9,
    })
    checkWeather(answer.choices[0]!.message.content!)
    assert.equal(answer.choices[0]!.finish_reason, 'stop')
  })

  test('n choices stream with their own indexes, and usage comes last', async () => {
    const stream = await client.chat.completions.create({
      model: 'random',
      messages: [{ role: 'user', content: 'Hi' }],
      n: 2,
      max_tokens: 6,
      stream: true,
      stream_options: { include_usage: true },
    })
    const finished = new Set<number>()
    let usage: OpenAI.CompletionUsage | null | undefined
    for await (const chunk of stream) {
      for (const choice of chunk.choices) if (choice.finish_reason !== null) finished.add(choice.index)
      usage = chunk.usage ?? usage
    }
    assert.deepEqual([...finished].sort(), [0, 1])
    assert.ok(usage!.completion_tokens >= 2)
  })

  test("completions fill in the middle with the model's own tokens", async () => {
    const answer = await client.completions.create({
      model: 'random',
      prompt: 'function add(a, b) {\n',
      suffix: '\n}\n',
      max_tokens: 5,
    })
    // BOS-less byte vocabulary: three markers and one token per byte, a few of them merged.
    assert.ok(answer.usage!.prompt_tokens > 10)
    const direct = await post(hub, '/infill', {
      input_prefix: 'function add(a, b) {\n',
      input_suffix: '\n}\n',
      n_predict: 5,
    })
    assert.equal(direct.status, 200)
    assert.equal(typeof ((await direct.json()) as { content: unknown }).content, 'string')
  })

  test('embeddings come as numbers and as base64, of norm one', async () => {
    const numbers = await client.embeddings.create({
      model: 'random',
      input: ['xin chào', 'hello'],
      encoding_format: 'float',
    })
    assert.equal(numbers.data.length, 2)
    const [vector] = numbers.data.map(item => item.embedding)
    assert.equal(vector!.length, 64)
    assert.ok(Math.abs(Math.hypot(...vector!) - 1) < 1e-5)
    // The client asks for base64 by default and decodes it.
    const decoded = await client.embeddings.create({ model: 'random', input: 'xin chào' })
    for (const [index, value] of decoded.data[0]!.embedding.entries())
      assert.ok(Math.abs(value - vector![index]!) < 1e-3)
  })

  test('text goes to tokens and back', async () => {
    const text = 'Tiếng Việt có dấu: đường phố.'
    const { tokens } = (await (await post(hub, '/tokenize', { model: 'random', content: text })).json()) as {
      tokens: number[]
    }
    const back = (await (await post(hub, '/detokenize', { model: 'random', tokens })).json()) as { content: string }
    assert.equal(back.content, text)
  })

  test('a killed worker ends its streams with an error event, harms nobody else, and the next request gets a fresh one', async () => {
    const request = {
      model: 'random',
      prompt: 'Hello',
      max_tokens: 1900,
      ignore_eos: true,
      stream: true,
      temperature: 0,
    }
    const streaming = await post(hub, '/v1/completions', request)
    const reader = streaming.body!.getReader()
    await reader.read()
    const pid = hub.models.get('random').pid!
    const others = post(hub, '/v1/completions', { ...request, model: 'other', max_tokens: 200, stream: false })
    process.kill(pid, 'SIGKILL')
    let rest = ''
    for (;;) {
      const { done, value } = await reader.read()
      if (done) break
      rest += Buffer.from(value).toString()
    }
    assert.match(rest, /data: \{"error":\{"message":"the model's process ended unexpectedly/)
    assert.equal((await others).status, 200)
    const next = await post(hub, '/v1/completions', { ...request, max_tokens: 2, stream: false })
    assert.equal(next.status, 200)
    assert.notEqual(hub.models.get('random').pid, pid)
  })

  test('a client that leaves frees its slot', async () => {
    const control = new AbortController()
    const response = await post(
      hub,
      '/v1/completions',
      { model: 'random', prompt: 'Hello', max_tokens: 1900, ignore_eos: true, stream: true, cache_prompt: false },
      control.signal,
    )
    await response.body!.getReader().read()
    control.abort()
    for (;;) {
      await hub.models.refresh()
      const { inUse, stats } = hub.models.get('random')
      if (inUse === 0 && stats?.busy === 0) break
    }
  })

  test('two hundred clients at once are all answered, or told when to come back', async () => {
    const answers = await Promise.all(
      Array.from({ length: 200 }, (_, index) =>
        post(hub, '/v1/completions', { model: 'random', prompt: `Client ${index}`, max_tokens: 3, temperature: 0 }),
      ),
    )
    for (const answer of answers) {
      const text = await answer.text()
      assert.ok(
        answer.status === 200 || (answer.status === 429 && answer.headers.has('retry-after')),
        `${answer.status}: ${text}`,
      )
    }
    assert.equal(answers.filter(answer => answer.status === 200).length, 200)
  })

  test('beyond the stated limit clients get 429 with Retry-After, and those before them their answer', async () => {
    const small = await realHub(context, { random: RANDOM_CHAT }, { maxQueue: '6', slots: '2' })
    await small.models.load('random', new AbortController().signal)
    const long = { model: 'random', prompt: 'Hi', max_tokens: 300, ignore_eos: true }
    const accepted = Array.from({ length: 8 }, () => post(small, '/v1/completions', long))
    while (small.models.get('random').inUse < 8) await new Promise(setImmediate)
    const refused = await post(small, '/v1/completions', long)
    assert.equal(refused.status, 429)
    assert.ok(Number(refused.headers.get('retry-after')) > 0)
    assert.deepEqual(
      (await Promise.all(accepted)).map(answer => answer.status),
      Array.from({ length: 8 }, () => 200),
    )
    assert.equal((await post(small, '/v1/completions', { ...long, max_tokens: 1 })).status, 200)
    await small.close()
  })

  test('a reader that takes nothing holds nobody back', async () => {
    const body = JSON.stringify({ model: 'random', prompt: 'Hello', max_tokens: 1500, ignore_eos: true, stream: true })
    const { port } = new URL(hub.url)
    const socket = connect(Number(port), '127.0.0.1')
    socket.write(
      `POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    )
    socket.pause()
    const answer = await post(hub, '/v1/completions', { model: 'random', prompt: 'Quick', max_tokens: 5 })
    assert.equal(answer.status, 200)
    socket.destroy()
  })
})

describe('a real model', needsModels, () => {
  test('its checksum is that of its file', async () => {
    const hub = await realHub(context, { stories: 'stories260K-F32.gguf' })
    const answer = (await (await post(hub, '/v1/models/sha256', { model: 'stories' })).json()) as { files: unknown }
    const sha256 = '724525ad89e8c22bd2a81333cdd2789e8b8b4361b99636e144b57b8c689fa350'
    assert.deepEqual(answer.files, [{ name: 'stories.gguf', sha256 }])
  })

  test('stored responses continue, also after the hub was restarted', async () => {
    const models = { chat: 'stories260K-chat-F16.gguf' }
    const hub = await realHub(context, models)
    const client = new OpenAI({ baseURL: `${hub.url}/v1`, apiKey: 'none', maxRetries: 0 })
    const first = await client.responses.create({
      model: 'chat',
      input: 'Once upon a time',
      max_output_tokens: 16,
      temperature: 0,
    })
    assert.ok(KNOWN.startsWith(first.output_text.slice(0, 30)))
    const stream = await client.responses.create({
      model: 'chat',
      input: ' The end.',
      previous_response_id: first.id,
      max_output_tokens: 8,
      temperature: 0,
      stream: true,
    })
    const types: string[] = []
    for await (const event of stream) types.push(event.type)
    assert.equal(types[0], 'response.created')
    assert.equal(types.at(-1), 'response.incomplete')
    const { home } = hub
    await hub.close()
    const again = await startHub({
      home,
      commandLine: { port: '0', threads: '1', device: 'cpu' },
      env: {},
      logSinks: [],
    })
    try {
      await again.ready
      const later = new OpenAI({ baseURL: `${again.url}/v1`, apiKey: 'none', maxRetries: 0 })
      assert.equal((await later.responses.retrieve(first.id)).output_text, first.output_text)
      const third = await later.responses.create({
        model: 'chat',
        input: 'And',
        previous_response_id: first.id,
        max_output_tokens: 4,
      })
      assert.equal(third.previous_response_id, first.id)
      assert.ok(third.usage!.input_tokens > first.usage!.input_tokens + first.usage!.output_tokens)
    } finally {
      await again.close()
    }
  })

  test('loading is told to who listens', async () => {
    const hub = await realHub(context, { stories: 'stories260K-F32.gguf' })
    const socket = new WebSocket(`${hub.url.replace('http', 'ws')}/v1/events`)
    const states: string[] = []
    const ready = Promise.withResolvers<void>()
    socket.onmessage = ({ data }) => {
      const event = JSON.parse(String(data)) as { type: string; state?: string; model?: { state?: string } }
      const state = event.state ?? event.model?.state
      if (event.type === 'hello') void hub.models.load('stories', new AbortController().signal)
      if (event.type === 'model.state' && state !== undefined) states.push(state)
      if (state === 'ready') ready.resolve()
    }
    await ready.promise
    assert.deepEqual([...new Set(states)], ['loading', 'ready'])
    socket.close()
  })

  test('tells its known story through the OpenAI client, whole and streamed, and reuses the prompt', async () => {
    const hub = await realHub(context, { stories: 'stories260K-F32.gguf', chat: 'stories260K-chat-F16.gguf' })
    const client = new OpenAI({ baseURL: `${hub.url}/v1`, apiKey: 'none', maxRetries: 0 })
    const whole = await client.completions.create({
      model: 'stories',
      prompt: 'Once upon a time',
      max_tokens: 30,
      temperature: 0,
    })
    assert.ok(whole.choices[0]!.text.startsWith(KNOWN))
    assert.deepEqual([whole.usage!.prompt_tokens, whole.usage!.completion_tokens], [5, 30])

    const stream = await client.chat.completions.create({
      model: 'chat',
      messages: [{ role: 'user', content: 'Once upon a time' }],
      max_completion_tokens: 30,
      temperature: 0,
      stream: true,
    })
    let text = ''
    for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? ''
    assert.ok(text.startsWith(KNOWN))

    const again = await client.completions.create({
      model: 'stories',
      prompt: 'Once upon a time',
      max_tokens: 1,
      temperature: 0,
    })
    assert.equal(again.usage!.prompt_tokens_details!.cached_tokens, 4)

    const overlong = client.completions.create({ model: 'stories', prompt: 'word '.repeat(2000), max_tokens: 1 })
    await assert.rejects(
      overlong,
      (error: unknown) =>
        error instanceof OpenAI.APIError && error.status === 400 && error.code === 'context_length_exceeded',
    )
    await assert.rejects(
      client.completions.create({ model: 'storys', prompt: 'x' }),
      (error: unknown) => error instanceof OpenAI.APIError && error.status === 404 && /stories/.test(error.message),
    )
  })
})
