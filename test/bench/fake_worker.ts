/** A worker without a model that answers at once: what a request costs then is what the hub costs. Started by the hub through AI_HUB_WORKER. */
import type { FromWorker, Generate, GenerateEvent, ModelInfo, ToWorker } from '../../server/wire/worker.ts'

const TOKENS = 8

const INFO: ModelInfo = {
  architecture: 'llama',
  device: 'cpu',
  deviceName: 'none',
  gpuLayers: 0,
  layers: 1,
  contextTokens: 8192,
  trainedContextTokens: 8192,
  embeddingSize: 64,
  vocabularySize: 512,
  slots: 64,
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

function send(message: FromWorker): void {
  process.send?.(message)
}

process.on('message', (message: ToWorker) => {
  switch (message.type) {
    case 'load':
      send({ type: 'ready', info: INFO })
      return
    case 'ask':
      if (message.ask.type === 'generate') answer(message.id, message.ask.request)
      else send({ type: 'refused', id: message.id, error: { code: 'not_found', message: 'This worker has no model.' } })
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
})
process.on('disconnect', () => process.exit(0))

/** One message per token, as a real worker sends them; all at once. */
function answer(id: number, request: Generate): void {
  send({ type: 'events', events: [{ type: 'start', id, promptTokens: 10, cachedTokens: 0 }] })
  for (let token = 0; token < TOKENS; token++) {
    const events: GenerateEvent[] = []
    for (let choice = 0; choice < request.n; choice++) events.push({ type: 'delta', id, choice, content: ' word' })
    send({ type: 'events', events })
  }
  const last: GenerateEvent[] = []
  for (let choice = 0; choice < request.n; choice++) last.push({ type: 'end', id, choice, finishReason: 'stop' })
  last.push({
    type: 'done',
    id,
    usage: { promptTokens: 10, cachedTokens: 0, completionTokens: TOKENS * request.n, reasoningTokens: 0 },
    timings: {
      queue_ms: 0,
      prompt_n: 10,
      prompt_ms: 0.1,
      prompt_per_second: 1e5,
      predicted_n: TOKENS,
      predicted_ms: 0.1,
      predicted_per_second: 1e5,
      cache_n: 0,
    },
  })
  send({ type: 'events', events: last })
}
