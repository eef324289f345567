/** One record of a file (a JSON value or the cells of a row) to samples: which format it is in, told by its keys. */
import type { FormatName } from '../wire/dataset.ts'
import { Sample, type SampleMessage, SampleTests } from '../wire/sample.ts'
import { collectedSamples, isCollected } from './collect.ts'
import { brief, isFields, RecordError, readMessages, readTools, readTurns } from './formats_chat.ts'

type Fields = { [key: string]: unknown }
type Recognised = { format: FormatName; read(record: Fields): Sample[] }

/** Names that other programs give to the same thing. */
const ALIASES: { [name: string]: string[] } = {
  instruction: ['instruction'],
  input: ['input', 'context'],
  output: ['output', 'response'],
  prompt: ['prompt', 'question', 'query'],
  completion: ['completion', 'response', 'answer'],
}
const has = (record: Fields, key: string): boolean => record[key] !== undefined && record[key] !== null
const pick = (record: Fields, name: string): string | undefined => ALIASES[name]!.find(key => has(record, key))
/** A file from elsewhere may name its conversation in the singular. */
const TURNS = ['conversations', 'conversation']

/**
 * @returns the samples of the record, all of one format (a collected edit may give two)
 * @throws RecordError saying what is wrong with it
 */
export function toSamples(value: unknown, wanted?: FormatName): { format: FormatName; samples: Sample[] } {
  if (!isFields(value)) throw new RecordError(`A sample must be an object, not ${brief(value)}.`)
  const found = recognise(value)
  if (found === undefined) {
    const keys = Object.keys(value)
      .slice(0, 6)
      .map(key => key.slice(0, 24))
    throw new RecordError(
      `No known format has the keys ${keys.join(', ') || '(none)'}. Known are: instruction and output; messages; conversations; prompt and completion; chosen and rejected; prefix, middle and suffix; text.`,
    )
  }
  if (wanted !== undefined && found.format !== wanted) {
    throw new RecordError(`The record is in the format ${found.format}, not ${wanted}.`)
  }
  return { format: found.format, samples: found.read(value) }
}

function recognise(record: Fields): Recognised | undefined {
  if (isCollected(record)) return { format: 'collected', read: collectedSamples }
  if (typeof record.kind === 'string' && Sample.options.some(({ shape }) => shape.kind.value === record.kind)) {
    return { format: 'sample', read: readOwn }
  }
  if (has(record, 'preferred_output') || has(record, 'non_preferred_output')) {
    return { format: 'preference', read: readOpenAiPreference }
  }
  if (has(record, 'chosen') || has(record, 'rejected')) return { format: 'preference', read: readPreference }
  if (has(record, 'messages')) return { format: 'openai_chat', read: record => [readChat(record, record.messages)] }
  for (const key of TURNS) {
    const turns = record[key]
    if (!Array.isArray(turns)) continue
    const isOpenAi = turns.some((turn: unknown) => isFields(turn) && 'role' in turn)
    return isOpenAi
      ? { format: 'openai_chat', read: record => [readChat(record, turns)] }
      : { format: 'sharegpt', read: record => [readShareGpt(record, turns)] }
  }
  if (has(record, 'instruction')) return { format: 'instruction', read: readInstruction }
  if (has(record, 'prefix') && has(record, 'middle')) return { format: 'infill', read: readInfill }
  if (pick(record, 'prompt') !== undefined && pick(record, 'completion') !== undefined) {
    return { format: 'prompt_completion', read: readCompletion }
  }
  if (has(record, 'text')) return { format: 'text', read: record => [{ kind: 'text', text: textOf(record, 'text') }] }
  return undefined
}

function readOwn(record: Fields): Sample[] {
  const parsed = Sample.safeParse(record)
  if (parsed.success) return [parsed.data]
  const issue = parsed.error.issues[0]
  throw new RecordError(`The sample is wrong at '${issue?.path.join('.') ?? ''}': ${issue?.message ?? 'not valid'}.`)
}

function readChat(record: Fields, messages: unknown): Sample {
  const tools = readTools(record.tools ?? record.functions)
  return {
    kind: 'chat',
    messages: readMessages(messages),
    ...(tools !== undefined && { tools }),
    ...testsOf(record),
  }
}

function readShareGpt(record: Fields, turns: unknown[]): Sample {
  const tools = readTools(record.tools)
  return {
    kind: 'chat',
    messages: readTurns(turns, record.system),
    ...(tools !== undefined && { tools }),
    ...testsOf(record),
  }
}

function readInstruction(record: Fields): Sample[] {
  const instruction = textOf(record, 'instruction')
  const inputKey = pick(record, 'input')
  const input = inputKey === undefined ? '' : textOf(record, inputKey)
  const outputKey = pick(record, 'output')
  if (outputKey === undefined) throw new RecordError("'output' is missing.")
  const messages: SampleMessage[] = []
  if (typeof record.system === 'string' && record.system !== '') {
    messages.push({ role: 'system', content: record.system })
  }
  for (const turn of Array.isArray(record.history) ? (record.history as unknown[]) : []) {
    if (!Array.isArray(turn) || typeof turn[0] !== 'string' || typeof turn[1] !== 'string') {
      throw new RecordError("'history' must be a list of pairs of texts.")
    }
    messages.push({ role: 'user', content: turn[0] }, { role: 'assistant', content: turn[1] })
  }
  const content = input.trim() === '' ? instruction : `${instruction}\n\n${input}`
  messages.push({ role: 'user', content }, { role: 'assistant', content: textOf(record, outputKey) })
  return [{ kind: 'chat', messages, ...testsOf(record) }]
}

