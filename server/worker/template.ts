/** From a conversation to the prompt text by the model's own chat template, and the parser and grammar for what the model answers. */
import { HubError } from '../lib/error.ts'
import type { Format, Prompt, Tool } from '../wire/worker.ts'
import {
  type Capabilities,
  fitMessages,
  probe,
  probeCall,
  probeTool,
  type TemplateMessage,
  templateTool,
} from './conversation.ts'
import { FALLBACK, FORMATS } from './formats/all.ts'
import type { ChatFormat, Start } from './formats/format.ts'
import { type ChatParser, createParser } from './formats/parser.ts'
import { GrammarBuilder } from './grammar.ts'
import { type CompiledTemplate, compileTemplate, TemplateRaised } from './jinja.ts'

export type { ChatParser, ParsedDelta } from './formats/parser.ts'

type ChatPrompt = Extract<Prompt, { type: 'chat' }>
export type RenderInput = { prompt: ChatPrompt; format: Format; now: Date }
export type Rendered = {
  /** To be tokenised with special tokens parsed; it may begin with the BOS token already. */
  text: string
  /** Texts that end the answer, beside the model's end-of-generation tokens. */
  stops: string[]
  /** Special tokens whose text the parser needs to see in the output. */
  preserved: string[]
  /** With `triggers`, patterns of llama_sampler_init_grammar_lazy_patterns, the grammar waits for one of them to match. */
  grammar?: { text: string; triggers?: string[] }
  createParser(): ChatParser
}
export type ChatTemplate = {
  formatName: string
  /**
   * @throws HubError invalid_request when the template or the format refuses the conversation, unsupported_parameter when
   * the template knows no such variable or reasoning effort
   */
  render(input: RenderInput): Rendered
  /** Texts around the model's reasoning. */
  reasoning: { open: string; close: string }
  /** Texts that end an answer, beside the model's end-of-generation tokens. */
  stops: string[]
  /** The text of the messages alone, without grammar and parser; `open` begins the assistant's answer behind them, as `render` does. */
  transcript(prompt: ChatPrompt, now: Date, open: boolean): string
}

/** For models without a template: ChatML, which many base models have seen. */
const CHATML = `{%- for message in messages -%}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}`

/** Variables that the hub sets itself. */
const OWN_VARIABLES = new Set([
  'messages',
  'tools',
  'add_generation_prompt',
  'bos_token',
  'eos_token',
  'reasoning_effort',
])
/** Stands in for the content of a message that is to be continued, to find where it ends. */
const SENTINEL = 'e8b1a77d2c6f4c0f'
const PROBE_DATE = new Date(2025, 0, 1)

type Parts = { source: string; compiled: CompiledTemplate; tokens: { bos: string; eos: string } }

/**
 * @param source Jinja text; `undefined` is a plain ChatML template
 * @param tokens texts of the model's BOS and EOS tokens
 * @throws HubError model_broken when the template cannot be parsed, or fails on one user message
 */
export function createTemplate(source: string | undefined, tokens: { bos: string; eos: string }): ChatTemplate {
  const text = source ?? CHATML
  let parts: Parts
  let capabilities: Capabilities
  try {
    parts = { source: text, compiled: compileTemplate(text), tokens }
    capabilities = probe(text, variables => renderText(parts, { ...variables }, PROBE_DATE))
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new HubError(
      'model_broken',
      `The model's chat template cannot be used: ${reason}. Put a working one under "chat_template" in the model's .model.json file.`,
      { cause: error },
    )
  }
  const format = chooseFormat(parts, capabilities)
  // Calls in a form that cannot be read back are worse than calls as text.
  const usable =
    format === FALLBACK ? { ...capabilities, tools: false, toolCalls: false, parallelCalls: true } : capabilities
  return {
    formatName: format.name,
    render: input => render(parts, usable, format, input),
    reasoning: format.reasoning,
    stops: format.stops,
    transcript(prompt, now, open) {
      const { messages, write } = writer(parts, usable, format, { prompt, now })
      return write(messages, open)
    },
  }
}

/** The first format that recognises the template and reads back a call that the template wrote. */
function chooseFormat(parts: Parts, capabilities: Capabilities): ChatFormat {
  if (!capabilities.toolCalls && !capabilities.tools) {
    const known = FORMATS.find(format => format.detect(parts.source))
    // Reasoning still has its form where the template says nothing of tools.
    return known !== undefined && known.name === 'harmony' ? known : FALLBACK
  }
  for (const format of FORMATS) {
    if (!format.detect(parts.source)) continue
    // A template that shows tools but forgets calls has them written as text, in a form that the format must know.
    if (capabilities.toolCalls ? readsBack(parts, capabilities, format) : format.write !== undefined) return format
  }
  return FALLBACK
}

