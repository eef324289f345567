/** Samples as tokens: for every real template, what is learned is the answer and its end, behind exactly the prompt that serving makes. */
import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import fc from 'fast-check'
import type { Sample, SampleMessage } from '../../server/wire/sample.ts'
import type { ChatMessage, EncodedSample, EncodedSequence } from '../../server/wire/worker.ts'
import { type Encoder, encodeSample, tokenizeChat } from '../../server/worker/encode.ts'
import { infillPrompt } from '../../server/worker/infill.ts'
import type { Model } from '../../server/worker/model.ts'
import { createTemplate } from '../../server/worker/template.ts'
import { makeModel } from '../helpers/gguf_file.ts'
import { needsModels, testModels } from '../helpers/models.ts'
import { RANDOM_CHAT } from '../helpers/real_hub.ts'
import { openVocabulary, writeVocabulary } from '../helpers/vocabulary.ts'

const folder = mkdtempSync(join(tmpdir(), 'ai-hub-encode-'))
after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }))

const NOW = new Date(2026, 10, 22, 9, 5)
type Family = { control: string[]; eos: string; end: string; lead?: string; callEnd?: string; merged?: boolean }
const CHATML = ['<|endoftext|>', '<|im_start|>', '<|im_end|>']
const LLAMA3 = ['<|begin_of_text|>', '<|start_header_id|>', '<|end_header_id|>', '<|eot_id|>', '<|eom_id|>']

/** `lead` is what a template writes in front of an answer; `merged` where all turns fit one sequence. */
const FAMILIES: { [file: string]: Family } = {
  'HuggingFaceTB-SmolLM3-3B.jinja': { control: CHATML, eos: '<|im_end|>', end: '<|im_end|>', merged: true },
  'NousResearch-Hermes-3-Llama-3.1-8B-tool_use.jinja': {
    control: CHATML,
    eos: '<|im_end|>',
    end: '<|im_end|>',
    merged: true,
  },
  'Qwen-Qwen2.5-7B-Instruct.jinja': { control: CHATML, eos: '<|im_end|>', end: '<|im_end|>', merged: true },
  'Qwen-Qwen3-0.6B.jinja': { control: CHATML, eos: '<|im_end|>', end: '<|im_end|>', lead: '<think>\n\n</think>\n\n' },
  'Qwen3-Coder.jinja': { control: CHATML, eos: '<|im_end|>', end: '<|im_end|>', merged: true },
  'Qwen3.5-4B.jinja': { control: CHATML, eos: '<|im_end|>', end: '<|im_end|>', lead: '\n</think>\n\n' },
  'deepseek-ai-DeepSeek-R1-Distill-Qwen-32B.jinja': {
    control: ['<｜User｜>', '<｜Assistant｜>', '<｜end▁of▁sentence｜>'],
    eos: '<｜end▁of▁sentence｜>',
    end: '<｜end▁of▁sentence｜>',
  },
  'google-gemma-2-2b-it.jinja': {
    control: ['<start_of_turn>', '<end_of_turn>', '<eos>'],
    eos: '<eos>',
    end: '<end_of_turn>',
    merged: true,
  },
  'google-gemma-4-31B-it.jinja': {
    control: ['<|turn>', '<turn|>', '<|channel>', '<channel|>', '<|tool_response>', '<eos>'],
    eos: '<eos>',
    end: '<turn|>',
    callEnd: '<|tool_response>',
  },
  'ibm-granite-granite-4.0.jinja': {
    control: ['<|start_of_role|>', '<|end_of_role|>', '<|end_of_text|>'],
    eos: '<|end_of_text|>',
    end: '<|end_of_text|>',
    merged: true,
  },
  'meta-llama-Llama-3.1-8B-Instruct.jinja': { control: LLAMA3, eos: '<|eot_id|>', end: '<|eot_id|>', merged: true },
  'meta-llama-Llama-3.2-3B-Instruct.jinja': { control: LLAMA3, eos: '<|eot_id|>', end: '<|eot_id|>', merged: true },
  'microsoft-Phi-3.5-mini-instruct.jinja': {
    control: ['<|system|>', '<|user|>', '<|assistant|>', '<|end|>', '<|endoftext|>'],
    eos: '<|endoftext|>',
    end: '<|end|>',
    merged: true,
  },
  'mistralai-Mistral-Nemo-Instruct-2407.jinja': { control: ['[INST]', '[/INST]', '</s>'], eos: '</s>', end: '</s>' },
  'openai-gpt-oss-120b.jinja': {
    control: ['<|start|>', '<|message|>', '<|end|>', '<|channel|>', '<|return|>', '<|call|>', '<|constrain|>'],
    eos: '<|return|>',
    end: '<|return|>',
    callEnd: '<|call|>',
    lead: '<|channel|>final<|message|>',
  },
}

