/** Reading what models write: each format by hand, malformed output, and any text in any pieces. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { Tool } from '../../server/wire/worker.ts'
import { FALLBACK, FORMATS } from '../../server/worker/formats/all.ts'
import type { Start } from '../../server/worker/formats/format.ts'
import { JsonValue } from '../../server/worker/formats/json.ts'
import { createParser, type ParsedDelta } from '../../server/worker/formats/parser.ts'

const TOOLS: Tool[] = [
  { name: 'add', parameters: { type: 'object', properties: { a: { type: 'integer' }, note: { type: 'string' } } } },
  { name: 'now' },
]

type Read = { content: string; reasoning: string; calls: { id: string; name: string; arguments: string }[] }

function gather(deltas: ParsedDelta[]): Read {
  const out: Read = { content: '', reasoning: '', calls: [] }
  for (const delta of deltas) {
    out.content += delta.content
    out.reasoning += delta.reasoning
    for (const { index, id, name, arguments: text = '' } of delta.toolCalls) {
      if (index === out.calls.length) {
        assert.ok(id !== undefined && name !== undefined)
        out.calls.push({ id, name, arguments: text })
      } else {
        assert.ok(index === out.calls.length - 1 && id === undefined && name === undefined)
        out.calls[index]!.arguments += text
      }
    }
  }
  return out
}

function read(format: string, pieces: string[], start: Start = 'either', tools = TOOLS): Read {
  const chosen = [...FORMATS, FALLBACK].find(one => one.name === format)
  assert.ok(chosen !== undefined)
  const parser = createParser(chosen.start({ start, tools }), chosen.idLength)
  return gather([...pieces.map(piece => parser.push(piece)), parser.end()])
}

const plain = (out: Read) => ({
  content: out.content,
  reasoning: out.reasoning,
  calls: out.calls.map(call => [call.name, JSON.parse(call.arguments) as unknown]),
})

const ADD = ['add', { a: 1, note: 'x "y" </tool_call>\n' }]
const JSON_ADD = '{"a": 1, "note": "x \\"y\\" </tool_call>\\n"}'

const WRITTEN: [format: string, text: string, expected: { content: string; reasoning: string; calls: unknown[] }][] = [
  [
    'hermes',
    `<think>\nhm\n</think>\n\nI add.\n<tool_call>\n{"name": "add", "arguments": ${JSON_ADD}}\n</tool_call>\n<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>`,
    { content: 'I add.', reasoning: 'hm', calls: [ADD, ['now', {}]] },
  ],
  [
    'hermes',
    `<tool_call>{"arguments":${JSON_ADD},"name":"add"}</tool_call>`,
    { content: '', reasoning: '', calls: [ADD] },
  ],
  [
    'hermes',
    '<tool_call>{"name": "add", "arguments": "{\\"a\\": 2}"}</tool_call>',
    { content: '', reasoning: '', calls: [['add', { a: 2 }]] },
  ],
  ['hermes', '<tool_call>{"name": "now"}</tool_call>', { content: '', reasoning: '', calls: [['now', {}]] }],
  [
    'hermes',
    '<think>I call\n<tool_call>{"name": "now", "arguments": {}}</tool_call>',
    { content: '', reasoning: 'I call', calls: [['now', {}]] },
  ],
  [
    'llama3',
    `{"name": "add", "parameters": ${JSON_ADD}}; {"name": "now", "parameters": {}}`,
    { content: '', reasoning: '', calls: [ADD, ['now', {}]] },
  ],
  ['llama3', '<|python_tag|>{"name": "now", "parameters": {}}', { content: '', reasoning: '', calls: [['now', {}]] }],
  [
    'mistral',
    `[TOOL_CALLS] [{"name": "add", "arguments": ${JSON_ADD}, "id": "123456789"}, {"name": "now", "arguments": {}}]`,
    { content: '', reasoning: '', calls: [ADD, ['now', {}]] },
  ],
  [
    'mistral-args',
    `[THINK]hm[/THINK]So.[TOOL_CALLS]add[ARGS]${JSON_ADD}[TOOL_CALLS]now[ARGS]{}`,
    { content: 'So.', reasoning: 'hm', calls: [ADD, ['now', {}]] },
  ],
  [
    'deepseek-r1',
    `hm\n</think>\n\n<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>add\n\`\`\`json\n${JSON_ADD}\n\`\`\`<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>now\n\`\`\`json\n{}\n\`\`\`<｜tool▁call▁end｜><｜tool▁calls▁end｜>`,
    { content: '', reasoning: 'hm', calls: [ADD, ['now', {}]] },
  ],
  [
    'qwen3-coder',
    'Let me.\n<tool_call>\n<function=add>\n<parameter=a>\n1\n</parameter>\n<parameter=note>\nx "y" </tool_call>\n\n</parameter>\n</function>\n</tool_call>\n<tool_call>\n<function=now>\n</function>\n</tool_call>',
    { content: 'Let me.', reasoning: '', calls: [ADD, ['now', {}]] },
  ],
  [
    'glm',
    '<tool_call>add\n<arg_key>a</arg_key>\n<arg_value>1</arg_value>\n</tool_call><tool_call>now\n</tool_call>',
    {
      content: '',
      reasoning: '',
      calls: [
        ['add', { a: 1 }],
        ['now', {}],
      ],
    },
  ],
  [
    'minimax',
    '<minimax:tool_call>\n<invoke name="add">\n<parameter name="note">1</parameter>\n</invoke>\n<invoke name="now">\n</invoke>\n</minimax:tool_call>',
    {
      content: '',
      reasoning: '',
      calls: [
        ['add', { note: '1' }],
        ['now', {}],
      ],
    },
  ],
  [
    'kimi',
    '<|tool_calls_section_begin|><|tool_call_begin|>functions.add:0<|tool_call_argument_begin|>{"a": 1}<|tool_call_end|><|tool_calls_section_end|>',
    { content: '', reasoning: '', calls: [['add', { a: 1 }]] },
  ],
  [
    'harmony',
    `<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>commentary<|message|>I add.<|end|><|start|>assistant<|channel|>commentary to=functions.add <|constrain|>json<|message|>${JSON_ADD}<|call|>`,
    { content: 'I add.', reasoning: 'hm', calls: [ADD] },
  ],
  [
    'harmony',
    ' to=functions.now<|channel|>commentary json<|message|>{}<|call|>',
    { content: '', reasoning: '', calls: [['now', {}]] },
  ],
  [
    'harmony',
    '<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>42<|return|>',
    { content: '42', reasoning: 'hm', calls: [] },
  ],
  [
    'gemma4',
    '<|channel>thought\nhm\n<channel|>So.<|tool_call>call:add{a:1,note:<|"|>x "y" </tool_call>\n<|"|>,deep:{l:[true,null,{k:<|"|>,}<|"|>}],e:[]}}<tool_call|>',
    {
      content: 'So.',
      reasoning: 'hm',
      calls: [['add', { a: 1, note: 'x "y" </tool_call>\n', deep: { l: [true, null, { k: ',}' }], e: [] } }]],
    },
  ],
]

describe('what models write', () => {
  for (const [index, [format, text, expected]] of WRITTEN.entries()) {
    test(`${format}, sample ${index}`, () => {
      const start: Start = format === 'deepseek-r1' ? 'reasoning' : 'either'
      assert.deepEqual(plain(read(format, [text], start)), expected)
      assert.deepEqual(plain(read(format, [...text], start)), expected, 'character by character')
    })
  }

  test('ids are made, or taken where the output carries one in time', () => {
    const made = read('hermes', ['<tool_call>{"name": "now", "arguments": {}}</tool_call>'])
    assert.match(made.calls[0]!.id, /^call_[a-zA-Z0-9]{24}$/)
    const own = read('kimi', [
      '<|tool_calls_section_begin|><|tool_call_begin|>functions.now:3<|tool_call_argument_begin|>{}<|tool_call_end|>',
    ])
    assert.equal(own.calls[0]!.id, 'functions.now:3')
    assert.match(read('mistral', ['[TOOL_CALLS][{"name": "now", "arguments": {}}]']).calls[0]!.id, /^[a-zA-Z0-9]{9}$/)
  })

  test('arguments stream while they come, behind a first piece with id and name', () => {
    const parser = createParser(FALLBACK.start({ start: 'content', tools: TOOLS }))
    const first = parser.push('Hi <tool_call>{"name": "add", "arguments": {"no')
    assert.equal(first.content, 'Hi')
    assert.equal(first.toolCalls.length, 1)
    assert.equal(first.toolCalls[0]!.arguments, '{"no')
    assert.deepEqual(parser.push('te": "ab').toolCalls, [{ index: 0, arguments: 'te": "ab' }])
  })

  test('text is held back only while it may begin a marker', () => {
    const parser = createParser(FALLBACK.start({ start: 'content', tools: TOOLS }))
    assert.equal(parser.push('a < b <to').content, 'a < b')
    assert.equal(parser.push('ol> ').content, ' <tool>')
    assert.equal(parser.end().content, ' ')
  })

  test('without tools nothing is a call', () => {
    const text = '<tool_call>{"name": "now", "arguments": {}}</tool_call>'
    assert.deepEqual(read('hermes', [text], 'either', []), { content: text, reasoning: '', calls: [] })
  })

  for (const [name, text] of [
    ['an unknown tool', '<tool_call>{"name": "drop", "arguments": {}}</tool_call>'],
    ['no JSON', '<tool_call>add(1)</tool_call>'],
    ['arguments that are a list', '<tool_call>{"name": "add", "arguments": [1]}</tool_call>'],
    ['an end in the name', '<tool_call>{"name": "ad'],
    ['a marker at the very end', 'so <tool_call'],
    ['a name that is no text', '<tool_call>{"name": 7}</tool_call>'],
  ] as const) {
    test(`${name} is content`, () => {
      assert.deepEqual(read('hermes', [text]), { content: text, reasoning: '', calls: [] })
      assert.deepEqual(read('hermes', [...text]), { content: text, reasoning: '', calls: [] })
    })
  }

  test('a call that breaks in its arguments ends there', () => {
    const out = read('hermes', ['<tool_call>{"name": "add", "arguments": {"a": 1, oops</tool_call> and so'])
    assert.deepEqual(
      out.calls.map(call => call.arguments),
      ['{"a": 1, '],
    )
    assert.equal(out.content, 'oops</tool_call> and so')
  })
})

/** Text in which markers of every kind come whole, cut and in the wrong order. */
const fragments = fc.constantFrom(
  ...[...FORMATS, FALLBACK].flatMap(format => [
    ...format.preserved,
    format.reasoning.open,
    format.reasoning.close,
    ...format.preserved.map(text => text.slice(0, Math.ceil(text.length / 2))),
  ]),
  ...WRITTEN.flatMap(([, text]) => text.match(/[\s\S]{1,17}/g) ?? []),
  '{"name": "add", "arguments": {',
  '{"name": "now"',
  'call:add{',
  'functions.add',
  '{',
  '}',
  '[',
  ']',
  '"',
  ':',
  ',',
  '\n',
  ' ',
  '<',
  'add',
  'word',
  'é漢😀',
)