function readsBack(parts: Parts, capabilities: Capabilities, format: ChatFormat): boolean {
  const args = { probe_key: 'probe_value' }
  const [user, call] = probeCall({
    arguments: capabilities.textArguments ? JSON.stringify(args) : args,
    content: capabilities.nullContent ? null : '',
  })
  const shown = capabilities.tools ? { tools: [probeTool('probe_description')] } : {}
  try {
    const write = (messages: TemplateMessage[], open: boolean) =>
      renderText(parts, { messages, ...shown, add_generation_prompt: open }, PROBE_DATE)
    const whole = write([user, call], false)
    const prompts = [write([user], true), write([user], false)]
    const prompt = prompts.find(text => whole.startsWith(text)) ?? ''
    const start = openedBy(prompt, format) ? 'reasoning' : 'either'
    const tools = [{ name: 'probe_call0', parameters: { properties: { probe_key: { type: 'string' } } } }]
    const parser = createParser(format.start({ start, tools }))
    const deltas = [parser.push(whole.slice(prompt.length)), parser.end()].flatMap(delta => delta.toolCalls)
    return (
      deltas[0]?.name === 'probe_call0' &&
      JSON.stringify(JSON.parse(deltas.map(delta => delta.arguments ?? '').join(''))) === JSON.stringify(args)
    )
  } catch {
    return false
  }
}

function renderText(parts: Parts, variables: { [name: string]: unknown }, now: Date): string {
  return parts.compiled.render({ bos_token: parts.tokens.bos, eos_token: parts.tokens.eos, ...variables }, now)
}

function openedBy(prompt: string, format: ChatFormat): boolean {
  return prompt.trimEnd().endsWith(format.reasoning.open)
}

type Write = (messages: TemplateMessage[], open: boolean) => string

/** The messages as the template takes them, and the template with its variables and tools. */
function writer(
  parts: Parts,
  capabilities: Capabilities,
  format: ChatFormat,
  { prompt, now }: Pick<RenderInput, 'prompt' | 'now'>,
): { messages: TemplateMessage[]; write: Write } {
  const tools = prompt.toolChoice === 'none' ? [] : prompt.tools
  const variables = { ...checkVariables(prompt, parts.source), ...effort(prompt, parts.source, format) }
  const shown = capabilities.tools && tools.length > 0
  const write: Write = (messages, open) => {
    const given = {
      ...variables,
      messages,
      add_generation_prompt: open,
      ...(shown && { tools: tools.map(tool => templateTool(tool, capabilities.needsDescription)) }),
    }
    try {
      return renderText(parts, given, now)
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      const who = error instanceof TemplateRaised ? 'The chat template refuses the messages' : 'The chat template fails'
      throw new HubError('invalid_request', `${who}: ${reason}`, { param: 'messages', cause: error })
    }
  }
  return { messages: fitMessages(prompt.messages, shown ? [] : tools, capabilities, format), write }
}

function render(parts: Parts, capabilities: Capabilities, format: ChatFormat, input: RenderInput): Rendered {
  const { prompt } = input
  const callable = callableTools(prompt, prompt.toolChoice === 'none' ? [] : prompt.tools)
  const { messages, write } = writer(parts, capabilities, format, input)
  const text = prompt.continueLast === true ? continued(prompt, messages, write) : write(messages, true)

  const opened = openedBy(text, format)
  const reading: Start = opened ? 'reasoning' : prompt.continueLast === true ? continuedStart(prompt, format) : 'either'
  const grammar = constrain(
    { ...prompt, parallelToolCalls: prompt.parallelToolCalls && capabilities.parallelCalls },
    input.format,
    format,
    callable,
    grammarStart(parts.source, text, reading, format),
  )
  return {
    text,
    stops: format.stops,
    preserved: [...new Set([...format.preserved, format.reasoning.open, format.reasoning.close])],
    ...(grammar !== undefined && { grammar }),
    createParser: () => createParser(format.start({ start: reading, tools: callable }), format.idLength),
  }
}

/** The tools that the answer may call. */
function callableTools(prompt: ChatPrompt, tools: Tool[]): Tool[] {
  const { toolChoice } = prompt
  if (typeof toolChoice === 'string') {
    if (toolChoice === 'required' && tools.length === 0) {
      throw new HubError('invalid_request', 'A tool call is required, but there are no tools; send some in "tools".', {
        param: 'tool_choice',
      })
    }
    return tools
  }
  const chosen = tools.filter(tool => toolChoice.names.includes(tool.name))
  const missing = toolChoice.names.filter(name => !tools.some(tool => tool.name === name))
  if (missing.length > 0 || chosen.length === 0) {
    throw new HubError('invalid_request', `The tool "${missing[0] ?? ''}" of tool_choice is not among the tools.`, {
      param: 'tool_choice',
    })
  }
  return chosen
}

function mentions(source: string, name: string): boolean {
  return /^[A-Za-z_]\w*$/.test(name) && new RegExp(`\\b${name}\\b`).test(source)
}

function checkVariables(prompt: ChatPrompt, source: string): { [name: string]: unknown } {
  for (const name of Object.keys(prompt.templateVariables)) {
    const param = `chat_template_kwargs.${name}`
    if (OWN_VARIABLES.has(name)) {
      throw new HubError('unsupported_parameter', `The template variable "${name}" has a request field of its own.`, {
        param,
      })
    }
    if (!mentions(source, name)) {
      throw new HubError('unsupported_parameter', `The model's chat template knows no variable "${name}".`, { param })
    }
  }
  return prompt.templateVariables
}

