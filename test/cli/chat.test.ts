/** The terminal chat against a small server that answers as the hub does. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { PassThrough, Readable } from 'node:stream'
import { type TestContext, test } from 'node:test'
import fc from 'fast-check'
import { readEvents } from '../../server/cli/api.ts'
import { type ChatDeps, type ChatOptions, runChat } from '../../server/cli/chat.ts'

type Asked = { model: string; messages: { role: string; content: string }[]; stream: boolean }
type FakeHub = {
  url: string
  asked: Asked[] /** resolves when the client of a `hang` answer goes away */
  gone: Promise<void>
}

/** Answers `echo: QUESTION` in two pieces; `hang` sends one piece and waits; `fail` sends an error event; an unknown model is 404. */
async function fakeHub(
  t: TestContext,
  models = [{ id: 'tiny', state: 'unloaded', folder: 'chat_models' }],
): Promise<FakeHub> {
  const asked: Asked[] = []
  let leave = (): void => {}
  const gone = new Promise<void>(done => {
    leave = done
  })
  const server = createServer(async (request, response) => {
    if (request.url === '/v1/models/status') {
      response.end(JSON.stringify({ object: 'list', data: models.map(model => ({ bytes: 1, ...model })) }))
      return
    }
    let text = ''
    for await (const piece of request) text += piece
    const body: Asked = JSON.parse(text)
    asked.push(body)
    if (!models.some(model => model.id === body.model)) {
      response.writeHead(404).end(JSON.stringify({ error: { message: `no model ${body.model}; nearest: tiny` } }))
      return
    }
    const question = body.messages.at(-1)?.content ?? ''
    const send = (value: unknown): boolean => response.write(`data: ${JSON.stringify(value)}\n\n`)
    const delta = (delta: object): boolean => send({ choices: [{ index: 0, delta, finish_reason: null }] })
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write(': keep-alive\n\n')
    delta({ role: 'assistant', content: '' })
    if (question === 'think') delta({ reasoning_content: 'hm' })
    delta({ content: 'echo: ' })
    if (question === 'hang') {
      response.once('close', leave)
      return
    }
    if (question === 'fail') {
      send({ error: { message: 'the worker died' } })
      response.end()
      return
    }
    delta({ content: question })
    send({
      choices: [{ index: 0, delta: {}, finish_reason: 'stop' }],
      timings: { predicted_n: 7, predicted_per_second: 12.34 },
    })
    response.end('data: [DONE]\n\n')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked, gone }
}

type Session = {
  code: Promise<number>
  input: PassThrough
  text(): string
  notes(): string
  shows(part: string): Promise<void>
}

/** A chat as a person at a terminal has it (`tty`), or as a pipe. */
function start(hub: FakeHub, options: ChatOptions & { tty: boolean }, changes: Partial<ChatDeps> = {}): Session {
  const { tty, ...chat } = options
  const input = new PassThrough() as PassThrough & { isTTY?: boolean }
  input.isTTY = tty
  const output = new PassThrough()
  let text = ''
  let notes = ''
  const waiting: (() => void)[] = []
  const add = (piece: string): void => {
    text += piece
    for (const look of [...waiting]) look()
  }
  output.on('data', (piece: Buffer) => add(piece.toString()))
  const code = runChat(
    {
      findHub: async () => hub,
      startHub: async () => assert.fail('a hub runs already'),
      input,
      output,
      terminal: { write: add, colour: false },
      notes: {
        write: piece => {
          notes += piece
        },
        colour: false,
      },
      ...changes,
    },
    chat,
  )
  const shows = (part: string): Promise<void> =>
    new Promise(done => {
      const look = (): void => {
        if (text.includes(part)) done()
      }
      waiting.push(look)
      look()
    })
  return { code, input, text: () => text, notes: () => notes, shows }
}

test('piped input: the answer alone on the output, the speed beside it, and exit', async t => {
  const hub = await fakeHub(t)
  const session = start(hub, { tty: false, system: 'Be brief.' })
  session.input.end('Hello\n')
  assert.equal(await session.code, 0)
  assert.equal(session.text(), 'echo: Hello\n')
  assert.equal(session.notes(), '[7 tokens, 12.3 tokens/s]\n')
  assert.deepEqual(hub.asked, [
    {
      model: 'tiny',
      messages: [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: 'Hello' },
      ],
      stream: true,
    },
  ])
})

test('a question on the command line comes before what is piped in', async t => {
  const hub = await fakeHub(t)
  const session = start(hub, { tty: false, question: 'What is this?' })
  session.input.end('the text')
  await session.code
  assert.equal(hub.asked[0]?.messages[0]?.content, 'What is this?\n\nthe text')
})