const system = (content: string): SampleMessage => ({ role: 'system', content })
const user = (content: string): SampleMessage => ({ role: 'user', content })
const assistant = (content: string, weight?: number): SampleMessage => ({
  role: 'assistant',
  content,
  ...(weight !== undefined && { weight }),
})
const chat = (messages: SampleMessage[], more: Partial<Extract<Sample, { kind: 'chat' }>> = {}): Sample => ({
  kind: 'chat',
  messages,
  ...more,
})

function encoder(model: Model, source: string, bos = ''): Encoder {
  const eos = model.piece(model.native.vocab_eos(model.vocab), true).toString()
  const template = createTemplate(source, { bos, eos })
  return { model, template: () => template, now: NOW }
}

const opened = new Map<string, Encoder>()
function real(file: string): Encoder {
  let found = opened.get(file)
  if (found === undefined) {
    const { control, eos } = FAMILIES[file]!
    const path = join(folder, `${file}.gguf`)
    writeVocabulary(path, ['<s>', ...control], { eos, bos: '<s>' })
    const source = readFileSync(join(testModels()!, 'templates', file), 'utf8')
    found = encoder(openVocabulary(path), source, '<s>')
    opened.set(file, found)
  }
  return found
}

function sequences(encoded: EncodedSample): EncodedSequence[] {
  assert.ok(!('error' in encoded), 'error' in encoded ? encoded.error : '')
  return [encoded, ...(encoded.more ?? [])]
}

type Run = { before: number[]; text: string; weight: number }

/** Each stretch of learned tokens with what stands before it, in the order of the turns. */
function learned({ model }: Encoder, encoded: EncodedSample): Run[] {
  const runs: Run[] = []
  for (const { tokens, weights } of sequences(encoded)) {
    assert.equal(tokens.length, weights.length)
    assert.equal(weights[0], 0)
    for (let at = 0; at < tokens.length; at++) {
      if (weights[at]! === 0) continue
      let end = at
      while (end < tokens.length && weights[end]! > 0) end++
      const pieces = tokens.slice(at, end).map(token => model.piece(token, true))
      runs.push({ before: tokens.slice(0, at), text: Buffer.concat(pieces).toString(), weight: weights[at]! })
      at = end
    }
  }
  return runs.sort((a, b) => a.before.length - b.before.length)
}

/** The tokens that the serving engine evaluates when it is asked to answer these messages. */
function served({ model, template, now }: Encoder, messages: SampleMessage[]): number[] {
  const prompt = {
    type: 'chat' as const,
    messages: messages.map(({ role, content }): ChatMessage => ({ role, content })),
    tools: [],
    toolChoice: 'auto' as const,
    parallelToolCalls: true,
    templateVariables: {},
  }
  return tokenizeChat(model, template().render({ prompt, format: { type: 'text' }, now }).text)
}

/** Every answer is learned once: lead, content and end, behind the served prompt. */
function check(with_: Encoder, messages: SampleMessage[], expected: (content: string) => string): void {
  const runs = learned(with_, encodeSample(with_, chat(messages)))
  const places = messages.flatMap(({ role }, place) => (role === 'assistant' ? [place] : []))
  assert.equal(runs.length, places.length)
  for (const [index, place] of places.entries()) {
    assert.equal(runs[index]!.text, expected(messages[place]!.content!))
    assert.deepEqual(runs[index]!.before, served(with_, messages.slice(0, place)))
  }
}

