/** Plans: the memory is the trainer's own figure, what does not fit is made smaller or refused with numbers, and time is said with its basis. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, describe, test } from 'node:test'
import { HubError } from '../../server/lib/error.ts'
import { silentLog } from '../../server/lib/log.ts'
import { readGguf } from '../../server/models/gguf.ts'
import { planJob } from '../../server/trainer/plan.ts'
import { askTrainer, type PlanDeps, planTraining } from '../../server/training/plan.ts'
import { TrainerJob, type TrainerJobInput, type TrainerPlan } from '../../server/wire/trainer.ts'
import { TrainingPlan } from '../../server/wire/training_plan.ts'
import { makeModel, TINY } from '../helpers/gguf_file.ts'
import { BASE, dataOf, FACTS } from '../helpers/training.ts'

const folder = mkdtempSync(join(tmpdir(), 'ai-hub-plan-'))
after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }))
const never = new AbortController().signal
const MIB = 2 ** 20
const DATA = dataOf({ samples: 2000, mean: 400, longest: 1000 })

/** A trainer whose need grows with rank and row, and halves its computing where layers are recomputed. */
const linear =
  (asked: TrainerJobInput[] = []): PlanDeps['memory'] =>
  async ({ job, freeBytes, shortest }): Promise<TrainerPlan> => {
    asked.push(job)
    const { mode, rowTokens, layerCheckpointing } = TrainerJob.parse(job)
    if (mode.type !== 'lora') throw new Error('adapters only')
    const weightsBytes = 800 * MIB
    const parameterBytes = mode.rank * mode.targets.length * MIB
    const need = (row: number, recomputed: boolean) =>
      weightsBytes + parameterBytes + row * (recomputed ? 0.5 : 1) * MIB
    for (const row of [rowTokens, shortest]) {
      for (const recomputed of layerCheckpointing ? [true] : [false, true]) {
        const totalBytes = need(row, recomputed)
        if (totalBytes > freeBytes) continue
        const computeBytes = totalBytes - weightsBytes - parameterBytes
        return {
          fits: true,
          rowTokens: row,
          layerCheckpointing: recomputed,
          weightsBytes,
          parameterBytes,
          computeBytes,
          totalBytes,
        }
      }
    }
    return { fits: false, needBytes: need(shortest, true), message: 'too much' }
  }

const plan = (changes: Partial<Parameters<typeof planTraining>[1]> = {}, deps: Partial<PlanDeps> = {}) =>
  planTraining(
    { memory: linear(), cores: 4, ...deps },
    { base: BASE, stats: DATA, freeBytes: 1e12, wishes: {}, ...changes },
    never,
  )

describe('a plan', () => {
  test('is a valid job with its reasons, memory, steps and time', async () => {
    const made = await plan()
    assert.deepEqual(TrainingPlan.parse(made), made)
    const job = { ...made.settings, base: 'b', tokens: 't', output: 'o' }
    assert.deepEqual(TrainerJob.parse(job).mode, made.settings.mode)
    assert.ok(made.settings.rowTokens >= DATA.longest)
    const { memory, memoryBytes, seconds, tokensPerSecond, basis, steps } = made.expected
    assert.equal(memoryBytes, memory.weightsBytes + memory.parameterBytes + memory.computeBytes)
    assert.ok(steps > 20)
    assert.match(basis, /^estimated: .* 4 cores/)
    const { epochs } = made.settings
    assert.ok(seconds > (DATA.tokens * epochs) / tokensPerSecond)
    assert.ok(seconds < (DATA.tokens * epochs) / tokensPerSecond + 60)
    assert.deepEqual(made.warnings, [])
  })

  test('time is taken from an earlier run where there was one', async () => {
    const { expected } = await plan({}, { measuredSpeed: () => 1000 })
    assert.deepEqual([expected.tokensPerSecond, expected.basis.split(':')[0]], [1000, 'measured'])
  })

  test('validation costs time, a limit of steps saves it', async () => {
    const plain = (await plan()).expected.seconds
    assert.ok((await plan({ validation: { written: 100, tokens: 40_000 } })).expected.seconds > plain)
    assert.ok((await plan({ wishes: { max_steps: 5 } })).expected.seconds < plain / 4)
  })

  test('layers are recomputed before anything is made smaller', async () => {
    const roomy = await plan()
    const freeBytes = (roomy.expected.memoryBytes - 200 * MIB) / 0.9
    const tight = await plan({ freeBytes })
    assert.equal(tight.settings.layerCheckpointing, true)
    assert.match(tight.reasons.gradient_checkpointing!, /computed twice/)
    assert.deepEqual(tight.settings.mode, roomy.settings.mode)
    assert.ok(tight.expected.memoryBytes <= freeBytes && tight.expected.seconds > roomy.expected.seconds)
  })

  test('a short memory gets a smaller rank, then fewer targets, and says so', async () => {
    const data = { ...DATA, targetTokens: 1e9 }
    const needed = (rank: number, targets: number) => ((800 + rank * targets + 500) * MIB) / 0.9 + MIB
    const smaller = await plan({ stats: data, freeBytes: needed(16, 7) })
    assert.ok(smaller.settings.mode.type === 'lora' && smaller.settings.mode.rank === 16)
    assert.match(smaller.reasons.rank!, /fits the memory/)
    assert.match(smaller.warnings.join(), /smaller than the data would want/)
    const fewer = await plan({ stats: data, freeBytes: needed(4, 4) })
    assert.ok(fewer.settings.mode.type === 'lora')
    assert.deepEqual([fewer.settings.mode.rank, fewer.settings.mode.targets.length], [4, 4])
  })

  test('what the user asked for is not made smaller but refused, with the figures and what would fit', async () => {
    const refused = (wishes: object, freeMib: number): Promise<HubError> =>
      plan({ wishes, freeBytes: (freeMib * MIB) / 0.9 }).then(
        () => assert.fail('it was expected to be refused'),
        (error: HubError) => error,
      )
    const error = await refused({ rank: 64, targets: ['attn_q'] }, 1300)
    assert.equal(error.code, 'insufficient_memory')
    assert.match(error.message, /needs at least 1364 MiB, and 1300 MiB .*set max_length to 512, which fits/)
    assert.match((await refused({}, 500)).message, /choose a smaller or a more strongly quantised base/)
  })

  test('shorter rows keep the batch', async () => {
    const stats = dataOf({ samples: 5000, mean: 400, longest: 500 })
    const roomy = await plan({ stats, wishes: { max_length: 8192, batch_size: 16 } })
    // Not even recomputing lets long rows fit.
    const tight = await plan({
      stats,
      wishes: { max_length: 8192, batch_size: 16, rank: 8 },
      freeBytes: ((800 + 56 + 600) * MIB) / 0.9,
    })
    assert.ok(tight.settings.rowTokens < roomy.settings.rowTokens)
    const tokens = ({ settings }: TrainingPlan) => settings.rowTokens * settings.rowsPerStep
    assert.ok(Math.abs(tokens(tight) / tokens(roomy) - 1) < 0.2, `${tokens(tight)} and ${tokens(roomy)}`)
    assert.match(tight.warnings.join(), /longer ones do not fit/)
  })

  test('preferences and an adapter that is gone on from', async () => {
    const pairs = await plan({ stats: dataOf({ samples: 300, mean: 200, kind: 'preferences' }), wishes: { beta: 0.3 } })
    assert.deepEqual(pairs.settings.loss, { type: 'preference', beta: 0.3 })
    const continued = await plan({ continueFrom: '/a.gguf', wishes: { rank: 8 } })
    assert.ok(continued.settings.mode.type === 'lora' && continued.settings.mode.continueFrom === '/a.gguf')
  })

  test('a broken base is refused by its reason', async () => {
    const { facts: _facts, ...broken } = BASE
    await assert.rejects(plan({ base: { ...broken, reason: 'it is cut off' } }), {
      code: 'model_broken',
      message: /it is cut off/,
    })
  })
})

