/** Facts and token counts for tests of the training plan. */
import type { GgufFacts, ModelFile } from '../../server/wire/model.ts'
import type { TokenStats } from '../../server/wire/training_plan.ts'

/** A model of about a billion parameters. */
export const FACTS: GgufFacts = {
  architecture: 'llama',
  parameters: 1.2e9,
  quantization: 'Q4_K_M',
  context_length: 16_384,
  embedding_size: 2048,
  layers: 16,
  heads: 32,
  kv_heads: 8,
  kv_bytes_per_token: 32_768,
  vocabulary_size: 128_256,
  tokenizer: 'gpt2',
  fim: false,
  kind: 'model',
}

export const BASE: ModelFile = {
  id: 'base',
  folder: 'chat_models',
  files: ['/models/base.gguf'],
  bytes: 800e6,
  modified_ms: 0,
  status: 'ok',
  facts: FACTS,
  sidecar: {},
}

/** Stats of samples of about this length. */
export function dataOf(options: {
  samples: number
  mean: number
  longest?: number
  kind?: TokenStats['kind']
}): TokenStats {
  const { samples, mean, longest = Math.ceil(mean * 1.5), kind = 'samples' } = options
  const tokens = samples * mean * (kind === 'preferences' ? 2 : 1)
  return {
    kind,
    vocabularySize: FACTS.vocabulary_size,
    samples,
    written: samples,
    tokens,
    targetTokens: Math.round(tokens / 2),
    longest,
    lengths: { mean, p50: mean, p90: longest, p95: longest, p99: longest },
    dropped: 0,
    truncated: 0,
    split: 0,
    lostTokens: 0,
    failed: 0,
    empty: 0,
    problems: [],
  }
}
