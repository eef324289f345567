/** Conversations of other programs in the form of a sample: OpenAI's messages and tools, and ShareGPT's turns. */
import type { Sample, SampleMessage } from '../wire/sample.ts'

type Tool = NonNullable<Extract<Sample, { kind: 'chat' }>['tools']>[number]
type ToolCall = NonNullable<SampleMessage['tool_calls']>[number]
type Fields = { [key: string]: unknown }

/** A record that cannot be a sample; the message says which part and why, without the user's text. */
export class RecordError extends Error {}

export const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const ROLES = new Map<string, SampleMessage['role']>([
  ['system', 'system'],
  ['developer', 'developer'],
  ['user', 'user'],
  ['assistant', 'assistant'],
  ['tool', 'tool'],
  ['function', 'tool'],
])
const SHAREGPT_ROLES = new Map<string, SampleMessage['role'] | 'call'>([
  ['system', 'system'],
  ['human', 'user'],
  ['user', 'user'],
  ['gpt', 'assistant'],
  ['assistant', 'assistant'],
  ['chatgpt', 'assistant'],
  ['model', 'assistant'],
  ['bing', 'assistant'],
  ['bard', 'assistant'],
  ['tool', 'tool'],
  ['observation', 'tool'],
  ['function_response', 'tool'],
  ['function_call', 'call'],
])
/** A schema nested deeper would overflow the stack of whoever writes it down. */
const MAX_DEPTH = 64

/** OpenAI's `messages`. @throws RecordError */
export function readMessages(value: unknown, name = 'messages'): SampleMessage[] {
  if (!Array.isArray(value) || value.length === 0) throw new RecordError(`'${name}' must be a list of messages.`)
  return value.map((each: unknown, index) => readMessage(each, `${name}[${index}]`))
}

function readMessage(value: unknown, at: string): SampleMessage {
  if (!isFields(value)) throw new RecordError(`${at} must be an object with role and content.`)
  const role = typeof value.role === 'string' ? ROLES.get(value.role.toLowerCase()) : undefined
  if (role === undefined) {
    throw new RecordError(`${at}.role must be system, developer, user, assistant or tool, not ${brief(value.role)}.`)
  }
  const content = readContent(value.content, `${at}.content`)
  const calls = readCalls(value, at)
  if (content === null && role !== 'assistant') throw new RecordError(`${at}.content is missing.`)
  const { weight } = value
  if (weight !== undefined && weight !== null && !(typeof weight === 'number' && weight >= 0 && weight <= 1)) {
    throw new RecordError(`${at}.weight must be a number from 0 to 1.`)
  }
  return {
    role,
    content,
    ...(typeof value.name === 'string' && { name: value.name }),
    ...(calls.length > 0 && { tool_calls: calls }),
    ...(typeof value.tool_call_id === 'string' && { tool_call_id: value.tool_call_id }),
    ...(typeof weight === 'number' && { weight }),
  }
}

/** Text, or OpenAI's list of text parts. Pictures and sounds cannot be learned here and are refused. */
function readContent(value: unknown, at: string): string | null {
  if (value === undefined || value === null) return null
  if (typeof value === 'string') return value
  if (!Array.isArray(value)) throw new RecordError(`${at} must be text.`)
  return value
    .map((part: unknown) => {
      if (typeof part === 'string') return part
      if (isFields(part) && typeof part.text === 'string') return part.text
      throw new RecordError(
        `${at} holds a part of type ${brief(isFields(part) ? part.type : part)}; only text is learned.`,
      )
    })
    .join('')
}

function readCalls(message: Fields, at: string): ToolCall[] {
  const listed = message.tool_calls ?? (isFields(message.function_call) ? [{ function: message.function_call }] : [])
  if (!Array.isArray(listed)) throw new RecordError(`${at}.tool_calls must be a list.`)
  return listed.map((call: unknown, index) => {
    const inner = isFields(call) && isFields(call.function) ? call.function : call
    const id = isFields(call) && typeof call.id === 'string' ? call.id : undefined
    return readCall(inner, `${at}.tool_calls[${index}]`, id)
  })
}

