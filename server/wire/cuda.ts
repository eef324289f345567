/** What `ai-hub cuda --json` prints, a line each: without `--yes` the plan alone. */
import * as z from 'zod'

export const CudaLine = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('plan'),
    runtime: z.union([z.literal(12), z.literal(13)]).describe('the CUDA runtime that the libraries are for'),
    runtimes: z.array(z.int()).describe('major versions of the runtimes on this machine'),
    gpu: z.string().optional().describe('the first NVIDIA card'),
    registry: z.string(),
    folder: z.string(),
    packs: z
      .array(z.object({ name: z.string(), version: z.string(), bytes: z.number(), license: z.string() }))
      .describe('what is missing; nothing when all is installed'),
  }),
  z.object({
    type: z.literal('progress'),
    name: z.string(),
    stage: z.enum(['fetch', 'check', 'unpack']),
    done: z.number().describe('bytes'),
    total: z.number(),
  }),
  z.object({ type: z.literal('done'), works: z.boolean(), said: z.string() }),
])
export type CudaLine = z.infer<typeof CudaLine>
