/** The bare `{"name": ..., "parameters": {...}}` of Llama 3, perhaps behind `<|python_tag|>`. */
import { type ChatFormat, knows, type Reading, textFormat, trigger } from './format.ts'
import { objectRule, readObject } from './json_calls.ts'
import type { State } from './parser.ts'

const TAG = '<|python_tag|>'
const KEYS = { name: 'name', arguments: ['parameters', 'arguments'], id: 'id' }

/** More calls may follow, apart by a semicolon; other text ends them. */
const more =
  (reading: Reading, back: State): State =>
  input => {
    const found = input.peek([';', '{'])
    if (found === undefined) return undefined
    if (found === false) return back
    if (found === ';') input.startsWith([';'])
    return readObject(KEYS, knows(reading), found === ';' ? ';' : '', more(reading, back), back)
  }

export const llama3: ChatFormat = textFormat({
  name: 'llama3',
  detect: source => source.includes('<|start_header_id|>') && source.includes('"parameters": '),
  openers: [TAG],
  preserved: [],
  triggers: [trigger('<\\|python_tag\\|>'), trigger('\\{ ?"name": ?"?', '^[ \\n\\r\\t]{0,8}')],
  bare: (reading, back) => input => {
    const found = input.peek(['{'])
    if (found === undefined) return undefined
    if (found === false) return back
    return readObject(KEYS, knows(reading), '', more(reading, back), back)
  },
  read: (opener, reading, back) => readObject(KEYS, knows(reading), opener, more(reading, back), back),
  calls: (builder, tools, parallel) => {
    const one = objectRule(builder, tools, KEYS)
    return `"<|python_tag|>"? ${parallel ? `${one} ("; " ${one})*` : one}`
  },
})
