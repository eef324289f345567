/** Mistral's `[TOOL_CALLS]`: a list of objects (Nemo and its time), or name and arguments apart (Devstral, Ministral 3), or an id between (Small 3.2). */
import { literal } from '../grammar.ts'
import { argumentsOf, type ChatFormat, knows, perTool, textFormat, trigger } from './format.ts'
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
  triggers: [trigger('\\[TOOL_CALLS\\][ \\n\\r\\t]{0,8}\\[?')],
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

export const mistralId: ChatFormat = {
  ...mistralArgs,
  name: 'mistral-id',
  detect: source => mistralArgs.detect(source) && source.includes('[CALL_ID]'),
  calls(builder, tools, parallel) {
    const id = builder.rule('call-id', '"[CALL_ID]" [a-zA-Z0-9]{9}')
    const one = perTool(
      builder,
      tools,
      (tool, index) => `${literal(OPEN + tool.name)} ${id}? "[ARGS]" ${argumentsOf(builder, tool, index)}`,
    )
    return parallel ? `${one}+` : one
  },
}
