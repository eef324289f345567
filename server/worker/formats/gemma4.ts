/** Gemma 4: `<|tool_call>call:name{key:value}<tool_call|>`, texts between `<|"|>`, thoughts in a channel. */
import type { JsonSchema } from '../../wire/worker.ts'
import { type GrammarBuilder, literal } from '../grammar.ts'
import { type ChatFormat, knows, perTool, type Reading, space, textFormat, textUntil } from './format.ts'
import { readClose } from './json_calls.ts'
import type { State } from './parser.ts'
import { escaped } from './xml_calls.ts'

const OPEN = '<|tool_call>'
const CLOSE = '<tool_call|>'
const QUOTE = '<|"|>'
/** A key, a number or a name that is longer than this is none. */
const MAX_BARE = 300

function readCall(opener: string, reading: Reading, back: State): State {
  const accept = knows(reading)
  const done = readClose([CLOSE], back)
  return (input, output) => {
    const at = input.text.indexOf('{')
    if (at === -1 && !input.ended && input.text.length <= MAX_BARE) return undefined
    const name = at === -1 ? undefined : /^\s*call:\s*(\S+?)\s*$/.exec(input.text.slice(0, at))?.[1]
    if (name === undefined || !accept(name)) {
      output.content(opener)
      return back
    }
    input.skip(at + 1)
    output.startCall(name)
    output.arguments('{')
    return readBraces(done, back)
  }
}

/** Turns the notation into JSON while it comes, from behind the first brace. */
function readBraces(done: State, back: State): State {
  const stack: ('{' | '[')[] = ['{']
  let first = true

  const close: State = (_input, output) => {
    output.arguments(stack.pop() === '{' ? '}' : ']')
    first = false
    if (stack.length > 0) return next
    output.endCall()
    return done
  }
  const broken: State = (_input, output) => {
    output.endCall()
    return back
  }
  const text =
    (after: State): State =>
    (input, output) => {
      const { text: part, marker } = input.until([QUOTE])
      output.arguments(escaped(part))
      if (marker === undefined) return undefined
      output.arguments('"')
      return after
    }
  const key: State = (input, output) => {
    const found = input.startsWith(first ? [QUOTE, '}'] : [QUOTE])
    if (found === undefined) return undefined
    if (found === '}') return close
    if (found === QUOTE) {
      output.arguments(first ? '"' : ', "')
      return text(colon)
    }
    const at = input.text.indexOf(':')
    if (at === -1) return input.ended || input.text.length > MAX_BARE ? broken : undefined
    output.arguments(`${first ? '' : ', '}${JSON.stringify(input.text.slice(0, at).trim())}: `)
    input.skip(at + 1)
    return value
  }
  const colon: State = (input, output) => {
    const found = input.startsWith([':'])
    if (found === undefined) return undefined
    if (found === false) return broken
    output.arguments(': ')
    return value
  }
  const item: State = (input, output) => {
    const found = first ? input.startsWith([']']) : false
    if (found === undefined) return undefined
    if (found !== false) return close
    if (!first) output.arguments(', ')
    return value
  }
  const value: State = (input, output) => {
    const found = input.startsWith([QUOTE, '{', '['])
    if (found === undefined) return undefined
    if (found === QUOTE) {
      output.arguments('"')
      return text(next)
    }
    if (found === '{' || found === '[') {
      stack.push(found)
      first = true
      output.arguments(found)
      return found === '{' ? key : item
    }
    const at = input.text.search(/[,}\]]/)
    if (at === -1) return input.ended || input.text.length > MAX_BARE ? broken : undefined
    output.arguments(bareToJson(input.text.slice(0, at).trim()))
    input.skip(at)
    return next
  }
  const next: State = input => {
    const inObject = stack.at(-1) === '{'
    const found = input.startsWith([',', inObject ? '}' : ']'])
    if (found === undefined) return undefined
    if (found === false) return broken
    if (found !== ',') return close
    first = false
    return inObject ? key : item
  }
  return key
}

function bareToJson(word: string): string {
  if (word === '' || word === 'None') return 'null'
  if (word === 'True' || word === 'False') return word.toLowerCase()
  try {
    JSON.parse(word)
    return word
  } catch {
    return JSON.stringify(word)
  }
}

/**
 * GBNF of a value in this notation. Types, lists of values, items, properties and required ones are enforced;
 * bounds on lengths and patterns cannot be told in it.
 */
