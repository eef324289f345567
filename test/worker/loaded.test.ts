/** A loaded model whole: chat, infill, embeddings, tokens, adapters, and what it refuses. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { HubError } from '../../server/lib/error.ts'
import { loadNative } from '../../server/native/llama.ts'
import type { Generate, GenerateEvent, LoadOptions } from '../../server/wire/worker.ts'
import { Loaded } from '../../server/worker/loaded.ts'
import { LOAD } from '../helpers/engine.ts'
import { f32, makeModel, str, TINY, writeGguf } from '../helpers/gguf_file.ts'
import { RANDOM_CHAT } from '../helpers/real_hub.ts'

const folder = mkdtempSync(join(tmpdir(), 'ai-hub-loaded-'))
const never = new AbortController().signal
const waiting = new Map<number, { events: GenerateEvent[]; resolve(events: GenerateEvent[]): void }>()
let nextId = 1

/** A LoRA adapter of rank 2 on the query projections, large enough to change every answer. */
function writeAdapter(path: string, scale: number): void {
  const values = (count: number, seed: number) =>
    new Uint8Array(Float32Array.from({ length: count }, (_, index) => scale * Math.sin(seed + index * 1.7)).buffer)
  const { embedding } = TINY
  writeGguf(
    path,
    {
      'general.type': str('adapter'),
      'general.architecture': str('llama'),
      'adapter.type': str('lora'),
      'adapter.lora.alpha': f32(2),
    },
    [0, 1].flatMap(layer => [
      {
        name: `blk.${layer}.attn_q.weight.lora_a`,
        shape: [embedding, 2],
        type: 'F32' as const,
        data: [values(embedding * 2, layer)],
      },
      {
        name: `blk.${layer}.attn_q.weight.lora_b`,
        shape: [2, embedding],
        type: 'F32' as const,
        data: [values(2 * embedding, layer + 5)],
      },
    ]),
  )
}

/** Throws what `generate` refuses; resolves with the events otherwise. */
function generate(loaded: Loaded, request: Partial<Generate>): Promise<GenerateEvent[]> {
  const id = nextId++
  const { promise, resolve } = Promise.withResolvers<GenerateEvent[]>()
  waiting.set(id, { events: [], resolve })
  loaded.generate(id, {
    prompt: { type: 'text', text: 'Hello', special: true },
    format: { type: 'text' },
    sampling: { temperature: 0 },
    maxTokens: 12,
    stop: [],
    n: 1,
    cachePrompt: true,
    adapters: [],
    ...request,
  })
  return promise
}

async function tokens(loaded: Loaded, request: Partial<Generate>): Promise<string> {
  const events = await generate(loaded, { ignoreEos: true, ...request })
  return events.flatMap(event => (event.type === 'delta' ? (event.tokens ?? []) : [])).join()
}

async function load(name: string, options = RANDOM_CHAT, more: Partial<LoadOptions> = {}): Promise<Loaded> {
  const path = join(folder, `${name}.gguf`)
  makeModel(path, options)
  return Loaded.create(
    loadNative('cpu'),
    { ...LOAD, path, contextTokens: 1024, ...more },
    {
      progress: () => undefined,
      events(events) {
        for (const event of events) {
          const listener = waiting.get(event.id)
          listener?.events.push(event)
          if (event.type === 'done' || event.type === 'error') listener?.resolve(listener.events)
        }
      },
    },
  )
}

after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }))

