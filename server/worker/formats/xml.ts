/** The formats whose calls are tags: Qwen3-Coder and Qwen3.5, Seed-OSS, MiniMax-M2, GLM. */
import { type ChatFormat, THINK, textFormat } from './format.ts'
import { readXml, type XmlCalls, xmlRule } from './xml_calls.ts'

function xmlFormat(
  name: string,
  tags: XmlCalls,
  detect: (source: string) => boolean,
  reasoning: ChatFormat['reasoning'] = THINK,
): ChatFormat {
  return textFormat({
    name,
    detect,
    reasoning,
    openers: [tags.open],
    read: (_opener, reading, back) => readXml(tags, reading, back),
    calls: (builder, tools, parallel) => xmlRule(builder, tools, parallel, tags),
  })
}

const QWEN: XmlCalls = {
  open: '<tool_call>',
  name: ['<function=', '>'],
  key: ['<parameter=', '>'],
  value: ['', '</parameter>'],
  lines: true,
  nameClose: '</function>',
  close: '</tool_call>',
}

export const qwen3Coder: ChatFormat = xmlFormat(
  'qwen3-coder',
  QWEN,
  source => source.includes('<function=') && source.includes('<parameter=') && source.includes('<tool_call>'),
)

export const seed: ChatFormat = xmlFormat(
  'seed-oss',
  { ...QWEN, lines: false, open: '<seed:tool_call>', close: '</seed:tool_call>' },
  source => source.includes('<seed:tool_call>'),
  { open: '<seed:think>', close: '</seed:think>' },
)

export const minimax: ChatFormat = xmlFormat(
  'minimax',
  {
    open: '<minimax:tool_call>',
    name: ['<invoke name="', '">'],
    key: ['<parameter name="', '">'],
    value: ['', '</parameter>'],
    lines: false,
    nameClose: '</invoke>',
    close: '</minimax:tool_call>',
  },
  source => source.includes('minimax:tool_call') && source.includes('<invoke name='),
)

export const glm: ChatFormat = xmlFormat(
  'glm',
  {
    open: '<tool_call>',
    name: ['', ''],
    key: ['<arg_key>', '</arg_key>'],
    value: ['<arg_value>', '</arg_value>'],
    lines: false,
    nameClose: '',
    close: '</tool_call>',
  },
  source => source.includes('<arg_key>') && source.includes('<tool_call>'),
)
