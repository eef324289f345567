/** A loaded model with everything that answers for it: engine, template, adapters, embeddings. */
import { HubError } from '../lib/error.ts'
import { createTurns, type Turns } from '../lib/turns.ts'
import type { Native, Threadpool } from '../native/llama.ts'
import { DEVICE_TYPE } from '../native/structs.ts'
import type { Answer, Ask, Generate, GenerateEvent, LoadOptions, ModelInfo, WorkerStats } from '../wire/worker.ts'
import { Adapters } from './adapters.ts'
import { type Context, createContext } from './context.ts'
import { Embedder } from './embed.ts'
import { encodeSample, tokenizeChat } from './encode.ts'
import { Engine } from './engine.ts'
import { jsonObjectGrammar, schemaToGrammar } from './grammar.ts'
import { cutBack, UNCUT } from './heal.ts'
import { infillPrompt } from './infill.ts'
import { loadModel, type Model } from './model.ts'
import type { Job } from './run.ts'
import type { GrammarText } from './sampling.ts'
import { type ChatTemplate, createTemplate } from './template.ts'
import { plainParser } from './text.ts'

type Listeners = { progress(fraction: number): void; events(events: GenerateEvent[]): void }

/** Architectures that encode only: they embed and never generate. */
const ENCODERS = new Set([
  'bert',
  'modern-bert',
  'nomic-bert',
  'nomic-bert-moe',
  'jina-bert-v2',
  'jina-bert-v3',
  'neo-bert',
  'eurobert',
  't5encoder',
  'gemma-embedding',
])

/** How long samples are encoded before the event loop has its turn. */
const ENCODE_TURN_MS = 5

export class Loaded {
  readonly info: ModelInfo
  readonly #model: Model
  readonly #context: Context
  readonly #embedder: Embedder
  readonly #adapters: Adapters
  /** Control token id by text, filled as formats ask for them. */
  readonly #controlTokens = new Map<string, number>()
  #template: ChatTemplate | undefined
  readonly #templateSource: string | undefined