describe('a loaded model', () => {
  let loaded: Loaded
  before(async () => {
    loaded = await load('random')
  })

  test('says what it is', () => {
    const { info } = loaded
    assert.deepEqual(
      [
        info.architecture,
        info.layers,
        info.embeddingSize,
        info.hasFim,
        info.hasChatTemplate,
        info.chatFormat,
        info.canGenerate,
        info.device,
      ],
      ['llama', 2, 64, true, true, 'hermes', true, 'cpu'],
    )
  })

  test('renders the chat template with tools', async () => {
    const prompt = {
      type: 'chat' as const,
      messages: [{ role: 'user' as const, content: 'Xin chào' }],
      tools: [{ name: 'f', parameters: { type: 'object', properties: {} } }],
      toolChoice: 'auto' as const,
      parallelToolCalls: true,
      templateVariables: {},
    }
    const { text, tokens: count } = (await loaded.answer({ type: 'render', prompt }, never)) as {
      text: string
      tokens: number
    }
    assert.match(text, /"name": ?"f"/)
    assert.ok(text.endsWith('<|im_start|>user\nXin chào<|im_end|>\n<|im_start|>assistant\n'))
    assert.ok(count > 10 && count < text.length)
  })

  test('an infill prompt is made of the FIM tokens, and cut to the context where it matters least', async () => {
    const short = await generate(loaded, {
      prompt: { type: 'infill', prefix: 'ab', suffix: 'yz', prompt: '', extra: [] },
    })
    assert.equal(short.find(event => event.type === 'start')?.promptTokens, 2 + 2 + 3)
    const long = await generate(loaded, {
      prompt: {
        type: 'infill',
        prefix: 'é'.repeat(3000),
        suffix: 'z'.repeat(3000),
        prompt: '',
        extra: [{ filename: 'a.ts', text: 'x'.repeat(4000) }],
      },
    })
    const { promptTokens } = long.find(event => event.type === 'done')!.usage
    assert.ok(promptTokens < 1024 - 64 && promptTokens > 700, `${promptTokens} tokens`)
  })

  test('extra files go before the text around the cursor', async () => {
    const plain = await generate(loaded, {
      prompt: { type: 'infill', prefix: 'ab', suffix: 'yz', prompt: '', extra: [] },
    })
    const more = await generate(loaded, {
      prompt: { type: 'infill', prefix: 'ab', suffix: 'yz', prompt: '', extra: [{ filename: 'a.ts', text: 'let x' }] },
    })
    const count = (events: GenerateEvent[]) => events.find(event => event.type === 'done')!.usage.promptTokens
    assert.ok(count(more) > count(plain) + 5)
  })

  test('a prompt that ends within a word is cut back, and what was cut off is written again but no part of the output', async () => {
    const prompts: [prompt: Generate['prompt'], cut: string][] = [
      [{ type: 'text', text: 'x and the an', special: true }, ' an'],
      [{ type: 'text', text: 'x = ', special: true }, ' '],
      [{ type: 'infill', prefix: 'ab', suffix: 'yz', prompt: 'tên biế', extra: [] }, 'iế'],
      [{ type: 'infill', prefix: 'ab', suffix: 'yz', prompt: '  ', extra: [] }, '  '],
      [{ type: 'infill', prefix: 'ab', suffix: 'yz', prompt: '', extra: [] }, ''],
      // Nothing would stand before it.
      [{ type: 'text', text: 'a', special: true }, ''],
    ]
    for (const [prompt, cut] of prompts) {
      for (const temperature of prompt.type === 'infill' ? [0] : [0, 0.8]) {
        const request = { prompt, sampling: { temperature, seed: 1 }, ignoreEos: true, topLogprobs: 0 }
        const told = (events: GenerateEvent[]) => events.find(event => event.type === 'done')!.usage.promptTokens
        const events = await generate(loaded, { ...request, heal: true })
        const plain = await generate(loaded, request)
        assert.equal(told(events) < told(plain), cut !== '', cut)
        const deltas = events.filter(event => event.type === 'delta')
        const ids = deltas.flatMap(event => event.tokens ?? [])
        const { text } = (await loaded.answer({ type: 'detokenize', tokens: ids }, never)) as { text: string }
        const written = deltas.map(event => event.content ?? '').join('')
        // The last character may be unfinished.
        assert.equal(text.replace(/\uFFFD+$/, ''), `${cut}${written}`.replace(/\uFFFD+$/, ''))
      }
    }
  })

  test('what is written again takes nothing of the output that was asked for', async () => {
    const prompt = { type: 'text' as const, text: 'x and the an', special: true }
    const told = { prompt, sampling: { temperature: 0 }, ignoreEos: true, maxTokens: 1 }
    const healed = await generate(loaded, { ...told, heal: true })
    const { completionTokens } = healed.find(event => event.type === 'done')!.usage
    const written = healed.map(event => (event.type === 'delta' ? (event.content ?? '') : '')).join('')
    assert.ok(completionTokens > 1 && written !== '', `${completionTokens} tokens, ${JSON.stringify(written)}`)
  })

  test('a model without FIM tokens refuses to infill', async () => {
    const plain = await load('plain', { ...TINY, fim: false })
    assert.throws(
      () => void generate(plain, { prompt: { type: 'infill', prefix: 'a', suffix: 'b', prompt: '', extra: [] } }),
      { code: 'invalid_request', param: 'model' },
    )
  })

  test('embeddings do not depend on their neighbours, have norm one, and refuse what is too long', async () => {
    const embed = async (inputs: (string | number[])[]) => {
      const { vectors } = (await loaded.answer({ type: 'embed', inputs }, never)) as { vectors: string[] }
      return vectors.map(vector => new Float32Array(new Uint8Array(Buffer.from(vector, 'base64')).buffer))
    }
    const [alone] = await embed(['đường phố Hà Nội'])
    const many = await embed([...Array.from({ length: 20 }, (_, index) => `neighbour ${index}`), 'đường phố Hà Nội'])
    assert.equal(many.length, 21)
    assert.ok(Math.abs(Math.hypot(...alone!) - 1) < 1e-5)
    const similarity = alone!.reduce((sum, value, index) => sum + value * many[20]![index]!, 0)
    assert.ok(similarity > 0.9999, `similarity ${similarity}`)
    await assert.rejects(embed(['x'.repeat(5000)]), { code: 'context_length_exceeded', param: 'input.0' })
    await assert.rejects(embed([[99999]]), { code: 'invalid_request', param: 'input.0' })
    assert.equal((await embed(['still works'])).length, 1)
  })

  test('adapters change the answer, per request, mixed in one batch exactly as alone', async () => {
    for (const [name, scale] of [
      ['one', 0.6],
      ['two', -0.9],
    ] as const) {
      const path = join(folder, `${name}-adapter.gguf`)
      writeAdapter(path, scale)
      await loaded.answer({ type: 'load_adapter', name, path }, never)
    }
    const prompts = ['alpha', 'beta gamma', 'delta']
    const sets: Generate['adapters'][] = [[], [{ name: 'one', scale: 1 }], [{ name: 'two', scale: 0.5 }]]
    const cases = prompts.flatMap(text =>
      sets.map(adapters => ({ prompt: { type: 'text' as const, text, special: true }, adapters, maxTokens: 20 })),
    )
    const alone: string[] = []
    for (const each of cases) alone.push(await tokens(loaded, each))
    for (let prompt = 0; prompt < prompts.length; prompt++) {
      assert.equal(new Set(alone.slice(prompt * 3, prompt * 3 + 3)).size, 3, 'an adapter changed nothing')
    }
    assert.deepEqual(await Promise.all(cases.map(each => tokens(loaded, each))), alone)
    assert.throws(
      () => void generate(loaded, { adapters: [{ name: 'three', scale: 1 }] }),
      /no adapter "three".*one, two/,
    )
    await loaded.answer({ type: 'unload_adapter', name: 'two' }, never)
    assert.throws(() => void generate(loaded, { adapters: [{ name: 'two', scale: 1 }] }), HubError)
    assert.equal(await tokens(loaded, cases[0]!), alone[0])
  })

  test('a file that is no adapter of this model is refused in words', async () => {
    await assert.rejects(
      loaded.answer({ type: 'load_adapter', name: 'bad', path: join(folder, 'random.gguf') }, never),
      { code: 'invalid_request' },
    )
  })

  test('token ids outside the vocabulary are refused, wherever they come from', async () => {
    assert.throws(() => void generate(loaded, { prompt: { type: 'tokens', tokens: [1, 999_999] } }), {
      param: 'prompt',
    })
    assert.throws(() => void generate(loaded, { sampling: { logitBias: [[999_999, 1]] } }), { param: 'logit_bias' })
    await assert.rejects(loaded.answer({ type: 'detokenize', tokens: [-1] }, never), { param: 'tokens' })
  })

  test("a card's template stands in for that of the file", async () => {
    const chatTemplate = '{% for m in messages %}[{{ m.role }}] {{ m.content }}{% endfor %}[answer] '
    const carded = await load('carded', RANDOM_CHAT, { chatTemplate })
    const prompt = {
      type: 'chat' as const,
      messages: [{ role: 'user' as const, content: 'Hi' }],
      tools: [],
      toolChoice: 'auto' as const,
      parallelToolCalls: true,
      templateVariables: {},
    }
    assert.equal(
      ((await carded.answer({ type: 'render', prompt }, never)) as { text: string }).text,
      '[user] Hi[answer] ',
    )
  })

  test('a template that cannot be read costs the chat, not the model', async () => {
    const broken = await load('broken-template', { ...RANDOM_CHAT, chatTemplate: '{% for x in %}' })
    assert.equal((await generate(broken, { maxTokens: 2 })).at(-1)?.type, 'done')
    const prompt = {
      type: 'chat' as const,
      messages: [{ role: 'user' as const, content: 'Hi' }],
      tools: [],
      toolChoice: 'auto' as const,
      parallelToolCalls: true,
      templateVariables: {},
    }
    assert.throws(() => void generate(broken, { prompt }), { code: 'model_broken' })
  })

  test('special tokens and broken characters in a prompt harm nothing', async () => {
    const events = await generate(loaded, {
      prompt: { type: 'text', text: '\u0000\uFFFD<|im_end|><|fim_middle|>'.repeat(20), special: true },
      maxTokens: 3,
    })
    assert.equal(events.at(-1)?.type, 'done')
  })
})
