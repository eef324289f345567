/** A job as it arrives: validated, with its paths made absolute and what depends on the machine filled in. */
import { readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import * as z from 'zod'
import { HubError } from '../lib/error.ts'
import { TrainerJob } from '../wire/trainer.ts'
import { isSameFile } from './files.ts'
import { defaultBuckets } from './pack.ts'

/** @throws HubError not_found, invalid_request naming the key at fault */
export function readJobFile(path: string): TrainerJob {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (thrown) {
    throw new HubError('not_found', `the job file ${path} cannot be read; check the path`, { cause: thrown })
  }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (thrown) {
    throw new HubError('invalid_request', `the job file ${path} is not JSON: ${(thrown as Error).message}`, {
      cause: thrown,
    })
  }
  return parseJob(value, dirname(resolve(path)))
}

/** @param folder that relative paths start from @throws HubError invalid_request naming the key at fault */
export function parseJob(value: unknown, folder: string): TrainerJob {
  const parsed = TrainerJob.safeParse(value)
  if (!parsed.success) {
    const [first] = parsed.error.issues
    const where = first?.path.join('.') ?? ''
    throw new HubError('invalid_request', `the job is wrong:\n${z.prettifyError(parsed.error)}`, {
      ...(where !== '' && { param: where }),
    })
  }
  const job = parsed.data
  const at = (path: string): string => resolve(folder, path)
  if (job.validation !== undefined && job.validationShare > 0) {
    throw new HubError('invalid_request', 'validation and validationShare exclude each other; give one of them', {
      param: 'validationShare',
    })
  }
  if (job.patience > 0 && job.validation === undefined && job.validationShare === 0) {
    throw new HubError('invalid_request', 'patience counts validations; give validation or validationShare as well', {
      param: 'patience',
    })
  }
  if (job.mode.type === 'full' && job.optimizer.loraPlusRatio !== 1) {
    throw new HubError('invalid_request', 'loraPlusRatio is for adapters; leave it at 1 where mode.type is full', {
      param: 'optimizer.loraPlusRatio',
    })
  }
  if (job.loss.type === 'preference' && job.mode.type === 'full') {
    throw new HubError(
      'invalid_request',
      'preferences are trained with an adapter, since the base without it is the reference; set mode.type to lora',
      { param: 'mode.type' },
    )
  }
  if (job.buckets?.some(bucket => bucket > job.rowTokens)) {
    throw new HubError('invalid_request', `buckets go up to rowTokens, which is ${job.rowTokens}`, { param: 'buckets' })
  }
  const checkpoint = job.checkpoint ?? `${job.output}.checkpoint`
  // What is written must not lie on what is read, nor the two results on one another: one of them would be lost.
  const inputs = [job.tokens, job.validation, job.mode.type === 'lora' ? job.mode.continueFrom : undefined]
  for (const [written, path, others] of [
    ['output', job.output, inputs],
    ['checkpoint', checkpoint, [...inputs, job.base, job.output]],
  ] as const) {
    const taken = others.find(other => other !== undefined && isSameFile(at(other), at(path)))
    if (taken !== undefined) {
      throw new HubError('invalid_request', `${written} is the file ${taken} of this same job; choose another path`, {
        param: written,
      })
    }
  }
  if (isSameFile(at(job.output), at(job.base))) {
    throw new HubError('invalid_request', 'output is the base itself; choose another path, the base stays as it is', {
      param: 'output',
    })
  }
  return {
    ...job,
    base: at(job.base),
    tokens: at(job.tokens),
    ...(job.validation !== undefined && { validation: at(job.validation) }),
    output: at(job.output),
    checkpoint: at(checkpoint),
    mode:
      job.mode.type === 'lora' && job.mode.continueFrom !== undefined
        ? { ...job.mode, continueFrom: at(job.mode.continueFrom) }
        : job.mode,
  }
}

/** Row lengths with a graph: ascending, the longest is rowTokens, so that every row has one. */
export function bucketsOf(job: Pick<TrainerJob, 'rowTokens' | 'buckets'>): number[] {
  const chosen = job.buckets ?? defaultBuckets(job.rowTokens)
  return [...new Set([...chosen, job.rowTokens])].sort((a, b) => a - b)
}

/** What decides the result. Where the files lie, the device and how often is saved may change between two parts of a run. */
export function resultSettings(job: TrainerJob): { [name: string]: unknown } {
  const mode = job.mode.type === 'lora' ? { ...job.mode, continueFrom: undefined } : job.mode
  const { loss, rowTokens, rowsPerStep, epochs, maxSteps, rate, schedule, warmupShare, finalShare, optimizer } = job
  const settings = {
    mode,
    loss,
    rowTokens,
    buckets: bucketsOf(job),
    rowsPerStep,
    epochs,
    maxSteps,
    rate,
    schedule,
    warmupShare,
    finalShare,
    optimizer,
    validationShare: job.validationShare,
    validateEverySteps: job.validateEverySteps,
    patience: job.patience,
    seed: job.seed,
  }
  // As it will be read back: without what is undefined.
  return JSON.parse(JSON.stringify(settings))
}
