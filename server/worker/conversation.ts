/** Fits a conversation to what a chat template can take: found out by rendering small conversations and looking at the outcome. */
import { createHash } from 'node:crypto'
import { HubError } from '../lib/error.ts'
import type { ChatMessage, Tool, ToolCall } from '../wire/worker.ts'
import type { ChatFormat } from './formats/format.ts'
import { hermes } from './formats/hermes.ts'

/** A message as a template sees it. */
export type TemplateMessage = { role: string; [field: string]: unknown }

/** What a template does with what it is given. */
export type Capabilities = {
  /** Content is a list of parts, not a text. */
  contentParts: boolean
  system: boolean
  /** A system message that is not the first one is shown. */
  lateSystem: boolean
  developer: boolean
  tools: boolean
  /** Tools without a description break it. */
  needsDescription: boolean
  toolCalls: boolean
  parallelCalls: boolean
  /** Arguments of calls are JSON text, not objects. */
  textArguments: boolean
  /** Beside calls, absent content is null, not an empty text. */
  nullContent: boolean
  /** Fields under which reasoning of former turns is taken. */
  reasoningFields: string[]
}

type Render = (variables: { messages: TemplateMessage[]; tools?: unknown[]; add_generation_prompt: boolean }) => string

const PROBE_ARGUMENTS = { probe_key: 'probe_value' }

/** The conversation by which a template's calls are tried: one user message, one call, one result. */
export function probeCall(options: {
  arguments: unknown
  content: string | null
  calls?: number
}): [TemplateMessage, TemplateMessage, ...TemplateMessage[]] {
  const ids = ['probe0001', 'probe0002'].slice(0, options.calls ?? 1)
  const call = (id: string, index: number) => ({
    id,
    type: 'function',
    function: { name: `probe_call${index}`, arguments: options.arguments },
  })
  return [
    { role: 'user', content: 'probe_user' },
    { role: 'assistant', content: options.content, tool_calls: ids.map(call) },
    ...ids.map((id, index) => ({
      role: 'tool',
      content: `probe_result${index}`,
      tool_call_id: id,
      name: `probe_call${index}`,
    })),
  ]
}

export function probeTool(description?: string): unknown {
  return templateTool(
    {
      name: 'probe_tool',
      parameters: { type: 'object', properties: { probe_key: { type: 'string', description: '' } } },
      ...(description !== undefined && { description }),
    },
    false,
  )
}

/** @throws what the template throws on the plainest conversation there is */
export function probe(source: string, render: Render): Capabilities {
  const attempt = (variables: Parameters<Render>[0]): string => {
    try {
      return render(variables)
    } catch {
      return ''
    }
  }
  const user = { role: 'user', content: 'probe_user' }
  const assistant = { role: 'assistant', content: 'probe_assistant' }
  const plain = attempt({ messages: [user], add_generation_prompt: true })
  const contentParts =
    !plain.includes('probe_user') &&
    attempt({
      messages: [{ role: 'user', content: [{ type: 'text', text: 'probe_user' }] }],
      add_generation_prompt: true,
    }).includes('probe_user')
  // The error of the plainest conversation is worth more than the fact that it failed.
  if (plain === '' && !contentParts) render({ messages: [user], add_generation_prompt: true })

  const described = attempt({ messages: [user], tools: [probeTool('probe_description')], add_generation_prompt: true })
  const bare = attempt({ messages: [user], tools: [probeTool()], add_generation_prompt: true })
  const tools = described.includes('probe_tool')
  const shownTools = tools ? { tools: [probeTool('probe_description')] } : {}
  const tryCall = (options: Parameters<typeof probeCall>[0]): string =>
    attempt({ messages: probeCall(options), ...shownTools, add_generation_prompt: false })
  const good = (text: string): boolean =>
    ['probe_call0', 'probe_key', 'probe_value', 'probe_result0'].every(part => text.includes(part)) &&
    !text.includes('[object')

  const withObject = tryCall({ arguments: PROBE_ARGUMENTS, content: '' })
  const objectWithNull = tryCall({ arguments: PROBE_ARGUMENTS, content: null })
  const textArguments = !good(withObject) && !good(objectWithNull)
  const args = textArguments ? JSON.stringify(PROBE_ARGUMENTS) : PROBE_ARGUMENTS
  const empty = textArguments ? tryCall({ arguments: args, content: '' }) : withObject
  const absent = textArguments ? tryCall({ arguments: args, content: null }) : objectWithNull
  const nullContent = good(absent) && (!good(empty) || absent.length < empty.length)
  const two = tryCall({ arguments: args, content: nullContent ? null : '', calls: 2 })
  return {
    contentParts,
    system: attempt({
      messages: [{ role: 'system', content: 'probe_system' }, user],
      add_generation_prompt: true,
    }).includes('probe_system'),
    lateSystem: attempt({
      messages: [user, assistant, { role: 'system', content: 'probe_system' }, user],
      add_generation_prompt: true,
    }).includes('probe_system'),
    developer: /\bdeveloper\b/.test(source),
    tools,
    needsDescription: tools && !bare.includes('probe_tool'),
    toolCalls: good(nullContent ? absent : empty),
    parallelCalls: two.includes('probe_call0') && two.includes('probe_call1') && two.includes('probe_result1'),
    textArguments,
    nullContent,
    reasoningFields: ['reasoning_content', 'reasoning', 'thinking'].filter(field =>
      new RegExp(`\\.${field}\\b|['"]${field}['"]`).test(source),
    ),
  }
}

