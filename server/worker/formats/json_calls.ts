/** Calls written as JSON objects, alone between two markers or in a list behind one. */
import type { Tool } from '../../wire/worker.ts'
import { type GrammarBuilder, literal } from '../grammar.ts'
import { argumentsOf, perTool, space } from './format.ts'
import { type CallKeys, JsonCall } from './json.ts'
import type { State } from './parser.ts'

/** Reads one object. What is no call becomes content, with `raw` (what came before it) in front. */
export function readObject(
  keys: CallKeys,
  accept: (name: string) => boolean,
  raw: string,
  done: State,
  back: State,
): State {
  const call = new JsonCall(keys, accept)
  return (input, output) => {
    const { text } = input
    for (let index = 0; index < text.length; index++) {
      const progress = call.feed(text[index]!, output)
      if (progress === 'more') continue
      if (progress === 'done') {
        input.skip(index + 1)
        return done
      }
      if (call.started) output.endCall()
      else output.content(raw + call.raw)
      input.skip(index)
      return back
    }
    input.skip(text.length)
    if (input.ended && !call.started) output.content(raw + call.raw)
    return undefined
  }
}

/** Reads the marker that closes a call, if it is there. */
export function readClose(markers: string[], next: State): State {
  if (markers.length === 0) return next
  return input => (input.startsWith(markers) === undefined ? undefined : next)
}

/** Reads `[{...}, {...}]`, or an object without the list. */
export function readList(
  keys: CallKeys,
  accept: (name: string) => boolean,
  opener: string,
  close: string[],
  back: State,
): State {
  const end = readClose(close, back)
  const more: State = (input, output) => {
    const found = input.startsWith([',', ']', ...close])
    if (found === undefined) return undefined
    if (found === ',') return readObject(keys, accept, ',', more, back)
    if (found === ']') return end
    output.boundary()
    return back
  }
  return (input, output) => {
    const found = input.peek(['[', '{'])
    if (found === undefined) return undefined
    if (found === false) {
      output.content(opener)
      return back
    }
    if (found === '[') {
      input.startsWith(['['])
      return readObject(keys, accept, `${opener}[`, more, back)
    }
    return readObject(keys, accept, opener, more, back)
  }
}

/** GBNF of one object: the name of the tool, then its arguments by its schema. */
export function objectRule(builder: GrammarBuilder, tools: Tool[], keys: CallKeys): string {
  const gap = builder.rule('blank', '" "?')
  const key = (name: string) => `${literal(`${JSON.stringify(name)}:`)} ${gap}`
  const id =
    keys.idFirst === true && keys.id !== undefined
      ? `${builder.rule('id', `${key(keys.id)} "\\"" [a-zA-Z0-9]{1,32} "\\"," ${gap}`)}? `
      : ''
  return perTool(
    builder,
    tools,
    (tool, index) =>
      `"{" ${gap} ${id}${key(keys.name)} ${literal(JSON.stringify(tool.name))} "," ${gap} ${key(keys.arguments[0]!)} ` +
      `${argumentsOf(builder, tool, index)} ${gap} "}"`,
  )
}

/** GBNF of `open {...} close`, repeated where calls may be parallel. */
export function wrappedRule(
  builder: GrammarBuilder,
  tools: Tool[],
  parallel: boolean,
  options: { open: string; close: string; keys: CallKeys },
): string {
  const gap = space(builder)
  const one = builder.rule(
    'wrapped',
    `${literal(options.open)} ${gap} ${objectRule(builder, tools, options.keys)} ${gap} ${literal(options.close)}`,
  )
  return parallel ? `${one} (${gap} ${one})*` : one
}

/** GBNF of `open [{...}, {...}] close`. */
export function listRule(
  builder: GrammarBuilder,
  tools: Tool[],
  parallel: boolean,
  options: { open: string; close: string; keys: CallKeys },
): string {
  const gap = space(builder)
  const one = objectRule(builder, tools, options.keys)
  const all = parallel ? `${one} (${gap} "," ${gap} ${one})*` : one
  const close = options.close === '' ? '' : ` ${gap} ${literal(options.close)}`
  return `${literal(options.open)} ${gap} "[" ${gap} ${all} ${gap} "]"${close}`
}