function effort(prompt: ChatPrompt, source: string, format: ChatFormat): { [name: string]: unknown } {
  const value = prompt.reasoningEffort
  if (value === undefined) return {}
  const param = 'reasoning_effort'
  if (format.efforts !== undefined && !format.efforts.includes(value)) {
    const allowed = format.efforts.join(', ')
    throw new HubError('unsupported_parameter', `This model knows the reasoning efforts ${allowed}, not "${value}".`, {
      param,
    })
  }
  const switched = value === 'none' && mentions(source, 'enable_thinking')
  if (!mentions(source, param) && !switched) {
    throw new HubError('unsupported_parameter', `The model's chat template knows no reasoning effort "${value}".`, {
      param,
    })
  }
  return { ...(mentions(source, param) && { reasoning_effort: value }), ...(switched && { enable_thinking: false }) }
}

/** The prompt up to the end of the last message's content, without what closes that message. */
function continued(prompt: ChatPrompt, messages: TemplateMessage[], write: Write): string {
  const last = prompt.messages.at(-1)
  if (last?.role !== 'assistant' || (last.toolCalls?.length ?? 0) > 0) {
    throw new HubError('invalid_request', 'Only an assistant message without tool calls can be continued.', {
      param: 'messages',
    })
  }
  const mark = Array.isArray(messages.at(-1)?.content) ? [{ type: 'text', text: SENTINEL }] : SENTINEL
  const text = write([...messages.slice(0, -1), { ...messages.at(-1)!, content: mark }], false)
  const at = text.lastIndexOf(SENTINEL)
  if (at === -1) {
    throw new HubError('invalid_request', 'The chat template cannot continue an assistant message.', {
      param: 'messages',
    })
  }
  return text.slice(0, at) + (last.content ?? '')
}

/** Content that is continued is an answer, unless it has opened reasoning and not closed it. */
function continuedStart(prompt: ChatPrompt, format: ChatFormat): Start {
  const content = prompt.messages.at(-1)?.content ?? ''
  const { open, close } = format.reasoning
  return content.lastIndexOf(open) > content.lastIndexOf(close) ? 'reasoning' : 'content'
}

/** A grammar lets the model think where the template speaks of it and the prompt has not ended it. */
function grammarStart(source: string, text: string, reading: Start, format: ChatFormat): Start {
  if (reading !== 'either') return reading
  if (format.name === 'harmony') return 'either'
  return source.includes(format.reasoning.open) && !text.trimEnd().endsWith(format.reasoning.close)
    ? 'either'
    : 'content'
}

function constrain(
  prompt: ChatPrompt,
  wanted: Format,
  format: ChatFormat,
  tools: Tool[],
  start: Start,
): Rendered['grammar'] {
  const forced = prompt.toolChoice !== 'auto' && prompt.toolChoice !== 'none'
  if (wanted.type === 'grammar') {
    if (!forced) return { text: wanted.grammar }
    throw new HubError('invalid_request', 'A grammar and a required tool call exclude each other.', {
      param: 'grammar',
    })
  }
  const builder = new GrammarBuilder()
  const calls =
    tools.length > 0
      ? builder.rule('calls', format.calls(builder, tools.map(enforceable), prompt.parallelToolCalls))
      : undefined
  if (calls !== undefined && forced) return { text: builder.build(format.output(builder, { calls }, start)) }
  if (wanted.type === 'text') {
    return calls === undefined ? undefined : { text: builder.build(calls), triggers: format.triggers }
  }
  const param = 'response_format'
  const answer =
    wanted.type === 'json_object' ? builder.anyObject() : builder.schema(wanted.schema, 'answer', { param })
  return { text: builder.build(format.output(builder, { ...(calls !== undefined && { calls }), answer }, start)) }
}

/**
 * A tool that is not `strict` is called as nearly to its schema as the grammar can: what cannot be enforced in a property
 * leaves that property its type only. Strict ones are refused instead, by name.
 */
function enforceable(tool: Tool): Tool {
  const { parameters, strict } = tool
  if (strict === true || typeof parameters !== 'object' || converts(parameters)) return tool
  const { properties, required, $defs, definitions } = parameters
  const shared = { ...($defs !== undefined && { $defs }), ...(definitions !== undefined && { definitions }) }
  const kept = Object.entries(isRecord(properties) ? properties : {}).map(([name, property]) => {
    if (isRecord(property) && converts({ ...shared, ...property })) return [name, property]
    return [name, isRecord(property) && typeof property.type === 'string' ? { type: property.type } : true]
  })
  const known = Object.fromEntries(kept) as { [name: string]: unknown }
  const names = (Array.isArray(required) ? required : []).filter(name => typeof name === 'string' && name in known)
  return { ...tool, parameters: { ...shared, type: 'object', properties: known, required: names } }
}

function converts(schema: { [key: string]: unknown }): boolean {
  try {
    new GrammarBuilder().schema(schema, 'trial')
    return true
  } catch {
    return false
  }
}

const isRecord = (value: unknown): value is { [key: string]: unknown } =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
