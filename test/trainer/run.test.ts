/** The loop on a model of one matrix: learning, validation, early stop, exact resume, pause, cancel and the guards. */
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { HubError } from '../../server/lib/error.ts'
import { readCheckpoint } from '../../server/trainer/checkpoint.ts'
import { Control } from '../../server/trainer/control.ts'
import { type Sequence, writeTokenFile } from '../../server/trainer/data.ts'
import type { Fit } from '../../server/trainer/fit.ts'
import { parseJob } from '../../server/trainer/job.ts'
import { randomAt } from '../../server/trainer/random.ts'
import { type Outcome, train } from '../../server/trainer/run.ts'
import { describe } from '../../server/trainer/say.ts'
import type { FromTrainer, TrainerJobInput } from '../../server/wire/trainer.ts'
import { makeModel, TINY } from '../helpers/gguf_file.ts'
import { type LinearModel, type LinearOptions, linearModel } from '../helpers/linear_trainer.ts'

const folder = mkdtempSync(join(tmpdir(), 'trainer-run-'))
after(() => rmSync(folder, { recursive: true, force: true }))
const SIZE = 12
makeModel(join(folder, 'base.gguf'), TINY)

/** Walks in a ring with a few wrong turns: enough to learn, not enough to know by heart at once. */
function walks(count: number, seed: number): Sequence[] {
  const random = randomAt(seed)
  return Array.from({ length: count }, () => {
    let at = Math.floor(random() * SIZE)
    const tokens = Int32Array.from({ length: 4 + Math.floor(random() * 8) }, () => {
      at = random() < 0.9 ? (at + 1) % SIZE : Math.floor(random() * SIZE)
      return at
    })
    return { tokens, weights: Float32Array.from(tokens, (_, i) => (i === 0 ? 0 : 1)) }
  })
}
writeTokenFile(join(folder, 'walks.bin'), { kind: 'samples', vocabularySize: SIZE, sequences: walks(40, 1) })
writeTokenFile(join(folder, 'unseen.bin'), { kind: 'samples', vocabularySize: SIZE, sequences: walks(10, 2) })
writeTokenFile(join(folder, 'pairs.bin'), { kind: 'preferences', vocabularySize: SIZE, sequences: walks(40, 3) })

const JOB: TrainerJobInput = {
  base: 'base.gguf',
  tokens: 'walks.bin',
  validation: 'unseen.bin',
  output: 'adapter.gguf',
  rowTokens: 32,
  rowsPerStep: 2,
  epochs: 4,
  rate: 0.05,
  validateEverySteps: 3,
  checkpointEverySteps: 2,
}
let runs = 0

type Played = { outcome?: Outcome; error?: HubError; events: FromTrainer[]; models: LinearModel[]; control: Control }

/** @param watch sees each message at once, and may steer */
async function play(
  changed: { [K in keyof TrainerJobInput]?: TrainerJobInput[K] | undefined } = {},
  options: {
    model?: Partial<LinearOptions>
    watch?: (message: FromTrainer, played: Played) => void
    off?: number
    fit?: Fit
  } = {},
): Promise<Played> {
  const control = new Control()
  const played: Played = { events: [], models: [], control }
  const job = parseJob({ ...JOB, ...changed }, folder)
  let now = 0
  const open = () => linearModel({ vocabularySize: SIZE, contextLength: 64, seed: job.seed, ...options.model })
  try {
    played.outcome = await train(job, {
      async openModel() {
        played.models.push(open())
        return played.models.at(-1)!
      },
      async referenceLogits({ tokens }) {
        const n = tokens.length
        const row = { tokens, positions: tokens, segments: new Int32Array(n), weights: new Float32Array(n) }
        return (await open().logits(row)).map(logit => logit * (1 + (options.off ?? 0)))
      },
      fit: options.fit ?? (({ buckets, checkpoint }) => ({ buckets, checkpoint })),
      emit(message) {
        played.events.push(message)
        options.watch?.(message, played)
      },
      stands: () => undefined,
      // A clock that ticks a tenth of a second at each look.
      nowMs: () => (now += 100),
      control,
      threads: 1,
    })
  } catch (error) {
    assert.ok(error instanceof HubError, String(error instanceof Error ? error.stack : error))
    played.error = error
  }
  assert.ok(played.models.every(model => model.freed))
  return played
}

