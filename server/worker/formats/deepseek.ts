/** DeepSeek's `<｜tool▁calls▁begin｜>`: with the arguments in a fenced block (R1, V3) or bare (V3.1). */
import { type ChatFormat, textFormat, trigger } from './format.ts'
import { namedRule, readNamed } from './named_calls.ts'

const SECTION = '<｜tool▁calls▁begin｜>'
const BEGIN = '<｜tool▁call▁begin｜>'
const SEP = '<｜tool▁sep｜>'
const END = '<｜tool▁call▁end｜>'
const SECTION_END = '<｜tool▁calls▁end｜>'
const MARKS = [SECTION, BEGIN, SEP, END, SECTION_END]
const FENCE = '```'

const R1 = {
  openers: [SECTION, BEGIN],
  header: /^\s*(?:<｜tool▁call▁begin｜>\s*)?function<｜tool▁sep｜>\s*(?<name>[^\s<]+)\s*```json\s*$/,
  closers: [FENCE, END, SECTION_END],
}

export const deepseekR1: ChatFormat = textFormat({
  name: 'deepseek-r1',
  detect: source => source.includes(SECTION) && source.includes('```json'),
  openers: R1.openers,
  preserved: MARKS,
  triggers: [trigger(SECTION)],
  read: (opener, reading, back) => readNamed(R1, opener, reading, back),
  calls: (builder, tools, parallel) =>
    namedRule(builder, tools, parallel, {
      open: SECTION,
      before: `${BEGIN}function${SEP}`,
      between: `\n${FENCE}json\n`,
      after: `\n${FENCE}${END}`,
      close: SECTION_END,
    }),
  write: calls => {
    const one = (name: string, args: string) => `${BEGIN}function${SEP}${name}\n${FENCE}json\n${args}\n${FENCE}${END}`
    return `${SECTION}${calls.map(call => one(call.name, call.arguments)).join('\n')}${SECTION_END}`
  },
})

const V31 = {
  openers: [SECTION, BEGIN],
  header: /^\s*(?:<｜tool▁call▁begin｜>\s*)?(?<name>[^\s<]+)\s*<｜tool▁sep｜>\s*$/,
  closers: [END, SECTION_END],
}

export const deepseekV31: ChatFormat = textFormat({
  name: 'deepseek-v3.1',
  detect: source => source.includes(SECTION),
  openers: V31.openers,
  preserved: MARKS,
  triggers: [trigger(SECTION)],
  read: (opener, reading, back) => readNamed(V31, opener, reading, back),
  calls: (builder, tools, parallel) =>
    namedRule(builder, tools, parallel, { open: SECTION, before: BEGIN, between: SEP, after: END, close: SECTION_END }),
})
