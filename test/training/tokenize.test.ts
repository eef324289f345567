/** From samples to a token file: nothing learned is lost by splitting, and what is cut, dropped or refused is counted and named. */
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import fc from 'fast-check'
import type { Lease } from '../../server/models/models.ts'
import { loadNative } from '../../server/native/llama.ts'
import { readTokenFile } from '../../server/trainer/data.ts'
import { previewSample } from '../../server/training/preview.ts'
import { richest, type TooLong, windows, writeTokens } from '../../server/training/tokenize.ts'
import type { Sample, SampleMessage } from '../../server/wire/sample.ts'
import { Loaded } from '../../server/worker/loaded.ts'
import { LOAD } from '../helpers/engine.ts'
import { makeModel } from '../helpers/gguf_file.ts'
import { RANDOM_CHAT, realHub } from '../helpers/real_hub.ts'

const folder = mkdtempSync(join(tmpdir(), 'ai-hub-tokenize-'))
const never = new AbortController().signal
let lease: Pick<Lease, 'ask' | 'info'>
before(async () => {
  const path = join(folder, 'model.gguf')
  makeModel(path, RANDOM_CHAT)
  const loaded = await Loaded.create(
    loadNative('cpu'),
    { ...LOAD, path },
    { progress: () => undefined, events: () => undefined },
  )
  lease = {
    info: loaded.info,
    ask: (async (ask: Parameters<Loaded['answer']>[0], signal: AbortSignal) =>
      loaded.answer(ask, signal)) as Lease['ask'],
  }
})
after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }))

async function* stream(samples: Sample[]): AsyncGenerator<Sample> {
  yield* samples
}

async function write(samples: Sample[], maxTokens = 200, tooLong: TooLong = 'split') {
  const path = join(folder, 'data.tokens')
  const stats = await writeTokens(lease, stream(samples), path, { maxTokens, tooLong }, never)
  const file = readTokenFile(path)
  const { sequences } = file
  // What the numbers say is what the file holds.
  assert.equal(
    stats.tokens,
    sequences.reduce((sum, { tokens }) => sum + tokens.length, 0),
  )
  assert.equal(
    stats.targetTokens,
    sequences.reduce((sum, { weights }) => sum + weights.filter(weight => weight > 0).length, 0),
  )
  assert.equal(stats.longest, Math.max(...sequences.map(({ tokens }) => tokens.length)))
  assert.ok(stats.longest <= maxTokens)
  assert.deepEqual([file.kind, file.vocabularySize], [stats.kind, stats.vocabularySize])
  const learned: string[] = []
  for (const { tokens, weights } of sequences) {
    const ids = [...tokens].filter((_, index) => weights[index]! > 0)
    learned.push((await lease.ask({ type: 'detokenize', tokens: ids }, never)).text)
  }
  return { stats, sequences, learned }
}

const user = (content: string): SampleMessage => ({ role: 'user', content })
const assistant = (content: string): SampleMessage => ({ role: 'assistant', content })
const chat = (...messages: SampleMessage[]): Sample => ({ kind: 'chat', messages })

describe('sequences', () => {
  const sequence = fc
    .array(fc.constantFrom(0, 0, 0.5, 1), { minLength: 2, maxLength: 300 })
    .map(weights => ({ tokens: weights.map((_, index) => index), weights: [0, ...weights.slice(1)] }))

  test('windows learn every learned token exactly once, with its weight', () => {
    fc.assert(
      fc.property(sequence, fc.integer({ min: 2, max: 80 }), ({ tokens, weights }, most) => {
        const pieces = windows({ tokens, weights }, most)
        const learned = new Map<number, number>()
        for (const piece of pieces) {
          assert.ok(piece.tokens.length <= most && piece.tokens.length === piece.weights.length)
          piece.tokens.forEach((token, index) => {
            const weight = piece.weights[index]!
            if (weight === 0) return
            assert.ok(index > 0 && !learned.has(token))
            learned.set(token, weight)
          })
        }
        const wanted = tokens.filter(token => weights[token]! > 0).map(token => [token, weights[token]!] as const)
        assert.deepEqual(
          [...learned].sort(([a], [b]) => a - b),
          wanted,
        )
      }),
      { numRuns: 300, seed: 11 },
    )
  })

  test('the richest part holds at least as much as any other', () => {
    fc.assert(
      fc.property(sequence, fc.integer({ min: 2, max: 80 }), (whole, most) => {
        const sum = (weights: number[]) => weights.slice(1).reduce((total, weight) => total + weight, 0)
        const kept = richest(whole, most)
        assert.equal(kept.tokens.length, Math.min(most, whole.tokens.length))
        for (let start = 0; start + most <= whole.tokens.length; start++) {
          assert.ok(sum(kept.weights) >= sum(whole.weights.slice(start, start + most)) - 1e-9)
        }
      }),
      { numRuns: 200, seed: 12 },
    )
  })
})

