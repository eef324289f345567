/** Evaluations and A/B tests against a real hub: a trained adapter is found better, a spoilt one worse, and requests to a name are split. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { describeEvaluation, runEvaluate } from '../../server/cli/evaluate.ts'
import { silentLog } from '../../server/lib/log.ts'
import { MIGRATIONS, migrate, readMigrations } from '../../server/storage/migrate.ts'
import { openSqlite } from '../../server/storage/sqlite.ts'
import { createEvaluations } from '../../server/training/evaluations.ts'
import { type AbTestOut, EvaluationOut, EvaluationReport, EvaluationRequest } from '../../server/wire/evaluation.ts'
import { writeRandomAdapter } from '../helpers/random_adapter.ts'
import { RANDOM_CHAT, type RealHub, realHub } from '../helpers/real_hub.ts'

type Body = { [key: string]: unknown } & { error?: { message: string; param: string | null; code: string } }

async function call(
  hub: RealHub,
  method: string,
  path: string,
  body?: unknown,
): Promise<{ status: number; json: Body }> {
  const response = await fetch(hub.url + path, {
    method,
    ...(body !== undefined && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
  })
  return { status: response.status, json: (await response.json()) as Body }
}

async function evaluate(hub: RealHub, request: object): Promise<EvaluationOut> {
  const created = await call(hub, 'POST', '/v1/training/evaluations', request)
  assert.equal(created.status, 200, JSON.stringify(created.json))
  for (;;) {
    const { json } = await call(hub, 'GET', `/v1/training/evaluations/${created.json.id}?wait=60`)
    const now = EvaluationOut.parse(json)
    if (now.status !== 'queued' && now.status !== 'running') return now
  }
}

const lines = (count: number): string =>
  Array.from({ length: count }, (_, index) =>
    JSON.stringify({
      messages: [
        { role: 'user', content: `What is ${index} plus one?` },
        { role: 'assistant', content: 'It is more by one, of course.' },
      ],
      tests: { language: 'javascript', code: 'assert.equal(1, 1)' },
    }),
  ).join('\n')

async function start(context: TestContext): Promise<RealHub> {
  const hub = await realHub(context, { tiny: { ...RANDOM_CHAT, embedding: 32, feedForward: 64 } })
  const imported = await call(hub, 'POST', '/v1/training/datasets/import', {
    name: 'sums',
    text: lines(80),
    shares: { train: 0.5, validation: 0, test: 0.5 },
    filters: { duplicate_near: false, contamination: false },
  })
  assert.equal(imported.status, 200, JSON.stringify(imported.json))
  return hub
}

async function spoil(hub: RealHub): Promise<void> {
  const file = join(hub.home, 'new.gguf')
  writeRandomAdapter(file, join(hub.folder, 'tiny.gguf'), { seed: 3, strength: 2 })
  await hub.adapters.publish({ base: 'tiny', name: 'spoilt', file, card: {}, replace: true })
}

test('a trained adapter is better on what it has not seen; the report lies beside it and on its card', async context => {
  const hub = await start(context)
  const job = await call(hub, 'POST', '/v1/training/start', {
    model_name: 'tiny',
    dataset: 'sums',
    name: 'trained',
    config: { epochs: 3, learning_rate: 0.01, batch_size: 8, seed: 1 },
  })
  assert.equal(job.status, 200, JSON.stringify(job.json))
  await (await fetch(`${hub.url}/v1/fine_tuning/jobs/${job.json.id}/events?stream=true`)).text()
  const ended = await evaluate(hub, {
    base: 'tiny',
    candidate: 'tiny:trained',
    dataset: 'sums',
    max_answer_tokens: 16,
  })
  assert.equal(ended.status, 'succeeded', JSON.stringify(ended.error))
  const report = ended.report!
  assert.equal(report.verdict, 'better', report.summary)
  const loss = report.metrics.find(({ name }) => name === 'loss')!
  assert.ok(loss.difference < -0.5 && loss.interval.high < 0)
  assert.ok(report.perplexity!.candidate < report.perplexity!.base && report.perplexity!.comparable)
  assert.ok(report.samples.taken > 20 && report.samples.taken === report.samples.read)
  assert.deepEqual(report.dataset, { name: 'sums', version: 1, part: 'test' })
  assert.match(report.base.files[0]!.sha256!, /^[0-9a-f]{64}$/)
  assert.equal(report.candidate.parent, 'tiny')
  assert.match(report.warnings.join(' '), /tests that were not run/)

  const beside = join(hub.home, 'trained_models', 'tiny', 'trained.evaluation.json')
  assert.deepEqual(EvaluationReport.parse(JSON.parse(readFileSync(beside, 'utf8'))), report)
  const card = (await call(hub, 'GET', '/v1/training/adapters/tiny:trained')).json.card as {
    evaluation?: { verdict: string }
  }
  assert.equal(card.evaluation?.verdict, 'better')

  // The same seed and models: the same numbers, but for the order in which a batch is summed up.
  const again = await evaluate(hub, { base: 'tiny', candidate: 'tiny:trained', dataset: 'sums', max_answer_tokens: 16 })
  for (const [index, metric] of report.metrics.entries()) {
    const { difference, verdict } = again.report!.metrics[index]!
    assert.equal(verdict, metric.verdict)
    assert.ok(Math.abs(difference - metric.difference) < 1e-3)
  }
})

test('a spoilt adapter is worse and a model equals itself; the loss is what the API gives for the same text', async context => {
  const hub = await start(context)
  await spoil(hub)
  const request = { base: 'tiny', dataset: 'sums', answers: false, regression: false }
  const worse = (await evaluate(hub, { ...request, candidate: 'tiny:spoilt' })).report!
  assert.equal(worse.verdict, 'worse')
  const same = (await evaluate(hub, { ...request, candidate: 'tiny' })).report!
  assert.equal(same.verdict, 'not yet known')
  assert.ok(Math.abs(same.metrics[0]!.difference) < 1e-3)

  // One sample, scored by hand through the completions API.
  const text = '<|im_start|>user\nWhat is it?<|im_end|>\n<|im_start|>assistant\n'
  await call(hub, 'POST', '/v1/training/datasets/import', {
    name: 'one',
    text: JSON.stringify({
      messages: [
        { role: 'user', content: 'What is it?' },
        { role: 'assistant', content: 'A hub.' },
      ],
    }),
    shares: { train: 0, validation: 0, test: 1 },
    filters: { too_short: false },
  })
  const one = (await evaluate(hub, { ...request, dataset: 'one', candidate: 'tiny' })).report!
  const { json } = await call(hub, 'POST', '/v1/completions', {
    model: 'tiny',
    prompt: `${text}A hub.<|im_end|>`,
    max_tokens: 0,
    echo: true,
    logprobs: 0,
  })
  const { logprobs } = (json.choices as { logprobs: { token_logprobs: number[] } }[])[0]!
  const learned = logprobs.token_logprobs.slice(-'A hub.'.length - 1)
  const loss = -learned.reduce((sum, value) => sum + value, 0) / learned.length
  assert.ok(Math.abs(one.metrics[0]!.base - loss) < 1e-4, `${one.metrics[0]!.base} ${loss}`)
})

test('a report is not written beside another file that took the place of the one it is about', async context => {
  const hub = await start(context)
  await spoil(hub)
  const db = openSqlite(':memory:')
  context.after(async () => db.close())
  migrate(db, readMigrations(MIGRATIONS), () => 0)
  const replacing = async (path: string): Promise<string> => {
    if (path.endsWith('spoilt.gguf')) await spoil(hub)
    return 'x'
  }
  const evaluations = createEvaluations({
    db,
    home: hub.home,
    models: hub.models,
    now: Date.now,
    sha256: replacing,
    log: silentLog,
  })
  const request = { base: 'tiny', candidate: 'tiny:spoilt', dataset: 'sums', max_samples: 4, regression: false }
  const { id } = evaluations.create(EvaluationRequest.parse({ ...request, answers: false }))
  const { status, report } = await evaluations.wait(id, 60_000, new AbortController().signal)
  assert.equal(status, 'succeeded')
  const { path, card } = hub.adapters.get('tiny:spoilt')!
  assert.equal(card.version, 2)
  assert.equal(card.evaluation, undefined)
  assert.ok(!existsSync(path.replace('.gguf', '.evaluation.json')))
  assert.equal(report?.candidate.id, 'tiny:spoilt')
})

test('what is not there is refused by name, and an evaluation can be cancelled', async context => {
  const hub = await start(context)
  const post = (body: object) => call(hub, 'POST', '/v1/training/evaluations', body)
  const good = { base: 'tiny', candidate: 'tiny', dataset: 'sums' }
  assert.equal((await post({ ...good, candidate: 'tiny:none' })).status, 404)
  assert.equal((await post({ ...good, dataset: 'none' })).status, 404)
  assert.equal((await post({ ...good, samples: 3 })).json.error!.param, 'samples')
  const { json } = await post({ ...good, max_answer_tokens: 2000 })
  assert.equal(json.status, 'queued')
  const taken = await call(hub, 'DELETE', '/v1/training/datasets/sums')
  assert.equal(taken.status, 409)
  assert.equal((await call(hub, 'POST', `/v1/training/evaluations/${json.id}/cancel`)).status, 200)
  const ended = await call(hub, 'GET', `/v1/training/evaluations/${json.id}?wait=60`)
  assert.equal(ended.json.status, 'cancelled')
  assert.equal((await call(hub, 'POST', `/v1/training/evaluations/${json.id}/cancel`)).status, 409)
  const { data } = (await call(hub, 'GET', '/v1/training/evaluations')).json as { data: EvaluationOut[] } & Body
  assert.deepEqual(
    data.map(each => each.status),
    ['cancelled'],
  )
})

test('the terminal prints the report of an evaluation with code that was run', async context => {
  const hub = await start(context)
  await spoil(hub)
  const written: string[] = []
  const terminal = { write: (text: string) => void written.push(text), colour: false }
  const code = await runEvaluate(
    {
      findHub: async () => ({ url: hub.url }),
      startHub: () => Promise.reject(new Error('one runs')),
      terminal,
      notes: terminal,
      isLive: false,
      signal: new AbortController().signal,
    },
    {
      base: 'tiny',
      candidate: 'tiny:spoilt',
      dataset: 'sums',
      samples: 12,
      answerTokens: 8,
      runCode: true,
      json: false,
    },
  )
  const text = written.join('')
  assert.equal(code, 0)
  assert.match(text, /run on this machine, in a sandbox/)
  assert.match(text, /tiny:spoilt against tiny\n {2}12 of \d+ samples, test part of sums v1/)
  assert.match(text, /loss per token +\d+\.\d{4}/)
  assert.match(text, /tests passed +0\.0 %/)
  assert.match(text, /Verdict: /)
  const { data } = (await call(hub, 'GET', '/v1/training/evaluations')).json as { data: EvaluationOut[] } & Body
  assert.equal(describeEvaluation(data[0]!.report!, terminal), written.at(-1))
})

test('requests to the name of an A/B test are split by conversation, votes count, and a stopped name is gone', async context => {
  const hub = await start(context)
  await spoil(hub)
  const created = await call(hub, 'POST', '/v1/ab_tests', {
    name: 'team',
    base: { model: 'tiny' },
    candidate: { model: 'tiny:spoilt' },
  })
  assert.equal(created.status, 200, JSON.stringify(created.json))
  const chat = async (more: object, content = 'Hello') =>
    (
      await call(hub, 'POST', '/v1/chat/completions', {
        model: 'team',
        max_tokens: 1,
        messages: [{ role: 'user', content }],
        ...more,
      })
    ).json.model as string
  const listed = (await call(hub, 'GET', '/v1/models')).json.data as { id: string }[]
  assert.ok(listed.some(({ id }) => id === 'team'))
  assert.equal((await call(hub, 'GET', '/v1/models/team')).json.id, 'team')
  const users = Array.from({ length: 12 }, (_, index) => `user-${index}`)
  const models = []
  for (const user of users) models.push(await chat({ user }))
  assert.deepEqual(new Set(models), new Set(['tiny', 'tiny:spoilt']))
  for (const [index, user] of users.entries()) assert.equal(await chat({ user }, 'Something else'), models[index])
  const first = await chat({}, 'A first message')
  const later = await chat({
    messages: [
      { role: 'user', content: 'A first message' },
      { role: 'assistant', content: 'Yes?' },
      { role: 'user', content: 'Go on' },
    ],
  })
  assert.equal(later, first)
  const response = await call(hub, 'POST', '/v1/responses', {
    model: 'team',
    input: 'A first message',
    max_output_tokens: 1,
  })
  assert.equal(response.json.model, first)
  const completion = await call(hub, 'POST', '/v1/completions', {
    model: 'team',
    prompt: 'x',
    max_tokens: 1,
    user: 'user-0',
  })
  assert.equal(completion.json.model, models[0])

  const vote = (body: object) => call(hub, 'POST', `/v1/ab_tests/${created.json.id}/votes`, body)
  for (const user of users) assert.equal((await vote({ user, signal: 'good' })).status, 200)
  assert.equal((await vote({ user: 'stranger', signal: 'good' })).status, 404)
  assert.equal((await vote({ signal: 'good' })).status, 400)
  assert.equal((await vote({ first_message: 'A first message', signal: 'accepted' })).status, 200)
  const result = (await call(hub, 'GET', '/v1/ab_tests/team')).json as unknown as AbTestOut
  assert.equal(result.conversations.base + result.conversations.candidate, 13)
  assert.equal(result.comparisons[0]!.base.good + result.comparisons[0]!.candidate.good, 12)
  assert.equal(result.verdict, 'not yet known')

  assert.equal((await call(hub, 'POST', `/v1/ab_tests/${created.json.id}/stop`)).status, 200)
  assert.equal((await call(hub, 'GET', '/v1/models/team')).status, 404)
  const gone = await call(hub, 'POST', '/v1/chat/completions', {
    model: 'team',
    messages: [{ role: 'user', content: 'x' }],
  })
  assert.equal(gone.status, 404)
})

test('an A/B test compares an adapter with its older version', async context => {
  const hub = await start(context)
  await spoil(hub)
  await spoil(hub)
  const { status, json } = await call(hub, 'POST', '/v1/ab_tests', {
    name: 'versions',
    base: { model: 'tiny:spoilt@1' },
    candidate: { model: 'chat_models/tiny' },
  })
  assert.equal(status, 200, JSON.stringify(json))
  assert.deepEqual((json as unknown as AbTestOut).candidate.model, 'tiny')
})

test('an evaluation that a hub left behind is told as failed', async context => {
  const hub = await start(context)
  await call(hub, 'POST', '/v1/training/evaluations', { base: 'tiny', candidate: 'tiny', dataset: 'sums' })
  await hub.close()
  assert.ok(existsSync(join(hub.home, 'hub.db')))
  const { startHub } = await import('../../server/hub.ts')
  const next = await startHub({ home: hub.home, commandLine: { port: '0', device: 'cpu' }, env: {}, logSinks: [] })
  try {
    const answer = (await (await fetch(`${next.url}/v1/training/evaluations`)).json()) as { data: EvaluationOut[] }
    assert.deepEqual([answer.data[0]!.status, answer.data[0]!.error?.code], ['failed', 'shutting_down'])
  } finally {
    await next.close()
  }
})
