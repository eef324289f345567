/** Models without a worker: every generation follows a script. For tests of the doors. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { ErrorBody } from '../../server/lib/error.ts'
import { HubError } from '../../server/lib/error.ts'
import type { Lease, ModelStatus, Models } from '../../server/models/models.ts'
import type { ModelFile } from '../../server/wire/model.ts'
import type { Answer, Ask, FinishReason, Generate, GenerateEvent, ModelInfo } from '../../server/wire/worker.ts'

export type FakeDelta = Omit<Extract<GenerateEvent, { type: 'delta' }>, 'type' | 'id' | 'choice'>
export type FakeChoice = {
  deltas: FakeDelta[]
  finishReason?: FinishReason
  stop?: string
  /** Ends the whole generation after this choice's deltas. */
  error?: ErrorBody
}

export type FakeOptions = {
  /** What one choice of a generation says; `Hello world!` by default, a call of the first allowed tool when one is required. */
  answer?: (request: Generate, choice: number) => FakeChoice
  /** Awaited before every event: lets a test hold a generation. */
  gate?: () => Promise<void>
  files?: ModelFile[]
  info?: Partial<ModelInfo>
  /** Thrown by acquire and load. */
  acquireError?: HubError
}

export type FakeModels = Models & {
  generated: Generate[]
  asked: Ask[]
  /** Leases that were not released yet. */
  held(): number
  /** Generations that ended because their signal was aborted. */
  cancelled(): number
}

export function fakeFile(id: string, more: Partial<ModelFile> = {}): ModelFile {
  return {
    id,
    folder: 'chat_models',
    files: [`${id}.gguf`],
    bytes: 1000,
    modified_ms: 1_700_000_000_000,
    status: 'ok',
    facts: {
      architecture: 'llama',
      parameters: 1e6,
      quantization: 'Q8_0',
      context_length: 2048,
      embedding_size: 4,
      layers: 2,
      heads: 2,
      kv_heads: 2,
      kv_bytes_per_token: 64,
      vocabulary_size: 1000,
      tokenizer: 'llama',
      fim: true,
      kind: 'model',
    },
    sidecar: {},
    ...more,
  }
}

export const fakeInfo: ModelInfo = {
  architecture: 'llama',
  device: 'cpu',
  deviceName: 'fake',
  gpuLayers: 0,
  layers: 2,
  contextTokens: 2048,
  trainedContextTokens: 2048,
  embeddingSize: 4,
  vocabularySize: 1000,
  slots: 4,
  memoryBytes: 1000,
  deviceBytes: 0,
  loadMs: 1,
  hasFim: true,
  hasChatTemplate: true,
  chatFormat: 'hermes',
  canEmbed: true,
  canGenerate: true,
  llamaVersion: 'fake',
}