const TALK = [system('Be brief.'), user('Hi'), assistant('Xin chào.'), user('Bye'), assistant('So\n\nlong.')]
const TOOLS = [{ name: 'now', description: 'The time.', parameters: { type: 'object', properties: {} } }]
const CALLS: SampleMessage[] = [
  user('When?'),
  {
    role: 'assistant',
    content: null,
    tool_calls: [
      { name: 'now', arguments: '{"zone": "a"}', id: 'c1' },
      { name: 'now', arguments: '{"zone": "b"}', id: 'c2' },
    ],
  },
  { role: 'tool', content: 'late', tool_call_id: 'c1' },
  { role: 'tool', content: 'later', tool_call_id: 'c2' },
  assistant('Late.'),
]

describe('real templates', needsModels, () => {
  test('all of them are here', () => {
    assert.deepEqual(Object.keys(FAMILIES).sort(), readdirSync(join(testModels()!, 'templates')).sort())
  })

  for (const [file, { lead = '', end, callEnd = end, merged = false }] of Object.entries(FAMILIES)) {
    describe(file, () => {
      test('an answer and its end are learned, behind the prompt that serving makes', () => {
        check(real(file), TALK, content => `${lead}${content}${end}`)
        assert.equal(sequences(encodeSample(real(file), chat(TALK))).length, merged ? 1 : 2)
      })

      test('any content', () => {
        const said = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 30 }).filter(text => text === text.trim())
        fc.assert(
          fc.property(said, said, said, (first, second, third) => {
            fc.pre(!/[<>|]/.test(first + second + third))
            check(real(file), [user(first), assistant(second), user(first), assistant(third)], content => {
              return `${lead}${content}${end}`
            })
          }),
          { numRuns: 12, seed: 7 },
        )
      })

      test('a masked answer is context only, and weights are those of the message', () => {
        const runs = learned(
          real(file),
          encodeSample(real(file), chat([user('a'), assistant('b', 0), user('c'), assistant('d', 0.5)])),
        )
        assert.deepEqual(
          runs.map(({ text, weight }) => [text, weight]),
          [[`${lead}d${end}`, 0.5]],
        )
      })

      test('calls are learned as the model writes them, and results are not', () => {
        const runs = learned(real(file), encodeSample(real(file), chat(CALLS, { tools: TOOLS })))
        const texts = runs.map(({ text }) => text)
        assert.ok(texts.slice(0, -1).every(text => text.endsWith(callEnd) && text.includes('now')))
        assert.match(texts.slice(0, -1).join(), /zone[\s\S]*a[\s\S]*now[\s\S]*zone[\s\S]*b/)
        assert.ok(texts.at(-1)!.endsWith(`Late.${end}`), texts.at(-1))
        assert.ok(texts.every(text => !text.includes('later')))
      })

      test('reasoning is learned where the model writes it', () => {
        const thinking = [user('Hi'), assistant('<think>\nwell\n</think>\n\nHello.'), user('Bye'), assistant('Bye.')]
        const [first] = learned(real(file), encodeSample(real(file), chat(thinking)))
        assert.match(first!.text, /well[\s\S]*Hello\./)
        assert.ok(first!.text.endsWith(end) && !first!.text.includes('Bye'))
      })
    })
  }
})

