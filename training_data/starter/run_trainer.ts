/** Runs the project's trainer to the end of a job and keeps what it said, for the plot. */
import { fork } from 'node:child_process'
import { appendFileSync, existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe } from '../../server/trainer/say.ts'
import type { FromTrainer, ToTrainer, TrainerJobInput } from '../../server/wire/trainer.ts'
import type { Curve } from './plot.ts'

const TRAINER = join(import.meta.dirname, '..', '..', 'server', 'trainer', 'main.ts')

export type Progress = Extract<FromTrainer, { type: 'progress' | 'validation' }>

/**
 * Goes on from the job's checkpoint where there is one; Ctrl+C leaves one.
 * @param log a file of JSON lines that the progress is added to
 * @throws Error with the trainer's own message
 */
export async function runTrainer(job: TrainerJobInput, log: string, note: (line: string) => void): Promise<void> {
  const trainer = fork(TRAINER, { serialization: 'json' })
  const say = (message: ToTrainer): void => {
    if (trainer.connected) trainer.send(message)
  }
  const stop = (): void => say({ type: 'cancel' })
  process.on('SIGINT', stop)
  say({ type: 'start', job })
  let failed: string | undefined
  trainer.on('message', (message: FromTrainer) => {
    const line = describe(message)
    if (line !== undefined) note(line)
    if (message.type === 'progress' || message.type === 'validation')
      appendFileSync(log, `${JSON.stringify(message)}\n`)
    if (message.type === 'failed') failed = message.error.message
    if (message.type === 'failed' || message.type === 'finished' || message.type === 'cancelled') say({ type: 'exit' })
  })
  await new Promise<void>(done => trainer.once('exit', () => done()))
  process.off('SIGINT', stop)
  if (failed !== undefined) throw new Error(failed)
  if (!existsSync(job.output)) throw new Error('The training was stopped; start it again to go on.')
}

/** What a log says; of a step that was done twice, after a stop, the later one counts. */
export function readCurve(name: string, log: string): Curve {
  const training = new Map<number, number>()
  const validation = new Map<number, number>()
  if (existsSync(log)) {
    for (const line of readFileSync(log, 'utf8').split('\n')) {
      if (line === '') continue
      const message = JSON.parse(line) as Progress
      const into = message.type === 'progress' ? training : validation
      into.set(message.step, message.loss)
    }
  }
  const sorted = (points: Map<number, number>): [number, number][] => [...points].sort(([a], [b]) => a - b)
  return { name, training: sorted(training), validation: sorted(validation) }
}
