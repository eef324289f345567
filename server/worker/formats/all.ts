/** Every chat format, the more particular one first; the last fits any template. */
import { deepseekR1, deepseekV31 } from './deepseek.ts'
import type { ChatFormat } from './format.ts'
import { gemma4 } from './gemma4.ts'
import { harmony } from './harmony.ts'
import { hermes, plain } from './hermes.ts'
import { kimi } from './kimi.ts'
import { commandR7b, granite3, nemotron2 } from './lists.ts'
import { llama3 } from './llama3.ts'
import { mistral, mistralArgs, mistralId } from './mistral.ts'
import { glm, minimax, qwen3Coder, seed } from './xml.ts'

export const FORMATS: ChatFormat[] = [
  harmony,
  gemma4,
  mistralId,
  mistralArgs,
  mistral,
  deepseekR1,
  deepseekV31,
  kimi,
  glm,
  seed,
  minimax,
  qwen3Coder,
  granite3,
  nemotron2,
  commandR7b,
  llama3,
  hermes,
]

/** The format for templates that no other one fits. */
export const FALLBACK: ChatFormat = plain
