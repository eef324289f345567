/** Calls written as tags, one per argument: `<function=name><parameter=key>value</parameter></function>` and its relatives. */
import type { JsonSchema, Tool } from '../../wire/worker.ts'
import { type GrammarBuilder, literal } from '../grammar.ts'
import { knows, perTool, type Reading, space, textUntil } from './format.ts'
import type { State } from './parser.ts'

export type XmlCalls = {
  open: string
  /** Around the name; the end of the name is a line end where there is no tag. */
  name: [before: string, after: string]
  key: [before: string, after: string]
  /** Between the key and the value, where the value has a tag of its own. */
  value: [before: string, after: string]
  /** Values stand on lines of their own: the line ends around them are the tags'. */
  lines: boolean
  /** Closes the function inside the call; empty where there is no such tag. */
  nameClose: string
  close: string
}

/** Reads from behind `open`. */
export function readXml(tags: XmlCalls, reading: Reading, back: State): State {
  const accept = knows(reading)
  const close: State = (input, output) => {
    // MiniMax writes all functions between one pair of tags.
    const found = input.startsWith(tags.name[0] === '' ? [tags.close] : [tags.close, tags.name[0]])
    if (found === undefined) return undefined
    if (found === tags.name[0]) return title(found)
    output.boundary()
    return back
  }
  const head: State = (input, output) => {
    const opened = tags.name[0] === '' ? '' : input.startsWith([tags.name[0]])
    if (opened === undefined) return undefined
    if (opened === false) {
      output.content(tags.open)
      return back
    }
    return title(opened)
  }
  const title =
    (opened: string): State =>
    (input, output) => {
      const end = endOfName(input.text, tags, input.ended)
      if (end === undefined) return undefined
      const name = input.text.slice(0, end.at).trim()
      if (!accept(name)) {
        output.content(tags.open + opened)
        return back
      }
      input.skip(end.at + end.length)
      output.startCall(name)
      const schema = reading.tools.find(tool => tool.name === name)?.parameters
      return parameters(schema, true)
    }
  const parameters =
    (schema: JsonSchema | undefined, first: boolean): State =>
    (input, output) => {
      const ends = tags.nameClose === '' ? [tags.close] : [tags.nameClose, tags.close]
      const found = input.startsWith([tags.key[0], ...ends])
      if (found === undefined) return undefined
      if (found === tags.key[0]) return key(schema, first)
      if (!first) output.arguments('}')
      output.endCall()
      return found === tags.nameClose ? close : back
    }
  const key =
    (schema: JsonSchema | undefined, first: boolean): State =>
    input => {
      const at = input.text.indexOf(tags.key[1])
      if (at === -1) return undefined
      const name = input.text.slice(0, at)
      input.skip(at + tags.key[1].length)
      const type = typeOf(schema, name)
      const start = `${first ? '{' : ', '}${JSON.stringify(name)}: `
      return tags.value[0] === '' ? value(schema, type, start) : opened(schema, type, start)
    }
  const opened =
    (schema: JsonSchema | undefined, type: ValueType, start: string): State =>
    input =>
      input.startsWith([tags.value[0]]) === undefined ? undefined : value(schema, type, start)

  const value = (schema: JsonSchema | undefined, type: ValueType, start: string): State => {
    let read = ''
    let begun = false
    return (input, output) => {
      // The line end after the opening tag is the tag's.
      if (!begun) {
        if (tags.lines && input.text === '' && !input.ended) return undefined
        if (tags.lines && input.text.startsWith('\n')) input.skip(1)
        begun = true
        output.arguments(type === 'text' ? `${start}"` : start)
      }
      const { text, marker } = input.until(tags.lines ? [`\n${tags.value[1]}`, tags.value[1]] : [tags.value[1]])
      if (type === 'text') output.arguments(escaped(text))
      else read += text
      if (marker === undefined) return undefined
      output.arguments(type === 'text' ? '"' : asJson(read, type))
      return parameters(schema, false)
    }
  }
  return head
}

function endOfName(text: string, tags: XmlCalls, ended: boolean): { at: number; length: number } | undefined {
  if (tags.name[1] !== '') {
    const at = text.indexOf(tags.name[1])
    return at === -1 ? undefined : { at, length: tags.name[1].length }
  }
  // The name stands alone: it ends where white space or the next tag begins.
  const begin = text.length - text.trimStart().length
  const at = text.slice(begin).search(/[\s<]/)
  if (at !== -1) return { at: begin + at, length: 0 }
  return ended ? { at: text.length, length: 0 } : undefined
}