const all = <T extends FromTrainer['type']>(played: Played, type: T) =>
  played.events.filter((event): event is Extract<FromTrainer, { type: T }> => event.type === type)
const bytes = (name: string): Buffer => readFileSync(join(folder, name))
const output = (): { output: string } => ({ output: `adapter${++runs}.gguf` })

test('a run learns, validates when it should, tells its progress and leaves an adapter', async () => {
  const before = bytes('base.gguf')
  const to = output()
  const played = await play(to)
  const started = all(played, 'started')[0]!
  const progress = all(played, 'progress')
  assert.equal(started.samples, 40)
  assert.equal(started.validationSamples, 10)
  assert.equal(progress.length, started.totalSteps)
  assert.deepEqual(
    progress.map(({ step }) => step),
    Array.from(progress, (_, i) => i + 1),
  )
  const dueAt = progress.map(({ step }) => step).filter(step => step % 3 === 0 || step === started.totalSteps)
  assert.deepEqual(
    all(played, 'validation').map(({ step }) => step),
    dueAt,
  )
  const [first, last] = [all(played, 'validation')[0]!, all(played, 'validation').at(-1)!]
  assert.ok(last.loss < first.loss * 0.8, `${first.loss} -> ${last.loss}`)
  const end = progress.at(-1)!
  assert.equal(end.epoch, 4)
  assert.equal(end.leftS, 0)
  assert.equal(end.validationLoss, last.loss)
  assert.ok(end.tokensPerSecond > 0 && end.rssBytes > 0 && end.gradientNorm > 0)
  assert.equal(played.outcome?.type === 'finished' && played.outcome.result.reason, 'complete')
  assert.ok(existsSync(join(folder, to.output)))
  assert.equal(existsSync(join(folder, `${to.output}.checkpoint`)), false)
  assert.deepEqual(bytes('base.gguf'), before)
})

test('the same seed gives the same adapter, another seed another one', async () => {
  const outputs = [output(), output(), output()]
  for (const [i, seed] of [5, 5, 6].entries()) await play({ ...outputs[i]!, seed })
  const [a, b, c] = outputs.map(({ output: name }) => readTensorBytes(name))
  assert.deepEqual(a, b)
  assert.notDeepEqual(a, c)
})

/** Without the header, which holds the name of the file. */
const readTensorBytes = (name: string): Buffer => bytes(name).subarray(-SIZE * SIZE * 4)

test('however the rows are cut into micro-batches, a step weighs each target the same', async () => {
  // One row of everything, against many rows: the same mean over all targets.
  const whole = await play({ ...output(), rowTokens: 64, rowsPerStep: 100, maxSteps: 1 })
  const cut = await play({ ...output(), rowTokens: 12, rowsPerStep: 100, maxSteps: 1 })
  const [a, b] = [all(whole, 'progress')[0]!, all(cut, 'progress')[0]!]
  assert.ok(cut.models[0]!.accumulations > 2 * whole.models[0]!.accumulations)
  assert.ok(Math.abs(a.loss - b.loss) < 1e-6)
  assert.ok(Math.abs(a.gradientNorm - b.gradientNorm) < 1e-6)
})

test('a run that was cut off anywhere and resumed gives the adapter of an unbroken one', async () => {
  const unbroken = output()
  const { models } = await play(unbroken)
  const accumulations = models[0]!.accumulations
  for (let stop = 1; stop <= accumulations; stop += 3) {
    const to = output()
    // As a crash would: nothing is saved but what was saved already.
    const crash = (count: number) => {
      if (count === stop) throw new HubError('worker_crashed', 'the device was lost')
      return undefined
    }
    const broken = await play(to, { model: { onAccumulate: crash } })
    assert.equal(broken.error?.message, 'the device was lost')
    const resumed = await play(to)
    const saved = all(broken, 'checkpoint').at(-1)?.step ?? 0
    assert.equal(all(resumed, 'started')[0]!.resumedStep, saved)
    assert.deepEqual(readTensorBytes(to.output), readTensorBytes(unbroken.output), `stopped at ${stop}`)
  }
})

