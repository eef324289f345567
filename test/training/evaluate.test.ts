/** Evaluation over scripted models with known losses and answers: metrics, verdicts, warnings, and what is skipped. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { HubError } from '../../server/lib/error.ts'
import type { Lease } from '../../server/models/models.ts'
import { type EvaluateInput, type EvaluationSettings, evaluate } from '../../server/training/evaluate.ts'
import { sameReply } from '../../server/training/measure.ts'
import { EvaluationReport } from '../../server/wire/evaluation.ts'
import type { Sample } from '../../server/wire/sample.ts'
import type { Answer, Ask, Generate, GenerateEvent, TokenLogprob } from '../../server/wire/worker.ts'
import { fakeFile, fakeInfo } from '../helpers/fake_models.ts'

/** A model by its log probability per letter and its answers; a token is a letter, and a chat is `prompt|answer`. */
type Script = {
  logprob(text: string, position: number): number
  answer(prompt: string): string
  contextTokens?: number
  parent?: string
  canGenerate?: boolean
}

const SETTINGS: EvaluationSettings = {
  max_samples: 100,
  max_answer_tokens: 64,
  answers: true,
  run_code: false,
  regression: false,
  confidence: 0.95,
  seed: 1,
}

const chat = (question: string, answer: string, more: Partial<Sample> = {}): Sample =>
  ({
    kind: 'chat',
    messages: [
      { role: 'user', content: question },
      { role: 'assistant', content: answer },
    ],
    ...more,
  }) as Sample

function textOf(sample: Sample): { prompt: string; learned: string } {
  if (sample.kind === 'chat') {
    return { prompt: `${sample.messages.at(-2)?.content}|`, learned: sample.messages.at(-1)?.content ?? '' }
  }
  if (sample.kind === 'preference') return { prompt: `${sample.messages.at(-1)?.content}|`, learned: sample.chosen }
  if (sample.kind === 'completion') return { prompt: sample.prompt, learned: sample.completion }
  throw new HubError('invalid_request', 'no such sample here')
}

const letters = (text: string): number[] => [...text].map(letter => letter.codePointAt(0)!)
const encodeText = (prompt: string, learned: string) => ({
  tokens: letters(prompt + learned),
  weights: [...letters(prompt).map(() => 0), ...letters(learned).map(() => 1)],
})

function lease(id: string, script: Script, path: string, counts: { held: number; letters: number }): Lease {
  async function* generate(request: Generate): AsyncGenerator<GenerateEvent> {
    const { prompt } = request
    const text =
      prompt.type === 'tokens'
        ? String.fromCodePoint(...prompt.tokens)
        : prompt.type === 'chat'
          ? `${prompt.messages.at(-1)?.content}|`
          : ''
    if (text.length > (script.contextTokens ?? 2048)) throw new HubError('context_length_exceeded', 'too long')
    const base = { type: 'start', id: 1, promptTokens: text.length, cachedTokens: 0 } as const
    if (request.echo === true) {
      assert.deepEqual([request.maxTokens, request.cachePrompt, request.topLogprobs], [0, false, 0])
      const logprobs = [...text].map((token, at): TokenLogprob | null =>
        at === 0 ? null : { token, id: 1, logprob: script.logprob(text, at), bytes: [], top: [] },
      )
      yield { ...base, echo: { text, logprobs } }
    } else {
      assert.equal(request.sampling.temperature, 0)
      yield base
      for (const content of script.answer(text).slice(0, request.maxTokens)) {
        counts.letters++
        yield { type: 'delta', id: 1, choice: 0, content }
      }
    }
    yield { type: 'end', id: 1, choice: 0, finishReason: 'stop' }
  }
  const ask = async (question: Ask): Promise<Answer[keyof Answer]> => {
    assert.equal(question.type, 'encode')
    const encoded = (question as Extract<Ask, { type: 'encode' }>).samples.map(sample => {
      if (sample.kind === 'text') return { error: 'the sample is of no use' }
      const { prompt, learned } = textOf(sample)
      const rejected = sample.kind === 'preference' ? { rejected: encodeText(prompt, sample.rejected) } : {}
      return { ...encodeText(prompt, learned), ...rejected }
    })
    return { encoded }
  }
  counts.held++
  return {
    model: fakeFile(id, { files: [path], ...(script.parent !== undefined && { parent: script.parent }) }),
    info: { ...fakeInfo, canGenerate: script.canGenerate ?? true },
    generate,
    ask: ask as Lease['ask'],
    release() {
      counts.held--
    },
  }
}

