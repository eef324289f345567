/**
 * What the hub and a model worker say to each other: JSON messages over the child's IPC channel.
 * The worker is one loaded model. Its text never leaves these messages except through the doors.
 */
import type { ErrorBody } from '../lib/error.ts'
import type { Sample } from './sample.ts'

/** Where the model runs. `auto` is resolved by the hub before a worker is asked to load. */
export type Device = 'cpu' | 'vulkan' | 'cuda' | 'metal'

export type LoadOptions = {
  /** First file of the model (the first part of a split GGUF). */
  path: string
  device: Device
  /** Which build of the native libraries: `cuda-ext` is CUDA on the older runtime. */
  library: 'cpu' | 'vulkan' | 'cuda' | 'cuda-ext' | 'metal'
  /** Layers on the GPU; -1 means all. Ignored on the CPU. */
  gpuLayers: number
  /** KV cells of the unified cache, shared by all slots; also the longest single sequence, in tokens. */
  contextTokens: number
  /** Sequences decoded at once. */
  slots: number
  /** CPU threads of the persistent pool. */
  threads: number
  /** Most tokens of one decode call: a client that leaves stops the prompt evaluation within one such chunk. */
  batchTokens: number
  /** RAM for the KV of idle conversations, in bytes; 0 switches it off. */
  promptCacheBytes: number
  /** KV cell type. */
  kvType: 'f32' | 'f16' | 'q8_0'
  flashAttention: 'auto' | 'on' | 'off'
  useMmap: boolean
  /** Busy-wait level of the thread pool, 0 (sleep at once) to 100. */
  poll: number
  /** Jinja text that stands in for the template of the file. */
  chatTemplate?: string
}

/** What a loaded model is, as its worker measured it. */
export type ModelInfo = {
  architecture: string
  device: Device
  /** The device's own name, `NVIDIA GeForce RTX 4060 Ti`, or the CPU kernel variant. */
  deviceName: string
  gpuLayers: number
  layers: number
  contextTokens: number
  trainedContextTokens: number
  embeddingSize: number
  vocabularySize: number
  slots: number
  /** Bytes this process added by loading: resident memory, and device memory where there is a GPU. */
  memoryBytes: number
  deviceBytes: number
  loadMs: number
  hasFim: boolean
  hasChatTemplate: boolean
  /** Name of the chat format that reads tool calls and reasoning for this template. */
  chatFormat: string
  canEmbed: boolean
  canGenerate: boolean
  llamaVersion: string
}

export type ToolCall = { id: string; name: string /** JSON text */; arguments: string }
export type ChatMessage = {
  role: 'system' | 'developer' | 'user' | 'assistant' | 'tool'
  content: string | null
  name?: string
  reasoning?: string
  toolCalls?: ToolCall[]
  toolCallId?: string
}
export type JsonSchema = { [key: string]: unknown } | boolean
export type Tool = { name: string; description?: string; parameters?: JsonSchema; strict?: boolean }
export type ToolChoice = 'none' | 'auto' | 'required' | { /** one of these must be called */ names: string[] }

export type Prompt =
  | {
      type: 'chat'
      messages: ChatMessage[]
      tools: Tool[]
      toolChoice: ToolChoice
      parallelToolCalls: boolean
      /** Variables for the template, such as `enable_thinking`. */
      templateVariables: { [key: string]: unknown }
      /** `none` | `minimal` | `low` | `medium` | `high` | `xhigh`; refused when the template knows no such thing. */
      reasoningEffort?: string
      /** Continue the last assistant message instead of opening a new one. */
      continueLast?: boolean
    }
  | { type: 'text'; text: string /** parse special tokens and add BOS, as completions do */; special: boolean }
  | { type: 'tokens'; tokens: number[] }
  | {
      type: 'infill'
      prefix: string
      suffix: string /** text already written after the middle token */
      prompt: string
      extra: { filename: string; text: string }[]
      /** Of the file itself, for models that mark where a file begins. */
      path?: string
    }

export type Format =
  | { type: 'text' }
  | { type: 'json_object' }
  | { type: 'json_schema'; schema: JsonSchema }
  | { type: 'grammar' /** GBNF, its start rule is `root` */; grammar: string }

/** Sampling settings; an absent one takes the model's default, then the engine's (README lists them). */
export type Sampling = {
  /** 0 = greedy */
  temperature?: number
  topK?: number
  topP?: number
  minP?: number
  typicalP?: number
  topNSigma?: number
  xtcProbability?: number
  xtcThreshold?: number
  /** Multiplies down the logits of the last `repeatLastN` tokens; 1 = off */
  repeatPenalty?: number
  repeatLastN?: number
  frequencyPenalty?: number
  presencePenalty?: number
  dryMultiplier?: number
  dryBase?: number
  dryAllowedLength?: number
  dryPenaltyLastN?: number
  drySequenceBreakers?: string[]
  /** [token id, bias added to its logit]; -100 or less bans the token */
  logitBias?: [number, number][]
  seed?: number
}