describe('real vocabularies', needsModels, () => {
  for (const [vocabulary, file, bos, lead, end] of [
    ['qwen2', 'Qwen-Qwen2.5-7B-Instruct.jinja', '', '', '<|im_end|>'],
    ['llama-bpe', 'meta-llama-Llama-3.1-8B-Instruct.jinja', '<|begin_of_text|>', '', '<|eot_id|>'],
    // SentencePiece: text behind a special token begins with a space of its own.
    ['phi-3', 'microsoft-Phi-3.5-mini-instruct.jinja', '<s>', ' ', '<|end|>'],
    ['llama-spm', 'mistralai-Mistral-Nemo-Instruct-2407.jinja', '<s>', '', '</s>'],
  ] as const) {
    test(`${vocabulary} with ${file}`, () => {
      const path = join(testModels()!, 'vocab', `ggml-vocab-${vocabulary}.gguf`)
      const source = readFileSync(join(testModels()!, 'templates', file), 'utf8')
      const words = ['Hello', ' world', 'đường phố', '\n', '  indented', '123', '!', '日本', '\t', "don't", 'x = y;']
      const made = encoder(openVocabulary(path), source, bos)
      const said = fc
        .array(fc.constantFrom(...words), { minLength: 1, maxLength: 8 })
        .map(parts => parts.join('').trim())
        .filter(text => text !== '')
      fc.assert(
        fc.property(said, said, said, (question, first, second) => {
          const messages = [user(question), assistant(first), user(question), assistant(second)]
          check(made, messages, content => `${lead}${content}${end}`)
        }),
        { numRuns: 25, seed: 3 },
      )
    })
  }
})

