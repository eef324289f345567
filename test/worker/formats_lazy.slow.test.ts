/** Grammars that wait: each trigger of a format sees the calls that its grammar writes, and only what that grammar can begin with. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import fc from 'fast-check'
import type { ChatMessage, Prompt, Tool } from '../../server/wire/worker.ts'
import { fitMessages, probe, templateTool } from '../../server/worker/conversation.ts'
import { FALLBACK, FORMATS } from '../../server/worker/formats/all.ts'
import type { ChatFormat } from '../../server/worker/formats/format.ts'
import { GrammarBuilder } from '../../server/worker/grammar.ts'
import { compileTemplate } from '../../server/worker/jinja.ts'
import { createTemplate } from '../../server/worker/template.ts'
import { callStart, type GrammarEngine, openGrammarEngine } from '../helpers/grammar_engine.ts'
import { needsModels, testModels } from '../helpers/models.ts'

const NOW = new Date(2026, 10, 22, 12)
const TOKENS = { bos: '<s>', eos: '</s>' }
const TOOLS: Tool[] = [
  {
    name: 'search_files',
    description: 'Finds files.',
    parameters: {
      type: 'object',
      properties: { pattern: { type: 'string', description: 'what' }, limit: { type: 'integer', description: 'most' } },
      required: ['pattern'],
    },
  },
  {
    name: 'get-time',
    description: 'Tells the time.',
    parameters: { type: 'object', properties: { zone: { type: 'string', description: 'UTC' } }, required: ['zone'] },
  },
]

/** What closes a turn, which are tokens that end a generation. */
const ENDS =
  /(?:(?:<\|(?:im_end|end_of_text|end|eot_id|eom_id|call|tool_response)\|?>|<end_of_turn>|<\/s>|<｜end▁of▁sentence｜>)\s*)+$/

const DRAWS = 6
const CUTS = 4
/** What may stand before and behind a call, or be taken for one: markers whole and cut, line ends, other characters. */
const fragments = fc.constantFrom(
  ...[...FORMATS, FALLBACK].flatMap(format => [
    format.reasoning.open,
    format.reasoning.close,
    ...format.preserved,
    ...format.preserved.map(text => text.slice(0, Math.ceil(text.length / 2))),
  ]),
  ...'<>{}[]":;. \n\r\tx',
  '{"name": "',
  ' to=functions.',
  '<|start|>assistant',
  '<|channel|>commentary',
  'I look.',
  'é漢😀',
)

/** The grammar of the calls alone, as a request with tools waits with it. */
function callsGrammar(format: ChatFormat, parallel: boolean): string {
  const builder = new GrammarBuilder()
  return builder.build(builder.rule('calls', format.calls(builder, TOOLS, parallel)))
}

/** What a model may write before such a call. */
function textsBefore(format: ChatFormat, call: string): string[] {
  const { open, close } = format.reasoning
  if (format.name === 'harmony') {
    const thoughts = `${open}hm${close}<|start|>assistant`
    return [
      '',
      '<|channel|>commentary',
      `${thoughts}<|channel|>commentary`,
      `${thoughts}<|channel|>analysis`,
      `${thoughts}<|channel|>commentary<|message|>I look.<|end|><|start|>assistant`,
    ]
  }
  // Without a marker a call is one at the very beginning only.
  if (format.name === 'llama3' && call.startsWith('{')) return ['', '\n\n', ' \t']
  return ['', '\n\n', 'I look é漢😀.\n', `${open}\nhm {"name": \n${close}\n\nSo: < `, `${open}a [ b`]
}

/** Markers that are tokens of their own in every model of the format. Hermes's is plain text where a model was not trained with it. */
function specialTokens(format: ChatFormat): string[] {
  return format.name === 'hermes' || format.name === 'plain' ? [] : format.preserved
}

/** The same text with the two tools' names replaced by one that there is not. */
const misnamed = (call: string) => call.replace(/search_files|get-time/, 'drop_tables')

