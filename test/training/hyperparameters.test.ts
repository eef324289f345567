/** Hyperparameters: what is chosen for models and data of all sizes, that wishes are kept, and that every choice has its reason. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { fromZodError } from '../../server/http/error.ts'
import {
  chooseHyperparameters,
  type Data,
  numbersPerRank,
  rateFor,
  rowsOf,
  stepsOf,
} from '../../server/training/hyperparameters.ts'
import { LoraTarget } from '../../server/wire/trainer.ts'
import { Hyperparameters } from '../../server/wire/training_plan.ts'
import { dataOf, FACTS } from '../helpers/training.ts'

const NONE = { validation: false, continued: false }
const choose = (data: Data, wishes: Partial<Hyperparameters> = {}, options = NONE) =>
  chooseHyperparameters(FACTS, data, wishes, options)

describe('hyperparameters', () => {
  test('samples that are alike fill a row only with whole ones, which counts for the steps', () => {
    const alike = dataOf({ samples: 53, mean: 39, longest: 40 })
    assert.equal(stepsOf(alike, { row_tokens: 64, rows_per_step: 1, epochs: 3 }), 3 * 53)
    const mixed = dataOf({ samples: 53, mean: 39, longest: 64 })
    assert.ok(stepsOf(mixed, { row_tokens: 64, rows_per_step: 1, epochs: 3 }) < 3 * 40)
  })

  test('a wish of the wrong type or size is told in words', () => {
    const messageOf = (wish: object) => fromZodError(Hyperparameters.safeParse(wish).error!, 'config').message
    assert.equal(messageOf({ epochs: 'x' }), `Invalid 'config.epochs': expected "auto" or a number`)
    assert.match(messageOf({ epochs: 0 }), /expected number to be >0/)
    assert.equal(messageOf({ rslora: 3 }), `Invalid 'config.rslora': expected "auto" or true or false`)
  })

  test('fewer samples are gone through more often, in smaller batches', () => {
    const small = choose(dataOf({ samples: 30, mean: 200 })).values
    const middle = choose(dataOf({ samples: 1000, mean: 200 })).values
    const large = choose(dataOf({ samples: 50_000, mean: 200 })).values
    assert.deepEqual([small.epochs, middle.epochs, large.epochs], [10, 3, 1])
    assert.ok(small.batch_size < middle.batch_size && middle.batch_size <= large.batch_size)
    assert.ok(small.dropout > 0 && large.dropout === 0)
  })

  test('more to learn gets a higher rank, within bounds', () => {
    const ranks = [10, 1000, 10_000, 1e6].map(samples => choose(dataOf({ samples, mean: 500 })).values.rank)
    assert.deepEqual(
      ranks,
      [...ranks].sort((a, b) => a - b),
    )
    assert.deepEqual([ranks[0], ranks.at(-1)], [8, 64])
  })

  test('wider models get smaller rates, and preferences far smaller ones', () => {
    assert.ok(rateFor(896) > rateFor(2048) && rateFor(2048) > rateFor(4096))
    assert.ok(rateFor(2048) > 1e-4 && rateFor(2048) < 1e-3)
    const samples = choose(dataOf({ samples: 500, mean: 200 })).values
    const pairs = choose(dataOf({ samples: 500, mean: 200, kind: 'preferences' })).values
    assert.ok(pairs.learning_rate < samples.learning_rate / 10)
    assert.equal(pairs.epochs, 1)
    const continued = choose(dataOf({ samples: 500, mean: 200 }), {}, { validation: false, continued: true }).values
    assert.ok(Math.abs(continued.learning_rate - samples.learning_rate / 2) < samples.learning_rate * 0.01)
  })

  test('a multiplier multiplies the rate that would be chosen', () => {
    const data = dataOf({ samples: 500, mean: 200 })
    const plain = choose(data).values.learning_rate
    const twice = choose(data, { learning_rate_multiplier: 2 })
    assert.ok(Math.abs(twice.values.learning_rate / plain - 2) < 0.02)
    assert.match(twice.reasons.learning_rate!, /times 2, as asked/)
  })

  test('wishes are kept and said to be so; auto is no wish', () => {
    const wishes = Hyperparameters.parse({
      epochs: 7,
      batch_size: 3,
      learning_rate: 1e-3,
      rank: 5,
      alpha: 11,
      targets: ['attn_q'],
      dropout: 0.2,
      max_length: 1000,
      warmup_ratio: 0.5,
      schedule: 'linear',
      weight_decay: 0.1,
      patience: 9,
      eval_interval: 17,
      save_interval: 19,
      max_steps: 40,
      seed: 23,
      beta: 'auto',
    })
    const { values, reasons } = choose(dataOf({ samples: 500, mean: 200, longest: 900 }), wishes)
    const { beta: _beta, ...kept } = wishes
    for (const [name, value] of Object.entries(kept)) {
      assert.deepEqual(values[name as keyof typeof values], value, name)
      if (name !== 'max_steps') assert.equal(reasons[name], 'as asked', name)
    }
    assert.equal(values.steps, 40)
    assert.equal(values.beta, 0.1)
  })

  test('every value has a reason, whatever the data', () => {
    const data = fc
      .record({
        samples: fc.integer({ min: 1, max: 1_000_000 }),
        mean: fc.integer({ min: 4, max: 3000 }),
        factor: fc.double({ min: 1, max: 4, noNaN: true }),
        kind: fc.constantFrom('samples' as const, 'preferences' as const),
      })
      .map(({ samples, mean, factor, kind }) => dataOf({ samples, mean, longest: Math.ceil(mean * factor), kind }))
    fc.assert(
      fc.property(data, data => {
        const { values, reasons } = choose(data)
        for (const name of Object.keys(values)) {
          if (['row_tokens', 'rows_per_step', 'steps'].includes(name)) continue
          if (name === 'beta' && data.kind === 'samples') continue
          assert.ok((reasons[name] ?? '').length > 8, name)
        }
        assert.ok(values.row_tokens >= data.longest && values.row_tokens <= FACTS.context_length)
        assert.ok(values.rows_per_step >= 1 && values.steps >= 1)
        assert.ok(values.eval_interval <= Math.max(1, values.steps))
        // What was chosen is valid as a wish.
        const { row_tokens: _r, rows_per_step: _p, steps: _s, ...names } = values
        assert.deepEqual(Hyperparameters.parse(names), names)
      }),
      { numRuns: 200, seed: 2 },
    )
  })

  test('the batch asked for is nearly what a step takes, where samples are not much shorter than rows', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 64 }), fc.integer({ min: 100, max: 2000 }), (batch, mean) => {
        const data = dataOf({ samples: 10_000, mean, longest: mean * 2 })
        const { row_tokens, rows_per_step } = rowsOf(data, batch, 4096)
        const taken = (row_tokens * 0.95 * rows_per_step) / mean
        assert.ok(row_tokens >= data.longest)
        assert.ok(taken > batch * 0.6 && taken < Math.max(batch * 1.5, 2.1 + 64 / mean), `${taken} of ${batch}`)
      }),
      { numRuns: 200, seed: 4 },
    )
  })

  test('steps follow from rows, epochs and the limit', () => {
    const data = dataOf({ samples: 100, mean: 95 })
    assert.equal(stepsOf(data, { row_tokens: 1000, rows_per_step: 1, epochs: 2 }), 20)
    assert.equal(stepsOf(data, { row_tokens: 1000, rows_per_step: 5, epochs: 2 }), 4)
    assert.equal(stepsOf(data, { row_tokens: 1000, rows_per_step: 1, epochs: 2, max_steps: 7 }), 7)
    const pairs = dataOf({ samples: 100, mean: 95, kind: 'preferences' })
    assert.equal(stepsOf(pairs, { row_tokens: 1000, rows_per_step: 8, epochs: 1 }), 13)
  })

  test('lengths that cannot be are refused by name', () => {
    const param = 'max_length'
    const data = dataOf({ samples: 10, mean: 100, longest: 500 })
    assert.throws(() => choose(data, { max_length: 400 }), { code: 'invalid_request', param, message: /500 tokens/ })
    assert.throws(() => choose(data, { max_length: FACTS.context_length + 1 }), { code: 'invalid_request', param })
  })

  test('the numbers of a rank are those of the shapes', () => {
    // Qwen2.5-0.5B: 24 layers, 896 wide, 14 heads of 64, 2 for keys and values, 4864 in the feed-forward.
    const qwen = {
      ...FACTS,
      embedding_size: 896,
      layers: 24,
      heads: 14,
      kv_heads: 2,
      vocabulary_size: 151_936,
      parameters: 494e6,
    }
    const exact = 24 * (2 * 896 + 2 * (896 + 128) + 2 * 896 + 3 * (896 + 4864))
    assert.ok(Math.abs(numbersPerRank(qwen, LoraTarget.options) / exact - 1) < 0.02)
    assert.equal(numbersPerRank(qwen, ['attn_q']), 24 * 2 * 896)
  })

  test('hardly any steps are warned of', () => {
    assert.match(choose(dataOf({ samples: 2, mean: 50 })).warnings.join(), /Only \d+ steps/)
    assert.deepEqual(choose(dataOf({ samples: 5000, mean: 200 })).warnings, [])
  })
})