async function run(
  context: { after(close: () => void): void },
  samples: Sample[],
  scripts: { base: Script; candidate: Script },
  settings: Partial<EvaluationSettings> = {},
  more: Partial<EvaluateInput> = {},
): Promise<EvaluationReport> {
  const folder = mkdtempSync(join(tmpdir(), 'ai-hub-test-'))
  context.after(() => rmSync(folder, { recursive: true, force: true }))
  const path = join(folder, 'model.gguf')
  writeFileSync(path, 'weights')
  const counts = { held: 0, letters: 0 }
  async function* read() {
    yield* samples
  }
  try {
    const report = await evaluate(
      {
        models: {
          async acquire(id) {
            assert.equal(counts.held, 0, 'one model at a time')
            return lease(id, id === 'base' ? scripts.base : scripts.candidate, path, counts)
          },
        },
        now: () => 1_700_000_000_000,
        sha256: async () => 'ab'.repeat(32),
      },
      { base: 'base', candidate: 'candidate', samples: read(), settings: { ...SETTINGS, ...settings }, ...more },
      new AbortController().signal,
    )
    written = counts.letters
    return EvaluationReport.parse(report)
  } finally {
    assert.equal(counts.held, 0)
  }
}

/** Letters that the models of the last run wrote. */
let written = 0

const flat = (logprob: number, answer = (_: string) => ''): Script => ({ logprob: () => logprob, answer })
const metric = (report: EvaluationReport, name: string) => report.metrics.find(each => each.name === name)!
const many = (count: number): Sample[] => Array.from({ length: count }, (_, index) => chat(`q${index}`, `a${index}`))

test('a candidate that is surer of every answer is better, with the perplexities of the scripts', async context => {
  const report = await run(context, many(40), { base: flat(-2), candidate: flat(-1) })
  assert.equal(report.verdict, 'better')
  const loss = metric(report, 'loss')
  assert.deepEqual([loss.base, loss.candidate, loss.difference, loss.samples], [2, 1, -1, 40])
  assert.ok(Math.abs(report.perplexity!.base - Math.exp(2)) < 1e-9)
  assert.equal(report.perplexity!.comparable, true)
  assert.match(report.summary, /^The candidate is better than the base\. Loss per token: 1\.000 instead of 2\.000/)
  assert.deepEqual(report.base.files, [
    { ...report.base.files[0]!, name: 'model.gguf', bytes: 7, sha256: 'ab'.repeat(32) },
  ])
  assert.deepEqual(report.samples, { read: 40, taken: 40, kinds: { chat: 40 }, skipped: {} })
})

test('a difference that a model has from itself is none', async context => {
  const report = await run(context, many(60), { base: flat(-1), candidate: flat(-1.0002) })
  assert.ok(metric(report, 'loss').p < 0.01)
  assert.equal(report.verdict, 'not yet known')
})

test('only learned letters count, not those of the prompt', async context => {
  const script: Script = { logprob: (text, at) => (at > text.indexOf('|') ? -3 : -100), answer: () => '' }
  const report = await run(context, many(30), { base: script, candidate: script })
  assert.equal(metric(report, 'loss').base, 3)
  assert.equal(report.verdict, 'not yet known')
  assert.match(report.summary, /within what chance gives/)
})

