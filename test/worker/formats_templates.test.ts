/** Every real template: what it writes for an assistant turn is read back as it was, whole or in pieces, and its grammar allows it. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import fc from 'fast-check'
import type { ChatMessage, Prompt, Tool } from '../../server/wire/worker.ts'
import { type Capabilities, fitMessages, probe, templateTool } from '../../server/worker/conversation.ts'
import { FALLBACK, FORMATS } from '../../server/worker/formats/all.ts'
import type { ChatFormat } from '../../server/worker/formats/format.ts'
import { compileTemplate } from '../../server/worker/jinja.ts'
import { type ChatParser, createTemplate } from '../../server/worker/template.ts'
import { type GrammarEngine, openGrammarEngine } from '../helpers/grammar_engine.ts'
import { needsModels, testModels } from '../helpers/models.ts'

const NOW = new Date(2026, 10, 22, 12)
const TOKENS = { bos: '<s>', eos: '</s>' }

const EXPECTED: { [file: string]: string } = {
  'HuggingFaceTB-SmolLM3-3B.jinja': 'plain',
  'NousResearch-Hermes-3-Llama-3.1-8B-tool_use.jinja': 'hermes',
  'Qwen-Qwen2.5-7B-Instruct.jinja': 'hermes',
  'Qwen-Qwen3-0.6B.jinja': 'hermes',
  'Qwen3-Coder.jinja': 'qwen3-coder',
  'Qwen3.5-4B.jinja': 'qwen3-coder',
  'deepseek-ai-DeepSeek-R1-Distill-Qwen-32B.jinja': 'deepseek-r1',
  'google-gemma-2-2b-it.jinja': 'plain',
  'google-gemma-4-31B-it.jinja': 'gemma4',
  'ibm-granite-granite-4.0.jinja': 'hermes',
  'meta-llama-Llama-3.1-8B-Instruct.jinja': 'llama3',
  'meta-llama-Llama-3.2-3B-Instruct.jinja': 'llama3',
  'microsoft-Phi-3.5-mini-instruct.jinja': 'plain',
  'mistralai-Mistral-Nemo-Instruct-2407.jinja': 'mistral',
  'openai-gpt-oss-120b.jinja': 'harmony',
}

const TOOLS: Tool[] = [
  {
    name: 'search_files',
    description: 'Finds files.',
    parameters: {
      type: 'object',
      properties: {
        pattern: { type: 'string', description: 'what to find' },
        limit: { type: 'integer', description: 'how many' },
        deep: { type: 'boolean', description: 'also inside folders' },
        kinds: { type: 'array', items: { type: 'string' }, description: 'endings' },
        where: {
          type: 'object',
          description: 'a place',
          properties: { folder: { type: 'string' }, depth: { type: 'number' } },
          required: ['folder'],
        },
      },
      required: ['pattern'],
    },
  },
  {
    name: 'get-time',
    description: 'Tells the time.',
    parameters: { type: 'object', properties: { zone: { type: 'string', description: 'UTC' } }, required: ['zone'] },
  },
]

/** What stands around an assistant turn and is no part of the model's output. */
const HEADS = [
  '<｜Assistant｜>',
  '<|turn>model\n',
  '<|im_start|>assistant\n',
  '<|im_start|>assistant',
  '<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>',
  '<SPECIAL_11>Assistant\n',
  '<|assistant|>',
  ']~b]ai\n',
  '<seed:bos>assistant\n',
]
const ENDS =
  /(?:<\|im_end\|>|<\|eot_id\|>|<end_of_turn>|<\|end\|>|<｜end▁of▁sentence｜>|<\/s>|<\|end_of_text\|>|<turn\|>|<\|tool_response>|<\|call\|>|<\|return\|>|<\|END_OF_TURN_TOKEN\|>|<SPECIAL_12>|<\/assistant>|\[e~\[|<sep>|<seed:eos>)\s*$/

type Chat = Extract<Prompt, { type: 'chat' }>
const chat = (messages: ChatMessage[], more: Partial<Chat> = {}): Chat => ({
  type: 'chat',
  messages,
  tools: TOOLS,
  toolChoice: 'auto',
  parallelToolCalls: true,
  templateVariables: {},
  ...more,
})

type Case = {
  file: string
  source: string
  template: ReturnType<typeof createTemplate>
  format: ChatFormat
  capabilities: Capabilities
}

function load(file: string): Case {
  const source = readFileSync(join(testModels()!, 'templates', file), 'utf8')
  const compiled = compileTemplate(source)
  const template = createTemplate(source, TOKENS)
  const format = FORMATS.find(one => one.name === template.formatName) ?? FALLBACK
  const found = probe(source, variables => compiled.render({ bos_token: '<s>', eos_token: '</s>', ...variables }, NOW))
  const capabilities = format === FALLBACK ? { ...found, tools: false, toolCalls: false, parallelCalls: true } : found
  return { file, source, template, format, capabilities }
}

/** The text that the template itself writes for the assistant's turn after one user message, and the prompt before it. */
function writtenTurn(one: Case, turn: ChatMessage): { prompt: string; text: string } {
  const { capabilities, format } = one
  const compiled = compileTemplate(one.source)
  const shown = capabilities.tools
  const write = (messages: ChatMessage[], open: boolean) =>
    compiled.render(
      {
        messages: fitMessages(messages, shown ? [] : TOOLS, capabilities, format),
        add_generation_prompt: open,
        bos_token: '<s>',
        eos_token: '</s>',
        ...(shown && { tools: TOOLS.map(tool => templateTool(tool, capabilities.needsDescription)) }),
      },
      NOW,
    )
  const user: ChatMessage = { role: 'user', content: 'Where is it?' }
  const whole = write([user, turn], false)
  const prompt = write([user], true)
  let text = ''
  if (whole.startsWith(prompt)) text = whole.slice(prompt.length)
  else {
    const shorter = write([user], false)
    assert.ok(whole.startsWith(shorter), `${one.file}: the turn does not follow the prompt`)
    text = whole.slice(shorter.length)
    const head = HEADS.find(candidate => text.startsWith(candidate))
    assert.ok(head !== undefined, `${one.file}: ${text.slice(0, 40)}`)
    text = text.slice(head.length)
  }
  while (ENDS.test(text)) text = text.replace(ENDS, '')
  return { prompt, text: text.trimEnd() }
}

type Read = { content: string; reasoning: string; calls: { name: string; arguments: string; id: string }[] }

function read(parser: ChatParser, pieces: string[]): Read {
  const out: Read = { content: '', reasoning: '', calls: [] }
  for (const delta of [...pieces.map(piece => parser.push(piece)), parser.end()]) {
    out.content += delta.content
    out.reasoning += delta.reasoning
    for (const call of delta.toolCalls) {
      if (call.index === out.calls.length) {
        assert.ok(call.id !== undefined && call.name !== undefined, 'the first piece of a call says its id and name')
        out.calls.push({ name: call.name, arguments: call.arguments ?? '', id: call.id })
      } else {
        assert.equal(call.index, out.calls.length - 1)
        out.calls[call.index]!.arguments += call.arguments ?? ''
      }
    }
  }
  return out
}

function split(text: string, cuts: number[]): string[] {
  const places = [...new Set(cuts.map(cut => cut % (text.length + 1)))].sort((a, b) => a - b)
  return [0, ...places].map((from, index) => text.slice(from, places[index] ?? text.length))
}

const words = fc
  .string({ unit: fc.constantFrom(...'abXY 01.,:;"\\\'{}[]<>|/=\n\té漢😀'), maxLength: 40 })
  .map(text => text.trim())
const PLAIN = { noNullPrototype: true } as const
const args = fc.oneof(
  fc.record(
    {
      name: fc.constant('search_files'),
      value: fc.record(
        {
          pattern: words,
          limit: fc.integer({ min: -1e6, max: 1e6 }),
          deep: fc.boolean(),
          kinds: fc.array(words, { maxLength: 3 }),
          where: fc.record(
            { folder: words, depth: fc.constantFrom(0, 1.5, -2) },
            { requiredKeys: ['folder'], noNullPrototype: true },
          ),
        },
        { requiredKeys: ['pattern'], noNullPrototype: true },
      ),
    },
    PLAIN,
  ),
  fc.record({ name: fc.constant('get-time'), value: fc.record({ zone: words }, PLAIN) }, PLAIN),
)

describe('templates of real models', needsModels, () => {
  const files = testModels() === undefined ? [] : readdirSync(join(testModels()!, 'templates'))
  let engine: GrammarEngine
  before(() => {
    engine = openGrammarEngine(testModels()!)
  })
  after(() => engine.free())

  test('each has its format', () => {
    const found = Object.fromEntries(
      files.filter(file => file in EXPECTED).map(file => [file, load(file).template.formatName]),
    )
    assert.deepEqual(found, EXPECTED)
  })

  for (const file of files.filter(name => name.endsWith('.jinja'))) {
    describe(file, () => {
      const one = load(file)
      // Its template writes content beside calls as a turn of its own.
      const apart = one.format.name === 'deepseek-r1'
      const parser = (prompt: string) => createParserOf(one, chat([{ role: 'user', content: 'Where is it?' }]), prompt)

      test('a turn with calls is read back', () => {
        fc.assert(
          fc.property(
            fc.array(args, { minLength: 1, maxLength: one.capabilities.parallelCalls ? 3 : 1 }),
            words,
            words,
            fc.array(fc.nat(), { maxLength: 30 }),
            (calls, said, thought, cuts) => {
              const content = apart || said === '' ? null : `Says ${said}`
              const reasoning = thought === '' ? undefined : `Thinks ${thought}`
              const turn: ChatMessage = {
                role: 'assistant',
                content,
                ...(reasoning !== undefined && { reasoning }),
                toolCalls: calls.map((call, index) => ({
                  id: `callid00${index}`,
                  name: call.name,
                  arguments: JSON.stringify(call.value),
                })),
              }
              const { prompt, text } = writtenTurn(one, turn)
              for (const pieces of [[text], split(text, cuts), [...text]]) {
                const out = read(parser(prompt), pieces)
                assert.deepEqual(
                  out.calls.map(call => ({ name: call.name, value: JSON.parse(call.arguments) })),
                  calls,
                  text,
                )
                const together = [reasoning, content].filter(part => part != null).join('\n\n')
                if (one.format.name === 'harmony') {
                  assert.equal(out.reasoning, together)
                } else {
                  assert.equal(out.content, content !== null && text.includes(content) ? content : '', text)
                  assert.equal(
                    out.reasoning,
                    reasoning !== undefined && text.includes(reasoning) ? reasoning : '',
                    text,
                  )
                }
              }
            },
          ),
          { seed: 2026, numRuns: 60 },
        )
      })

      test('a plain answer is read back', () => {
        fc.assert(
          fc.property(words, fc.array(fc.nat(), { maxLength: 20 }), (said, cuts) => {
            const { prompt, text } = writtenTurn(one, { role: 'assistant', content: `Says ${said}.` })
            const out = read(parser(prompt), split(text, cuts))
            assert.deepEqual(out, { content: `Says ${said}.`, reasoning: '', calls: [] }, text)
          }),
          { seed: 2026, numRuns: 60 },
        )
      })

      test('the grammar of a required call writes calls only, which are read', () => {
        for (const parallelToolCalls of [true, false]) {
          const rendered = one.template.render({
            prompt: chat([{ role: 'user', content: 'Go' }], { toolChoice: 'required', parallelToolCalls }),
            format: { type: 'text' },
            now: NOW,
          })
          assert.ok(rendered.grammar !== undefined && rendered.grammar.triggers === undefined)
          let drawn = 0
          const random = generator(1)
          for (let round = 0; round < 8; round++) {
            const text = engine.draw(shortTexts(rendered.grammar.text), random)
            if (typeof text !== 'string') {
              assert.equal(text.failed, 'long')
              continue
            }
            drawn++
            const out = read(rendered.createParser(), [...text])
            assert.equal(out.content, '', text)
            assert.ok(out.calls.length >= 1, text)
            if (!parallelToolCalls) assert.equal(out.calls.length, 1, text)
            for (const call of out.calls) {
              const value = JSON.parse(call.arguments) as { [key: string]: unknown }
              const required = call.name === 'get-time' ? 'zone' : 'pattern'
              assert.equal(typeof value[required], 'string', text)
            }
          }
          assert.ok(drawn > 0)
        }
      })

      test('a call that the template writes sets the grammar off and fits it', () => {
        const value = { kinds: ['a"b', 'c'], pattern: 'x y' }
        const call = { id: 'callid000', name: 'search_files', arguments: JSON.stringify({ pattern: value.pattern }) }
        const { text } = writtenTurn(one, { role: 'assistant', content: null, toolCalls: [call] })
        const { grammar } = one.template.render({
          prompt: chat([{ role: 'user', content: 'Go' }]),
          format: { type: 'text' },
          now: NOW,
        })
        assert.ok(grammar?.triggers !== undefined)
        let start = -1
        for (let length = 1; length <= text.length && start === -1; length++) {
          for (const pattern of grammar.triggers) {
            const match = new RegExp(pattern, 'd').exec(text.slice(0, length))
            if (match !== null) start = match.indices?.[1]?.[0] ?? match.index
          }
        }
        assert.notEqual(start, -1, text)
        // Mistral writes an id behind the arguments, which the hub makes itself.
        const written = text.slice(start).replace(/, "id": "callid000"/, '')
        assert.ok(engine.accepts(grammar.text, written), `${written}\n${grammar.text}`)
        assert.ok(!engine.accepts(grammar.text, written.replace('search_files', 'drop_tables')))
      })

      test('JSON beside tools is an answer or a call', () => {
        const { grammar, createParser } = one.template.render({
          prompt: chat([{ role: 'user', content: 'Go' }], { tools: [], toolChoice: 'none' }),
          format: {
            type: 'json_schema',
            schema: { type: 'object', properties: { a: { type: 'integer' } }, required: ['a'] },
          },
          now: NOW,
        })
        assert.ok(grammar !== undefined && grammar.triggers === undefined)
        const random = generator(2)
        let drawn = 0
        for (let round = 0; round < 8; round++) {
          const text = engine.draw(shortTexts(grammar.text), random)
          if (typeof text !== 'string') continue
          drawn++
          const out = read(createParser(), [text])
          assert.equal(typeof (JSON.parse(out.content) as { a: unknown }).a, 'number', text)
        }
        assert.ok(drawn > 0)
      })
    })
  }
})

function createParserOf(one: Case, prompt: Chat, text: string): ChatParser {
  const rendered = one.template.render({ prompt, format: { type: 'text' }, now: NOW })
  assert.equal(rendered.text, text, 'the prompt of the template and the one rendered are the same')
  return rendered.createParser()
}

/** Free texts of a grammar cut short: drawn at random, they would hardly ever come to an end. */
function shortTexts(grammar: string): string {
  return grammar.replace(/^(text(?:-\d+)?) ::= .*$/gm, '$1 ::= [a-c]{0,3}')
}

/** A small seeded generator (mulberry32), from 0 to below 1. */
function generator(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}