export function fakeModels(options: FakeOptions = {}): FakeModels {
  const files = options.files ?? [fakeFile('fake'), fakeFile('team/other'), fakeFile('damaged', { status: 'broken' })]
  const states = new Map<string, ModelStatus>(
    files.map(file => [
      file.id,
      { file, state: file.status === 'broken' ? 'broken' : 'unloaded', inUse: 0, estimatedBytes: 1000 },
    ]),
  )
  const info = { ...fakeInfo, ...options.info }
  const generated: Generate[] = []
  const asked: Ask[] = []
  let cancelled = 0

  const get = (id: string): ModelStatus => {
    const status = states.get(id)
    if (status === undefined) {
      throw new HubError('model_not_found', `There is no model '${id}'. Nearest: fake.`, { param: 'model' })
    }
    return status
  }

  const load = async (id: string, signal: AbortSignal): Promise<ModelStatus> => {
    const status = get(id)
    await nextTurn()
    if (signal.aborted) throw new HubError('cancelled', 'The request was cancelled.')
    if (status.file.status === 'broken')
      throw new HubError('model_broken', `Model '${id}' is damaged.`, { param: 'model' })
    if (options.acquireError !== undefined) throw options.acquireError
    status.state = 'ready'
    status.info = info
    return status
  }

  async function* generate(request: Generate, signal: AbortSignal): AsyncGenerator<GenerateEvent> {
    generated.push(request)
    const step = async (): Promise<void> => {
      if (options.gate !== undefined) {
        await Promise.race([
          options.gate(),
          new Promise<void>(resolve => signal.addEventListener('abort', () => resolve(), { once: true })),
        ])
      }
      if (signal.aborted) {
        cancelled++
        throw new HubError('cancelled', 'The request was cancelled.')
      }
    }
    const id = generated.length
    const answer = options.answer ?? plainAnswer
    await step()
    const echo = request.echo === true ? { echo: echoOf(request) } : {}
    yield { type: 'start', id, promptTokens: 7, cachedTokens: 3, ...echo }
    let tokens = 0
    const choices = Array.from({ length: request.n }, (_, choice) => answer(request, choice))
    const longest = Math.max(...choices.map(choice => choice.deltas.length))
    for (let at = 0; at <= longest; at++) {
      for (const [choice, script] of choices.entries()) {
        const delta = script.deltas[at]
        if (delta !== undefined) {
          await step()
          tokens++
          yield { type: 'delta', id, choice, ...delta }
        } else if (at === script.deltas.length) {
          await step()
          if (script.error !== undefined) throw HubError.fromBody(script.error)
          const stop = script.stop === undefined ? {} : { stop: script.stop }
          yield { type: 'end', id, choice, finishReason: script.finishReason ?? 'stop', ...stop }
        }
      }
    }
    yield {
      type: 'done',
      id,
      usage: { promptTokens: 7, cachedTokens: 3, completionTokens: tokens, reasoningTokens: 0 },
      timings: {
        queue_ms: 0,
        prompt_n: 4,
        prompt_ms: 1,
        prompt_per_second: 4000,
        predicted_n: tokens,
        predicted_ms: 2,
        predicted_per_second: 500 * tokens,
        cache_n: 3,
      },
    }
  }

  const ask = async (question: Ask, signal: AbortSignal): Promise<Answer[keyof Answer]> => {
    asked.push(question)
    await nextTurn()
    if (signal.aborted) throw new HubError('cancelled', 'The request was cancelled.')
    if (question.type === 'tokenize') {
      const pieces = [...question.text]
      return { tokens: pieces.map(piece => (piece.codePointAt(0) ?? 0) % info.vocabularySize), pieces }
    }
    if (question.type === 'detokenize')
      return { text: question.tokens.map(token => String.fromCodePoint(token)).join('') }
    if (question.type === 'render') {
      const text = question.prompt.messages.map(message => `<${message.role}>${message.content ?? ''}`).join('\n')
      return { text, tokens: text.length }
    }
    if (question.type === 'embed') {
      const vector = Buffer.from(new Float32Array([0.5, 0.5, 0.5, -0.5]).buffer).toString('base64')
      return { vectors: question.inputs.map(() => vector), tokens: question.inputs.map(input => input.length) }
    }
    return { bytes: 0 }
  }

  return {
    generated,
    asked,
    held: () => [...states.values()].reduce((sum, status) => sum + status.inUse, 0),
    cancelled: () => cancelled,
    list: () => [...states.values()],
    get,
    load,
    async acquire(id, signal): Promise<Lease> {
      const status = await load(id, signal)
      status.inUse++
      let released = false
      return {
        model: status.file,
        info,
        generate,
        // The fake answers every question by its type, which the compiler cannot see.
        ask: ask as Lease['ask'],
        release() {
          if (!released) status.inUse--
          released = true
        },
      }
    },
    async unload(id) {
      const status = get(id)
      if (status.inUse > 0) throw new HubError('conflict', `Model '${id}' is in use.`, { param: 'model' })
      status.state = 'unloaded'
      delete status.info
      return status
    },
  }
}

function echoOf(request: Generate): { text: string; logprobs?: (ReturnType<typeof logprob> | null)[] } {
  const text = request.prompt.type === 'text' ? request.prompt.text : 'echo'
  if (request.topLogprobs === undefined) return { text }
  return { text, logprobs: [null, logprob([...text].slice(1).join(''))] }
}

/** A token's log probability with one alternative. */
export function logprob(token: string): {
  token: string
  id: number
  logprob: number
  bytes: number[]
  top: { token: string; id: number; logprob: number; bytes: number[] }[]
} {
  const own = { token, id: 5, logprob: -0.25, bytes: [...Buffer.from(token)] }
  return { ...own, top: [own, { token: 'x', id: 6, logprob: -2, bytes: [120] }] }
}

function plainAnswer(request: Generate, choice: number): FakeChoice {
  const { prompt } = request
  if (prompt.type === 'chat' && prompt.toolChoice !== 'none' && prompt.toolChoice !== 'auto') {
    const name = typeof prompt.toolChoice === 'object' ? prompt.toolChoice.names[0]! : (prompt.tools[0]?.name ?? 'none')
    return {
      deltas: [
        { toolCalls: [{ index: 0, id: `call_${choice}`, name, arguments: '' }] },
        { toolCalls: [{ index: 0, arguments: '{"city":' }] },
        { toolCalls: [{ index: 0, arguments: '"Hanoi"}' }] },
      ],
      finishReason: 'tool_calls',
    }
  }
  const texts = request.format.type === 'text' ? ['Hello', ' world', '!'] : ['{"answer"', ':', '42}']
  if (request.maxTokens === 0) return { deltas: [], finishReason: 'length' }
  return {
    deltas: texts.map(content => ({
      content,
      tokens: [5],
      ...(request.topLogprobs !== undefined && { logprobs: [logprob(content)] }),
    })),
  }
}
