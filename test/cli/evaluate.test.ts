/** `ai-hub evaluate`: its arguments, and how it follows an evaluation to its end. */
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { test } from 'node:test'
import { parseCommandLine, UsageError } from '../../server/cli/args.ts'
import { describeEvaluation, type EvaluateOptions, runEvaluate } from '../../server/cli/evaluate.ts'
import type { EvaluationOut, EvaluationReport, EvaluationStatus } from '../../server/wire/evaluation.ts'

const parse = (line: string) => parseCommandLine(line.split(' '))

test('models, dataset and options are read', () => {
  assert.deepEqual(parse('evaluate base base:style --data chats'), {
    name: 'evaluate',
    options: { base: 'base', candidate: 'base:style', dataset: 'chats', runCode: false, json: false },
  })
  const all =
    'evaluate a b -d c --home h --version 2 --part validation --samples 9 --answer-tokens 64 --seed 3 --run-code --json'
  assert.deepEqual(parse(all), {
    name: 'evaluate',
    home: 'h',
    options: {
      base: 'a',
      candidate: 'b',
      dataset: 'c',
      version: 2,
      part: 'validation',
      samples: 9,
      answerTokens: 64,
      seed: 3,
      runCode: true,
      json: true,
    },
  })
})

test('what is missing or too much is told', () => {
  for (const [line, words] of [
    ['evaluate base', /Name two models/],
    ['evaluate a b c --data d', /Name two models/],
    ['evaluate a b', /Name the dataset/],
    ['evaluate a b --data d --samples many', /--samples takes a whole number/],
    ['evaluate a b --data d --run-cod', /Did you mean "--run-code"/],
  ] as const) {
    assert.throws(
      () => parse(line),
      (error: unknown) => error instanceof UsageError && words.test(error.message),
      line,
    )
  }
})

const REPORT: EvaluationReport = {
  object: 'training.evaluation.report',
  created: '2026-01-01T00:00:00.000Z',
  seconds: 12.4,
  base: { id: 'base', files: [] },
  candidate: { id: 'base:style', parent: 'base', files: [] },
  dataset: { name: 'chats', version: 3, part: 'test' },
  samples: { read: 90, taken: 80, kinds: { chat: 80 }, skipped: { 'it is longer than the context of the model': 2 } },
  settings: {
    seed: 1,
    max_samples: 80,
    max_answer_tokens: 512,
    answers: true,
    run_code: false,
    regression: true,
    confidence: 0.95,
  },
  perplexity: { base: 6.05, candidate: 3.32, comparable: true },
  metrics: [
    {
      name: 'loss',
      meaning: 'nats per token of the answers',
      goodIs: 'lower',
      samples: 78,
      base: 1.8,
      candidate: 1.2,
      difference: -0.6,
      interval: { low: -0.7, high: -0.5, level: 0.95 },
      p: 0.0002,
      verdict: 'better',
    },
    {
      name: 'exact_match',
      meaning: 'answers equal to those of the dataset',
      goodIs: 'higher',
      samples: 78,
      base: 0.25,
      candidate: 0.3,
      difference: 0.05,
      interval: { low: -0.1, high: 0.2, level: 0.95 },
      p: 0.41,
      verdict: 'not yet known',
    },
  ],
  regression: [],
  forgetting: 'not seen',
  verdict: 'better',
  summary: 'The candidate is better than the base.',
  warnings: ['A warning.'],
  changed: [],
}

test('the report is a table with the verdict in plain words', () => {
  assert.equal(
    describeEvaluation(REPORT, { write: () => undefined, colour: false }),
    `base:style against base
  80 of 90 samples, test part of chats v3, 12 s

                    base  candidate  difference  interval                 p  samples
  loss per token  1.8000     1.2000     -0.6000  -0.7000 to -0.5000  <0.001       78  better
  exact answers   25.0 %     30.0 %      +5.0 %  -10.0 % to +20.0 %   0.410       78  not yet known

  Perplexity 6.050 -> 3.320
  Forgetting: not seen
  2 not measured: it is longer than the context of the model
  A warning.

Verdict: better
The candidate is better than the base.
`,
  )
})

const OPTIONS: EvaluateOptions = { base: 'base', candidate: 'base:style', dataset: 'chats', runCode: false, json: true }

/** A hub whose evaluation is in these states, one per question; the last one stays. */
async function run(
  context: { after(close: () => void): void },
  states: EvaluationStatus[],
  more: { control?: AbortController; error?: EvaluationOut['error'] } = {},
): Promise<{ code: number; out: string; notes: string; asked: string[] }> {
  const asked: string[] = []
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`)
    if (request.method === 'GET') more.control?.abort()
    const status = states.length > 1 && !request.url!.endsWith('/cancel') ? states.shift()! : states[0]!
    const answer: EvaluationOut = {
      object: 'training.evaluation',
      id: 'eval-1',
      status,
      created_at: 1,
      finished_at: null,
      request: {
        base: 'base',
        candidate: 'base:style',
        dataset: 'chats',
        part: 'test',
        ...REPORT.settings,
      },
      progress: status === 'running' ? { stage: 'base', done: 3, total: 9 } : null,
      report: status === 'succeeded' ? REPORT : null,
      error: more.error ?? null,
    }
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify(answer))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  context.after(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as { port: number }
  const out: string[] = []
  const notes: string[] = []
  let closed = false
  const code = await runEvaluate(
    {
      findHub: async () => undefined,
      startHub: async () => ({
        url: `http://127.0.0.1:${port}`,
        async close() {
          closed = true
        },
      }),
      terminal: { write: text => void out.push(text), colour: false },
      notes: { write: text => void notes.push(text), colour: false },
      isLive: true,
      signal: more.control?.signal ?? new AbortController().signal,
    },
    OPTIONS,
  )
  assert.equal(closed, true, 'a hub of its own is closed again')
  return { code, out: out.join(''), notes: notes.join(''), asked }
}

test('it waits for the end, tells how far it is, and prints the report as JSON', async context => {
  const { code, out, notes, asked } = await run(context, ['queued', 'running', 'succeeded'])
  assert.equal(code, 0)
  assert.deepEqual(JSON.parse(out), REPORT)
  assert.match(notes, /base: 3 of 9/)
  assert.deepEqual(asked, [
    'POST /v1/training/evaluations',
    'GET /v1/training/evaluations/eval-1?wait=1',
    'GET /v1/training/evaluations/eval-1?wait=1',
  ])
})

test('a failure is told with its reason and exit code 1', async context => {
  const error = { code: 'invalid_request', message: 'None of 3 samples could be measured.' }
  const { code, notes } = await run(context, ['queued', 'failed'], { error })
  assert.equal(code, 1)
  assert.match(notes, /None of 3 samples could be measured/)
})

test('Ctrl+C cancels it in the hub, once, and gives 130', async context => {
  const { code, asked } = await run(context, ['queued', 'running', 'running', 'cancelled'], {
    control: new AbortController(),
  })
  assert.equal(code, 130)
  assert.equal(asked.filter(line => line.endsWith('/cancel')).length, 1)
})
