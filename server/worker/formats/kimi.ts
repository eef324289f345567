/** Kimi K2's `<|tool_calls_section_begin|>`; the id of a call names the function: `functions.name:0`. */
import { type ChatFormat, textFormat, trigger } from './format.ts'
import { namedRule, readNamed } from './named_calls.ts'

const SECTION = '<|tool_calls_section_begin|>'
const BEGIN = '<|tool_call_begin|>'
const ARGUMENTS = '<|tool_call_argument_begin|>'
const END = '<|tool_call_end|>'
const SECTION_END = '<|tool_calls_section_end|>'
const CALLS = {
  openers: [SECTION, BEGIN],
  header:
    /^\s*(?:<\|tool_call_begin\|>\s*)?(?<id>(?:functions\.)?(?<name>[^\s<:]+)(?::\d+)?)\s*<\|tool_call_argument_begin\|>\s*$/,
  closers: [END, SECTION_END],
}

export const kimi: ChatFormat = textFormat({
  name: 'kimi',
  detect: source => source.includes(SECTION),
  openers: CALLS.openers,
  preserved: [SECTION, BEGIN, ARGUMENTS, END, SECTION_END],
  triggers: [trigger('<\\|tool_calls_section_begin\\|>')],
  read: (opener, reading, back) => readNamed(CALLS, opener, reading, back),
  calls: (builder, tools, parallel) =>
    namedRule(builder, tools, parallel, {
      open: SECTION,
      before: `${BEGIN}functions.`,
      between: `:0${ARGUMENTS}`,
      after: END,
      close: SECTION_END,
    }),
})
