/** What a chat format is: how a family of models writes its reasoning, its answer and its tool calls. */
import type { Tool, ToolCall } from '../../wire/worker.ts'
import { anyTextUntil, type GrammarBuilder, literal } from '../grammar.ts'
import type { State } from './parser.ts'

/** Where the output begins: in the answer, inside reasoning that the prompt opened, or wherever the model likes. */
export type Start = 'content' | 'reasoning' | 'either'

export type Reading = {
  start: Start
  /** Tools that may be called; empty: nothing is read as a call. */
  tools: Tool[]
}

export type ChatFormat = {
  name: string
  /** Whether a template is of this format; the first format of the list that says so is it. */
  detect(source: string): boolean
  /** Texts around the reasoning. */
  reasoning: { open: string; close: string }
  /** Special tokens whose text is needed to read the output, those of the reasoning aside. */
  preserved: string[]
  stops: string[]
  /** Patterns on the end of the output so far after which it can only be a call; a group marks where the call begins. */
  triggers: string[]
  /** Length of a call's id where the template insists on one; ids of history are mapped to such. */
  idLength?: number
  /** The efforts that the model was trained with; absent: the template judges. */
  efforts?: string[]
  start(reading: Reading): State
  /** GBNF body of one call, or of several where `parallel`, from where a trigger's group begins. */
  calls(builder: GrammarBuilder, tools: Tool[], parallel: boolean): string
  /** GBNF body of a whole output that is a call or an answer (names of rules), with reasoning before it where it may be. */
  output(builder: GrammarBuilder, parts: { calls?: string; answer?: string }, start: Start): string
  /** Calls as text, for templates that do not write them. */
  write?(calls: ToolCall[]): string
}

/** How a text format recognises and reads its calls. */
type TextFormat = Pick<ChatFormat, 'name' | 'detect' | 'calls'> & {
  reasoning?: { open: string; close: string }
  preserved?: string[]
  stops?: string[]
  idLength?: number
  triggers?: string[]
  /** Texts that begin a call. */
  openers: string[]
  /** A call may also begin the answer without any opener. */
  bare?: (reading: Reading, back: State) => State
  read(opener: string, reading: Reading, back: State): State
  write?(calls: ToolCall[]): string
}

export const THINK = { open: '<think>', close: '</think>' }

/** A format in which reasoning, answer and calls stand one after the other as plain text between markers. */
export function textFormat(options: TextFormat): ChatFormat {
  const { reasoning = THINK, openers } = options
  return {
    ...options,
    reasoning,
    preserved: [...openers, ...(options.preserved ?? [])],
    stops: options.stops ?? [],
    triggers: options.triggers ?? openers.map(opener => trigger(escapePattern(opener))),
    start(reading) {
      const calls = reading.tools.length > 0 ? openers : []
      const content: State = (input, output) => {
        const { text, marker } = input.until(calls)
        output.content(text)
        return marker === undefined ? undefined : options.read(marker, reading, content)
      }
      const answer: State =
        options.bare !== undefined && reading.tools.length > 0 ? options.bare(reading, content) : content
      // A model that calls a tool in the middle of its thoughts has ended them.
      const thoughts: State = (input, output) => {
        const { text, marker } = input.until([reasoning.close, ...calls])
        output.reasoning(text)
        if (marker === undefined) return undefined
        if (marker !== reasoning.close) return options.read(marker, reading, content)
        output.boundary()
        return answer
      }
      const open = (input: Parameters<State>[0], output: Parameters<State>[1]): State | undefined => {
        // Some models say that they do not think by closing what they did not open.
        const found = input.startsWith([reasoning.open, reasoning.close])
        if (found === undefined) return undefined
        if (found === false) return answer
        output.boundary()
        return found === reasoning.open ? thoughts : answer
      }
      if (reading.start === 'content') return answer
      if (reading.start === 'either') return open
      // The prompt opened the reasoning; some models open it once more.
      return (input, output) => {
        const found = input.startsWith([reasoning.open])
        if (found === undefined) return undefined
        output.boundary()
        return thoughts
      }
    },
    output(builder, parts, start) {
      const body = [parts.calls, parts.answer].filter(part => part !== undefined).join(' | ')
      if (start === 'content') return body
      const rest = `${textUntil(reasoning.close, builder)} ${literal(reasoning.close)} ${space(builder)}`
      if (start === 'reasoning') return `${builder.rule('thoughts', rest)} (${body})`
      const thoughts = builder.rule('thoughts', `${literal(reasoning.open)} ${rest}`)
      return `(${space(builder)} ${thoughts})? (${body})`
    },
  }
}

const freeTexts = new WeakMap<GrammarBuilder, Map<string, string>>()

/** Any text without `end`; its rules are written once per grammar. */
export function textUntil(end: string, builder: GrammarBuilder): string {
  const known = freeTexts.get(builder) ?? new Map<string, string>()
  freeTexts.set(builder, known)
  const body = known.get(end) ?? anyTextUntil(end, builder)
  known.set(end, body)
  return body
}

/** White space that a model may put between markers. */
export function space(builder: GrammarBuilder): string {
  return builder.rule('gap', '[ \\n\\r\\t]{0,8}')
}

/** The alternatives of a rule, one per tool. */
export function perTool(builder: GrammarBuilder, tools: Tool[], body: (tool: Tool, index: number) => string): string {
  return builder.rule('call', tools.map((tool, index) => builder.rule(`call-${index}`, body(tool, index))).join(' | '))
}

/** Keywords that say what kinds of value a schema allows. */
const KINDS = ['type', '$ref', 'anyOf', 'oneOf', 'allOf', 'enum', 'const', 'not', 'if']

/** The rule of a tool's arguments as a JSON object. A tool without parameters takes an object without properties. */
export function argumentsOf(builder: GrammarBuilder, tool: Tool, index: number): string {
  const schema = tool.parameters ?? { type: 'object', properties: {}, additionalProperties: false }
  if (schema === true) return builder.anyObject()
  // Arguments are an object also where the schema leaves that out.
  const whole =
    typeof schema === 'object' && !KINDS.some(keyword => keyword in schema) ? { ...schema, type: 'object' } : schema
  return builder.schema(whole, `arguments-${index}`, { param: `tools.${index}.function.parameters` })
}

/**
 * A trigger: what begins a call, a pattern, stands at the end of the output so far, behind the pattern `before`.
 * The engine ends the process where the grammar does not begin with the rest of the output from there on, so that `call` may
 * match only what the grammar allows, and `$` is no end: in the engine's build for Windows it also stands before a line end.
 */
export function trigger(call: string, before = ''): string {
  return `${before}(${call})(?![\\s\\S])`
}

export function escapePattern(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')
}

/** Whether a name is one of the tools. */
export function knows(reading: Reading): (name: string) => boolean {
  const names = new Set(reading.tools.map(tool => tool.name))
  return name => names.has(name)
}
