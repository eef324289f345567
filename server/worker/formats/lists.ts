/** Formats that write their calls as one JSON list between markers: Granite 3, Nemotron Nano 2, Command R7B. */
import { type ChatFormat, knows, THINK, textFormat } from './format.ts'
import type { CallKeys } from './json.ts'
import { listRule, readList } from './json_calls.ts'

function listFormat(
  name: string,
  marks: { open: string; close: string; reasoning?: ChatFormat['reasoning'] },
  keys: CallKeys = { name: 'name', arguments: ['arguments', 'parameters'], id: 'id' },
): ChatFormat {
  const { open, close } = marks
  return textFormat({
    name,
    detect: source => source.includes(open),
    reasoning: marks.reasoning ?? THINK,
    openers: [open],
    preserved: close === '' ? [] : [close],
    read: (opener, reading, back) => readList(keys, knows(reading), opener, close === '' ? [] : [close], back),
    calls: (builder, tools, parallel) => listRule(builder, tools, parallel, { open, close, keys }),
    write: calls => {
      const list = calls.map(
        call => `{"${keys.name}": ${JSON.stringify(call.name)}, "${keys.arguments[0]}": ${call.arguments}}`,
      )
      return `${open}[${list.join(', ')}]${close}`
    },
  })
}

export const granite3: ChatFormat = listFormat('granite3', { open: '<|tool_call|>', close: '' })
export const nemotron2: ChatFormat = listFormat('nemotron-nano-2', { open: '<TOOLCALL>', close: '</TOOLCALL>' })
export const commandR7b: ChatFormat = listFormat(
  'command-r7b',
  {
    open: '<|START_ACTION|>',
    close: '<|END_ACTION|>',
    reasoning: { open: '<|START_THINKING|>', close: '<|END_THINKING|>' },
  },
  { name: 'tool_name', arguments: ['parameters'], id: 'tool_call_id', idFirst: true },
)
