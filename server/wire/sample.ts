/** A training sample in the one form that every dataset is brought to: a line of JSON in the files of a dataset. */
import * as z from 'zod'

const SampleToolCall = z.strictObject({ id: z.string().optional(), name: z.string(), arguments: z.string() })

/** A message of a sample. `weight` 0 keeps an assistant's message as context that is not learned. */
export const SampleMessage = z.strictObject({
  role: z.enum(['system', 'developer', 'user', 'assistant', 'tool']),
  content: z.string().nullable(),
  name: z.string().optional(),
  tool_calls: z.array(SampleToolCall).optional(),
  tool_call_id: z.string().optional(),
  weight: z.number().min(0).max(1).optional(),
})
export type SampleMessage = z.infer<typeof SampleMessage>

const Tool = z.strictObject({
  name: z.string(),
  description: z.string().optional(),
  parameters: z.record(z.string(), z.unknown()).optional(),
})

/** Where a sample came from: a file and its line (from 1), or a conversation, a commit, a completion. */
export const SampleOrigin = z.strictObject({ source: z.string(), line: z.int().positive().optional() })

/** Code that proves an answer right: it is run behind the answer's code and must end without an error. */
export const SampleTests = z.strictObject({
  language: z.enum(['javascript', 'typescript', 'python']),
  code: z.string(),
})

const common = { origin: SampleOrigin.optional(), tests: SampleTests.optional() }

export const Sample = z.discriminatedUnion('kind', [
  /** Learned: the assistant's messages. */
  z.strictObject({
    kind: z.literal('chat'),
    messages: z.array(SampleMessage).min(1),
    tools: z.array(Tool).optional(),
    ...common,
  }),
  /** Learned: the completion. No chat template. */
  z.strictObject({ kind: z.literal('completion'), prompt: z.string(), completion: z.string(), ...common }),
  /** Learned: all of it. */
  z.strictObject({ kind: z.literal('text'), text: z.string(), ...common }),
  /** Learned: the middle, behind the model's own fill-in-the-middle tokens. */
  z.strictObject({
    kind: z.literal('infill'),
    prefix: z.string(),
    middle: z.string(),
    suffix: z.string(),
    path: z.string().optional(),
    ...common,
  }),
  /** Learned: to prefer one answer to the other. */
  z.strictObject({
    kind: z.literal('preference'),
    messages: z.array(SampleMessage).min(1),
    chosen: z.string(),
    rejected: z.string(),
    ...common,
  }),
])
export type Sample = z.infer<typeof Sample>
