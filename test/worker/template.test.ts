/** Prompts by chat templates: golden ones of real models, what is merged, mapped or refused, and when a grammar is asked for. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { HubError } from '../../server/lib/error.ts'
import type { ChatMessage, Format, Prompt } from '../../server/wire/worker.ts'
import { compileTemplate, strftime, TemplateRaised } from '../../server/worker/jinja.ts'
import { type ChatTemplate, createTemplate } from '../../server/worker/template.ts'
import { needsModels, testModels } from '../helpers/models.ts'

type Chat = Extract<Prompt, { type: 'chat' }>
const NOW = new Date(2026, 10, 22, 9, 5)
const TEXT: Format = { type: 'text' }

const chat = (messages: ChatMessage[], more: Partial<Chat> = {}): Chat => ({
  type: 'chat',
  messages,
  tools: [],
  toolChoice: 'auto',
  parallelToolCalls: true,
  templateVariables: {},
  ...more,
})
const user = (content: string): ChatMessage => ({ role: 'user', content })
const assistant = (content: string): ChatMessage => ({ role: 'assistant', content })
const system = (content: string): ChatMessage => ({ role: 'system', content })

const render = (template: ChatTemplate, messages: ChatMessage[], more: Partial<Chat> = {}, format: Format = TEXT) =>
  template.render({ prompt: chat(messages, more), format, now: NOW })
const fails = (run: () => unknown): HubError => {
  try {
    run()
  } catch (error) {
    assert.ok(error instanceof HubError, String(error))
    return error
  }
  assert.fail('it was expected to be refused')
}

const TALK = [system('Be brief.'), user('Hi'), assistant('Hello.'), user('Bye')]

/** Written by hand from the documented formats of the models. */
const GOLDEN: [file: string, bos: string, expected: string][] = [
  [
    'meta-llama-Llama-3.1-8B-Instruct.jinja',
    '<|begin_of_text|>',
    '<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\nBe brief.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nHello.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n',
  ],
  [
    'meta-llama-Llama-3.2-3B-Instruct.jinja',
    '<|begin_of_text|>',
    '<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\nToday Date: 22 Nov 2026\n\nBe brief.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nHello.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n',
  ],
  [
    'Qwen-Qwen2.5-7B-Instruct.jinja',
    '',
    '<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello.<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n',
  ],
  [
    'Qwen-Qwen3-0.6B.jinja',
    '',
    '<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello.<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n',
  ],
  [
    'google-gemma-2-2b-it.jinja',
    '<bos>',
    '<bos><start_of_turn>user\nBe brief.\n\nHi<end_of_turn>\n<start_of_turn>model\nHello.<end_of_turn>\n<start_of_turn>user\nBye<end_of_turn>\n<start_of_turn>model\n',
  ],
  [
    'microsoft-Phi-3.5-mini-instruct.jinja',
    '<s>',
    '<|system|>\nBe brief.<|end|>\n<|user|>\nHi<|end|>\n<|assistant|>\nHello.<|end|>\n<|user|>\nBye<|end|>\n<|assistant|>\n',
  ],
  ['mistralai-Mistral-Nemo-Instruct-2407.jinja', '<s>', '<s>[INST]Hi[/INST]Hello.</s>[INST]Be brief.\n\nBye[/INST]'],
]

const real = (file: string, bos = '<s>'): ChatTemplate =>
  createTemplate(readFileSync(join(testModels()!, 'templates', file), 'utf8'), { bos, eos: '</s>' })

const TOOL = { name: 'now', description: 'The time.', parameters: { type: 'object', properties: {} } }
const CALLED: ChatMessage[] = [
  user('When?'),
  {
    role: 'assistant',
    content: null,
    toolCalls: [
      { id: 'call_aaaaaaaaaaaaaaaaaaaaaaaa', name: 'now', arguments: '{}' },
      { id: 'call_bbbbbbbbbbbbbbbbbbbbbbbb', name: 'now', arguments: '{}' },
    ],
  },
  { role: 'tool', content: 'late', toolCallId: 'call_bbbbbbbbbbbbbbbbbbbbbbbb' },
  { role: 'tool', content: 'early', toolCallId: 'call_aaaaaaaaaaaaaaaaaaaaaaaa' },
]