  private constructor(
    parts: {
      model: Model
      context: Context
      pool: Threadpool
      turns: Turns
      embedder: Embedder
      template: ChatTemplate | undefined
    },
    options: LoadOptions,
    info: ModelInfo,
    listeners: Listeners,
  ) {
    this.#model = parts.model
    this.#context = parts.context
    this.#embedder = parts.embedder
    this.#template = parts.template
    this.#templateSource = options.chatTemplate ?? parts.model.chatTemplate()
    this.info = info
    const { model, pool, turns } = parts
    const engineOver = (context: Context): Engine =>
      new Engine(model, context, {
        slots: options.slots,
        promptCacheBytes: options.promptCacheBytes,
        putIdleAside: options.device === 'cpu',
        emit: listeners.events,
      })
    this.#adapters = new Adapters({
      model,
      shared: engineOver(parts.context),
      turns,
      async createOwn() {
        const context = await createContext(model, options, { embeddings: false, slots: options.slots }, pool, turns)
        const engine = engineOver(context)
        const free = () => {
          engine.close()
          context.free()
        }
        return { engine, free }
      },
    })
  }

  /** @throws HubError model_load_failed, insufficient_memory */
  static async create(native: Native, options: LoadOptions, listeners: Listeners): Promise<Loaded> {
    const startedMs = performance.now()
    const rssBefore = process.memoryUsage.rss()
    const freeBefore = deviceFree(native)
    const model = await loadModel(native, options, listeners.progress)
    const trained = native.model_n_ctx_train(model.pointer)
    const architecture = model.metadata('general.architecture') ?? 'unknown'
    const canGenerate = !ENCODERS.has(architecture) && native.model_has_decoder(model.pointer)
    const pool = native.threadpool(options.threads, options.poll)
    const turns = createTurns()
    const context = await createContext(model, options, { embeddings: false, slots: options.slots }, pool, turns)
    if (canGenerate && context.memory !== null) await warmUp(model, context)
    const template = options.chatTemplate ?? model.chatTemplate()
    const parsed = template === undefined ? undefined : readTemplate(model, template)
    const device = native
      .devices()
      .find(candidate => candidate.type === DEVICE_TYPE.gpu || candidate.type === DEVICE_TYPE.integrated)
    const info: ModelInfo = {
      architecture,
      device: options.device,
      deviceName:
        (options.device === 'cpu' ? undefined : device?.description) ?? native.devices()[0]?.description ?? 'CPU',
      gpuLayers:
        options.device === 'cpu' ? 0 : options.gpuLayers < 0 ? model.layers : Math.min(options.gpuLayers, model.layers),
      layers: model.layers,
      contextTokens: context.sequenceTokens,
      trainedContextTokens: trained,
      embeddingSize: model.embeddingSize,
      vocabularySize: model.vocabularySize,
      slots: options.slots,
      memoryBytes: Math.max(0, process.memoryUsage.rss() - rssBefore),
      deviceBytes: Math.max(0, freeBefore - deviceFree(native)),
      loadMs: performance.now() - startedMs,
      hasFim: model.fim !== undefined,
      hasChatTemplate: template !== undefined,
      chatFormat: parsed?.formatName ?? 'none',
      canEmbed: true,
      canGenerate: canGenerate && context.memory !== null,
      llamaVersion: native.version(),
    }
    const embedder = new Embedder(model, options, pool, turns)
    return new Loaded({ model, context, pool, turns, embedder, template: parsed }, options, info, listeners)
  }

  /** @throws HubError as the prompt, its format and its parameters are refused; everything later is an event */
  generate(id: number, request: Generate): void {
    if (!this.info.canGenerate) {
      throw new HubError(
        'invalid_request',
        `this is an embedding model (${this.info.architecture}); it writes no text`,
        { param: 'model' },
      )
    }
    for (const [token] of request.sampling.logitBias ?? []) this.#model.checkTokens([token], 'logit_bias')
    const { engine, adapters } = this.#adapters.resolve(request)
    const job = this.#prepare(request)
    const heals = request.heal === true && job.grammar === undefined
    const { tokens: prompt, cut } = heals ? cutBack(this.#model, job.prompt) : { tokens: job.prompt, cut: UNCUT }
    engine.submit({ id, request, ...job, prompt, cut, adapters })
  }

  cancel(id: number): void {
    for (const engine of this.#adapters.engines) engine.cancel(id)
  }

  #prepare(request: Generate): Omit<Job, 'id' | 'request' | 'adapters' | 'cut'> {
    const { prompt } = request
    const none = { stops: request.stop, preserved: new Set<number>(), createParser: plainParser, infill: false }
    switch (prompt.type) {
      case 'chat': {
        const rendered = this.#chatTemplate().render({ prompt, format: request.format, now: new Date() })
        return {
          prompt: tokenizeChat(this.#model, rendered.text),
          stops: [...request.stop, ...rendered.stops],
          preserved: new Set(rendered.preserved.flatMap(text => this.#controlToken(text) ?? [])),
          grammar: rendered.grammar,
          createParser: rendered.createParser,
          infill: false,
        }
      }
      case 'text':
        return {
          ...none,
          prompt: this.#orBos([...this.#model.tokenize(prompt.text, prompt.special, prompt.special)]),
          grammar: plainGrammar(request),
        }
      case 'tokens':
        this.#model.checkTokens(prompt.tokens, 'prompt')
        return { ...none, prompt: this.#orBos(prompt.tokens), grammar: plainGrammar(request) }
      case 'infill':
        return {
          ...none,
          prompt: infillPrompt(this.#model, prompt, this.#context.sequenceTokens),
          grammar: plainGrammar(request),
          infill: true,
        }
    }
  }

  /** An empty prompt begins at the beginning-of-sequence token, where the model has one. */
  #orBos(tokens: number[]): number[] {
    return tokens.length === 0 && this.#model.bos >= 0 ? [this.#model.bos] : tokens
  }

  #chatTemplate(): ChatTemplate {
    if (this.#template === undefined) this.#template = parseTemplate(this.#model, this.#templateSource)
    return this.#template
  }

  #controlToken(text: string): number | undefined {
    const known = this.#controlTokens.get(text)
    if (known !== undefined) return known
    const tokens = this.#model.tokenize(text, false, true)
    if (tokens.length !== 1) return undefined
    this.#controlTokens.set(text, tokens[0]!)
    return tokens[0]
  }

  async answer(ask: Exclude<Ask, { type: 'generate' }>, signal: AbortSignal): Promise<Answer[keyof Answer]> {
    switch (ask.type) {
      case 'embed':
        return this.#embedder.embed(ask.inputs, signal)
      case 'tokenize': {
        const tokens = [...this.#model.tokenize(ask.text, ask.addSpecial, ask.parseSpecial)]
        return { tokens, pieces: tokens.map(token => this.#model.piece(token, true).toString('utf8')) }
      }
      case 'detokenize':
        this.#model.checkTokens(ask.tokens, 'tokens')
        return { text: this.#model.detokenize(ask.tokens) }
      case 'render': {
        const { text } = this.#chatTemplate().render({ prompt: ask.prompt, format: { type: 'text' }, now: new Date() })
        return { text, tokens: tokenizeChat(this.#model, text).length }
      }
      case 'encode':
        return { encoded: await this.#encode(ask, signal) }
      case 'load_adapter':
        return this.#adapters.load(ask)
      case 'unload_adapter':
        return this.#adapters.unload(ask.name)
    }
  }

  async #encode(ask: Extract<Ask, { type: 'encode' }>, signal: AbortSignal): Promise<Answer['encode']['encoded']> {
    const { samples, infillTokens } = ask
    const encoder = {
      model: this.#model,
      template: () => this.#chatTemplate(),
      now: new Date(),
      ...(infillTokens !== undefined && { infillTokens }),
    }
    const encoded: Answer['encode']['encoded'] = []
    let turnMs = performance.now()
    for (const sample of samples) {
      encoded.push(encodeSample(encoder, sample))
      if (performance.now() - turnMs < ENCODE_TURN_MS) continue
      // Generations of this model go on between samples.
      await new Promise(resolve => setImmediate(resolve))
      if (signal.aborted) throw new HubError('cancelled', 'the request was cancelled')
      turnMs = performance.now()
    }
    return encoded
  }

  stats(): WorkerStats {
    const { engines } = this.#adapters
    const sum = (count: (engine: Engine) => number): number => engines.reduce((all, engine) => all + count(engine), 0)
    return {
      busy: sum(({ stats }) => stats.busy),
      queued: sum(({ stats }) => stats.queued),
      kvUsedTokens: sum(({ stats }) => stats.kvUsedTokens),
      kvTotalTokens: sum(({ stats }) => stats.kvTotalTokens),
      promptCacheBytes: sum(({ stats }) => stats.promptCacheBytes),
      decodedTokens: sum(({ decodedTokens }) => decodedTokens),
      decodeSteps: sum(({ decodeSteps }) => decodeSteps),
      rssBytes: process.memoryUsage.rss(),
    }
  }
}

function plainGrammar({ format }: Generate): GrammarText | undefined {
  switch (format.type) {
    case 'text':
      return undefined
    case 'json_object':
      return { text: jsonObjectGrammar() }
    case 'json_schema':
      return { text: schemaToGrammar(format.schema, 'response_format.json_schema.schema') }
    case 'grammar':
      return { text: format.grammar }
  }
}

/** A template that cannot be read costs the chat, not the model: the error comes back when a chat is asked for. */
function readTemplate(model: Model, source: string): ChatTemplate | undefined {
  try {
    return parseTemplate(model, source)
  } catch {
    return undefined
  }
}

function parseTemplate(model: Model, source: string | undefined): ChatTemplate {
  const text = (token: number) => (token >= 0 ? model.piece(token, true).toString('utf8') : '')
  return createTemplate(source, { bos: text(model.bos), eos: text(model.native.vocab_eos(model.vocab)) })
}

/** The first decode allocates and touches every weight; a client should not wait for that. */
async function warmUp(model: Model, context: Context): Promise<void> {
  context.batch.clear()
  context.batch.add(Math.max(0, model.bos), 0, 0, true)
  await context.decode()
  if (context.memory !== null) model.native.memory_clear(context.memory, false)
}

function deviceFree(native: Native): number {
  return native
    .devices()
    .filter(device => device.type === DEVICE_TYPE.gpu || device.type === DEVICE_TYPE.integrated)
    .reduce((sum, device) => sum + device.freeBytes, 0)
}