test('cancel and pause between any two rows lose nothing', async () => {
  const unbroken = output()
  await play(unbroken)
  for (let stop = 1; stop <= 14; stop++) {
    for (const how of ['cancel', 'pause'] as const) {
      const to = output()
      const holder: { control?: Control } = {}
      let asked = false
      const onAccumulate = (count: number) => {
        if (count === stop && !asked) {
          asked = true
          holder.control?.[how]()
        }
        return undefined
      }
      const played = await play(to, {
        model: { onAccumulate },
        watch(message, { control, models }) {
          holder.control = control
          if (message.type !== 'paused') return
          assert.ok(models[0]!.freed, 'a pause frees the device')
          control.resume()
        },
      })
      if (how === 'cancel') {
        assert.equal(played.outcome?.type, 'cancelled')
        assert.equal(existsSync(join(folder, to.output)), false)
        await play(to)
      } else {
        assert.equal(all(played, 'resumed').length, 1)
        assert.equal(played.models.length, 2)
      }
      assert.deepEqual(readTensorBytes(to.output), readTensorBytes(unbroken.output), `${how} at ${stop}`)
    }
  }
})

test('cancel and pause are looked at in the midst of a validation, which is then done anew', async () => {
  const unbroken = output()
  const whole = await play(unbroken)
  const evaluations = whole.models[0]!.evaluations
  const each = evaluations / all(whole, 'validation').length
  assert.ok(each >= 3, 'a validation has several rows')
  for (const stop of [2, each + 2, evaluations - 1]) {
    for (const how of ['cancel', 'pause'] as const) {
      const to = output()
      const holder: { control?: Control } = {}
      let asked = false
      const onEvaluate = (count: number) => {
        if (count === stop && !asked) {
          asked = true
          holder.control?.[how]()
        }
        return undefined
      }
      const played = await play(to, {
        model: { onEvaluate },
        watch(message, { control }) {
          holder.control = control
          if (message.type === 'paused') control.resume()
        },
      })
      if (how === 'cancel') {
        assert.equal(played.outcome?.type, 'cancelled')
        assert.equal(played.models[0]!.evaluations, stop, 'not a row more was evaluated')
      }
      const rest = how === 'cancel' ? await play(to) : undefined
      const told = [...all(played, 'validation'), ...(rest ? all(rest, 'validation') : [])]
      assert.deepEqual(told, all(whole, 'validation'))
      assert.deepEqual(readTensorBytes(to.output), readTensorBytes(unbroken.output), `${how} at ${stop}`)
    }
  }
})

test('a validation that is not finite is told, counts as none better, and outlives a checkpoint', async () => {
  const to = output()
  const played = await play(to, {
    // The second of the validations.
    model: { onEvaluate: count => (count === 6 ? 'nan' : undefined) },
    watch: (message, { control }) => void (message.type === 'progress' && message.step === 7 && control.cancel()),
  })
  assert.deepEqual(
    all(played, 'unvalidated').map(({ what }) => what),
    ['the validation loss is NaN'],
  )
  const lines = [...played.events, ...(await play(to)).events].map(message =>
    describe(JSON.parse(JSON.stringify(message))),
  )
  assert.ok(lines.some(line => line?.includes('says nothing: the validation loss is NaN')))
  assert.ok(lines.every(line => !/null|undefined/.test(line ?? '')))
})

test('a cancel while paused ends the run, with its checkpoint', async () => {
  const to = output()
  const played = await play(to, {
    watch(message, { control }) {
      if (message.type === 'progress' && message.step === 3) control.pause()
      if (message.type === 'paused') control.cancel()
    },
  })
  assert.deepEqual(played.outcome, {
    type: 'cancelled',
    step: 3,
    checkpoint: join(folder, `${to.output}.checkpoint`),
  })
})

