/** Successive halving: it finds the best of a landscape with fewer steps than trying all, and survives trials that fail. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Job } from '../../server/training/job_state.ts'
import {
  candidatesAround,
  search,
  searchPlot,
  searchSteps,
  searchSvg,
  searchTable,
  type TrialSettings,
} from '../../server/training/search.ts'
import { searchSettings } from '../../server/training/search_job.ts'
import type { TrainerJobInput, TrainerResult } from '../../server/wire/trainer.ts'
import type { TrainingRequest } from '../../server/wire/training.ts'
import { plan, STATS } from '../helpers/job_queue.ts'

const never = new AbortController().signal
const CANDIDATES = candidatesAround({ learning_rate: 3e-4, rank: 16 }, { mostRank: 64 })

/** A bowl over the logarithms of rate and rank, that more steps go down in. */
const landscape =
  (best: { rate: number; rank: number }, noise = 0) =>
  async ({ learning_rate, rank }: TrialSettings, steps: number) => {
    const away =
      Math.log10(learning_rate / best.rate) ** 2 +
      0.3 * Math.log2(rank / best.rank) ** 2 +
      noise * Math.sin(rank * learning_rate * 1e5)
    return { validationLoss: 1 + away + 5 / steps, seconds: steps / 10 }
  }

test('the candidates lie around the chosen settings', () => {
  assert.equal(CANDIDATES.length, 15)
  assert.ok(CANDIDATES.some(({ learning_rate, rank }) => learning_rate === 3e-4 && rank === 16))
  assert.deepEqual([...new Set(CANDIDATES.map(({ rank }) => rank))], [4, 16, 64])
  assert.deepEqual(
    [...new Set(candidatesAround({ learning_rate: 1e-3, rank: 2 }, { mostRank: 4 }).map(({ rank }) => rank))],
    [1, 2],
  )
})

test('the best of any smooth landscape is found', async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(CANDIDATES.length - 1), fc.constantFrom(2, 3, 4), async (index, factor) => {
      const wanted = CANDIDATES[index]!
      const { best, trials } = await search(
        landscape({ rate: wanted.learning_rate, rank: wanted.rank }),
        { candidates: CANDIDATES, firstSteps: 10, factor },
        never,
      )
      assert.deepEqual(best, wanted)
      assert.deepEqual(trials[0]!.settings, wanted)
    }),
    { numRuns: 40, seed: 5 },
  )
})

test('rounds get fewer trials and more steps, far fewer steps than all trials in full', async () => {
  const options = { candidates: CANDIDATES, firstSteps: 10, factor: 3 }
  const places: string[] = []
  const result = await search(
    landscape({ rate: 3e-4, rank: 16 }),
    { ...options, onTrial: (_, { round, of, steps }) => places.push(`${round}: ${of} of ${steps}`) },
    never,
  )
  assert.deepEqual([...new Set(places)], ['1: 15 of 10', '2: 5 of 30', '3: 1 of 90'])
  assert.equal(result.steps, searchSteps(options))
  assert.ok(result.steps < CANDIDATES.length * 90 * 0.4)
  assert.deepEqual(
    result.trials[0]!.rounds.map(({ steps }) => steps),
    [10, 30, 90],
  )
})

test('a trial that fails or diverges is out, and says why', async () => {
  const good = landscape({ rate: 3e-4, rank: 16 })
  const result = await search(
    async (settings, steps) => {
      if (settings.learning_rate > 1e-3) return { validationLoss: Number.NaN }
      if (settings.rank === 64) throw new Error('no memory for this rank')
      return good(settings, steps)
    },
    { candidates: CANDIDATES, firstSteps: 10 },
    never,
  )
  assert.deepEqual(result.best, { learning_rate: 3e-4, rank: 16 })
  const table = searchTable(result)
  assert.match(table, /no memory for this rank/)
  assert.match(table, /the loss was not finite/)
})

test('when the last round fails, the best of the round before stands', async () => {
  const good = landscape({ rate: 3e-4, rank: 16 })
  const { best } = await search(
    async (settings, steps) => {
      if (steps > 30) throw new Error('disk full')
      return good(settings, steps)
    },
    { candidates: CANDIDATES, firstSteps: 10 },
    never,
  )
  assert.deepEqual(best, { learning_rate: 3e-4, rank: 16 })
})

test('all trials failing and cancelling end the search with their reason', async () => {
  const options = { candidates: CANDIDATES.slice(0, 4), firstSteps: 5 }
  await assert.rejects(
    search(() => Promise.reject(new Error('no memory')), options, never),
    /no memory/,
  )
  const control = new AbortController()
  let runs = 0
  const cancelled = search(
    async () => {
      if (++runs === 3) control.abort()
      return { validationLoss: 1 }
    },
    options,
    control.signal,
  )
  await assert.rejects(cancelled, { name: 'AbortError' })
  assert.equal(runs, 3)
})

test('the table and both plots show the trials', async () => {
  const result = await search(landscape({ rate: 1e-3, rank: 4 }), { candidates: CANDIDATES, firstSteps: 10 }, never)
  const lines = searchTable(result).split('\n')
  assert.equal(lines.length, CANDIDATES.length + 1)
  assert.match(lines[0]!, /trial {2}learning rate {2}rank {2}steps {2}validation loss/)
  assert.match(lines[1]!, /9\.00e-4 +4 +90/)
  assert.match(searchPlot(result, { width: 70, height: 16 }), /━ rank 4 {2}━ rank 16 {2}━ rank 64$/)
  const svg = searchSvg(result)
  assert.equal((svg.match(/<circle/g) ?? []).length, CANDIDATES.length)
  assert.ok(svg.startsWith('<svg') && svg.endsWith('</svg>\n'))
})

test('a trial of a job has its steps, also where the run itself is shorter', async context => {
  const folder = mkdtempSync(join(tmpdir(), 'hub-search-'))
  context.after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }))
  const planned = plan(5)
  const request = { search: { first_steps: 50, train: false } } as TrainingRequest
  const state: Job['state'] = { lostSteps: 0, restarts: 0, crashes: 0, plan: planned, validationStats: STATS }
  const asked: TrainerJobInput[] = []
  await searchSettings(
    {
      run: async job => {
        asked.push(job)
        return { type: 'finished', bestValidationLoss: 1 } as unknown as TrainerResult
      },
      trainerJob: { ...planned.settings, base: 'base', tokens: 'tokens', output: 'output' },
      save: () => undefined,
      say: () => undefined,
    },
    { id: 'x', createdMs: 0, status: 'running', request, state },
    folder,
    never,
  )
  assert.deepEqual([...new Set(asked.map(job => job.maxSteps))], [50, 150, 450])
  // An epoch has at least one step.
  assert.ok(asked.every(job => job.epochs! >= job.maxSteps!))
})