export type Generate = {
  prompt: Prompt
  format: Format
  sampling: Sampling
  /** Most tokens per choice; absent = until the context is full. */
  maxTokens?: number
  /** Texts that end the generation; none of them is part of the output. */
  stop: string[]
  /** Choices generated from the one prompt. */
  n: number
  /** Give the log probability of each token and of so many alternatives; absent = none. */
  topLogprobs?: number
  /** Give the prompt's own tokens (and log probabilities when asked) back first, as `echo` of completions does. */
  echo?: boolean
  /** First prompt token whose log probability is wanted, counted from 0; those before it get none. Absent = from the second on. */
  logprobsFrom?: number
  ignoreEos?: boolean
  /** false = neither read nor keep KV of other requests. */
  cachePrompt: boolean
  /** Adapters over the base, by the names they were loaded under. */
  adapters: { name: string; scale: number }[]
  /** Scale of the adapter that the model itself is. The hub puts it into `adapters`; a worker never sees it. */
  ownScale?: number
  /** Ends the generation after so many ms of it, with finish reason `length`. */
  maxGenerateMs?: number
  /** Stops at the end of a line whose indentation is below so many columns (infill). */
  minIndent?: number
  /** The prompt may end within a word: its last piece may be cut into other tokens than it would be alone. Not with a grammar. */
  heal?: boolean
}

export type TokenLogprob = {
  token: string
  id: number
  /** natural logarithm */
  logprob: number
  bytes: number[]
  top: { token: string; id: number; logprob: number; bytes: number[] }[]
}

export type ToolCallDelta = { index: number; id?: string; name?: string; arguments?: string }
export type FinishReason = 'stop' | 'length' | 'tool_calls'

/** Milliseconds and rates of one request, as llama-server's `timings` names them. */
export type Timings = {
  queue_ms: number
  prompt_n: number
  prompt_ms: number
  prompt_per_second: number
  predicted_n: number
  predicted_ms: number
  predicted_per_second: number
  cache_n: number
}

export type Usage = { promptTokens: number; cachedTokens: number; completionTokens: number; reasoningTokens: number }

/** One request's events come in order: start, deltas, an end per choice, done; or error at any point, which is the last. */
export type GenerateEvent =
  | {
      type: 'start'
      id: number
      promptTokens: number
      cachedTokens: number
      echo?: { text: string; logprobs?: (TokenLogprob | null)[] }
    }
  | {
      type: 'delta'
      id: number
      choice: number
      content?: string
      reasoning?: string
      toolCalls?: ToolCallDelta[]
      logprobs?: TokenLogprob[]
      /** ids of the tokens behind this delta (some may be held back inside it) */
      tokens?: number[]
    }
  | {
      type: 'end'
      id: number
      choice: number
      finishReason: FinishReason /** the stop text that matched */
      stop?: string
    }
  | { type: 'done'; id: number; usage: Usage; timings: Timings }
  | { type: 'error'; id: number; error: ErrorBody }

export type Ask =
  | { type: 'generate'; request: Generate }
  /** Vectors of the inputs, pooled as the model says (mean where it says nothing), each of Euclidean norm 1. */
  | { type: 'embed'; inputs: (string | number[])[] }
  | { type: 'tokenize'; text: string; addSpecial: boolean; parseSpecial: boolean }
  | { type: 'detokenize'; tokens: number[] }
  /** The prompt text that the chat template makes. */
  | { type: 'render'; prompt: Extract<Prompt, { type: 'chat' }> }
  /** Token ids with loss weights, as training takes them; the context of an infill sample is cut to `infillTokens` in all. */
  | { type: 'encode'; samples: Sample[]; infillTokens?: number }
  /** `own`: with a context of its own for requests that have this adapter alone at this strength; it costs the KV again. */
  | { type: 'load_adapter'; name: string; path: string; own?: { scale: number } }
  | { type: 'unload_adapter'; name: string }

/** `weights[i]` is the loss weight of predicting token i from those before; 0 masks it, and the first is always 0. */
export type EncodedSequence = { tokens: number[]; weights: number[] }
/**
 * Of a preference the chosen answer, with the rejected one. `more` holds the turns of a conversation that cannot be learned within
 * the first sequence, since the model sees another text before them when it is asked for them.
 */
export type EncodedSample =
  | (EncodedSequence & { rejected?: EncodedSequence; more?: EncodedSequence[] })
  | { error: string }

/** Answers of the unary asks, by ask. */
export type Answer = {
  /** base64 of little-endian float32, one per input, with the token count of each */
  embed: { vectors: string[]; tokens: number[] }
  tokenize: { tokens: number[]; pieces: string[] }
  detokenize: { text: string }
  render: { text: string; tokens: number }
  /** One per sample, in order. */
  encode: { encoded: EncodedSample[] }
  load_adapter: { bytes: number }
  unload_adapter: { [key: string]: never }
}

export type WorkerStats = {
  /** slots generating or evaluating */
  busy: number
  queued: number
  kvUsedTokens: number
  kvTotalTokens: number
  rssBytes: number
  decodedTokens: number
  decodeSteps: number
  promptCacheBytes: number
}

export type ToWorker =
  | { type: 'load'; options: LoadOptions }
  | { type: 'ask'; id: number; ask: Ask }
  | { type: 'cancel'; id: number }
  | { type: 'ping'; id: number }
  | { type: 'exit' }

export type FromWorker =
  | { type: 'progress' /** 0 to 1 */; fraction: number }
  | { type: 'ready'; info: ModelInfo }
  | { type: 'failed'; error: ErrorBody }
  /** All events of one decode step travel together. */
  | { type: 'events'; events: GenerateEvent[] }
  | { type: 'answer'; id: number; answer: Answer[keyof Answer] }
  | { type: 'refused'; id: number; error: ErrorBody }
  | { type: 'pong'; id: number; stats: WorkerStats }
