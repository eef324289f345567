/** Before a run: the trainer's forward pass against the serving engine's on tokens of the job, so that no family is trained wrongly. */
import { type ChildProcess, fork } from 'node:child_process'
import { join } from 'node:path'
import { HubError } from '../lib/error.ts'
import type { Parity } from '../wire/trainer.ts'
import type { Sample } from './data.ts'
import type { Row, TrainerModel } from './types.ts'

/** [tokens][vocabulary], flat. */
export type ReferenceLogits = (request: { path: string; tokens: Int32Array; threads: number }) => Promise<Float32Array>

/** The first tokens of the data as one sequence. */
export function parityRow(samples: readonly Sample[], most: number): Row {
  const tokens: number[] = []
  for (const sample of samples) {
    for (const token of sample[0]!.tokens) if (tokens.length < most) tokens.push(token)
    if (tokens.length === most) break
  }
  const n = tokens.length
  return {
    tokens: Int32Array.from(tokens),
    positions: Int32Array.from({ length: n }, (_, index) => index),
    segments: new Int32Array(n),
    weights: new Float32Array(n),
  }
}

/**
 * Full-precision bases on the CPU agree almost exactly. Where weights are quantised the engines round activations to 8 bits in
 * different groupings, and a GPU multiplies in lower precision: there the divergence of the distributions is bounded instead.
 */
export function toleranceOf(base: { exact: boolean; onCpu: boolean }): Parity['tolerance'] {
  return !base.exact || !base.onCpu ? { meanDivergence: 5e-3 } : { maxProbabilityDifference: 1e-4 }
}

/** @param model with nothing trained yet @throws HubError conflict with the figures, model_broken when the logits are not finite */
export async function checkParity(
  model: Pick<TrainerModel, 'logits' | 'vocabularySize' | 'architecture'>,
  reference: ReferenceLogits,
  options: { path: string; row: Row; threads: number; tolerance: Parity['tolerance'] },
): Promise<Parity> {
  const { row, tolerance } = options
  const own = await model.logits(row)
  checkFinite(own, model.vocabularySize)
  const others = await reference({ path: options.path, tokens: row.tokens, threads: options.threads })
  if (others.length !== own.length) {
    throw new HubError(
      'conflict',
      `the serving engine gives ${others.length / row.tokens.length} logits per token and the trainer ${model.vocabularySize}; get the base again`,
    )
  }
  const parity = { tokens: row.tokens.length, tolerance, ...compare(others, own, model.vocabularySize) }
  const limits = [
    [parity.maxProbabilityDifference, tolerance.maxProbabilityDifference],
    [parity.meanDivergence, tolerance.meanDivergence],
  ] as const
  if (limits.some(([found, most]) => most !== undefined && !(found <= most))) {
    const allowed =
      tolerance.maxProbabilityDifference === undefined
        ? `a mean divergence of ${tolerance.meanDivergence}`
        : `a probability difference of ${tolerance.maxProbabilityDifference}`
    throw new HubError(
      'conflict',
      `the trainer computes this ${model.architecture} model differently from the engine that serves it: over ${parity.tokens} tokens the largest probability difference is ${parity.maxProbabilityDifference.toExponential(2)} and the mean divergence ${parity.meanDivergence.toExponential(2)} nats, where at most ${allowed} is allowed. This model cannot be trained by this version`,
    )
  }
  return parity
}

/** @throws HubError model_broken */
export function checkFinite(logits: Float32Array, vocabularySize: number): void {
  const bad = logits.findIndex(value => !Number.isFinite(value))
  if (bad < 0) return
  throw new HubError(
    'model_broken',
    `the base model gives ${logits[bad]} for token ${Math.floor(bad / vocabularySize)} of the data: its weights hold values that are not finite. Get the file again`,
  )
}

/** @param reference, own [n][vocabulary] */
export function compare(
  reference: Float32Array,
  own: Float32Array,
  vocabularySize: number,
): { maxProbabilityDifference: number; meanDivergence: number } {
  let maxProbabilityDifference = 0
  let divergence = 0
  const positions = reference.length / vocabularySize
  for (let at = 0; at < reference.length; at += vocabularySize) {
    const p = logSoftmax(reference.subarray(at, at + vocabularySize))
    const q = logSoftmax(own.subarray(at, at + vocabularySize))
    for (let i = 0; i < vocabularySize; i++) {
      const [logP, logQ] = [p[i]!, q[i]!]
      const difference = Math.abs(Math.exp(logP) - Math.exp(logQ))
      // Written so that a NaN is kept.
      if (!(difference <= maxProbabilityDifference)) maxProbabilityDifference = difference
      divergence += Math.exp(logP) * (logP - logQ)
    }
  }
  return { maxProbabilityDifference, meanDivergence: divergence / positions }
}

function logSoftmax(logits: Float32Array): Float64Array {
  const most = logits.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY)
  let sum = 0
  for (const logit of logits) sum += Math.exp(logit - most)
  const normaliser = most + Math.log(sum)
  return Float64Array.from(logits, logit => logit - normaliser)
}

export type ParityRequest = { path: string; tokens: Int32Array; threads: number }
export type ParityAnswer = { type: 'logits'; logits: Float32Array } | { type: 'failed'; message: string }

/** Asks the serving library, which this process must not load, in a child that lives for one answer. */
export const childLogits: ReferenceLogits = request =>
  new Promise((resolve, reject) => {
    const child: ChildProcess = fork(join(import.meta.dirname, 'parity_child.ts'), {
      execArgv: [],
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      // The logits cross as they are in memory.
      serialization: 'advanced',
      windowsHide: true,
    })
    let said = ''
    child.stderr?.on('data', chunk => {
      said = (said + chunk).slice(-2000)
    })
    let answer: ParityAnswer | undefined
    const fail = (what: string) =>
      reject(new HubError('model_load_failed', `the serving engine cannot run this base: ${what}`))
    child.on('message', message => {
      answer = message as ParityAnswer
    })
    child.on('error', error => fail(error.message))
    child.on('close', (code, signal) => {
      if (answer?.type === 'logits') resolve(answer.logits)
      else if (answer !== undefined) fail(answer.message)
      else fail(`its process ended (${signal ?? `exit code ${code}`}) ${said.trim().split('\n').at(-1) ?? ''}`.trim())
    })
    child.send(request satisfies ParityRequest, () => undefined)
  })