/** `text`: always a JSON text; `any`: JSON where it parses, else text; `nullable`: null or text. */
type ValueType = 'text' | 'any' | 'nullable'

function typeOf(schema: JsonSchema | undefined, key: string): ValueType {
  const property = propertiesOf(schema)[key]
  if (typeof property !== 'object') return 'any'
  const types = [property.type].flat().filter(type => type !== undefined)
  if (types.length === 0 && Array.isArray(property.enum)) {
    return property.enum.every(item => typeof item === 'string') ? 'text' : 'any'
  }
  if (!types.includes('string')) return 'any'
  if (types.length === 1) return 'text'
  return types.every(type => type === 'string' || type === 'null') ? 'nullable' : 'any'
}

function propertiesOf(schema: JsonSchema | undefined): { [key: string]: JsonSchema } {
  const properties = typeof schema === 'object' ? schema.properties : undefined
  return typeof properties === 'object' && properties !== null ? (properties as { [key: string]: JsonSchema }) : {}
}

function asJson(text: string, type: ValueType): string {
  const bare = text.trim()
  if (bare === 'null' || bare === 'None') return 'null'
  if (type === 'nullable') return JSON.stringify(text)
  if (bare === 'True' || bare === 'False') return bare.toLowerCase()
  try {
    JSON.parse(bare)
    return bare
  } catch {
    return JSON.stringify(text)
  }
}

/** A piece of a JSON text. A pair of surrogates that is split between two pieces comes as two escapes, which JSON joins. */
export function escaped(text: string): string {
  return JSON.stringify(text).slice(1, -1)
}

/** GBNF of one call or several. Arguments come in the order of the schema. */
export function xmlRule(builder: GrammarBuilder, tools: Tool[], parallel: boolean, tags: XmlCalls): string {
  const gap = space(builder)
  const one = perTool(builder, tools, (tool, index) => {
    const schema = typeof tool.parameters === 'object' ? tool.parameters : {}
    const required = Array.isArray(schema.required) ? schema.required : []
    const parts = Object.entries(propertiesOf(schema)).map(([key, property], at) => {
      const before = `${tags.key[0]}${key}${tags.key[1]}`
      const line = tags.lines ? '\n' : ''
      const opening =
        tags.value[0] === '' ? literal(before + line) : `${literal(before)} ${gap} ${literal(tags.value[0] + line)}`
      const end = line + tags.value[1]
      const body = valueBody(builder, schema, key, property, `value-${index}-${at}`, end)
      const part = builder.rule(`parameter-${index}-${at}`, `${opening} ${body} ${literal(end)} ${gap}`)
      return required.includes(key) ? part : `${part}?`
    })
    const nameEnd = tags.name[1] === '' ? '"\\n"?' : literal(tags.name[1])
    const nameClose = tags.nameClose === '' ? '' : `${literal(tags.nameClose)} ${gap} `
    return (
      `${literal(tags.open)} ${gap} ${literal(tags.name[0] + tool.name)} ${nameEnd} ${gap} ${parts.join(' ')} ` +
      `${nameClose}${literal(tags.close)}`
    )
  })
  return parallel ? `${one} (${gap} ${one})*` : one
}

function valueBody(
  builder: GrammarBuilder,
  schema: { [key: string]: unknown },
  key: string,
  property: JsonSchema,
  name: string,
  end: string,
): string {
  const listed =
    typeof property === 'object' ? (property.const !== undefined ? [property.const] : property.enum) : undefined
  if (Array.isArray(listed) && listed.length > 0) {
    return `(${listed.map(item => literal(typeof item === 'string' ? item : JSON.stringify(item))).join(' | ')})`
  }
  const type = typeOf(schema, key)
  const text = textUntil(end, builder)
  if (type === 'text' || (type === 'nullable' && text !== '')) return text
  const types = typeof property === 'object' ? [property.type].flat() : []
  // Definitions of the whole schema travel with the part, which may refer to them.
  const { $defs, definitions } = schema
  const part =
    typeof property === 'object'
      ? { ...($defs !== undefined && { $defs }), ...(definitions !== undefined && { definitions }), ...property }
      : property
  const json = builder.schema(part, name)
  return types.includes('string') ? `(${json} | ${text})` : json
}
