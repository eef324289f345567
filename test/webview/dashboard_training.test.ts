/** What the training tabs work out by themselves: curves out of events, figures in words, requests out of forms. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { TrainingEventOut, TrainingJobOut } from '../../server/wire/training.ts'
import type { Bridge } from '../../webview/bridge.ts'
import {
  alignSeries,
  joinPoints,
  type Point,
  pointOf,
  seriesOf,
  smooth,
  someSteps,
  summarise,
} from '../../webview/dashboard/training/curve.ts'
import { duration, figure, percent, signed } from '../../webview/dashboard/training/figures.ts'
import { createTraining } from '../../webview/dashboard/training/training.ts'
import { en } from '../../webview/dashboard/training/words_en.ts'
import { vi } from '../../webview/dashboard/training/words_vi.ts'
import { HubFailure } from '../../webview/failure.ts'
import { sizeText } from '../../webview/texts.ts'

const event = (number: number, changes: Partial<TrainingEventOut> = {}): TrainingEventOut => ({
  id: `ftevent-a-${number}`,
  created_at: 0,
  level: 'info',
  type: 'message',
  message: `line ${number}`,
  ...changes,
})
const job = (id: string, created_at: number, status: TrainingJobOut['status'] = 'running'): TrainingJobOut => ({
  object: 'training.job',
  id,
  model: 'tiny',
  name: id,
  status,
  priority: 0,
  created_at,
  result_model: null,
  error: null,
  lost_steps: 0,
  restarts: 0,
  data: { type: 'dataset', name: 'sums' },
})

test('a line of figures becomes a point, any other line none', () => {
  const data = { step: 3, train_loss: 1.5, learning_rate: 1e-4 }
  assert.deepEqual(pointOf(event(1, { type: 'metrics', data })), { step: 3, loss: 1.5, learning_rate: 1e-4 })
  assert.deepEqual(pointOf(event(2, { type: 'metrics', data: { step: 4, valid_loss: 2 } })), {
    step: 4,
    validation_loss: 2,
  })
  assert.equal(pointOf(event(3)), undefined)
  assert.equal(pointOf(event(4, { type: 'metrics', data: { train_loss: 1 } })), undefined)
})

test('points are joined in the order of their steps, whatever the order they come in', () => {
  const step = fc.integer({ min: 0, max: 30 })
  const point = fc.record({ step, loss: fc.double({ noNaN: true }) })
  fc.assert(
    fc.property(fc.array(fc.array(point, { maxLength: 4 }), { maxLength: 8 }), batches => {
      let joined: Point[] = []
      for (const batch of batches) joined = joinPoints(joined, batch)
      const last = new Map(batches.flat().map(each => [each.step, each.loss]))
      assert.deepEqual(
        joined.map(each => [each.step, each.loss]),
        [...last].sort(([a], [b]) => a - b),
      )
    }),
    { seed: 3 },
  )
})

test('what is measured at some steps only is aligned, summed up, smoothed and thinned out', () => {
  const points: Point[] = [
    { step: 1, loss: 4 },
    { step: 2, loss: 2, validation_loss: 3 },
    { step: 4, loss: 3 },
  ]
  const loss = seriesOf(points, 'loss')
  assert.deepEqual(alignSeries([loss, seriesOf(points, 'validation_loss')]), [
    [1, 2, 4],
    [4, 2, 3],
    [null, 3, null],
  ])
  assert.deepEqual(summarise(loss), { first: 4, last: 3, least: 2, leastStep: 2, lastStep: 4 })
  assert.equal(summarise({ steps: [], values: [] }), undefined)
  assert.deepEqual(smooth(loss, 1).values, [3, 3, 2.5])
  assert.deepEqual(smooth(loss, 0.1), loss)
  assert.deepEqual(someSteps([...Array(101).keys()], 5), [0, 25, 50, 75, 100])
  assert.deepEqual(someSteps([1, 2], 5), [1, 2])
})

test('figures are short and keep what counts', () => {
  assert.deepEqual(
    [0, 0.00012, 0.5, 2.3456, 12345.6].map(value => figure(value, 'en')),
    ['0', '1.2e-4', '0.5', '2.35', '12,350'],
  )
  assert.equal(figure(1234.5, 'vi'), '1.235')
  assert.equal(figure(Number.NaN, 'en'), '–')
  assert.deepEqual([signed(-0.5, 'en'), signed(0.5, 'en'), signed(0, 'en')], ['−0.5', '+0.5', '0'])
  assert.deepEqual([percent(0.0001, 'en'), percent(0.256, 'vi')], ['<0.1%', '25,6%'])
  assert.deepEqual([8, 60, 250, 3600, 11_520].map(duration), ['8 s', '1 min', '4 min 10 s', '1 h', '3 h 12 min'])
})

test('every word is there in Vietnamese as well, and is another one where it has more than a name', () => {
  const leaves = (value: unknown, path: string): [string, unknown][] =>
    typeof value === 'object' && value !== null
      ? Object.entries(value).flatMap(([key, inner]) => leaves(inner, `${path}.${key}`))
      : [[path, value]]
  const vietnamese = new Map(leaves(vi, ''))
  const english = leaves(en, '')
  assert.deepEqual([...vietnamese.keys()].sort(), english.map(([path]) => path).sort())
  const same = english.filter(
    ([path, text]) => typeof text === 'string' && / /.test(text) && vietnamese.get(path) === text,
  )
  assert.deepEqual(same, [])
})

test('events keep jobs, curve and log up to date; what was read meanwhile is there once', async context => {
  context.mock.timers.enable({ apis: ['setTimeout'] })
  const answers: { [path: string]: unknown } = {
    '/v1/training/status': { data: [job('a', 1)], has_more: false },
    '/v1/training/status/a/curve': { points: [{ step: 1, loss: 3 }] },
    '/v1/training/status/a/log': { data: [event(1), event(2)] },
  }
  const request = async (_method: string, path: string): Promise<unknown> => answers[path]
  const training = createTraining({ request } as unknown as Bridge)
  await training.read('jobs')
  const reading = Promise.all([training.readCurve('a'), training.readLog('a')])
  training.hear({ type: 'training.message', id: 'a', event: event(2) })
  training.hear({ type: 'training.message', id: 'a', event: event(3) })
  const data = { step: 2, train_loss: 2 }
  training.hear({ type: 'training.message', id: 'a', event: event(4, { type: 'metrics', data }) })
  training.hear({ type: 'training.job', job: job('b', 2, 'queued') })
  training.hear({ type: 'training.job', job: job('a', 1, 'paused') })
  context.mock.timers.tick(1000)
  await reading
  const { jobs, curves, logs } = training.store.get()
  assert.deepEqual(
    jobs?.map(({ id, status }) => [id, status]),
    [
      ['b', 'queued'],
      ['a', 'paused'],
    ],
  )
  assert.deepEqual(curves.a, [
    { step: 1, loss: 3 },
    { step: 2, loss: 2 },
  ])
  assert.deepEqual(
    logs.a?.map(({ message }) => message),
    ['line 1', 'line 2', 'line 3'],
  )
})

test('a list that was asked for while the hub was away is read when it is back', async () => {
  let isAway = true
  const request = async (): Promise<unknown> => {
    if (isAway) throw new HubFailure('unreachable', 'away')
    return { data: [job('a', 1)], has_more: false }
  }
  const training = createTraining({ request } as unknown as Bridge)
  await training.read('jobs')
  assert.equal(training.store.get().jobs, undefined)
  isAway = false
  const { promise, resolve } = Promise.withResolvers<void>()
  training.store.subscribe(resolve)
  training.again()
  await promise
  const { jobs, datasets } = training.store.get()
  assert.deepEqual([jobs?.length, datasets], [1, undefined])
})

test('figures are written as the language has them', () => {
  assert.deepEqual(
    ['en', 'vi'].map(language => [figure(2.5e-4, language), percent(0.0005, language), sizeText(1.26e9, language)]),
    [
      ['2.5e-4', '<0.1%', '1.3 GB'],
      ['2,5e-4', '<0,1%', '1,3 GB'],
    ],
  )
})