test('the other way round it is worse, and with three samples nothing is known', async context => {
  assert.equal((await run(context, many(40), { base: flat(-1), candidate: flat(-2) })).verdict, 'worse')
  const few = await run(context, many(3), { base: flat(-2), candidate: flat(-1) })
  assert.equal(few.verdict, 'not yet known')
  assert.match(few.warnings.join(' '), /Only 3 samples/)
})

test('answers are compared, but for white space and the form of Unicode', async context => {
  const knows = (right: number) => (prompt: string) => {
    const number = Number(/\d+/.exec(prompt)?.[0])
    return number < right ? `a${number} \n` : 'no idea'
  }
  const report = await run(context, many(40), { base: flat(-1, knows(4)), candidate: flat(-1, knows(30)) })
  const exact = metric(report, 'exact_match')
  assert.deepEqual([exact.base, exact.candidate, exact.verdict], [0.1, 0.75, 'better'])
  assert.equal(report.verdict, 'better')
  assert.equal(report.changed.length, 20)
  assert.deepEqual(report.changed[0], {
    metric: 'exact_match',
    index: 4,
    better: 'candidate',
    base_answer: 'no ',
    candidate_answer: 'a4 \n',
  })
})

test('an answer is broken off once it cannot be the expected one, marks that come late aside', async context => {
  const expected = 'tệp này rất dài'
  const samples = Array.from({ length: 4 }, (_, index) => chat(`q${index}`, expected))
  const report = await run(context, samples, {
    base: flat(-1, () => expected.normalize('NFD')),
    candidate: flat(-1, () => `tập${' và cứ thế'.repeat(5)}`),
  })
  assert.deepEqual([metric(report, 'exact_match').base, metric(report, 'exact_match').candidate], [1, 0])
  assert.equal(written, 4 * ([...expected.normalize('NFD')].length + 4))
})

test('better in one thing and worse in another is not known, and is said to be mixed', async context => {
  const report = await run(context, many(40), {
    base: flat(-2, text => `a${/\d+/.exec(text)?.[0]}`),
    candidate: flat(-1),
  })
  assert.deepEqual([metric(report, 'loss').verdict, metric(report, 'exact_match').verdict], ['better', 'worse'])
  assert.equal(report.verdict, 'not yet known')
  assert.match(report.summary, /better in one thing and worse in another/)
})

test('tests run only when asked for, and tell which answers pass', async context => {
  const tests = { language: 'javascript', code: 'assert.equal(f(), 1)' } as const
  const samples = Array.from({ length: 8 }, (_, index) => chat(`q${index}`, 'a', { tests }))
  const right = flat(-1, () => '```js\nconst f = () => 1\n```')
  const wrong = flat(-1, () => '```js\nconst f = () => 2\n```')
  const unasked = await run(context, samples, { base: wrong, candidate: right })
  assert.equal(metric(unasked, 'pass_rate'), undefined)
  assert.match(unasked.warnings.join(' '), /8 samples carry tests that were not run/)
  const asked = await run(context, samples, { base: wrong, candidate: right }, { run_code: true, answers: false })
  const rate = metric(asked, 'pass_rate')
  assert.deepEqual([rate.base, rate.candidate, rate.verdict], [0, 1, 'better'])
  assert.equal(asked.changed.length, 8)
})

test('preferences count as met when the chosen answer is the likelier', async context => {
  const samples = Array.from(
    { length: 20 },
    (_, index): Sample => ({
      kind: 'preference',
      messages: [{ role: 'user', content: `q${index}` }],
      chosen: 'yes',
      rejected: 'nay',
    }),
  )
  const likes = (letter: string): Script => ({
    logprob: (text, at) => (text[at] === letter ? -0.1 : -1),
    answer: () => '',
  })
  const report = await run(context, samples, { base: likes('n'), candidate: likes('s') })
  const preferred = metric(report, 'preference_accuracy')
  assert.deepEqual([preferred.base, preferred.candidate, preferred.verdict], [0, 1, 'better'])
})

