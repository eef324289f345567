/** Mistral's `[TOOL_CALLS]`: a list of objects (Nemo and others of its time), or name and arguments apart (Small 3.2, Devstral, Ministral 3). */
import { type ChatFormat, knows, textFormat } from './format.ts'
import { listRule, readList } from './json_calls.ts'
import { namedRule, readNamed } from './named_calls.ts'

const OPEN = '[TOOL_CALLS]'
const KEYS = { name: 'name', arguments: ['arguments'], id: 'id' }

/** Nemo writes the id behind the arguments, too late for a stream: such calls get an id of the same form. */
export const mistral: ChatFormat = textFormat({
  name: 'mistral',
  detect: source => source.includes(OPEN),
  idLength: 9,
  openers: [OPEN],
  triggers: ['(\\[TOOL_CALLS\\][ \\n\\r\\t]{0,8}\\[?)$'],
  read: (opener, reading, back) => readList(KEYS, knows(reading), opener, [], back),
  calls: (builder, tools, parallel) => listRule(builder, tools, parallel, { open: OPEN, close: '', keys: KEYS }),
})

const CALLS = {
  openers: [OPEN],
  header: /^\s*(?<name>[^\s[\]]+?)\s*(?:\[CALL_ID\]\s*(?<id>[^\s[\]]+)\s*)?\[ARGS\]\s*$/,
  closers: [],
}

export const mistralArgs: ChatFormat = textFormat({
  name: 'mistral-args',
  detect: source => source.includes(OPEN) && source.includes('[ARGS]'),
  idLength: 9,
  reasoning: { open: '[THINK]', close: '[/THINK]' },
  openers: [OPEN],
  preserved: ['[ARGS]', '[CALL_ID]'],
  read: (opener, reading, back) => readNamed(CALLS, opener, reading, back),
  calls: (builder, tools, parallel) =>
    namedRule(builder, tools, parallel, { before: OPEN, between: '[ARGS]', after: '' }),
})
