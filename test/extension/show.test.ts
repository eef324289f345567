/** What the extension shows: numbers, names, the model in use, the plan of a training. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Plan } from '../../extension/api.ts'
import { modelInUse, suggestingModel, tokenRate } from '../../extension/model_in_use.ts'
import { planLines } from '../../extension/plan.ts'
import { formatBytes, formatDuration, formatPercent, toName } from '../../extension/text.ts'
import { DatasetName } from '../../server/wire/dataset.ts'
import type { ModelBrief } from '../../server/wire/events.ts'
import type { SystemLoad } from '../../server/wire/load.ts'

test('numbers', () => {
  assert.deepEqual([0, 1023, 1024, 1.5 * 2 ** 30, 250 * 2 ** 20].map(formatBytes), [
    '0 B',
    '1023 B',
    '1.0 KiB',
    '1.5 GiB',
    '250 MiB',
  ])
  assert.deepEqual([0.2, 89, 90, 5400, 12_000].map(formatDuration), [
    '1 s',
    '89 s',
    '2 min',
    '1 h 30 min',
    '3 h 20 min',
  ])
  assert.equal(formatPercent(0.999), '99%')
})

test('every name that is made of a folder or file is one that a dataset takes', () => {
  const names = {
    'My App': 'My-App',
    'ứng dụng Đà Nẵng': 'ung-dung-da-Nang',
    '.config': 'config',
    东京: 'data',
    '--': 'data',
  }
  for (const [text, name] of Object.entries(names)) assert.equal(toName(text), name)
  for (const text of [...Object.keys(names), 'a'.repeat(200), `${'a'.repeat(59)}- b`]) {
    assert.ok(DatasetName.safeParse(toName(text)).success, text)
  }
})

const model = (id: string, rest: Partial<ModelBrief> = {}): ModelBrief => {
  return { id, folder: 'chat_models', bytes: 100, state: 'unloaded', in_use: 0, ...rest }
}

test('the model that suggests code is the one that the hub takes: no toy, loaded, for code, small; without any, one that answers', () => {
  const row = (id: string, fim: boolean, rest: object = {}) => ({
    ...model(id),
    facts: { kind: 'model', fim } as Parameters<typeof suggestingModel>[0][number]['facts'],
    ...rest,
  })
  const chat = row('chat', false, { state: 'ready' })
  const code = row('code', true, { folder: 'code_models', bytes: 500 })
  const all = [
    row('toy', true, { toy: true, state: 'ready' }),
    row('broken', true, { state: 'broken' }),
    row('code:mine', true, { parent: 'code', state: 'ready' }),
    chat,
    row('small', true),
    code,
  ]
  const on = { enabled: true, model: '' }
  assert.equal(suggestingModel(all, on), 'code')
  assert.equal(suggestingModel([...all, row('loaded', true, { state: 'ready' })], on), 'loaded')
  assert.equal(suggestingModel([chat, row('other', false)], on), 'chat')
  assert.equal(suggestingModel(all.slice(0, 1), on), 'toy')
  assert.equal(suggestingModel([], on), undefined)
  assert.equal(suggestingModel(all, { enabled: true, model: 'small' }), 'small')
  assert.equal(suggestingModel(all, { enabled: false, model: 'small' }), undefined)
})

test('the model in use: a busy one, a loaded one, one for code, a small one; never an adapter or a broken one', () => {
  const small = model('small', { bytes: 1 })
  const code = model('code', { folder: 'code_models' })
  const ready = model('ready', { state: 'ready' })
  const busy = model('busy', { state: 'ready', in_use: 1, bytes: 1000 })
  const loading = model('loading', { state: 'loading' })
  const others = [
    model('broken', { state: 'broken', bytes: 0 }),
    model('code:mine', { parent: 'code', state: 'ready' }),
  ]
  const all = [small, code, loading, ready, busy, ...others]
  for (const wanted of [busy, ready, loading, code, small]) {
    assert.equal(modelInUse(all.slice(), '')?.id, wanted.id)
    all.splice(all.indexOf(wanted), 1)
  }
  assert.equal(modelInUse(all, ''), undefined)
  assert.equal(modelInUse(all, 'code:mine')?.id, 'code:mine')
  assert.equal(modelInUse(all, 'gone'), undefined)
})

test('tokens per second between two looks', () => {
  const load = (at_ms: number, tokens: { [id: string]: number }): SystemLoad => ({
    at_ms,
    cpu: 0,
    memory: { total_bytes: 1, available_bytes: 1, hub_rss_bytes: 1 },
    devices: [],
    queue: { running: 0, waiting: 0 },
    models: Object.entries(tokens).map(([id, decoded_tokens]) => {
      return {
        id,
        decoded_tokens,
        busy: 0,
        queued: 0,
        memory_bytes: 0,
        device_bytes: 0,
        kv_used_tokens: 0,
        kv_total_tokens: 0,
      }
    }),
  })
  assert.equal(tokenRate(undefined, load(0, { a: 5 })), undefined)
  assert.equal(tokenRate(load(0, { a: 10 }), load(2000, { a: 50 })), 20)
  assert.equal(tokenRate(load(0, { a: 10, b: 1 }), load(2000, { a: 10, b: 1 })), undefined)
  // A model that was loaded anew counts from nought again.
  assert.equal(tokenRate(load(0, { a: 1000 }), load(1000, { a: 5, b: 7 })), 7)
})

test('the plan: what is learned, time, memory, reasons, and every warning', () => {
  const plan = {
    model: 'base',
    name: 'mine',
    samples: { training: 90, validation: 10 },
    notes: ['2 lines were left out'],
    stats: { tokens: 5000, targetTokens: 4000 },
    plan: {
      settings: { rate: 0.0002, mode: { type: 'lora', rank: 16 } },
      reasons: { rank: 'small data', learning_rate: 'usual for this size' },
      expected: { steps: 30, seconds: 600, basis: 'an earlier run', memoryBytes: 2 ** 30, freeBytes: 2 ** 33 },
      warnings: ['few samples'],
    },
  } as unknown as Plan
  const t = (text: string, ...values: (string | number)[]) =>
    text.replace(/\{(\d)\}/g, (_, n) => String(values[Number(n)]))
  assert.deepEqual(planLines(plan, t), {
    lines: [
      { label: 'Samples', value: '90 to learn from, 10 to check with' },
      { label: 'Tokens', value: '5000, 4000 of them learned' },
      { label: 'Time', value: 'about 10 min, 30 steps', reason: 'an earlier run' },
      { label: 'Memory', value: '1.0 GiB of 8.0 GiB free' },
      { label: 'Learning rate', value: '0.0002', reason: 'usual for this size' },
      { label: 'Rank', value: '16', reason: 'small data' },
    ],
    warnings: ['few samples', '2 lines were left out'],
  })
})
