/**
 * A trainer without mathematics: speaks the wire and follows the script that stands where the tokens would. Its result and
 * its checkpoint are JSON, so that a test can see what was done.
 */
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import type { FromTrainer, ToTrainer, TrainerJobInput } from '../../server/wire/trainer.ts'

export type Script = {
  steps: number
  /** Ends itself with SIGKILL right after this step, so many times over all its lives. */
  crashAt?: number
  crashes?: number
  /** Says that it failed at this step. */
  failAt?: number
  /** Waits at this step until it is told to cancel. */
  holdAt?: number
  /** Answers nothing at all, not even pings, from this step on. */
  hangAt?: number
  /** Says nothing and ends with that code at the start. */
  exitCode?: number
}

let wanted: 'run' | 'cancel' = 'run'
let wake = Promise.withResolvers<void>()

const say = (message: FromTrainer): void => void process.send?.(message)

process.on('disconnect', () => process.exit(0))
process.on('message', (message: ToTrainer) => {
  if (message.type === 'start') void run(message.job)
  if (message.type === 'exit') process.exit(0)
  if (message.type === 'cancel') {
    wanted = 'cancel'
    wake.resolve()
  }
  if (message.type === 'ping')
    say({ type: 'pong', id: message.id, stats: { rssBytes: 1e6, step: 0, state: 'running' } })
})

async function run(job: TrainerJobInput): Promise<void> {
  const script = JSON.parse(readFileSync(job.tokens, 'utf8')) as Script
  if (script.exitCode !== undefined) {
    process.stderr.write('GGML_ASSERT(n > 0) failed\n', () => process.exit(script.exitCode))
    return
  }
  const checkpoint = job.checkpoint!
  const lives = `${job.tokens}.lives`
  const resumedStep = existsSync(checkpoint)
    ? (JSON.parse(readFileSync(checkpoint, 'utf8')) as { step: number }).step
    : 0
  const every = job.checkpointEverySteps ?? 50
  const totalSteps = script.steps
  const save = (step: number): void => {
    writeFileSync(`${checkpoint}.part`, JSON.stringify({ step }))
    renameSync(`${checkpoint}.part`, checkpoint)
    say({ type: 'checkpoint', step, path: checkpoint, bytes: 10 })
  }
  say({
    type: 'started',
    architecture: 'scripted',
    device: 'CPU',
    trainableParameters: 1,
    samples: 3,
    validationSamples: 1,
    emptySamples: 0,
    totalSteps,
    resumedStep,
    rowTokens: 8,
    layerCheckpointing: true,
    weightsBytes: 1,
    parameterBytes: 1,
    computeBytes: 1,
  })
  for (let step = resumedStep; step < totalSteps; ) {
    // One turn of the loop for the messages.
    await new Promise(resolve => setImmediate(resolve))
    if (script.holdAt === step) {
      wake = Promise.withResolvers()
      if (wanted === 'run') await wake.promise
    }
    if (script.hangAt === step) for (;;) Math.random()
    if (wanted === 'cancel') {
      save(step)
      say({ type: 'cancelled', step, checkpoint })
      return
    }
    if (script.failAt === step) {
      say({ type: 'failed', error: { code: 'insufficient_storage', message: 'The disk is full; free some space.' } })
      return
    }
    step++
    const loss = 2 / (1 + step)
    say({
      type: 'progress',
      step,
      totalSteps,
      epoch: (2 * step) / totalSteps,
      loss,
      rate: 1e-3,
      gradientNorm: 1,
      tokensPerSecond: 100,
      rssBytes: 1e6,
      deviceBytes: 1e6,
      leftS: totalSteps - step,
    })
    if (step % 4 === 0) say({ type: 'validation', step, loss, best: true })
    if (step % every === 0 && step < totalSteps) save(step)
    if (script.crashAt === step) {
      const done = existsSync(lives) ? Number(readFileSync(lives, 'utf8')) : 0
      if (done < (script.crashes ?? 1)) {
        writeFileSync(lives, String(done + 1))
        // What was said is on its way before the end.
        await new Promise(resolve => setTimeout(resolve, 20))
        process.kill(process.pid, 'SIGKILL')
      }
    }
  }
  writeFileSync(job.output, JSON.stringify({ steps: totalSteps }))
  rmSync(checkpoint, { force: true })
  say({
    type: 'finished',
    output: job.output,
    bytes: 20,
    steps: totalSteps,
    reason: 'complete',
    loss: 0.1,
    skippedSteps: 0,
  })
}