/** A tool in the shape that templates know from the API. */
export function templateTool(tool: Tool, needsDescription: boolean): unknown {
  const schema = typeof tool.parameters === 'object' ? tool.parameters : {}
  const { description = needsDescription ? '' : undefined } = tool
  return {
    type: 'function',
    function: {
      name: tool.name,
      ...(description !== undefined && { description }),
      // Templates walk over the properties without asking whether there are any.
      parameters: { ...schema, type: 'object', properties: schema.properties ?? {} },
    },
  }
}

/** What the model must know of its tools, for a template that does not tell it. */
export function describeTools(tools: Tool[], write: (calls: ToolCall[]) => string): string {
  const list = tools.map(tool => JSON.stringify(templateTool(tool, false))).join('\n')
  const example = write([{ id: '', name: 'function_name', arguments: '{"argument": "value"}' }])
  return (
    '# Tools\n\nYou may call one or more functions to help with the request. The functions are, as JSON schemas:\n' +
    `<tools>\n${list}\n</tools>\n\nTo call a function, write nothing after the call, and write it exactly in this form:\n${example}`
  )
}

/** The messages as the template takes them. `tools` are those that the template itself does not show. */
export function fitMessages(
  messages: ChatMessage[],
  tools: Tool[],
  capabilities: Capabilities,
  format: ChatFormat,
): TemplateMessage[] {
  const write = format.write ?? hermes.write!
  let fitted = messages.map(message =>
    message.role === 'developer' && !capabilities.developer ? { ...message, role: 'system' as const } : { ...message },
  )
  fitted = joinSystem(fitted, tools.length > 0 ? describeTools(tools, write) : '', capabilities)
  if (capabilities.toolCalls) {
    if (!capabilities.parallelCalls) fitted = splitCalls(fitted)
  } else {
    fitted = callsAsText(fitted, write)
  }
  const names = new Map(messages.flatMap(message => (message.toolCalls ?? []).map(call => [call.id, call.name])))
  return fitted.map((message, index) => templateMessage(message, index, { capabilities, format, names }))
}

const isSystem = (message: ChatMessage): boolean => message.role === 'system' || message.role === 'developer'

/** One system message at the front, or none where the template has none: its text then begins the next user message. */
function joinSystem(messages: ChatMessage[], described: string, capabilities: Capabilities): ChatMessage[] {
  const count = messages.findIndex(message => !isSystem(message))
  const lead = count === -1 ? messages : messages.slice(0, count)
  const rest = count === -1 ? [] : messages.slice(count)
  const text = [...lead.map(message => message.content ?? ''), described].filter(part => part !== '').join('\n\n')
  // An empty system message is one as well: it keeps a template from writing its own.
  const first = lead[0] ?? (described === '' ? undefined : { role: 'system' as const, content: '' })
  if (!capabilities.system) return intoUsers(rest, text, () => true)
  const placed = capabilities.lateSystem ? rest : intoUsers(rest, '', isSystem)
  return first === undefined ? placed : [{ ...first, content: text }, ...placed]
}

/** Puts the text of system messages in front of the user message that follows. */
function intoUsers(messages: ChatMessage[], start: string, which: (message: ChatMessage) => boolean): ChatMessage[] {
  let waiting = start
  const out: ChatMessage[] = []
  for (const message of messages) {
    if (isSystem(message) && which(message)) {
      waiting = [waiting, message.content ?? ''].filter(part => part !== '').join('\n\n')
    } else if (message.role === 'user' && waiting !== '') {
      out.push({ ...message, content: `${waiting}\n\n${message.content ?? ''}` })
      waiting = ''
    } else {
      out.push(message)
    }
  }
  if (waiting !== '') out.push({ role: 'user', content: waiting })
  return out
}

