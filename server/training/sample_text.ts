/** The texts inside a sample: read as groups of texts that stand directly behind each other, and put back changed. */
import type { Sample, SampleMessage } from '../wire/sample.ts'

/**
 * All texts of a sample. The texts of one group are one text for a reader (the prefix, middle and suffix of a file),
 * so that a secret which a border cuts in two is still seen.
 */
export function groupsOf(sample: Sample): string[][] {
  const groups: string[][] = []
  visit(sample, group => {
    groups.push(group)
    return group
  })
  return groups
}

/** The sample with its texts replaced by `groups`, which must have the shape that `groupsOf` gave. */
export function withGroups(sample: Sample, groups: string[][]): Sample {
  let at = 0
  return visit(sample, () => groups[at++]!)
}

/** The texts that the model learns to write. An assistant's message that is not learned is left out. */
export function answersOf(sample: Sample): string[] {
  if (sample.kind === 'chat') return sample.messages.filter(isLearned).map(message => message.content ?? '')
  if (sample.kind === 'completion') return [sample.completion]
  if (sample.kind === 'text') return [sample.text]
  if (sample.kind === 'infill') return [sample.middle]
  return [sample.chosen, sample.rejected]
}

export function isLearned(message: SampleMessage): boolean {
  return message.role === 'assistant' && message.weight !== 0
}

/** Texts that tell one sample from another: without system messages and tools, which many samples share. */
export function contentOf(sample: Sample): string[] {
  const of = (messages: SampleMessage[]) =>
    messages
      .filter(message => message.role !== 'system' && message.role !== 'developer')
      .flatMap(message => [
        message.content ?? '',
        ...(message.tool_calls ?? []).map(call => call.name + call.arguments),
      ])
  if (sample.kind === 'chat') return of(sample.messages)
  if (sample.kind === 'preference') return [...of(sample.messages), sample.chosen, sample.rejected]
  if (sample.kind === 'text') return [sample.text]
  if (sample.kind === 'completion') return [sample.prompt, sample.completion]
  // Samples of one file share most of their context; the gap and what is around it is what makes each.
  return [sample.prefix.slice(-300), sample.middle, sample.suffix.slice(0, 300)]
}

/** What `contentOf` leaves out: the kind, the roles, system messages and tools; of a file to be filled in, its far ends. */
export function contextOf(sample: Sample): string[] {
  if (sample.kind === 'infill') return [sample.kind, sample.prefix.slice(0, -300), sample.suffix.slice(300)]
  if (sample.kind !== 'chat' && sample.kind !== 'preference') return [sample.kind]
  const roles = sample.messages.map(message => message.role).join(' ')
  const system = sample.messages
    .filter(message => message.role === 'system' || message.role === 'developer')
    .map(message => message.content ?? '')
  const tools = sample.kind === 'chat' && sample.tools !== undefined ? [JSON.stringify(sample.tools)] : []
  return [sample.kind, roles, ...system, ...tools]
}

type Change = (group: string[]) => string[]

function visit(sample: Sample, change: Change): Sample {
  const one = (text: string): string => change([text])[0]!
  const next = visitBody(sample, change, one)
  return sample.tests === undefined ? next : { ...next, tests: { ...sample.tests, code: one(sample.tests.code) } }
}

function visitBody(sample: Sample, change: Change, one: (text: string) => string): Sample {
  switch (sample.kind) {
    case 'text':
      return { ...sample, text: one(sample.text) }
    case 'completion': {
      const [prompt, completion] = change([sample.prompt, sample.completion])
      return { ...sample, prompt: prompt!, completion: completion! }
    }
    case 'infill': {
      const [prefix, middle, suffix] = change([sample.prefix, sample.middle, sample.suffix])
      return { ...sample, prefix: prefix!, middle: middle!, suffix: suffix! }
    }
    case 'preference': {
      const messages = sample.messages.map(message => visitMessage(message, one))
      return { ...sample, messages, chosen: one(sample.chosen), rejected: one(sample.rejected) }
    }
    case 'chat': {
      const messages = sample.messages.map(message => visitMessage(message, one))
      if (sample.tools === undefined) return { ...sample, messages }
      return { ...sample, messages, tools: visitStrings(sample.tools, one) as typeof sample.tools }
    }
  }
}

function visitMessage(message: SampleMessage, one: (text: string) => string): SampleMessage {
  const next = { ...message }
  if (message.content !== null) next.content = one(message.content)
  if (message.tool_calls !== undefined)
    next.tool_calls = message.tool_calls.map(call => ({ ...call, arguments: one(call.arguments) }))
  return next
}

/** Every string value inside of a JSON value; keys stay as they are. */
function visitStrings(value: unknown, one: (text: string) => string): unknown {
  if (typeof value === 'string') return one(value)
  if (Array.isArray(value)) return value.map(item => visitStrings(item, one))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, visitStrings(item, one)]))
}