describe('triggers and grammars', needsModels, () => {
  let engine: GrammarEngine
  let words: GrammarEngine
  before(() => {
    engine = openGrammarEngine(testModels()!)
    // Its pieces are longer: one may end behind the end of what a trigger looks for.
    words = openGrammarEngine(testModels()!, join('vocab', 'ggml-vocab-qwen2.gguf'))
  })
  after(() => {
    engine.free()
    words.free()
  })

  for (const format of [...FORMATS, FALLBACK]) {
    describe(format.name, () => {
      for (const parallel of [true, false]) {
        test(`calls are seen and kept, ${parallel ? 'several' : 'one'}`, () => {
          const grammar = callsGrammar(format, parallel)
          const short = grammar.replace(/^(text(?:-\d+)?) ::= .*$/gm, '$1 ::= [a-c]{0,3}')
          const random = generator(parallel ? 1 : 2)
          const calls = Array.from({ length: DRAWS }, () => engine.draw(short, random)).filter(
            text => typeof text === 'string',
          )
          assert.ok(calls.length > 0, 'some draws come to an end')
          const how = { grammar, triggers: format.triggers, markers: specialTokens(format) }
          for (const call of calls) {
            for (const text of textsBefore(format, call)) {
              for (let cut = 0; cut < CUTS; cut++) {
                const vocabulary = cut % 2 === 0 ? engine : words
                const by = cut < 2 ? undefined : random
                const { outcome, fired, fed, mayEnd } = vocabulary.waits({ ...how, random: by }, text + call)
                const note = `${JSON.stringify(text + call)}, fed ${JSON.stringify(fed)}, cut ${cut}`
                assert.deepEqual({ outcome, fired, mayEnd }, { outcome: 'kept', fired: true, mayEnd: true }, note)
                const wrong = vocabulary.waits({ ...how, random: by }, text + misnamed(call))
                assert.equal(wrong.outcome, 'refused', note)
              }
            }
          }
        })
      }

      for (const [index, trigger] of format.triggers.entries()) {
        test(`what trigger ${index} sees begins a call`, () => {
          const grammars = [callsGrammar(format, true), callsGrammar(format, false)]
          // The generator knows no lookahead.
          const seen = fc.stringMatching(new RegExp(trigger.replace('(?![\\s\\S])', '$')))
          const around = fc.array(fragments, { maxLength: 3 }).map(parts => parts.join(''))
          fc.assert(
            fc.property(seen, around, around, (match, ahead, behind) => {
              assert.notEqual(callStart([trigger], match), undefined, 'the trigger sees its own text')
              for (const text of [match, ahead + match, match + behind, ahead + match + behind]) {
                // The standard library of the engine on Windows lets `^` and `$` match at every line.
                for (const flags of ['', 'm']) {
                  const start = callStart(format.triggers, text, flags)
                  if (start === undefined) continue
                  for (const grammar of grammars) {
                    assert.ok(engine.begins(grammar, text.slice(start)), JSON.stringify({ text, flags, start }))
                  }
                }
              }
            }),
            { seed: 2026, numRuns: 300 },
          )
        })
      }
    })
  }

  const folder = testModels() === undefined ? undefined : join(testModels()!, 'templates')
  for (const file of folder === undefined ? [] : readdirSync(folder).filter(name => name.endsWith('.jinja'))) {
    test(`a call as ${file} writes it is seen and kept`, () => {
      const { format, grammar, text } = written(readFileSync(join(folder!, file), 'utf8'))
      assert.ok(grammar?.triggers !== undefined)
      const how = { grammar: grammar.text, triggers: grammar.triggers, markers: specialTokens(format) }
      const random = generator(3)
      for (let cut = 0; cut < 2 * CUTS; cut++) {
        const vocabulary = cut % 2 === 0 ? engine : words
        const by = cut < 2 ? undefined : random
        const { outcome, fired, fed, mayEnd } = vocabulary.waits({ ...how, random: by }, text)
        const note = `${JSON.stringify(text)}, fed ${JSON.stringify(fed)}, cut ${cut}`
        assert.deepEqual({ outcome, fired, mayEnd }, { outcome: 'kept', fired: true, mayEnd: true }, note)
        const wrong = vocabulary.waits({ ...how, random: by }, misnamed(text))
        assert.deepEqual([wrong.outcome, wrong.fired, wrong.mayEnd], ['refused', true, false])
      }
    })
  }
})

/** An assistant's turn with one call as the template writes it, and the grammar for such an answer. */
function written(source: string) {
  const template = createTemplate(source, TOKENS)
  const format = FORMATS.find(one => one.name === template.formatName) ?? FALLBACK
  const compiled = compileTemplate(source)
  const variables = { bos_token: TOKENS.bos, eos_token: TOKENS.eos }
  const found = probe(source, more => compiled.render({ ...variables, ...more }, NOW))
  const capabilities = format === FALLBACK ? { ...found, tools: false, toolCalls: false } : found
  const user: ChatMessage = { role: 'user', content: 'Where is it?' }
  const call = { id: 'callid000', name: 'search_files', arguments: '{"pattern": "x y"}' }
  const turn: ChatMessage = { role: 'assistant', content: null, toolCalls: [call] }
  const write = (messages: ChatMessage[], open: boolean) => {
    const shown = capabilities.tools
      ? { tools: TOOLS.map(tool => templateTool(tool, capabilities.needsDescription)) }
      : {}
    const fitted = fitMessages(messages, capabilities.tools ? [] : TOOLS, capabilities, format)
    return compiled.render({ ...variables, ...shown, messages: fitted, add_generation_prompt: open }, NOW)
  }
  const whole = write([user, turn], false)
  const prompt = [write([user], true), write([user], false)].find(text => whole.startsWith(text))
  assert.ok(prompt !== undefined, 'the turn follows the prompt')
  const chat: Extract<Prompt, { type: 'chat' }> = {
    type: 'chat',
    messages: [user],
    tools: TOOLS,
    toolChoice: 'auto',
    parallelToolCalls: true,
    templateVariables: {},
  }
  const { grammar } = template.render({ prompt: chat, format: { type: 'text' }, now: NOW })
  // Mistral writes an id behind the arguments, which the hub makes itself.
  return {
    format,
    grammar,
    text: whole
      .slice(prompt.length)
      .replace(ENDS, '')
      .replace(/, "id": "callid000"/, ''),
  }
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