/** A turn of several calls becomes turns of one call, each followed by its result. */
export function splitCalls(messages: ChatMessage[]): ChatMessage[] {
  const out: ChatMessage[] = []
  for (let index = 0; index < messages.length; index++) {
    const message = messages[index]!
    const calls = message.toolCalls ?? []
    if (calls.length < 2) {
      out.push(message)
      continue
    }
    const results: ChatMessage[] = []
    while (messages[index + 1]?.role === 'tool') results.push(messages[++index]!)
    const known = new Set(calls.map(call => call.id))
    for (const [place, call] of calls.entries()) {
      const { reasoning: _reasoning, ...bare } = message
      out.push(place === 0 ? { ...message, toolCalls: [call] } : { ...bare, content: null, toolCalls: [call] })
      out.push(...results.filter(result => result.toolCallId === call.id))
    }
    out.push(...results.filter(result => result.toolCallId === undefined || !known.has(result.toolCallId)))
  }
  return out
}

/** Calls as text of the assistant, results as text of the user, who may speak once only before the next answer. */
function callsAsText(messages: ChatMessage[], write: (calls: ToolCall[]) => string): ChatMessage[] {
  const out: ChatMessage[] = []
  let ofTools = false
  for (const message of messages) {
    if (message.role === 'tool' || (message.role === 'user' && ofTools)) {
      const text =
        message.role === 'tool'
          ? `<tool_response>\n${message.content ?? ''}\n</tool_response>`
          : (message.content ?? '')
      const last = out.at(-1)
      if (ofTools && last !== undefined) last.content = `${last.content}\n${text}`
      else out.push({ role: 'user', content: text })
      ofTools = message.role === 'tool'
      continue
    }
    ofTools = false
    if (message.toolCalls === undefined || message.toolCalls.length === 0) {
      out.push(message)
      continue
    }
    const { toolCalls, ...rest } = message
    const text = write(toolCalls)
    out.push({ ...rest, content: rest.content ? `${rest.content}\n${text}` : text })
  }
  return out
}

function templateMessage(
  message: ChatMessage,
  index: number,
  context: { capabilities: Capabilities; format: ChatFormat; names: Map<string, string> },
): TemplateMessage {
  const { capabilities, format, names } = context
  const calls = message.toolCalls ?? []
  let text = message.content ?? ''
  let reasoning = message.reasoning ?? ''
  // gpt-oss takes one of the two beside a call; both are what was said on the way to it.
  if (format.name === 'harmony' && calls.length > 0 && text !== '' && reasoning !== '') {
    reasoning = `${reasoning}\n\n${text}`
    text = ''
  }
  const content =
    calls.length > 0 && capabilities.nullContent && text === ''
      ? null
      : capabilities.contentParts
        ? [{ type: 'text', text }]
        : text
  const id = (value: string): string => (format.idLength === undefined ? value : shortId(value, format.idLength))
  const name = message.name ?? (message.toolCallId === undefined ? undefined : names.get(message.toolCallId))
  return {
    role: message.role,
    content,
    ...(name !== undefined && { name }),
    ...(message.toolCallId !== undefined && { tool_call_id: id(message.toolCallId) }),
    ...(reasoning !== '' && Object.fromEntries(capabilities.reasoningFields.map(field => [field, reasoning]))),
    ...(calls.length > 0 && {
      tool_calls: calls.map((call, place) => ({
        id: id(call.id),
        type: 'function',
        function: {
          name: call.name,
          arguments: argumentsValue(call, capabilities.textArguments, `messages.${index}.tool_calls.${place}`),
        },
      })),
    }),
  }
}

function argumentsValue(call: ToolCall, asText: boolean, place: string): unknown {
  const text = call.arguments.trim() === '' ? '{}' : call.arguments
  if (asText) return text
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    value = undefined
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value
  throw new HubError(
    'invalid_request',
    `The arguments of the call of "${call.name}" in the conversation are no JSON object; send them as the model wrote them.`,
    { param: `${place}.function.arguments` },
  )
}

/** An id of letters and digits of the length that a template insists on; the same for the same id. */
function shortId(id: string, length: number): string {
  if (id.length === length && /^[a-zA-Z0-9]+$/.test(id)) return id
  return createHash('sha256').update(id).digest('hex').slice(0, length)
}