test('empty input is said, not asked', async t => {
  const session = start(await fakeHub(t), { tty: false })
  session.input.end('\n')
  assert.equal(await session.code, 2)
  assert.match(session.notes(), /empty/)
})

test('the loaded model is taken before the others; an unknown one is refused in the words of the hub', async t => {
  const hub = await fakeHub(t, [
    { id: 'coder', state: 'unloaded', folder: 'code_models' },
    { id: 'bad', state: 'broken', folder: 'chat_models' },
    { id: 'loaded', state: 'ready', folder: 'custom_models' },
  ])
  const session = start(hub, { tty: false, question: 'x' })
  session.input.end()
  await session.code
  assert.equal(hub.asked[0]?.model, 'loaded')
  const unknown = start(hub, { tty: false, question: 'x', model: 'tinny' })
  unknown.input.end()
  await assert.rejects(unknown.code, /no model tinny; nearest: tiny/)
})

test('without a hub one is started for the conversation and closed after it; without a model it is said', async t => {
  const hub = await fakeHub(t)
  let closed = 0
  const startHub = async (): Promise<{ url: string; close(): Promise<void> }> => ({
    url: hub.url,
    close: async () => void closed++,
  })
  const session = start(hub, { tty: false, question: 'x' }, { findHub: async () => undefined, startHub })
  session.input.end()
  await session.code
  assert.equal(closed, 1)
  const none = start(await fakeHub(t, []), { tty: false, question: 'x' })
  none.input.end()
  await assert.rejects(none.code, /no model yet.*\.gguf/)
})

test('a conversation remembers, forgets, takes a system message and another model', async t => {
  const hub = await fakeHub(t, [
    { id: 'tiny', state: 'unloaded', folder: 'chat_models' },
    { id: 'other', state: 'unloaded', folder: 'chat_models' },
  ])
  const session = start(hub, { tty: true })
  const say = async (line: string, answer: string): Promise<void> => {
    session.input.write(`${line}\r`)
    await session.shows(answer)
  }
  await session.shows('> ')
  await say('one', 'echo: one')
  await session.shows('12.3 tokens/s')
  await say('two', 'echo: two')
  await say('/model', '* tiny')
  await say('/model none', 'There is no model "none"')
  await say('/model other', 'other answers')
  await say('/system Speak Vietnamese.', 'begins anew')
  await say('think', 'hm\n\necho: think')
  await say('/clear', 'forgotten')
  await say('/wat', 'no command /wat')
  await say('fail', 'the worker died')
  await say('three', 'echo: three')
  session.input.write('/exit\r')
  assert.equal(await session.code, 0)
  const shapes = hub.asked.map(({ model, messages }) => [model, messages.map(message => message.content).join('|')])
  assert.deepEqual(shapes, [
    ['tiny', 'one'],
    ['tiny', 'one|echo: one|two'],
    ['other', 'Speak Vietnamese.|think'],
    ['other', 'Speak Vietnamese.|fail'],
    ['other', 'Speak Vietnamese.|three'],
  ])
})

test('Ctrl+C stops the answer and reaches the hub; the next one leaves', async t => {
  const hub = await fakeHub(t)
  const session = start(hub, { tty: true })
  await session.shows('> ')
  session.input.write('hang\r')
  await session.shows('echo: ')
  session.input.write('\u0003')
  await hub.gone
  await session.shows('[stopped]')
  session.input.write('more\r')
  await session.shows('echo: more')
  assert.deepEqual(
    hub.asked[1]?.messages.map(message => message.content),
    ['hang', 'echo: ', 'more'],
    'what came of the stopped answer is kept',
  )
  await session.shows('12.3 tokens/s')
  session.input.write('\u0003')
  assert.equal(await session.code, 0)
})

test('an answer cannot steer the terminal', async t => {
  const hub = await fakeHub(t)
  const session = start(hub, { tty: false, question: 'a\u001b[2Jb\u0007\tc\n\u009bd' })
  session.input.end()
  await session.code
  assert.equal(session.text(), 'echo: a[2Jb\tc\nd\n')
})

test('events come out the same however the bytes are cut', async () => {
  const text = ': note\r\n\r\ndata: {"a":"ü"}\n\ndata:two\ndata: lines\r\n\r\nevent: x\ndata: [DONE]\n\n'
  const bytes = Buffer.from(text)
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(bytes.length), { maxLength: 12 }), async places => {
      const cuts = [0, ...places.sort((a, b) => a - b), bytes.length]
      const pieces = cuts.slice(1).map((end, index) => bytes.subarray(cuts[index], end))
      const events: string[] = []
      for await (const event of readEvents(Readable.from(pieces))) events.push(event)
      assert.deepEqual(events, ['{"a":"ü"}', 'two\nlines', '[DONE]'])
    }),
    { seed: 11, numRuns: 200 },
  )
})
