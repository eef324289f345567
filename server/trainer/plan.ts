/** What a job would take, for a plan that is shown before anything is done: its base is the only file that must exist. */
import { HubError } from '../lib/error.ts'
import type { TrainerJob, TrainerJobInput, TrainerPlan } from '../wire/trainer.ts'
import { bucketsOf, parseJob } from './job.ts'
import { fitMemory, type PlanOptions, planMemory } from './memory.ts'

/**
 * @param freeBytes what the run may take @param shortest length of the longest sample, which a row must hold
 * @throws HubError invalid_request for a base or settings that cannot be trained, not_found for the device
 */
export function planJob(input: TrainerJobInput, freeBytes: number, shortest: number): TrainerPlan {
  const job = parseJob(input, process.cwd())
  const buckets = bucketsOf(job)
  const options = planOptions(job, buckets)
  try {
    const { plan, buckets: fitting, checkpoint } = fitMemory(job.base, options, { freeBytes, shortest })
    return { fits: true, rowTokens: Math.max(...fitting), layerCheckpointing: checkpoint, ...plan }
  } catch (thrown) {
    if (!(thrown instanceof HubError) || thrown.code !== 'insufficient_memory') throw thrown
    const least = buckets.find(length => length >= shortest) ?? Math.max(...buckets)
    const { totalBytes } = planMemory(job.base, { ...options, buckets: [least], checkpoint: true })
    return { fits: false, needBytes: totalBytes, message: thrown.message }
  }
}

function planOptions({ mode, ...job }: TrainerJob, buckets: number[]): PlanOptions {
  return {
    library: job.library,
    ...(job.device !== undefined && { device: job.device }),
    mode: mode.type === 'full' ? mode : { type: 'lora', lora: mode },
    buckets,
    checkpoint: job.layerCheckpointing,
    logitsTokens: job.parityTokens,
  }
}