describe('prompts of real models', needsModels, () => {
  for (const [file, bos, expected] of GOLDEN) {
    test(file, () => assert.equal(render(real(file, bos), TALK).text, expected))
  }

  test('Qwen2.5 with tools', () => {
    const { text } = render(real('Qwen-Qwen2.5-7B-Instruct.jinja'), CALLED, { tools: [TOOL] })
    assert.equal(
      text,
      '<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.\n\n# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou are provided with function signatures within <tools></tools> XML tags:\n<tools>\n{"type": "function", "function": {"name": "now", "description": "The time.", "parameters": {"type": "object", "properties": {}}}}\n</tools>\n\nFor each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:\n<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call><|im_end|>\n<|im_start|>user\nWhen?<|im_end|>\n<|im_start|>assistant\n<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>\n<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call><|im_end|>\n<|im_start|>user\n<tool_response>\nlate\n</tool_response>\n<tool_response>\nearly\n</tool_response><|im_end|>\n<|im_start|>assistant\n',
    )
  })

  test('Llama 3 knows one call per turn: two become two turns, each with its result', () => {
    const { text } = render(real('meta-llama-Llama-3.1-8B-Instruct.jinja'), CALLED, { tools: [TOOL] })
    const call =
      '<|start_header_id|>assistant<|end_header_id|>\n\n{"name": "now", "parameters": {}}<|eot_id|><|start_header_id|>ipython<|end_header_id|>\n\n'
    assert.ok(text.includes(`${call}"early"<|eot_id|>${call}"late"<|eot_id|>`), text)
  })

  test('Mistral ids have nine characters, the same for call and result', () => {
    const { text } = render(real('mistralai-Mistral-Nemo-Instruct-2407.jinja'), CALLED, { tools: [TOOL] })
    const ids = [...text.matchAll(/"(?:id|call_id)": "([^"]*)"/g)].map(match => match[1]!)
    assert.equal(ids.length, 4)
    assert.ok(ids.every(id => /^[a-zA-Z0-9]{9}$/.test(id)))
    assert.deepEqual([ids[0], ids[1]], [ids[3], ids[2]])
  })

  test('Gemma 2 knows no tools: they are described, results are the user’s', () => {
    const { text } = render(real('google-gemma-2-2b-it.jinja'), [...CALLED, user('So?')], { tools: [TOOL] })
    assert.match(text, /^<s><start_of_turn>user\n# Tools\n[\s\S]*"name":"now"[\s\S]*\n\nWhen\?<end_of_turn>\n/)
    assert.ok(
      text.endsWith(
        '<start_of_turn>model\n<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>\n<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call><end_of_turn>\n<start_of_turn>user\n<tool_response>\nlate\n</tool_response>\n<tool_response>\nearly\n</tool_response>\nSo?<end_of_turn>\n<start_of_turn>model\n',
      ),
      text,
    )
  })

  test('a template that raises refuses the messages in its own words', () => {
    const error = fails(() => render(real('google-gemma-2-2b-it.jinja'), [user('a'), user('b')]))
    assert.equal(error.code, 'invalid_request')
    assert.equal(error.param, 'messages')
    assert.match(error.message, /Conversation roles must alternate/)
  })

  test('the last message is continued where it ends', () => {
    const talk = [user('Count.'), assistant('one, two, ')]
    const more = { continueLast: true }
    const text = (file: string) => render(real(file), talk, more).text
    assert.ok(text('google-gemma-2-2b-it.jinja').endsWith('<start_of_turn>model\none, two, '))
    assert.ok(text('Qwen-Qwen2.5-7B-Instruct.jinja').endsWith('<|im_start|>assistant\none, two, '))
    assert.ok(text('openai-gpt-oss-120b.jinja').endsWith('<|channel|>final<|message|>one, two, '))
    const parser = render(real('openai-gpt-oss-120b.jinja'), talk, more).createParser()
    assert.equal(parser.push('three').content, 'three')
    assert.equal(fails(() => render(real('google-gemma-2-2b-it.jinja'), [user('a')], more)).param, 'messages')
  })

  test('a prompt that opens the reasoning is answered inside it', () => {
    const parser = render(real('Qwen3.5-4B.jinja'), [user('Hi')]).createParser()
    assert.deepEqual(
      [parser.push('hm'), parser.push('</think>\n\nHi')],
      [
        { content: '', reasoning: 'hm', toolCalls: [] },
        { content: 'Hi', reasoning: '', toolCalls: [] },
      ],
    )
  })

  test('reasoning effort is set, switched off, or refused', () => {
    const gptOss = real('openai-gpt-oss-120b.jinja')
    assert.match(render(gptOss, [user('Hi')], { reasoningEffort: 'high' }).text, /Reasoning: high\n/)
    assert.equal(fails(() => render(gptOss, [user('Hi')], { reasoningEffort: 'none' })).param, 'reasoning_effort')
    const qwen3 = real('Qwen-Qwen3-0.6B.jinja')
    assert.ok(render(qwen3, [user('Hi')], { reasoningEffort: 'none' }).text.endsWith('<think>\n\n</think>\n\n'))
    const error = fails(() => render(qwen3, [user('Hi')], { reasoningEffort: 'high' }))
    assert.deepEqual([error.code, error.param], ['unsupported_parameter', 'reasoning_effort'])
  })

  test('developer messages are system messages, but for gpt-oss', () => {
    const talk: ChatMessage[] = [{ role: 'developer', content: 'Be brief.' }, user('Hi')]
    assert.match(render(real('Qwen-Qwen3-0.6B.jinja'), talk).text, /^<\|im_start\|>system\nBe brief\./)
    assert.match(
      render(real('openai-gpt-oss-120b.jinja'), talk).text,
      /developer<\|message\|># Instructions\n\nBe brief\./,
    )
  })

  test('a system message in the middle is not lost where the template shows the first one only', () => {
    const talk = [user('Hi'), assistant('Hello.'), system('Shout.'), user('Bye')]
    for (const file of ['openai-gpt-oss-120b.jinja', 'Qwen3.5-4B.jinja', 'google-gemma-2-2b-it.jinja']) {
      assert.match(render(real(file), talk).text, /Shout\.\n\nBye/, file)
    }
  })
})

describe('templates', () => {
  const none = createTemplate(undefined, { bos: '', eos: '' })

  test('without one, ChatML', () => {
    assert.equal(
      render(none, [system('S'), user('U')]).text,
      '<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\n',
    )
    assert.equal(none.formatName, 'plain')
  })

  test('one that is broken is refused by name', () => {
    for (const source of ['{% for %}', '{{ nothing() }}', '{% if messages %}']) {
      const error = fails(() => createTemplate(source, { bos: '', eos: '' }))
      assert.equal(error.code, 'model_broken')
      assert.match(error.message, /chat template/)
    }
  })

  test('variables reach the template; unknown ones are refused', () => {
    const template = createTemplate('{{ mood }}:{% for m in messages %}{{ m.content }}{% endfor %}', {
      bos: '',
      eos: '',
    })
    assert.equal(render(template, [user('x')], { templateVariables: { mood: 'glad' } }).text, 'glad:x')
    const error = fails(() => render(template, [user('x')], { templateVariables: { colour: 1 } }))
    assert.deepEqual([error.code, error.param], ['unsupported_parameter', 'chat_template_kwargs.colour'])
    assert.equal(fails(() => render(template, [user('x')], { templateVariables: { messages: [] } })).code, error.code)
  })

  test('arguments of the history that are no object are refused', () => {
    const source =
      '{% for m in messages %}{{ m.content }}{% for c in m.tool_calls %}<tool_call>\n{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}\n</tool_call>{% endfor %}{% endfor %}{{ tools }}'
    const template = createTemplate(source, { bos: '', eos: '' })
    assert.equal(template.formatName, 'hermes')
    const talk = (text: string): ChatMessage[] => [
      user('x'),
      { role: 'assistant', content: null, toolCalls: [{ id: 'a', name: 'now', arguments: text }] },
    ]
    assert.match(render(template, talk('')).text, /"arguments": \{\}/)
    assert.equal(fails(() => render(template, talk('{"a'))).param, 'messages.1.tool_calls.0.function.arguments')
    assert.equal(fails(() => render(template, talk('[1]'))).code, 'invalid_request')
  })

  test('a grammar is asked for where it is needed, and from where', () => {
    const schema: Format = { type: 'json_schema', schema: { type: 'object', properties: {} } }
    const tools = [TOOL]
    const grammar = (more: Partial<Chat>, format: Format = TEXT) => render(none, [user('x')], more, format).grammar
    assert.equal(grammar({}), undefined)
    assert.equal(grammar({ tools, toolChoice: 'none' }), undefined)
    assert.ok(grammar({ tools })?.triggers !== undefined)
    assert.equal(grammar({ tools, toolChoice: 'required' })?.triggers, undefined)
    assert.match(grammar({ tools }, schema)?.text ?? '', /^root ::= calls \| /)
    assert.doesNotMatch(grammar({ tools, toolChoice: 'required' }, schema)?.text ?? '', /^root ::= .*\|/)
    assert.equal(grammar({}, { type: 'grammar', grammar: 'root ::= "a"' })?.text, 'root ::= "a"')
    assert.match(grammar({}, { type: 'json_object' })?.text ?? '', /^root ::= /)
    assert.doesNotMatch(grammar({ tools, parallelToolCalls: false })?.text ?? '', /^calls ::= .*\*/m)
    assert.match(grammar({ tools })?.text ?? '', /^calls ::= .*\*/m)
  })

  test('a named tool is the only one that may be called, and must exist', () => {
    const tools = [TOOL, { name: 'later' }]
    const text = render(none, [user('x')], { tools, toolChoice: { names: ['later'] } }).grammar?.text ?? ''
    assert.ok(text.includes('later') && !text.includes('now'))
    assert.equal(
      fails(() => render(none, [user('x')], { tools, toolChoice: { names: ['soon'] } })).param,
      'tool_choice',
    )
    assert.equal(fails(() => render(none, [user('x')], { toolChoice: 'required' })).param, 'tool_choice')
  })
})

describe('Jinja', () => {
  const run = (source: string, variables: { [name: string]: unknown } = {}): string =>
    compileTemplate(source).render(variables, NOW)

  for (const [source, expected] of [
    ["{{ '\\n\\n a \\n'.strip('\\n') }}|", ' a |'],
    ["{{ 'xxaxx'.lstrip('x') }}|{{ 'xxaxx'.rstrip('x') }}|{{ '  a '.strip() }}", 'axx|xxa|a'],
    ["{{ missing | trim }}{{ missing | length }}{% for a in missing %}x{% endfor %}{{ 'a' ~ missing }}", '0a'],
    ["{{ {'items': 1}.items() | length }}", '1'],
    ["{{ {'a': {'b': 1}} | string }}", '{"a":{"b":1}}'],
    ["{{ ['a', 'b'] | map('upper') | join('-') }}", 'A-B'],
    ['{% generation %}a{% endgeneration %}b', 'ab'],
    ["{% for a, b in [('x', 1), ('y', 2)] %}{{ a }}{{ b }}{% endfor %}", 'x1y2'],
    ["{{ strftime_now('%d %b %Y') }}", '22 Nov 2026'],
    ["{{ 'abc'.removeprefix('a') }}{{ '{} {}'.format('x', 1) }}", 'bcx 1'],
    ["{% set ns = namespace(l=[]) %}{% set _ = ns.l.append('q') %}{{ ns.l.pop() }}", 'q'],
    [
      "{% for k, v in {8: 'b', 4: 'a', 16: 'c'} | dictsort %}{% if k >= 8 %}{{ k }}{{ v }}{% endif %}{% endfor %}",
      '8b16c',
    ],
    ["{% for k, v in {'b': 1, 'A': 2} | dictsort %}{{ k }}{{ v }}{% endfor %}", 'A2b1'],
    ["{{ {'a': 1} | tojson(indent=2) }}", '{\n  "a": 1\n}'],
  ] as const) {
    test(source.slice(0, 50), () => assert.equal(run(source), expected))
  }

  test('raise_exception is told apart from other failures', () => {
    assert.throws(
      () => run("{{ raise_exception('no') }}"),
      (error: Error) => error instanceof TemplateRaised && error.message === 'no',
    )
  })

  test('range does not eat the memory', () => {
    assert.equal(run('{% for i in range(2, 0, -1) %}{{ i }}{% endfor %}'), '21')
    assert.throws(() => run('{{ range(1000000000) | length }}'), /range/)
  })

  test('strftime', () => {
    assert.equal(strftime(NOW, '%Y-%m-%d %H:%M %A %-d %B %I%p %y %%'), '2026-11-22 09:05 Sunday 22 November 09AM 26 %')
  })
})
