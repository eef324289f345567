/** The model families that can be trained; a new one is a file beside and a row here. */
import { HubError } from '../../lib/error.ts'
import type { GgufMetadata } from '../gguf_read.ts'
import { type Family, type Numbers, readNumbers } from './family.ts'
import { gemma2 } from './gemma2.ts'
import { gemma3 } from './gemma3.ts'
import { llama } from './llama.ts'
import { mistral, mistral3 } from './mistral.ts'
import { phi3 } from './phi3.ts'
import { qwen2 } from './qwen2.ts'
import { qwen3 } from './qwen3.ts'

export const FAMILIES: readonly Family[] = [llama, mistral, mistral3, qwen2, qwen3, gemma2, gemma3, phi3]

/**
 * The family of a base model and its numbers.
 * @throws HubError invalid_request for an unknown architecture, naming those known, or a variant that cannot be trained
 */
export function chooseFamily(metadata: GgufMetadata, vocabulary: number): { family: Family; numbers: Numbers } {
  const architecture = String(metadata['general.architecture'] ?? 'none')
  const family = FAMILIES.find(each => each.architecture === architecture)
  if (family === undefined) {
    const known = FAMILIES.map(each => each.architecture).join(', ')
    throw new HubError('invalid_request', `the architecture ${architecture} cannot be trained; these can: ${known}`)
  }
  const numbers = readNumbers(metadata, vocabulary)
  const experts = Number(metadata[`${architecture}.expert_count`] ?? 0)
  const reason = family.refuses?.(numbers, metadata) ?? (experts > 0 ? 'it is a mixture of experts' : undefined)
  if (reason !== undefined) throw new HubError('invalid_request', `this ${architecture} cannot be trained: ${reason}`)
  return { family, numbers }
}
