/** A worker for the pages' tests that says what the question tells it to. Started by the hub through AI_HUB_WORKER. */
import type { FromWorker, Generate, GenerateEvent, ModelInfo, ToWorker } from '../../server/wire/worker.ts'
import { longAnswer } from './long_answer.ts'
import { TALKS } from './talks.ts'

const INFO: ModelInfo = {
  architecture: 'llama',
  device: 'cpu',
  deviceName: 'script',
  gpuLayers: 0,
  layers: 1,
  contextTokens: 2048,
  trainedContextTokens: 2048,
  embeddingSize: 64,
  vocabularySize: 512,
  slots: 4,
  memoryBytes: 1e6,
  deviceBytes: 0,
  loadMs: 20,
  hasFim: true,
  hasChatTemplate: true,
  chatFormat: 'plain',
  canEmbed: false,
  canGenerate: true,
  llamaVersion: '0.0.0',
}
/** Between two words of an answer without end. */
const PACE_MS = 15

const send = (message: FromWorker): void => void process.send?.(message)
/** Of the file whose model this plays. */
let path = ''
const endless = new Map<number, NodeJS.Timeout>()

process.on('disconnect', () => process.exit(0))
process.on('message', (message: ToWorker) => {
  switch (message.type) {
    case 'load':
      path = message.options.path
      send({ type: 'ready', info: INFO })
      return
    case 'ask':
      if (message.ask.type === 'generate') generate(message.id, message.ask.request)
      else if (message.ask.type === 'render') {
        const text = message.ask.prompt.messages.map(({ content }) => content ?? '').join('\n')
        // A letter is a token here, so that a context is full soon.
        send({ type: 'answer', id: message.id, answer: { text, tokens: text.length } })
      } else send({ type: 'refused', id: message.id, error: { code: 'not_found', message: 'It is only a script.' } })
      return
    case 'ping': {
      const stats = { busy: endless.size, queued: 0, kvUsedTokens: 0, kvTotalTokens: 2048 }
      const more = { rssBytes: process.memoryUsage.rss(), decodedTokens: 0, decodeSteps: 0, promptCacheBytes: 0 }
      send({ type: 'pong', id: message.id, stats: { ...stats, ...more } })
      return
    }
    case 'cancel':
      clearInterval(endless.get(message.id))
      endless.delete(message.id)
      return
    case 'exit':
      process.exit(0)
  }
})

/** `say TEXT`, `think THOUGHT | TEXT`, `forever`, `stream RATE TOKENS`, `die`; else with tools a call of each, and without an echo. */
function generate(id: number, request: Generate): void {
  if (request.prompt.type !== 'chat') return
  const { messages, tools } = request.prompt
  const question = messages.findLast(({ role }) => role === 'user')?.content ?? ''
  const talk = TALKS.find(one => one.question === question)
  const answer = path.includes('coder') ? (talk?.other ?? talk?.answer) : talk?.answer
  const written = talk?.thought === undefined ? `say ${answer}` : `think ${talk.thought} | ${answer}`
  const asked = talk === undefined ? question : written
  const delta = (part: { content?: string; reasoning?: string }): GenerateEvent => ({
    type: 'delta',
    id,
    choice: 0,
    ...part,
  })
  send({ type: 'events', events: [{ type: 'start', id, promptTokens: 10, cachedTokens: 0 }] })
  const goesOn = messages.at(-1)?.role === 'assistant'
  if (asked.startsWith('forever') && !goesOn) {
    let word = 0
    endless.set(
      id,
      setInterval(() => send({ type: 'events', events: [delta({ content: `word${word++} ` })] }), PACE_MS),
    )
    return
  }
  const paced = /^stream (\d+) (\d+)/.exec(asked)
  if (paced !== null && !goesOn) {
    stream(id, Number(paced[1]), longAnswer(Number(paced[2])))
    return
  }
  if (asked.startsWith('die') && !goesOn) {
    send({ type: 'events', events: [delta({ content: 'Half an' })] })
    setTimeout(() => process.exit(1), 50)
    return
  }
  const thought = /^think ([^|]+)\| ?([\s\S]*)$/.exec(asked)
  const result = messages.at(-1)?.role === 'tool' ? messages.at(-1)?.content : undefined
  const isCall = tools.length > 0 && result === undefined
  const text = goesOn ? 'the rest.' : (thought?.[2] ?? /^say ([\s\S]*)$/.exec(asked)?.[1] ?? `You said: ${asked}`)
  const events: GenerateEvent[] = thought?.[1] === undefined ? [] : [delta({ reasoning: thought[1] })]
  if (isCall) {
    // Each of the tools is called.
    for (const [index, { name }] of tools.entries()) {
      const call = { index, id: `call_${index + 1}`, name, arguments: '{"city":"Huế"}' }
      events.push({ type: 'delta', id, choice: 0, toolCalls: [call] })
    }
  } else {
    const results = messages.slice(messages.findLastIndex(({ role }) => role !== 'tool') + 1)
    const said = results.map(({ content }) => content ?? '').join(' and ')
    const whole = result === undefined || result === null ? text : `The tool says ${said}`
    // A text that nobody would wait for comes in large pieces.
    const pieces = whole.length < 100_000 ? /.{1,6}/gsu : /.{1,50000}/gsu
    for (const content of whole.match(pieces) ?? []) events.push(delta({ content }))
  }
  events.push({ type: 'end', id, choice: 0, finishReason: isCall ? 'tool_calls' : 'stop' })
  events.push(done(id, events.length - 1, 100))
  for (const event of events) send({ type: 'events', events: [event] })
}

/** At a rate of tokens per second that no slow timer lowers. */
function stream(id: number, rate: number, tokens: string[]): void {
  const begun = performance.now()
  let sent = 0
  const timer = setInterval(() => {
    const due = Math.min(tokens.length, Math.floor(((performance.now() - begun) / 1000) * rate))
    for (; sent < due; sent++) {
      send({ type: 'events', events: [{ type: 'delta', id, choice: 0, content: tokens[sent]! }] })
    }
    if (sent < tokens.length) return
    clearInterval(timer)
    endless.delete(id)
    send({ type: 'events', events: [{ type: 'end', id, choice: 0, finishReason: 'stop' }, done(id, sent, rate)] })
  }, 1000 / rate)
  endless.set(id, timer)
}

function done(id: number, completionTokens: number, rate: number): GenerateEvent {
  return {
    type: 'done',
    id,
    usage: { promptTokens: 10, cachedTokens: 0, completionTokens, reasoningTokens: 0 },
    timings: {
      queue_ms: 0,
      prompt_n: 10,
      prompt_ms: 5,
      prompt_per_second: 2000,
      predicted_n: completionTokens,
      predicted_ms: (completionTokens / rate) * 1000,
      predicted_per_second: rate,
      cache_n: 0,
    },
  }
}