describe('a token file', () => {
  test('holds every kind of sample', async () => {
    const { stats, learned } = await write([
      chat(user('a'), assistant('b'), user('c'), assistant('d')),
      { kind: 'completion', prompt: 'x', completion: 'y' },
      { kind: 'text', text: 'abc' },
      { kind: 'infill', prefix: 'p', middle: 'm', suffix: 's' },
    ])
    assert.deepEqual(learned, ['b<|im_end|>d<|im_end|>', 'y<|endoftext|>', 'bc<|endoftext|>', 'm<|endoftext|>'])
    assert.deepEqual([stats.kind, stats.samples, stats.written, stats.failed], ['samples', 4, 4, 0])
    assert.ok(stats.lengths.p50 <= stats.lengths.p90 && stats.lengths.p99 <= stats.longest)
    assert.ok(stats.lengths.mean <= stats.longest)
  })

  test('more samples than a batch come in order', async () => {
    const { stats, learned } = await write(
      Array.from({ length: 300 }, (_, index) => ({ kind: 'completion', prompt: 'n', completion: `${index}` })),
    )
    assert.deepEqual([stats.samples, stats.written], [300, 300])
    assert.deepEqual(learned.slice(-2), ['298<|endoftext|>', '299<|endoftext|>'])
  })

  test('a text is split by windows and loses nothing', async () => {
    const text = Array.from({ length: 300 }, (_, index) => `${index} `).join('')
    const { stats, learned } = await write([{ kind: 'text', text }], 100)
    assert.equal(learned.join(''), `${text.slice(1)}<|endoftext|>`)
    assert.deepEqual([stats.split, stats.samples, stats.lostTokens], [1, 1, 0])
    assert.ok(stats.written > 5)
  })

  test('a conversation is split between its turns, each part with the system message', async () => {
    const turns = Array.from({ length: 8 }, (_, index) => [user(`question ${index}`), assistant(`answer ${index}`)])
    const { stats, sequences, learned } = await write(
      [chat({ role: 'system', content: 'brief' }, ...turns.flat())],
      150,
    )
    assert.equal(learned.join(''), turns.map((_, index) => `answer ${index}<|im_end|>`).join(''))
    assert.equal(stats.split, 1)
    for (const { tokens } of sequences) {
      const { text } = await lease.ask({ type: 'detokenize', tokens: [...tokens] }, never)
      assert.ok(text.startsWith('<|im_start|>system\nbrief<|im_end|>\n<|im_start|>user\nquestion'), text)
    }
  })

  test('a single answer above the row is split by windows', async () => {
    const answer = 'abcdefghij'.repeat(40)
    const { learned } = await write([chat(user('q'), assistant(answer))], 120)
    assert.equal(learned.join(''), `${answer}<|im_end|>`)
  })

  test('splitting any conversation loses no learned token', async () => {
    const content = fc.string({ unit: fc.constantFrom(...'abc dé\n'), minLength: 1, maxLength: 60 })
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(content, content), { minLength: 1, maxLength: 6 }),
        fc.integer({ min: 40, max: 160 }),
        async (turns, most) => {
          const { learned, stats } = await write([chat(...turns.flatMap(([q, a]) => [user(q), assistant(a)]))], most)
          assert.equal(learned.join(''), turns.map(([, answer]) => `${answer}<|im_end|>`).join(''))
          assert.equal(stats.lostTokens, 0)
        },
      ),
      { numRuns: 40, seed: 13 },
    )
  })

  test('truncated samples keep what is learned as far as it fits, and are reported', async () => {
    const { stats, learned } = await write(
      [
        { ...chat(user('q'.repeat(500)), assistant('short')), origin: { source: 'data.jsonl', line: 7 } },
        { kind: 'text', text: 'abc'.repeat(100) },
      ],
      100,
      'truncate',
    )
    assert.equal(learned[0], 'short<|im_end|>')
    assert.equal(learned[1], 'abc'.repeat(100).slice(1, 100))
    assert.equal(stats.truncated, 2)
    assert.ok(stats.lostTokens > 500)
    assert.deepEqual([stats.problems[0]!.source, stats.problems[1]!.sample], ['data.jsonl:7', 1])
  })

  test('dropped samples are counted with what is lost', async () => {
    const { stats } = await write(
      [
        { kind: 'text', text: 'a'.repeat(300) },
        { kind: 'text', text: 'ab' },
      ],
      100,
      'drop',
    )
    assert.deepEqual([stats.dropped, stats.lostTokens, stats.written], [1, 301, 1])
  })

  test('an infill sample shrinks around its middle, unless it is to be dropped', async () => {
    const sample: Sample = { kind: 'infill', prefix: 'a'.repeat(500), middle: 'middle', suffix: 'z'.repeat(500) }
    const { stats, learned } = await write([sample], 128)
    assert.deepEqual([learned[0], stats.written, stats.split], ['middle<|endoftext|>', 1, 0])
    assert.ok(stats.longest > 110)
    await assert.rejects(write([sample], 128, 'drop'), { code: 'invalid_request', message: /dropped: it has 1\d{3}/ })
  })

  test('preference pairs stand chosen first, and are cut at the prompt', async () => {
    const pair = (prompt: string): Sample => ({
      kind: 'preference',
      messages: [user(prompt)],
      chosen: 'good one',
      rejected: 'bad',
    })
    const { stats, learned, sequences } = await write([pair('q'), pair('long '.repeat(60))], 100)
    const each = ['good one<|im_end|>', 'bad<|im_end|>']
    assert.deepEqual(learned, [...each, ...each])
    assert.deepEqual([stats.kind, stats.written, stats.truncated, sequences.length], ['preferences', 2, 1, 4])
  })

  test('samples that cannot be encoded are named and left out', async () => {
    const { stats } = await write([
      { ...chat(user('q'), assistant('a<|im_end|>b')), origin: { source: 'x.jsonl', line: 3 } },
      { kind: 'text', text: 'fine' },
    ])
    assert.deepEqual([stats.failed, stats.written], [1, 1])
    assert.deepEqual(stats.problems[0]!.source, 'x.jsonl:3')
    assert.match(stats.problems[0]!.message, /ends an answer/)
  })

  test('mixed kinds, empty data and cancelling leave no file', async () => {
    const path = join(folder, 'none.tokens')
    const options = { maxTokens: 100, tooLong: 'split' as const }
    const preference: Sample = { kind: 'preference', messages: [user('q')], chosen: 'a', rejected: 'b' }
    const refused = (samples: Sample[], message: RegExp, signal = never) =>
      assert.rejects(writeTokens(lease, stream(samples), path, options, signal), { message })
    await refused([{ kind: 'text', text: 'abc' }, preference], /mixes preference pairs/)
    await refused([], /has no sample/)
    await refused([chat(user('a'))], /none of the 1 samples/)
    await refused([{ kind: 'text', text: 'abc' }], /cancelled/, AbortSignal.abort())
    assert.ok(!existsSync(path) && !existsSync(`${path}.part`))
  })
})

