/** Calls whose name stands in a header before the JSON object of the arguments, between markers of the format. */
import type { Tool } from '../../wire/worker.ts'
import { type GrammarBuilder, literal } from '../grammar.ts'
import { argumentsOf, knows, perTool, type Reading, space } from './format.ts'
import { JsonValue } from './json.ts'
import type { State } from './parser.ts'

export type NamedCalls = {
  openers: string[]
  /** The header, from behind the opener up to the `{` of the arguments; groups `name` and perhaps `id`. */
  header: RegExp
  /** What may stand after the arguments; read over. */
  closers: string[]
}

/** A header longer than this is none. */
const MAX_HEADER = 300

/** The state behind `opener`. */
export function readNamed(options: NamedCalls, opener: string, reading: Reading, back: State): State {
  const accept = knows(reading)
  const after: State = input => {
    const found = input.startsWith([...options.closers, ...options.openers])
    if (found === undefined) return undefined
    if (found === false) return back
    return options.openers.includes(found) ? readNamed(options, found, reading, back) : after
  }
  return (input, output) => {
    const at = input.text.indexOf('{')
    if (at === -1 && !input.ended && input.text.length <= MAX_HEADER) return undefined
    const header = at === -1 ? undefined : options.header.exec(input.text.slice(0, at))
    const name = header?.groups?.name
    if (at === -1 || name === undefined || !accept(name)) {
      output.content(opener)
      return back
    }
    input.skip(at)
    output.startCall(name, header?.groups?.id)
    return readArguments(after)
  }
}

/** Reads the JSON object of a call that has been started. */
export function readArguments(next: State): State {
  const value = new JsonValue()
  return (input, output) => {
    const { text } = input
    for (let index = 0; index < text.length; index++) {
      const progress = value.feed(text[index]!)
      if (progress === 'more') continue
      const end = progress === 'done' ? index + 1 : index
      output.arguments(text.slice(0, end))
      output.endCall()
      input.skip(end)
      return next
    }
    output.arguments(text)
    input.skip(text.length)
    return undefined
  }
}

/** GBNF of calls: `before NAME between {...} after`, with `open` before all of them and `close` behind. */
export function namedRule(
  builder: GrammarBuilder,
  tools: Tool[],
  parallel: boolean,
  marks: { open?: string; before: string; between: string; after: string; close?: string },
): string {
  const one = perTool(builder, tools, (tool, index) => {
    const head = literal(marks.before + tool.name + marks.between)
    const tail = marks.after === '' ? '' : ` ${literal(marks.after)}`
    return `${head} ${argumentsOf(builder, tool, index)}${tail}`
  })
  const gap = space(builder)
  const all = parallel ? `${one} (${gap} ${one})*` : one
  const open = marks.open === undefined ? '' : `${literal(marks.open)} `
  const close = marks.close === undefined ? '' : ` ${gap} ${literal(marks.close)}`
  return `${open}${all}${close}`
}