describe("the trainer's own figure", () => {
  const path = join(folder, 'tiny.gguf')
  makeModel(path, { ...TINY, context: 2048 })
  const job = (rank: number, rowTokens: number): TrainerJobInput => ({
    base: path,
    tokens: 'tokens',
    output: 'output',
    mode: { type: 'lora', rank },
    rowTokens,
    layerCheckpointing: true,
  })
  const need = (rank: number, rowTokens: number) => {
    const figure = planJob(job(rank, rowTokens), 1e12, rowTokens)
    assert.ok(figure.fits)
    assert.equal(figure.totalBytes, figure.weightsBytes + figure.parameterBytes + figure.computeBytes)
    return figure.totalBytes
  }

  test('grows with the rank and with the length of a row', () => {
    const byRank = [1, 4, 16, 64].map(rank => need(rank, 256))
    const byLength = [64, 256, 512, 1024].map(length => need(4, length))
    for (const figures of [byRank, byLength]) {
      for (const [index, figure] of figures.entries()) assert.ok(index === 0 || figure > figures[index - 1]!)
    }
  })

  test('says what is the least where nothing fits', () => {
    const figure = planJob(job(4, 1024), 1000, 512)
    assert.ok(!figure.fits)
    assert.ok(figure.needBytes <= need(4, 512) && figure.needBytes > 1000)
    const fitting = planJob(job(4, 1024), figure.needBytes, 512)
    assert.deepEqual(fitting.fits && fitting.rowTokens, 512)
  })

  test('comes from the program, in words where the base is none', async context => {
    const trainer = askTrainer({
      script: resolve(import.meta.dirname, '../../server/trainer/main.ts'),
      log: silentLog,
    })
    context.after(() => trainer.close())
    const question = { job: job(4, 256), freeBytes: 1e12, shortest: 256 }
    assert.deepEqual(await trainer.memory(question, never), planJob(job(4, 256), 1e12, 256))
    await assert.rejects(
      trainer.memory({ ...question, job: { ...question.job, base: join(folder, 'none.gguf') } }, never),
      HubError,
    )
    await assert.rejects(trainer.memory(question, AbortSignal.abort()), { code: 'cancelled' })
    const made = await planTraining(
      { memory: trainer.memory, cores: 1 },
      {
        base: { ...BASE, files: [path], facts: { ...FACTS, ...(await readGguf(path)) } },
        stats: dataOf({ samples: 50, mean: 40, longest: 100 }),
        freeBytes: 1e9,
        wishes: {},
      },
      never,
    )
    assert.ok(made.expected.memoryBytes > 1000 && made.expected.memoryBytes < 1e9)
  })
})