function valueRule(builder: GrammarBuilder, schema: JsonSchema | undefined, name: string, depth: number): string {
  if (typeof schema !== 'object' || depth > 16) return anyValue(builder)
  const listed = schema.const !== undefined ? [schema.const] : schema.enum
  if (Array.isArray(listed) && listed.length > 0) {
    return builder.rule(name, listed.map(item => literal(notation(item))).join(' | '))
  }
  const types = [schema.type].flat().filter(type => type !== undefined)
  if (types.length === 0) return anyValue(builder)
  return builder.rule(name, types.map(type => typeRule(builder, schema, String(type), name, depth)).join(' | '))
}

function typeRule(
  builder: GrammarBuilder,
  schema: { [key: string]: unknown },
  type: string,
  name: string,
  depth: number,
): string {
  if (type === 'string') return textRule(builder)
  if (type === 'boolean') return '"true" | "false"'
  if (type === 'null') return '"null"'
  if (type === 'array') {
    const item = valueRule(builder, schema.items as JsonSchema | undefined, `${name}-item`, depth + 1)
    return `"[" (${item} ("," ${item})*)? "]"`
  }
  if (type === 'object') return `"{" ${fields(builder, schema, name, depth)} "}"`
  return builder.schema({ ...schema, type }, `${name}-number`)
}

/** The properties in the order of their names, in which the template writes them. */
function fields(builder: GrammarBuilder, schema: { [key: string]: unknown }, name: string, depth: number): string {
  const required = Array.isArray(schema.required) ? schema.required : []
  const properties = Object.entries((schema.properties ?? {}) as { [key: string]: JsonSchema }).sort(([a], [b]) =>
    a.toLowerCase() < b.toLowerCase() ? -1 : 1,
  )
  const parts = properties.map(([key, property], index) => ({
    rule: builder.rule(
      `${name}-field-${index}`,
      `${literal(`${key}:`)} ${valueRule(builder, property, `${name}-${index}`, depth + 1)}`,
    ),
    required: required.includes(key),
  }))
  // From the last field to the first: what may stand after a field that was written, and what where none was yet.
  let after = ''
  let start = ''
  for (const [index, part] of [...parts.entries()].reverse()) {
    const behind = `"," ${part.rule} ${after}`
    const alone = `${part.rule} ${after}`
    start = part.required ? alone : start === '' ? `(${alone})?` : `(${alone} | ${start})`
    const body = part.required ? behind : after === '' ? `(${behind})?` : `(${behind} | ${after})`
    after = builder.rule(`${name}-after-${index}`, body)
  }
  return start
}

function textRule(builder: GrammarBuilder): string {
  const body = textUntil(QUOTE, builder)
  return builder.rule('quoted', `${literal(QUOTE)} ${body} ${literal(QUOTE)}`)
}

const anyValues = new WeakMap<GrammarBuilder, string>()

function anyValue(builder: GrammarBuilder): string {
  const known = anyValues.get(builder)
  if (known !== undefined) return known
  const value = builder.reserve('any-notation')
  anyValues.set(builder, value)
  const number = builder.schema({ type: 'number' }, 'any-number')
  const key = builder.rule('bare-key', '[a-zA-Z_] [a-zA-Z0-9_-]{0,63}')
  const field = `${key} ":" ${value}`
  builder.define(
    value,
    `${textRule(builder)} | ${number} | "true" | "false" | "null" | "[" (${value} ("," ${value})*)? "]" | "{" (${field} ("," ${field})*)? "}"`,
  )
  return value
}

function notation(value: unknown): string {
  if (typeof value === 'string') return QUOTE + value + QUOTE
  if (Array.isArray(value)) return `[${value.map(notation).join(',')}]`
  if (typeof value === 'object' && value !== null) {
    return `{${Object.entries(value)
      .map(([key, item]) => `${key}:${notation(item)}`)
      .join(',')}}`
  }
  return JSON.stringify(value)
}

export const gemma4: ChatFormat = textFormat({
  name: 'gemma4',
  detect: source => source.includes('<|tool_call>call:'),
  reasoning: { open: '<|channel>thought', close: '<channel|>' },
  openers: [OPEN],
  preserved: [CLOSE, QUOTE, '<|channel>', '<channel|>'],
  // The model hands over to the tools with this token; where it is an end-of-generation token this is never seen.
  stops: ['<|tool_response>'],
  read: readCall,
  calls(builder, tools, parallel) {
    const one = perTool(builder, tools, (tool, index) => {
      const schema = typeof tool.parameters === 'object' ? tool.parameters : {}
      return `${literal(`${OPEN}call:${tool.name}{`)} ${fields(builder, schema, `arguments-${index}`, 0)} ${literal(`}${CLOSE}`)}`
    })
    return parallel ? `${one} (${space(builder)} ${one})*` : one
  },
})
