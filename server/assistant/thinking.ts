/** Reasoning models are told not to think where an answer is wanted at once; a template without such a switch refuses it. */
import { HubError } from '../lib/error.ts'
import type { ModelInfo } from '../wire/worker.ts'

const SWITCH = 'enable_thinking'
/** Loaded models whose template knows no switch. */
const without = new WeakSet<ModelInfo>()

/** Variables for the template of a model. */
export function noThinking(info: ModelInfo): { [name: string]: unknown } {
  return without.has(info) ? {} : { [SWITCH]: false }
}

/** Does a piece of work that uses `noThinking`, and does it again where the template refuses the switch. */
export async function quietly<T>(info: ModelInfo, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (thrown) {
    if (!refuses(info, thrown)) throw thrown
    return await work()
  }
}

/** Whether a failure was the switch's, which is then left out for this model. */
export function refuses(info: ModelInfo, thrown: unknown): boolean {
  const { code, param } = HubError.from(thrown)
  if (code !== 'unsupported_parameter' || param?.endsWith(SWITCH) !== true || without.has(info)) return false
  without.add(info)
  return true
}
