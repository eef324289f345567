/** `<tool_call>{"name": ..., "arguments": {...}}</tool_call>`: Hermes, Qwen2.5, Qwen3, Granite 4, and every model without a form of its own. */
import { type ChatFormat, knows, textFormat, trigger } from './format.ts'
import { readClose, readObject, wrappedRule } from './json_calls.ts'

const OPEN = '<tool_call>'
const CLOSE = '</tool_call>'
const KEYS = { name: 'name', arguments: ['arguments', 'parameters'], id: 'id' }

export const hermes: ChatFormat = textFormat({
  name: 'hermes',
  detect: source => source.includes(OPEN),
  openers: [OPEN],
  triggers: [trigger('<tool_call>[ \\n\\r\\t]{0,8}(?:\\{ ?"?)?')],
  read: (opener, reading, back) => readObject(KEYS, knows(reading), opener, readClose([CLOSE], back), back),
  calls: (builder, tools, parallel) => wrappedRule(builder, tools, parallel, { open: OPEN, close: CLOSE, keys: KEYS }),
  write: calls =>
    calls
      .map(call => `${OPEN}\n{"name": ${JSON.stringify(call.name)}, "arguments": ${call.arguments}}\n${CLOSE}`)
      .join('\n'),
})

/** The same for a template that knows no tools: they are described in the system message. */
export const plain: ChatFormat = { ...hermes, name: 'plain', detect: () => true }