describe('made models', () => {
  makeModel(join(folder, 'made.gguf'), RANDOM_CHAT)
  const made = encoder(openVocabulary(join(folder, 'made.gguf')), RANDOM_CHAT.chatTemplate!)
  const { model } = made
  const text = (tokens: number[]) => Buffer.concat(tokens.map(token => model.piece(token, true))).toString()
  const only = (sample: Sample): { tokens: number[]; before: string; learned: string } => {
    const [run, ...others] = learned(made, encodeSample(made, sample))
    assert.deepEqual(others, [])
    return { tokens: sequences(encodeSample(made, sample))[0]!.tokens, before: text(run!.before), learned: run!.text }
  }

  test('a template without an end has the end-of-text token learned, turn by turn', () => {
    const plain = encoder(
      model,
      '{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}',
    )
    const runs = learned(plain, encodeSample(plain, chat([user('a'), assistant('b'), user('c'), assistant('d')])))
    assert.deepEqual(
      runs.map(({ before, text: learned }) => [text(before), learned]),
      [
        ['user: a\nassistant: ', 'b<|im_end|>'],
        ['user: a\nassistant: b\nuser: c\nassistant: ', 'd<|im_end|>'],
      ],
    )
  })

  test('an answer whose beginning would melt into the prompt keeps the prompt as it is served', () => {
    const path = join(folder, 'melting.gguf')
    writeVocabulary(path, CHATML, { eos: '<|im_end|>' })
    const melting = encoder(openVocabulary(path), RANDOM_CHAT.chatTemplate!)
    const messages = [user('a'), assistant('\nb'), user('c'), assistant('d')]
    check(melting, messages, content => `${content}<|im_end|>`)
    assert.equal(sequences(encodeSample(melting, chat(messages))).length, 2)
  })

  test('a template with the date writes the date of serving', () => {
    const dated = encoder(
      model,
      `{{ strftime_now('%Y-%m-%d') }}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}`,
    )
    const [run] = learned(dated, encodeSample(dated, chat([user('a'), assistant('b')])))
    assert.ok(text(run!.before).startsWith('2026-11-22<|im_start|>'))
  })

  test('what cannot be told is refused with the reason', () => {
    const refused = (with_: Encoder, sample: Sample) => (encodeSample(with_, sample) as { error?: string }).error
    const odd = encoder(
      model,
      '{% for m in messages %}{% if m.role == "user" %}U:{{ m.content }}{% else %}A={{ m.content }}<|im_end|>{% endif %}{% endfor %}{% if add_generation_prompt %}ASSISTANT>{% endif %}',
    )
    assert.match(refused(odd, chat([user('a'), assistant('b')]))!, /otherwise .* than it asks for it/)
    assert.match(refused(made, chat([user('a'), assistant('b', 0)]))!, /no message of the assistant is to be learned/)
    assert.match(refused(made, chat([user('a'), assistant('b<|im_end|>c')]))!, /holds a token that ends an answer/)
    const raising = encoder(
      model,
      '{% if messages[0].role != "user" %}{{ raise_exception("The user begins") }}{% endif %}{% for m in messages %}{{ m.content }}{% endfor %}',
    )
    assert.match(refused(raising, chat([assistant('b')]))!, /The user begins|has no element|The chat template/)
  })

  test('a completion is learned behind its prompt as completions serve it', () => {
    const { tokens, before, learned: said } = only({ kind: 'completion', prompt: 'one, two,', completion: ' three' })
    assert.deepEqual([before, said], ['one, two,', ' three<|endoftext|>'])
    assert.deepEqual(tokens.slice(0, -1), [...model.tokenize('one, two, three', true, true)])
  })

  test('a text is learned whole but for its first token', () => {
    const { tokens, before, learned: said } = only({ kind: 'text', text: 'Một hai.' })
    assert.deepEqual([before + said, before.length], ['Một hai.<|endoftext|>', 1])
    assert.deepEqual(tokens.slice(0, -1), [...model.tokenize('Một hai.', true, true)])
  })

  test('infill is prompted as it is served; the middle and its end are learned', () => {
    const sample: Sample = {
      kind: 'infill',
      prefix: 'let a = ',
      middle: '1 <|im_end|>',
      suffix: '\nlet b',
      path: 'a.ts',
    }
    const { before, learned: said } = only(sample)
    assert.equal(before, '<|fim_prefix|>let a = <|fim_suffix|>\nlet b<|fim_middle|>')
    assert.equal(said, '1 <|im_end|><|endoftext|>')
    const [run] = learned(made, encodeSample(made, sample))
    const prompt = { type: 'infill' as const, prefix: 'let a = ', suffix: '\nlet b', prompt: '', extra: [] }
    assert.deepEqual(run!.before, infillPrompt(model, prompt, 2048))
    // The text of a control token within code is text.
    const { weights } = sequences(encodeSample(made, sample))[0]!
    assert.ok(weights.filter(weight => weight > 0).length > 5)
  })

  test('the context of an infill sample shrinks around the middle to the size asked for', () => {
    for (const most of [40, 100, 700]) {
      const sample: Sample = { kind: 'infill', prefix: 'a'.repeat(900), middle: 'middle', suffix: 'z'.repeat(900) }
      const shrunk = { ...made, infillTokens: most }
      const [{ tokens }] = sequences(encodeSample(shrunk, sample)) as [EncodedSequence]
      assert.ok(tokens.length <= most && tokens.length > most * 0.9, `${tokens.length} of ${most}`)
      assert.ok(text(tokens).endsWith('<|fim_middle|>middle<|endoftext|>'))
    }
  })

  test('a model without fill-in-the-middle tokens says so', () => {
    const path = join(folder, 'no_fim.gguf')
    writeVocabulary(path, CHATML, { eos: '<|im_end|>' })
    const without = encoder(openVocabulary(path), RANDOM_CHAT.chatTemplate!)
    const encoded = encodeSample(without, { kind: 'infill', prefix: 'a', middle: 'b', suffix: 'c' })
    assert.match((encoded as { error: string }).error, /no fill-in-the-middle tokens/)
  })

  test('of a preference both answers are learned, behind the same prompt', () => {
    const encoded = encodeSample(made, {
      kind: 'preference',
      messages: [user('a')],
      chosen: 'good',
      rejected: 'bad',
    }) as EncodedSequence & { rejected: EncodedSequence }
    const [chosen] = learned(made, encoded)
    const [rejected] = learned(made, encoded.rejected)
    assert.deepEqual([chosen!.text, rejected!.text], ['good<|im_end|>', 'bad<|im_end|>'])
    assert.deepEqual(chosen!.before, rejected!.before)
    assert.deepEqual(chosen!.before, served(made, [user('a')]))
  })
})
