/** gpt-oss: every message has a channel; analysis is reasoning, a message to `functions.name` is a call. */
import { literal } from '../grammar.ts'
import { argumentsOf, type ChatFormat, knows, perTool, type Reading, textUntil, trigger } from './format.ts'
import { readArguments } from './named_calls.ts'
import type { State } from './parser.ts'

const ENDS = ['<|end|>', '<|return|>', '<|call|>', '<|start|>', '<|channel|>']
/** What a header may begin with; anything else is text of a model that lost its form. */
const HEADS = ['<|channel|>', '<|start|>', '<|constrain|>', '<|message|>', 'to=', ...ENDS]
const MAX_HEADER = 400

function harmonyState(reading: Reading): State {
  const accept = knows(reading)
  const header: State = (input, output) => {
    const bare = input.text.trimStart()
    if (!HEADS.some(head => bare.startsWith(head))) {
      if (!input.ended && HEADS.some(head => head.startsWith(bare))) return undefined
      return body('content')
    }
    const at = input.text.indexOf('<|message|>')
    if (at === -1) {
      if (!input.ended && input.text.length <= MAX_HEADER) return undefined
      // No message follows: the markers are dropped, the text between them is not.
      const end = [...ENDS, '<|constrain|>', '<|message|>'].find(marker => bare.startsWith(marker))
      input.skip(input.text.length - bare.length + (end?.length ?? 0))
      output.boundary()
      return body('content')
    }
    const head = input.text.slice(0, at)
    input.skip(at + '<|message|>'.length)
    output.boundary()
    const name = /(?:^|[\s>])to=functions\.([^\s<]+)/.exec(head)?.[1]
    if (name !== undefined && accept(name)) {
      output.startCall(name)
      return readArguments(body('content'))
    }
    return body(/<\|channel\|>analysis/.test(head) ? 'reasoning' : 'content')
  }
  const body =
    (kind: 'content' | 'reasoning'): State =>
    (input, output) => {
      const { text, marker } = input.until(ENDS)
      if (text !== '') output[kind](text)
      if (marker === undefined) return undefined
      output.boundary()
      if (marker === '<|start|>' || marker === '<|channel|>') input.unread(marker)
      return header
    }
  if (reading.start === 'content') return body('content')
  return reading.start === 'reasoning' ? body('reasoning') : header
}

export const harmony: ChatFormat = {
  name: 'harmony',
  detect: source => source.includes('<|channel|>') && source.includes('<|message|>') && source.includes('analysis'),
  reasoning: { open: '<|channel|>analysis<|message|>', close: '<|end|>' },
  preserved: ['<|start|>', '<|end|>', '<|message|>', '<|channel|>', '<|constrain|>', '<|return|>', '<|call|>'],
  stops: [],
  triggers: [
    // The dot may come in one token with the name's beginning.
    trigger(' to=functions\\.?', '<\\|channel\\|>(?:commentary|analysis)'),
    trigger(' to=functions\\.?', '<\\|start\\|>assistant'),
    trigger(' to=functions\\.?', '^'),
  ],
  efforts: ['low', 'medium', 'high'],
  start: harmonyState,
  // The call token ends the turn, so there is one call per turn and no list of them.
  calls: (builder, tools) =>
    perTool(
      builder,
      tools,
      (tool, index) =>
        `${literal(` to=functions.${tool.name}`)} ("<|channel|>" ("commentary" | "analysis"))? " "? "<|constrain|>"? "json"? ` +
        `"<|message|>" ${argumentsOf(builder, tool, index)}`,
    ),
  output(builder, { calls, answer }, start) {
    const final = answer === undefined ? undefined : `"<|channel|>final<|message|>" ${answer}`
    const call = calls === undefined ? undefined : `"<|channel|>commentary" (${calls})`
    const body = [call, final].filter(part => part !== undefined).join(' | ')
    // A last message that is continued is in the final channel already.
    if (start === 'content') return answer ?? body
    const end = '<|end|>'
    const rest = `${textUntil(end, builder)} ${literal(`${end}<|start|>assistant`)}`
    const thoughts = builder.rule('thoughts', `"<|channel|>analysis<|message|>" ${rest}`)
    return start === 'reasoning' ? `${rest} (${body})` : `${thoughts}? (${body})`
  },
}