test('a worker process gives the same tokens', async context => {
  const hub = await realHub(context, { coder: RANDOM_CHAT })
  const worker = await hub.models.acquire('coder', never)
  try {
    const sample = chat(user('Xin chào'), assistant('tạm biệt'))
    const ask = { type: 'encode' as const, samples: [sample], infillTokens: 100 }
    assert.deepEqual(await worker.ask(ask, never), await lease.ask(ask, never))
    const path = join(folder, 'worker.tokens')
    const stats = await writeTokens(worker, stream([sample]), path, { maxTokens: 100, tooLong: 'drop' }, never)
    assert.deepEqual([stats.written, stats.vocabularySize], [1, worker.info.vocabularySize])
  } finally {
    worker.release()
  }
})

describe('a preview', () => {
  test('shows the template with what is learned', async () => {
    const preview = await previewSample(
      lease,
      chat({ role: 'system', content: 's' }, user('q'), assistant('đáp'), user('more'), assistant('end')),
      never,
    )
    assert.deepEqual(
      preview.segments.map(({ text, learned }) => [text, learned]),
      [
        ['<|im_start|>system\ns<|im_end|>\n<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n', false],
        ['đáp<|im_end|>', true],
        ['\n<|im_start|>user\nmore<|im_end|>\n<|im_start|>assistant\n', false],
        ['end<|im_end|>', true],
      ],
    )
    assert.ok(preview.targetTokens > 4 && preview.targetTokens < preview.tokens)
  })

  test('shows both answers of a preference, and refuses what cannot be encoded', async () => {
    const preview = await previewSample(
      lease,
      { kind: 'preference', messages: [user('q')], chosen: 'a', rejected: 'b' },
      never,
    )
    assert.equal(preview.segments.at(-1)!.text, 'a<|im_end|>')
    assert.equal(preview.rejected!.at(-1)!.text, 'b<|im_end|>')
    await assert.rejects(previewSample(lease, chat(user('q')), never), { code: 'invalid_request' })
  })
})