function readCall(value: unknown, at: string, id?: string): ToolCall {
  if (!isFields(value) || typeof value.name !== 'string') throw new RecordError(`${at} has no function name.`)
  const given = value.arguments ?? {}
  if (tooDeep(given)) throw new RecordError(`${at}.arguments is nested deeper than ${MAX_DEPTH} levels.`)
  return {
    ...(id !== undefined && { id }),
    name: value.name,
    arguments: typeof given === 'string' ? given : JSON.stringify(given),
  }
}

/** OpenAI's `tools`, the older `functions`, or either as JSON text. @throws RecordError */
export function readTools(value: unknown): Tool[] | undefined {
  if (value === undefined || value === null || value === '') return undefined
  let list: unknown = value
  if (typeof list === 'string') {
    try {
      list = JSON.parse(list) as unknown
    } catch {
      throw new RecordError("'tools' is not JSON.")
    }
  }
  if (!Array.isArray(list)) throw new RecordError("'tools' must be a list.")
  const tools = list.map((each: unknown, index): Tool => {
    const inner = isFields(each) && isFields(each.function) ? each.function : each
    if (!isFields(inner) || typeof inner.name !== 'string')
      throw new RecordError(`tools[${index}] has no function name.`)
    if (tooDeep(inner.parameters)) {
      throw new RecordError(`tools[${index}].parameters is nested deeper than ${MAX_DEPTH} levels.`)
    }
    return {
      name: inner.name,
      ...(typeof inner.description === 'string' && { description: inner.description }),
      ...(isFields(inner.parameters) && { parameters: inner.parameters }),
    }
  })
  return tools.length === 0 ? undefined : tools
}

/** ShareGPT's list of `{from, value}`. @throws RecordError */
export function readTurns(value: unknown, system?: unknown): SampleMessage[] {
  if (!Array.isArray(value) || value.length === 0) throw new RecordError("'conversations' must be a list of turns.")
  const messages = value.map((turn: unknown, index): SampleMessage => {
    const at = `conversations[${index}]`
    if (!isFields(turn)) throw new RecordError(`${at} must be an object with from and value.`)
    const role = typeof turn.from === 'string' ? SHAREGPT_ROLES.get(turn.from.toLowerCase()) : undefined
    if (role === undefined)
      throw new RecordError(`${at}.from must be human, gpt, system or tool, not ${brief(turn.from)}.`)
    if (typeof turn.value !== 'string') throw new RecordError(`${at}.value must be text.`)
    if (role !== 'call') {
      const { weight } = turn
      const isWeight = typeof weight === 'number' && weight >= 0 && weight <= 1
      return { role, content: turn.value, ...(isWeight && { weight }) }
    }
    let call: unknown
    try {
      call = JSON.parse(turn.value) as unknown
    } catch {
      throw new RecordError(`${at}.value must be the JSON of a function call.`)
    }
    return { role: 'assistant', content: null, tool_calls: [readCall(call, at)] }
  })
  if (typeof system === 'string' && system !== '' && messages[0]?.role !== 'system') {
    messages.unshift({ role: 'system', content: system })
  }
  return messages
}

/** A value short enough for a message: its type, or a short word. */
export function brief(value: unknown): string {
  if (value === undefined) return 'nothing'
  if (typeof value === 'string') return /^[\w-]{1,24}$/.test(value) ? `'${value}'` : 'another text'
  return value === null ? 'null' : Array.isArray(value) ? 'a list' : `a ${typeof value}`
}

function tooDeep(value: unknown): boolean {
  let level = [value]
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > MAX_DEPTH) return true
    level = level
      .filter(each => typeof each === 'object' && each !== null)
      .flatMap(each => Object.values(each as Fields))
  }
  return false
}