test('forgetting shows in the general questions', async context => {
  const general = (loss: number, answer: string): Script => ({
    logprob: (text, at) => (/^q\d/.test(text) ? -1 : at > text.indexOf('|') ? loss : 0),
    answer: () => answer,
  })
  const settings = { regression: true, answers: false }
  const forgot = await run(context, many(30), { base: general(-1, 'Paris'), candidate: general(-2, '') }, settings)
  assert.equal(forgot.forgetting, 'seen')
  assert.match(forgot.summary, /forgotten/)
  assert.equal(forgot.verdict, 'not yet known')
  assert.equal(forgot.regression.length, 28)
  assert.deepEqual(forgot.regression[0], {
    id: 'en_capital',
    language: 'en',
    question: 'What is the capital of France? Answer with one word.',
    base_loss: 1,
    candidate_loss: 2,
    base_right: true,
    candidate_right: false,
  })
  const kept = await run(context, many(30), { base: general(-1, ''), candidate: general(-1.01, '') }, settings)
  assert.equal(kept.forgetting, 'not seen')
})

test('what cannot be measured is counted by reason, and nothing at all is an error', async context => {
  const short: Script = { ...flat(-1), contextTokens: 20 }
  const samples: Sample[] = [...many(5), chat('x'.repeat(30), 'y'), { kind: 'text', text: 'z' }]
  const report = await run(context, samples, { base: flat(-1), candidate: short })
  assert.deepEqual(report.samples.skipped, {
    'it is longer than the context of the model': 1,
    'the sample is of no use': 1,
  })
  assert.equal(metric(report, 'loss').samples, 5)
  await assert.rejects(run(context, [], { base: flat(-1), candidate: flat(-1) }), /is empty/)
  await assert.rejects(
    run(context, [{ kind: 'text', text: 'z' }], { base: flat(-1), candidate: flat(-1) }),
    /None of 1 samples could be measured: the sample is of no use/,
  )
})

test('an embedding model is refused, and the lease given back', async context => {
  await assert.rejects(
    run(context, many(3), { base: { ...flat(-1), canGenerate: false }, candidate: flat(-1) }),
    /gives embeddings only/,
  )
})

test('of many samples so many are drawn as asked for, the same for both models; progress is told', async context => {
  const seen: string[] = []
  const progress: [string, number, number][] = []
  const script: Script = {
    logprob: () => -1,
    answer(prompt) {
      seen.push(prompt)
      return ''
    },
  }
  const report = await run(
    context,
    many(50),
    { base: script, candidate: { ...script, parent: 'other' } },
    { max_samples: 7 },
    { onProgress: ({ stage, done, total }) => void progress.push([stage, done, total]) },
  )
  assert.deepEqual([report.samples.read, report.samples.taken], [50, 7])
  assert.deepEqual(seen.slice(0, 7).sort(), seen.slice(7).sort())
  assert.deepEqual(
    [progress[0], progress.at(-1)],
    [
      ['base', 1, 7],
      ['candidate', 7, 7],
    ],
  )
  assert.match(report.warnings.join(' '), /adapter of other/)
})

test('calls are the same when their arguments are, whatever their layout', () => {
  const reply = (text: string, args: string) => ({ text, calls: [{ name: 'f', arguments: args }] })
  assert.equal(sameReply(reply('', '{"a":1,"b":[2]}'), reply(' ', '{ "b": [2], "a": 1 }')), true)
  assert.equal(sameReply(reply('', '{"a":1}'), reply('', '{"a":2}')), false)
  assert.equal(sameReply({ text: 'tệp\r\n', calls: [] }, { text: 'tệp', calls: [] }), true)
  assert.equal(sameReply({ text: 'tệp', calls: [] }, { text: 'tep', calls: [] }), false)
})
