/** What the dashboard computes: points of charts and their summaries, bounded lists, problems with their help, numbers as text, fields of settings. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as z from 'zod'
import type { SystemLoad } from '../../server/wire/load.ts'
import type { RequestOut } from '../../server/wire/requests.ts'
import { Settings, type SettingsAnswer } from '../../server/wire/settings.ts'
import type { ModelStatusOut, SystemStatus } from '../../server/wire/system.ts'
import { chartData, summary } from '../../webview/dashboard/chart_data.ts'
import { figuresOf } from '../../webview/dashboard/figures.ts'
import { addPoints, addRequests, MOST_REQUESTS, type Point, summarise, toPoint } from '../../webview/dashboard/live.ts'
import { ordered } from '../../webview/dashboard/model_order.ts'
import { findProblems, idleOthers, plannedContext, smallerContext } from '../../webview/dashboard/problems.ts'
import { FIELDS, fromFieldText, GROUPS, toFieldText } from '../../webview/dashboard/setting_fields.ts'
import { readRoute, writeRoute } from '../../webview/dashboard/tabs.ts'

const point = (atMs: number, more: Partial<Point> = {}): Point => ({
  atMs,
  cpu: 0.5,
  memoryUsed: 1,
  memoryTotal: 2,
  modelBytes: 0,
  running: 0,
  waiting: 0,
  ...more,
})

const load = (atMs: number, decoded: { [id: string]: number } = {}, more: Partial<SystemLoad> = {}): SystemLoad => ({
  at_ms: atMs,
  cpu: 0.25,
  memory: { total_bytes: 10, available_bytes: 4, hub_rss_bytes: 1 },
  devices: [],
  queue: { running: 1, waiting: 2 },
  models: Object.entries(decoded).map(([id, decoded_tokens]) => ({
    id,
    busy: 0,
    queued: 0,
    memory_bytes: 3,
    device_bytes: 0,
    kv_used_tokens: 0,
    kv_total_tokens: 0,
    decoded_tokens,
  })),
  ...more,
})

const request = (id: number, more: Partial<RequestOut> = {}): RequestOut => ({
  id: String(id),
  at_ms: id,
  endpoint: '/v1/chat/completions',
  status: 200,
  cancelled: false,
  ms: 1,
  ...more,
})

const model = (id: string, more: Partial<ModelStatusOut> = {}): ModelStatusOut => ({
  id,
  folder: 'chat_models',
  state: 'unloaded',
  bytes: 1000,
  files: 1,
  estimated_bytes: 1000,
  in_use: 0,
  pin: false,
  ...more,
})

const facts = (context: number, kvBytes: number): NonNullable<ModelStatusOut['facts']> => ({
  architecture: 'llama',
  parameters: 1e6,
  quantization: 'Q8_0',
  context_length: context,
  embedding_size: 4,
  layers: 2,
  heads: 2,
  kv_heads: 2,
  kv_bytes_per_token: kvBytes,
  vocabulary_size: 10,
  tokenizer: 'llama',
  fim: false,
  kind: 'model',
  chat_template: true,
})

test('a point has the tokens of all models since the one before; a model loaded anew counts from nothing', () => {
  const before = load(1000, { a: 100, b: 50 })
  assert.equal(toPoint(load(3000, { a: 140, b: 10, c: 6 }), before).tokensPerSecond, (40 + 10 + 6) / 2)
  assert.equal(toPoint(before, undefined).tokensPerSecond, undefined)
  assert.equal(toPoint(before, before).tokensPerSecond, undefined)
  const { memoryUsed, memoryTotal, modelBytes, running, waiting } = toPoint(before, undefined)
  assert.deepEqual([memoryUsed, memoryTotal, modelBytes, running, waiting], [6, 10, 6, 1, 2])
})

test('GPUs are told where the system tells them, and their memory is that of those whose memory is known', () => {
  assert.ok(!('gpuUsed' in toPoint(load(1), undefined)))
  const devices = [{ name: 'one', total_bytes: 8, free_bytes: 3, busy: 0.5 }, { name: 'two', busy: 0.1 }, { name: 'x' }]
  const { gpuTotal, gpuUsed, gpuBusy } = toPoint(load(1, {}, { devices }), undefined)
  assert.deepEqual([gpuTotal, gpuUsed, gpuBusy], [8, 5, 0.3])
})

test('points stay in the order of time, each once, for an hour at most and never more than there is room for', () => {
  const past = [point(1000), point(11_000)]
  const now = addPoints([point(12_000), point(14_000)], past)
  assert.deepEqual(
    now.map(({ atMs }) => atMs),
    [1000, 11_000, 12_000, 14_000],
  )
  assert.deepEqual(addPoints(now, past), now)
  assert.deepEqual(
    addPoints(now, [point(3_612_000)]).map(({ atMs }) => atMs),
    [12_000, 14_000, 3_612_000],
  )
  let many: Point[] = []
  for (let i = 0; i < 5000; i++) many = addPoints(many, [point(i * 1000)])
  assert.ok(many.length <= 2000, String(many.length))
  assert.equal(many.at(-1)?.atMs, 4_999_000)
})

test('requests are the latest first, each once, and the oldest are forgotten', () => {
  const many = addRequests(
    [],
    Array.from({ length: MOST_REQUESTS + 20 }, (_, id) => request(id)),
  )
  assert.equal(many.length, MOST_REQUESTS)
  assert.deepEqual([many[0]?.id, many.at(-1)?.id], [String(MOST_REQUESTS + 19), '20'])
  assert.deepEqual(addRequests(many, [many[3]!]), many)
})

test('requests are summed up with medians, and what was never reached counts for nothing', () => {
  assert.deepEqual(summarise([]), { count: 0, failed: 0, cancelled: 0, completionTokens: 0 })
  const { count, failed, cancelled, firstTokenMs, tokensPerSecond, completionTokens } = summarise([
    request(1, { first_token_ms: 10, tokens_per_second: 5, completion_tokens: 3 }),
    request(2, { first_token_ms: 30, completion_tokens: 4 }),
    request(3, { first_token_ms: 20, tokens_per_second: 9 }),
    request(4, { error: 'busy', status: 429 }),
    request(5, { error: 'cancelled', cancelled: true, status: 499 }),
  ])
  assert.deepEqual([count, failed, cancelled, firstTokenMs, tokensPerSecond, completionTokens], [5, 1, 1, 20, 5, 7])
})

test('a chart has the last minutes, with a gap where nothing was seen', () => {
  const points = [point(0), point(100_000, { cpu: 0.1 }), point(102_000, { cpu: 0.2 }), point(200_000, { cpu: 0.3 })]
  const [times, cpu, none] = chartData(points, 101_000, [each => each.cpu, () => undefined])
  assert.deepEqual(times, [100, 102, 102.001, 200])
  assert.deepEqual(cpu, [0.1, 0.2, null, 0.3])
  assert.deepEqual(none, [null, null, null, null])
  assert.deepEqual(chartData([], 1000, [each => each.cpu]), [[], []])
})

test('the summary of a line weighs by time, and is nothing where nothing is known', () => {
  const points = [point(0, { cpu: 1 }), point(10_000, { cpu: 1 }), point(12_000, { cpu: 0 })]
  const found = summary(points, 60_000, each => each.cpu)
  assert.ok(found)
  assert.equal(found.now, 0)
  assert.equal(found.most, 1)
  assert.ok(Math.abs(found.mean - 10_001 / 12_001) < 1e-9)
  assert.equal(
    summary(points, 60_000, () => undefined),
    undefined,
  )
})

test('a model without memory has idle ones to unload and a context that saves something', () => {
  const huge = model('huge', {
    state: 'failed',
    error: 'needs about 20 GiB',
    error_code: 'insufficient_memory',
    facts: facts(32_768, 100),
    estimated_bytes: 1_000_000,
  })
  const models = [
    huge,
    model('idle', { state: 'ready', pin: true }),
    model('used', { state: 'ready', in_use: 1 }),
    model('idle:adapter', { state: 'ready', parent: 'idle' }),
  ]
  const settings = { settings: { contextTokens: 8192, device: 'auto' }, restart_needed: [] as string[] }
  const [problem] = findProblems({ models, system: undefined, settings: settings as unknown as SettingsAnswer })
  assert.deepEqual(problem, {
    kind: 'no_memory',
    model: 'huge',
    message: 'needs about 20 GiB',
    others: ['idle'],
    context: 4096,
  })
  assert.deepEqual(idleOthers(models, 'idle'), [])
  // A context whose half saves less than a twentieth is no help, nor is one below what is of use.
  assert.equal(smallerContext({ ...huge, estimated_bytes: 1e9 }, 8192), undefined)
  assert.equal(smallerContext({ ...huge, estimated_bytes: 1000 }, 1000), undefined)
  assert.equal(plannedContext({ ...huge, context_size: 100_000 }, 8192), 32_768)
  assert.equal(plannedContext(model('x'), 8192), undefined)
})

test('the gravest problem is first, and a hub that was told to use the processor lacks no GPU', () => {
  const backends: SystemStatus['backends'] = [
    { library: 'vulkan', kind: 'vulkan', works: false, reason: 'no driver' },
    { library: 'cpu', kind: 'cpu', works: true },
  ]
  const models = [
    model('torn', { state: 'broken', error: 'not whole' }),
    model('bad', { state: 'failed', error: 'x', error_code: 'model_load_failed' }),
  ]
  const told = (device: string, list = backends) =>
    findProblems({
      models,
      system: { backends: list } as unknown as SystemStatus,
      settings: { settings: { device }, restart_needed: ['port'] } as unknown as SettingsAnswer,
    }).map(({ kind }) => kind)
  assert.deepEqual(told('auto'), ['failed', 'broken', 'restart', 'no_gpu'])
  assert.deepEqual(told('cpu'), ['failed', 'broken', 'restart'])
  assert.deepEqual(told('auto', [{ library: 'cuda', kind: 'cuda', works: true }, ...backends]), [
    'failed',
    'broken',
    'restart',
  ])
})

test('loaded models come first, toys and broken files last, adapters behind their base', () => {
  const models = [
    model('torn', { state: 'broken' }),
    model('a:one', { parent: 'a', state: 'ready' }),
    model('toy', { toy: true }),
    model('b', { state: 'ready' }),
    model('a'),
    model('gone:left', { parent: 'gone' }),
  ]
  assert.deepEqual(
    ordered(models).map(({ id }) => id),
    ['b', 'a', 'a:one', 'gone:left', 'toy', 'torn'],
  )
})

test('numbers are written as the language has them', () => {
  const [en, vi] = [figuresOf('en'), figuresOf('vi')]
  assert.deepEqual([en.count(12_345), vi.count(12_345)], ['12,345', '12.345'])
  assert.deepEqual([0, 0.526, 8.44, 66.7, 123.4].map(en.rate), ['0', '0.53', '8.4', '66.7', '123'])
  assert.equal(vi.rate(8.44), '8,4')
  assert.deepEqual([0, 12.4, 999, 2400, 200_000].map(en.duration), ['0 ms', '12 ms', '999 ms', '2.4 s', '3 min 20 s'])
  assert.deepEqual([-1, 40, 3599, 7500, 7200, 97_200].map(en.uptime), [
    '0 s',
    '40 s',
    '59 min',
    '2 h 5 min',
    '2 h',
    '1 d 3 h',
  ])
  assert.equal(vi.uptime(7500), '2 giờ 5 phút')
  assert.deepEqual([0, 5, 449_000, 68e6, 2.44e9, 123.4e9].map(en.size), [
    '0',
    '1 KB',
    '449 KB',
    '68 MB',
    '2.4 GB',
    '123 GB',
  ])
})

test('every setting has a field of its kind and stands in one group', () => {
  const names = Object.keys(Settings.shape).sort()
  assert.deepEqual(Object.keys(FIELDS).sort(), names)
  assert.deepEqual(Object.values(GROUPS).flat().sort(), names)
  const schemas = z.toJSONSchema(Settings).properties as { [name: string]: { [key: string]: unknown } }
  for (const [name, field] of Object.entries(FIELDS)) {
    const schema = schemas[name]!
    if (field.kind === 'choice') assert.deepEqual(field.options, schema.enum, name)
    else if (field.kind === 'switch') assert.equal(schema.type, 'boolean', name)
    else if (field.kind === 'list') assert.equal(schema.type, 'array', name)
    else if (field.kind === 'text') assert.equal(schema.type, 'string', name)
    else if (field.kind === 'number') assert.equal(schema.type, field.whole ? 'integer' : 'number', name)
    else assert.ok(JSON.stringify(schema.anyOf).includes(field.word), name)
  }
})

test('what is typed is what is sent, and what is no number stays text', () => {
  assert.equal(fromFieldText(FIELDS.slots, ' 8 '), 8)
  assert.equal(fromFieldText(FIELDS.slots, 'many'), 'many')
  assert.equal(fromFieldText(FIELDS.slots, ''), '')
  assert.equal(fromFieldText(FIELDS.gpuLayers, 'auto'), 'auto')
  assert.equal(fromFieldText(FIELDS.gpuLayers, '-1'), -1)
  assert.deepEqual(fromFieldText(FIELDS.allowedOrigins, 'http://a \n\nhttp://b, http://c'), [
    'http://a',
    'http://b',
    'http://c',
  ])
  assert.equal(toFieldText(FIELDS.allowedOrigins, ['http://a', 'http://b']), 'http://a\nhttp://b')
  assert.equal(toFieldText(FIELDS.useMmap, false), 'false')
})

test('a route names a part and what stands in it; an unknown one is the overview', () => {
  assert.deepEqual(readRoute('training/job/1'), { tab: 'training', rest: 'job/1' })
  assert.deepEqual(readRoute('nothing/x'), { tab: 'overview', rest: '' })
  assert.deepEqual(readRoute(''), { tab: 'overview', rest: '' })
  assert.equal(writeRoute('models', 'a/b'), 'models/a/b')
  assert.equal(writeRoute('models'), 'models')
})
