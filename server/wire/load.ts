/** The load of the machine and of the resident models, as events tell it and the last hour is remembered. */
import * as z from 'zod'

/** Load of the machine and of the resident models. Bytes are bytes. */
export const SystemLoad = z.object({
  at_ms: z.number().describe('Unix milliseconds'),
  cpu: z.number().describe('part of all cores that was busy since the last event, 0 to 1'),
  memory: z.object({ total_bytes: z.number(), available_bytes: z.number(), hub_rss_bytes: z.number() }),
  /** GPUs, as far as the system tells: free memory at the last look, `busy` where a vendor's tool says it. */
  devices: z.array(
    z.object({
      name: z.string(),
      total_bytes: z.number().optional(),
      free_bytes: z.number().optional(),
      busy: z.number().optional().describe('part of the time that it computed, 0 to 1'),
    }),
  ),
  queue: z.object({ running: z.int(), waiting: z.int() }),
  models: z.array(
    z.object({
      id: z.string(),
      busy: z.int(),
      queued: z.int(),
      memory_bytes: z.number(),
      device_bytes: z.number(),
      kv_used_tokens: z.int(),
      kv_total_tokens: z.int(),
      decoded_tokens: z.number().describe('since it was loaded'),
    }),
  ),
})
export type SystemLoad = z.infer<typeof SystemLoad>

/** The load of the last hour, the oldest first. */
export const LoadHistory = z.object({
  object: z.literal('history'),
  step_ms: z.number().describe('between two samples'),
  samples: z.array(SystemLoad),
})
export type LoadHistory = z.infer<typeof LoadHistory>