test('training stops early when validation gets no better, and the best values are kept', async () => {
  // Far too high a rate: it soon knows the training walks too well.
  const to = output()
  const played = await play({ ...to, rate: 2, patience: 2, epochs: 40, schedule: 'constant', validateEverySteps: 1 })
  const validations = all(played, 'validation')
  const best = validations.reduce((a, b) => (b.loss < a.loss ? b : a))
  assert.equal(played.outcome?.type, 'finished')
  const { result } = played.outcome as Extract<Outcome, { type: 'finished' }>
  assert.equal(result.reason, 'early_stop')
  assert.equal(result.bestStep, best.step)
  assert.equal(result.bestValidationLoss, best.loss)
  assert.equal(result.steps, best.step + 2)
  // Stopped right at its best step, the very same run writes the very same values.
  const short = output()
  await play(
    { ...short, rate: 2, patience: 2, epochs: 40, schedule: 'constant', validateEverySteps: 1 },
    {
      watch(message, { control }) {
        if (message.type === 'validation' && message.step === best.step) control.cancel()
      },
    },
  )
  const stopped = readCheckpoint(join(folder, `${short.output}.checkpoint`))
  assert.equal(stopped.place.step, best.step)
  const [values] = [...stopped.tensors.values()]
  assert.deepEqual(
    readTensorBytes(to.output),
    Buffer.from(values!.value.buffer, values!.value.byteOffset, SIZE * SIZE * 4),
  )
})

test('a step that is not finite changes nothing, and too many in a row end the run', async () => {
  const to = output()
  const one = await play(to, { model: { onAccumulate: count => (count === 4 ? 'nan' : undefined) } })
  assert.equal(one.outcome?.type === 'finished' && one.outcome.result.skippedSteps, 1)
  assert.deepEqual(
    all(one, 'skipped').map(({ step, inRow, what }) => ({ step, inRow, what })),
    [{ step: 2, inRow: 1, what: 'the loss is NaN' }],
  )
  assert.ok(all(one, 'progress').every(({ loss, gradientNorm }) => Number.isFinite(loss + gradientNorm)))
  const ever = await play(
    { ...output(), maxBadSteps: 3 },
    { model: { onAccumulate: count => (count > 8 ? 'nan' : undefined) } },
  )
  assert.equal(all(ever, 'skipped').length, 3)
  assert.equal(ever.error?.code, 'training_failed')
  assert.match(
    ever.error?.message ?? '',
    /3 steps in a row were not finite.*anew with a lower rate: a checkpoint goes on only with the rate it was made with/,
  )
})

test('a base that computes otherwise than the serving engine is refused with the figures', async () => {
  const played = await play(output(), { off: 0.1 })
  assert.equal(played.error?.code, 'conflict')
  assert.match(played.error?.message ?? '', /over \d+ tokens the largest probability difference is \d\.\d\de-\d/)
  assert.equal(played.models[0]!.accumulations, 0)
})

test('the device that was opened is told, and decides how closely the engines must agree', async () => {
  const cpu = await play(output())
  assert.equal(all(cpu, 'started')[0]!.device, 'CPU')
  // Too far off for two CPUs, and close enough for a GPU, whatever the library is called.
  assert.equal((await play(output(), { off: 0.03 })).error?.code, 'conflict')
  const gpu = await play(output(), { off: 0.03, model: { onGpu: true } })
  assert.equal(all(gpu, 'started')[0]!.device, 'Vulkan0')
})