function readCompletion(record: Fields): Sample[] {
  const promptKey = pick(record, 'prompt')!
  const answerKey = pick(record, 'completion')!
  // Both as lists of messages: a conversation that was cut before its answer.
  if (Array.isArray(record[promptKey]) && Array.isArray(record[answerKey])) {
    const prompt = readMessages(record[promptKey], promptKey)
    const context = prompt.map(message => (message.role === 'assistant' ? { ...message, weight: 0 } : message))
    const tools = readTools(record.tools)
    const messages = [...context, ...readMessages(record[answerKey], answerKey)]
    return [{ kind: 'chat', messages, ...(tools !== undefined && { tools }), ...testsOf(record) }]
  }
  const prompt = textOf(record, promptKey)
  return [{ kind: 'completion', prompt, completion: textOf(record, answerKey), ...testsOf(record) }]
}

function readInfill(record: Fields): Sample[] {
  const suffix = has(record, 'suffix') ? textOf(record, 'suffix') : ''
  return [
    {
      kind: 'infill',
      prefix: textOf(record, 'prefix'),
      middle: textOf(record, 'middle'),
      suffix,
      ...(typeof record.path === 'string' && { path: record.path }),
      ...testsOf(record),
    },
  ]
}

/** `prompt` with `chosen` and `rejected` as texts, or all of them as lists of messages, with or without `prompt`. */
function readPreference(record: Fields): Sample[] {
  for (const key of ['chosen', 'rejected']) if (!has(record, key)) throw new RecordError(`'${key}' is missing.`)
  const promptKey = pick(record, 'prompt') ?? pick(record, 'instruction')
  const asked = promptKey === undefined ? record.messages : record[promptKey]
  // Beside an instruction stands its input.
  const isInput = promptKey === 'instruction' && typeof record.input === 'string' && record.input.trim() !== ''
  const prompt = isInput ? `${asked}\n\n${record.input}` : asked
  let messages = prompt === undefined ? undefined : promptMessages(prompt)
  const chosen = answerOf(record.chosen, 'chosen')
  const rejected = answerOf(record.rejected, 'rejected')
  if (JSON.stringify(chosen.before) !== JSON.stringify(rejected.before)) {
    throw new RecordError("'chosen' and 'rejected' do not share what comes before their answers.")
  }
  if (chosen.before.length > 0) messages = chosen.before
  if (messages === undefined) throw new RecordError("'prompt' is missing.")
  if (typeof record.system === 'string' && record.system !== '' && messages[0]?.role !== 'system') {
    messages = [{ role: 'system', content: record.system }, ...messages]
  }
  return [{ kind: 'preference', messages, chosen: chosen.text, rejected: rejected.text }]
}

/** OpenAI's `{input: {messages, tools}, preferred_output, non_preferred_output}`. */
function readOpenAiPreference(record: Fields): Sample[] {
  const input = isFields(record.input) ? record.input : undefined
  if (input === undefined) throw new RecordError("'input' must be an object with messages.")
  if (readTools(input.tools) !== undefined) throw new RecordError('Preferences with tools cannot be learned.')
  const messages = readMessages(input.messages, 'input.messages')
  const [chosen, rejected] = ['preferred_output', 'non_preferred_output'].map(key => answerOf(record[key], key))
  if (chosen!.before.length > 0 || rejected!.before.length > 0) {
    throw new RecordError("'preferred_output' and 'non_preferred_output' must be one message each.")
  }
  return [{ kind: 'preference', messages, chosen: chosen!.text, rejected: rejected!.text }]
}

function promptMessages(value: unknown): SampleMessage[] {
  if (typeof value === 'string') return [{ role: 'user', content: value }]
  return readMessages(value, 'prompt')
}

/** The last message of a list is the answer, what is before it the prompt. */
function answerOf(value: unknown, key: string): { before: SampleMessage[]; text: string } {
  if (typeof value === 'string') return { before: [], text: value }
  const messages = readMessages(Array.isArray(value) ? value : [value], key)
  const last = messages.pop()!
  if (last.role !== 'assistant' || last.content === null || last.tool_calls !== undefined) {
    throw new RecordError(`'${key}' must end with an assistant's text.`)
  }
  return { before: messages, text: last.content }
}

function textOf(record: Fields, key: string): string {
  const value = record[key]
  if (typeof value === 'string') return value
  // A table's number is still an answer.
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  throw new RecordError(`'${key}' must be text, not ${brief(value)}.`)
}

function testsOf(record: Fields): Pick<Sample, 'tests'> {
  if (!has(record, 'tests')) return {}
  const parsed = SampleTests.safeParse(record.tests)
  // Other files keep lists of asserts and the like under this name: those are no tests that can be run.
  return parsed.success ? { tests: parsed.data } : {}
}