describe('any output', () => {
  for (const format of [...FORMATS, FALLBACK]) {
    test(`${format.name}: never throws, and pieces do not matter`, () => {
      fc.assert(
        fc.property(
          fc.array(fc.oneof(fragments, fc.string({ maxLength: 4 })), { maxLength: 14 }),
          fc.constantFrom<Start>('content', 'reasoning', 'either'),
          (parts, start) => {
            const text = parts.join('')
            const strip = (out: Read) => ({ ...out, calls: out.calls.map(({ id: _id, ...call }) => call) })
            const whole = strip(read(format.name, [text], start))
            assert.deepEqual(strip(read(format.name, [...text], start)), whole)
            assert.deepEqual(strip(read(format.name, parts, start)), whole)
          },
        ),
        { seed: 7, numRuns: 400 },
      )
    })

    test(`${format.name}: loses nothing where there is no marker`, () => {
      const letters = fc.string({ unit: fc.constantFrom(...'ab \n"{}[],:.é😀'), maxLength: 60 })
      fc.assert(
        fc.property(letters, text => {
          assert.deepEqual(read(format.name, [...text], 'either'), { content: text, reasoning: '', calls: [] })
          const thought = read(format.name, [...text], 'reasoning')
          assert.equal(thought.reasoning.trimStart(), text.trimStart())
          assert.equal(thought.content.trim(), '')
        }),
        { seed: 7, numRuns: 200 },
      )
    })
  }
})