test('a checkpoint of other settings or another base is refused, and stands', async () => {
  const to = output()
  const stop = (message: FromTrainer, { control }: Played) => {
    if (message.type === 'progress' && message.step === 3) control.cancel()
  }
  await play(to, { watch: stop })
  const checkpoint = `${to.output}.checkpoint`
  const before = bytes(checkpoint)
  const other = await play({ ...to, rate: 0.01, rowsPerStep: 3 })
  assert.equal(other.error?.code, 'conflict')
  assert.match(other.error?.message ?? '', /rowsPerStep \(2 then, 3 now\), rate \(0.05 then, 0.01 now\)/)
  makeModel(join(folder, 'other.gguf'), { ...TINY, seed: 2 })
  assert.match((await play({ ...to, base: 'other.gguf' })).error?.message ?? '', /the base model differ/)
  assert.match((await play({ ...to, tokens: 'unseen.bin' })).error?.message ?? '', /the token file differ/)
  assert.deepEqual(bytes(checkpoint), before)
  // What does not decide the result may change.
  assert.equal((await play({ ...to, threads: 2, checkpointEverySteps: 9 })).outcome?.type, 'finished')
})

test('a result that cannot be written leaves a checkpoint with all that was learned', async () => {
  const to = output()
  writeFileSync(join(folder, `blocked${runs}`), '')
  const checkpoint = `kept${runs}.checkpoint`
  const failed = await play({ ...to, output: join(`blocked${runs}`, 'x.gguf'), checkpoint })
  assert.match(failed.error?.message ?? '', /x.gguf cannot be written/)
  const resumed = await play({ ...to, checkpoint })
  assert.equal(resumed.models[0]!.accumulations, 0)
  const unbroken = output()
  await play(unbroken)
  assert.deepEqual(readTensorBytes(to.output), readTensorBytes(unbroken.output))
})

test('an adapter is continued from where it was', async () => {
  const first = output()
  await play({ ...first, mode: { type: 'lora', rank: SIZE } })
  const onward = await play({
    ...output(),
    mode: { type: 'lora', rank: SIZE, continueFrom: first.output },
    maxSteps: 1,
    warmupShare: 0,
    rate: 1e-6,
  })
  const fresh = await play({ ...output(), maxSteps: 1, rate: 1e-6 })
  assert.ok(all(onward, 'validation')[0]!.loss < 0.8 * all(fresh, 'validation')[0]!.loss)
  const refused = await play({ ...output(), mode: { type: 'lora', alpha: 7, continueFrom: first.output } })
  assert.match(refused.error?.message ?? '', /cannot be continued: its alpha is 32 and the job's is 7/)
})

test('rows are as long as the device allows, and a resumed run keeps them', async () => {
  const shorter: Fit = (_, longest) => {
    assert.equal(longest, 11)
    return { buckets: [12], checkpoint: true }
  }
  const unbroken = output()
  const whole = await play(unbroken, { fit: shorter })
  assert.equal(all(whole, 'started')[0]!.rowTokens, 12)
  assert.ok(all(whole, 'started')[0]!.totalSteps > all(await play(output()), 'started')[0]!.totalSteps)
  const to = output()
  await play(to, {
    fit: shorter,
    watch: (message, { control }) => void (message.type === 'progress' && message.step === 5 && control.cancel()),
  })
  // By now there would be more room.
  const resumed = await play(to)
  assert.equal(all(resumed, 'started')[0]!.rowTokens, 12)
  assert.deepEqual(readTensorBytes(to.output), readTensorBytes(unbroken.output))
  const full = () => {
    throw new HubError('insufficient_memory', 'training needs 9 MiB, but 5 MiB are free')
  }
  assert.match((await play(output(), { fit: full })).error?.message ?? '', /needs 9 MiB/)
})

test('preference pairs are trained with their accuracy and margin', async () => {
  const played = await play({
    ...output(),
    tokens: 'pairs.bin',
    validation: undefined,
    validationShare: 0.2,
    loss: { type: 'preference' },
  })
  const progress = all(played, 'progress')
  assert.equal(all(played, 'started')[0]!.samples, 16)
  assert.equal(progress.length, 4 * 8)
  assert.ok(progress.every(({ accuracy }) => accuracy !== undefined && accuracy >= 0 && accuracy <= 1))
  assert.ok(progress.at(-1)!.loss < progress[0]!.loss)
  assert.ok(all(played, 'validation').length > 0)
})
