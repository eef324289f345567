/** A worker whose scripted models say what the script has for their prompt; any other model it serves as the real worker does. Started by the hub through AI_HUB_WORKER. */
import { basename } from 'node:path'
import type { Answer, Ask, FromWorker, Generate, GenerateEvent, ModelInfo, ToWorker } from '../../server/wire/worker.ts'
import { call, reply } from './script.ts'

const INFO: ModelInfo = {
  architecture: 'llama',
  device: 'cpu',
  deviceName: 'script',
  gpuLayers: 0,
  layers: 1,
  contextTokens: 8192,
  trainedContextTokens: 8192,
  embeddingSize: 64,
  vocabularySize: 512,
  slots: 4,
  memoryBytes: 1,
  deviceBytes: 0,
  loadMs: 0,
  hasFim: true,
  hasChatTemplate: true,
  chatFormat: 'plain',
  canEmbed: false,
  canGenerate: true,
  llamaVersion: '0.0.0',
}
/** Letters of a made-up token. */
const TOKEN_LETTERS = 4

const send = (message: FromWorker): void => void process.send?.(message)

process.on('message', take)
process.on('disconnect', () => process.exit(0))

function take(message: ToWorker): void {
  switch (message.type) {
    case 'load':
      if (basename(message.options.path).startsWith('scripted')) send({ type: 'ready', info: INFO })
      else void becomeReal(message)
      return
    case 'ask':
      if (message.ask.type === 'generate') generate(message.id, message.ask.request)
      else answer(message.id, message.ask)
      return
    case 'ping':
      send({
        type: 'pong',
        id: message.id,
        stats: {
          busy: 0,
          queued: 0,
          kvUsedTokens: 0,
          kvTotalTokens: INFO.contextTokens,
          rssBytes: process.memoryUsage.rss(),
          decodedTokens: 0,
          decodeSteps: 0,
          promptCacheBytes: 0,
        },
      })
      return
    case 'cancel':
      return
    case 'exit':
      process.exit(0)
  }
}

/** The real program takes over this process, from the message that this one has read already. */
async function becomeReal(load: ToWorker): Promise<void> {
  process.off('message', take)
  await import('../../server/worker/main.ts')
  process.emit('message', load, undefined)
}

function answer(id: number, ask: Ask): void {
  const made = unary(ask)
  if (made !== undefined) send({ type: 'answer', id, answer: made })
  else send({ type: 'refused', id, error: { code: 'not_found', message: `The script has nothing for ${ask.type}.` } })
}

function unary(ask: Ask): Answer[keyof Answer] | undefined {
  if (ask.type === 'tokenize') {
    const pieces = split(ask.text)
    return { tokens: pieces.map((_, index) => index), pieces }
  }
  if (ask.type === 'render') {
    const text = ask.prompt.messages.map(message => message.content ?? '').join('\n')
    return { text, tokens: split(text).length }
  }
  return undefined
}

function split(text: string): string[] {
  return text.match(new RegExp(`.{1,${TOKEN_LETTERS}}`, 'gsu')) ?? []
}

/** One message per token, as a real worker sends them. */
function generate(id: number, request: Generate): void {
  const called = call(request)
  const tokens = called === undefined ? split(reply(request)) : []
  send({ type: 'events', events: [{ type: 'start', id, promptTokens: 10, cachedTokens: 0 }] })
  if (called !== undefined) send({ type: 'events', events: [{ type: 'delta', id, choice: 0, toolCalls: [called] }] })
  for (const content of tokens) {
    const events: GenerateEvent[] = []
    for (let choice = 0; choice < request.n; choice++) events.push({ type: 'delta', id, choice, content })
    send({ type: 'events', events })
  }
  const last: GenerateEvent[] = []
  for (let choice = 0; choice < request.n; choice++) {
    last.push({ type: 'end', id, choice, finishReason: called === undefined ? 'stop' : 'tool_calls' })
  }
  last.push({
    type: 'done',
    id,
    usage: { promptTokens: 10, cachedTokens: 0, completionTokens: tokens.length * request.n, reasoningTokens: 0 },
    timings: {
      queue_ms: 0,
      prompt_n: 10,
      prompt_ms: 0.1,
      prompt_per_second: 1e5,
      predicted_n: tokens.length,
      predicted_ms: tokens.length * 10,
      predicted_per_second: 100,
      cache_n: 0,
    },
  })
  send({ type: 'events', events: last })
}