describe('JSON by character', () => {
  const progress = (text: string): [string, number] => {
    const value = new JsonValue()
    for (let index = 0; index < text.length; index++) {
      const step = value.feed(text[index]!)
      if (step !== 'more') return [step, index]
    }
    return ['more', text.length]
  }

  test('a value ends where it ends', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.integer({ min: 0, max: 3 }), (value, indent) => {
        const text = JSON.stringify(value, null, indent)
        const [step, at] = progress(`${text} x`)
        assert.deepEqual([step, at], /["}\]]$/.test(text) ? ['done', text.length - 1] : ['before', text.length])
      }),
      { seed: 3, numRuns: 500 },
    )
  })

  test('what it accepts is JSON', () => {
    const noise = fc
      .array(
        fc.constantFrom(
          '{',
          '}',
          '[',
          ']',
          '"',
          ':',
          ',',
          '1',
          '-',
          '.',
          'e',
          '0',
          'true',
          'null',
          'a',
          '\\',
          '\\u12',
          ' ',
        ),
        {
          maxLength: 12,
        },
      )
      .map(parts => parts.join(''))
    fc.assert(
      fc.property(noise, text => {
        const [step, at] = progress(`${text} `)
        const accepted = step === 'done' ? text.slice(0, at + 1) : step === 'before' ? text.slice(0, at) : undefined
        if (accepted !== undefined) JSON.parse(accepted)
        else if (step === 'broken') assert.throws(() => JSON.parse(text))
      }),
      { seed: 3, numRuns: 20_000 },
    )
  })
})
