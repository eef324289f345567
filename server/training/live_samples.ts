/** What base and adapter of a job answer to questions that the run does not learn from, while it goes on or at its end. */
import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { HubError } from '../lib/error.ts'
import type { Adapters } from '../models/adapter_registry.ts'
import type { Lease, Models } from '../models/models.ts'
import { PARTS, type Part } from '../wire/dataset.ts'
import type { Sample } from '../wire/sample.ts'
import type { TrainingSamples } from '../wire/training.ts'
import type { Generate } from '../wire/worker.ts'
import { openDataset, readPart } from './datasets.ts'
import type { Job } from './job_state.ts'
import { PLAIN, questionOf } from './measure.ts'
import { SNAPSHOT } from './work.ts'

export type LiveSamplesDeps = {
  home: string
  /** Base models, whose workers take an adapter by its path. */
  models: Pick<Models, 'get' | 'acquire'> & { addMemory(id: string, bytes: number): void }
  adapters: Pick<Adapters, 'look'>
  folderOf(job: string): string
}

export type LiveSamplesOptions = { count: number /** Also where the base is not loaded yet. */; load: boolean }

/** An answer is looked at, not used. */
const ANSWER_TOKENS = 96
/** Of a plain text, the part that is read before the model goes on. */
const BEGINNING = 0.4
const MOST_LETTERS = 2000

type Asked = { question: string; expected: string; request: Pick<Generate, 'prompt'> }

let keys = 0

/** @throws HubError conflict before the first checkpoint and while the base is not loaded, not_found, or what running the model throws */
export async function liveSamples(
  deps: LiveSamplesDeps,
  job: Job,
  { count, load }: LiveSamplesOptions,
  signal: AbortSignal,
): Promise<TrainingSamples> {
  const { models } = deps
  const base = job.request.model
  const { path, step } = await adapterOf(deps, job)
  if (!load && models.get(base).state !== 'ready') {
    throw new HubError(
      'conflict',
      `${base} is not loaded. Load it first, or set load: a run may have to make way for it.`,
      {
        param: 'load',
      },
    )
  }
  const lease = await models.acquire(base, signal)
  try {
    const { part, asked } = await questions(deps, job, lease, count, signal)
    const bytes = statSync(path).size
    const name = `${job.id}#samples-${++keys}`
    models.addMemory(base, bytes)
    try {
      // Not ended with the request: an adapter that came after that would stay.
      await lease.ask({ type: 'load_adapter', name, path }, new AbortController().signal)
      try {
        const samples: TrainingSamples['samples'] = []
        for (const { question, expected, request } of asked) {
          samples.push({
            question,
            expected,
            base: await answer(lease, { ...request, adapters: [] }, signal),
            adapter: await answer(lease, { ...request, adapters: [{ name, scale: 1 }] }, signal),
          })
        }
        return { object: 'training.samples', id: job.id, step, part, samples }
      } finally {
        // Where the process has ended there is nothing to unload.
        await lease.ask({ type: 'unload_adapter', name }, new AbortController().signal).catch(() => undefined)
      }
    } finally {
      // The memory of a process that has ended is counted no more.
      if (models.get(base).info === lease.info) models.addMemory(base, -bytes)
    }
  } finally {
    lease.release()
  }
}

/** The finished adapter, else that of the last checkpoint. */
async function adapterOf(deps: LiveSamplesDeps, job: Job): Promise<{ path: string; step: number | null }> {
  const { resultModel, checkpointStep } = job.state
  if (resultModel !== undefined) {
    const adapter = await deps.adapters.look(resultModel)
    if (adapter === undefined || adapter.status === 'broken') {
      throw new HubError('not_found', `The adapter ${resultModel} is ${adapter?.reason ?? 'gone'}.`, { param: 'id' })
    }
    return { path: adapter.path, step: null }
  }
  const path = join(deps.folderOf(job.id), SNAPSHOT)
  if (checkpointStep === undefined || !existsSync(path)) {
    throw new HubError(
      'conflict',
      `The job ${job.id} has no checkpoint yet; its adapter can be asked after the first.`,
      {
        param: 'id',
      },
    )
  }
  return { path, step: checkpointStep }
}

/** The first samples that can be asked: always the same, so that answers can be compared as the run goes on. */
async function questions(
  { home }: LiveSamplesDeps,
  job: Job,
  lease: Lease,
  count: number,
  signal: AbortSignal,
): Promise<{ part: Part; asked: Asked[] }> {
  const { dataset, validationDataset } = job.state.imported ?? {}
  const places: [part: Part, shown: Part, from: { name: string; version: number } | undefined][] = [
    ...PARTS.map((part): [Part, Part, typeof validationDataset] => [part, 'validation', validationDataset]),
    ['validation', 'validation', dataset],
    ['test', 'test', dataset],
    ['train', 'train', dataset],
  ]
  for (const [part, shown, from] of places) {
    if (from === undefined) continue
    const asked: Asked[] = []
    for await (const sample of readPart(openDataset(home, from.name, from.version), part)) {
      signal.throwIfAborted()
      const question = await ask(lease, sample, signal)
      if (question !== undefined) asked.push(question)
      if (asked.length === count) break
    }
    if (asked.length > 0) return { part: shown, asked }
  }
  throw new HubError('not_found', `The data of the job ${job.id} has no sample that can be asked.`, { param: 'id' })
}

async function ask(lease: Lease, sample: Sample, signal: AbortSignal): Promise<Asked | undefined> {
  const plain = askable(sample)
  const [encoded] = (await lease.ask({ type: 'encode', samples: [plain] }, signal)).encoded
  if (encoded === undefined || 'error' in encoded) return undefined
  const found = questionOf(plain, encoded)
  if (found === undefined) return undefined
  const { prompt, expected } = found
  const calls = expected.calls.map(call => `${call.name} ${call.arguments}`)
  return {
    question: cut(textOf(plain)),
    expected: cut([expected.text, ...calls].join('\n').trim()),
    request: { prompt },
  }
}

/** Preferences as the answer that is to be preferred, texts as their beginning with the rest. */
function askable(sample: Sample): Sample {
  if (sample.kind === 'preference') {
    return { kind: 'chat', messages: [...sample.messages, { role: 'assistant', content: sample.chosen }] }
  }
  if (sample.kind !== 'text') return sample
  const letters = [...sample.text]
  const at = Math.ceil(letters.length * BEGINNING)
  return { kind: 'completion', prompt: letters.slice(0, at).join(''), completion: letters.slice(at).join('') }
}

/** What a person reads as the question. */
function textOf(sample: Sample): string {
  if (sample.kind === 'chat') return sample.messages.findLast(({ role }) => role === 'user')?.content ?? ''
  if (sample.kind === 'completion') return sample.prompt
  return sample.kind === 'infill' ? `${sample.prefix}▯${sample.suffix}` : ''
}

async function answer(
  lease: Lease,
  request: Pick<Generate, 'prompt' | 'adapters'>,
  signal: AbortSignal,
): Promise<string> {
  let text = ''
  for await (const event of lease.generate({ ...PLAIN, ...request, maxTokens: ANSWER_TOKENS }, signal)) {
    if (event.type !== 'delta') continue
    text += event.content ?? ''
    for (const { name, arguments: args } of event.toolCalls ?? []) text += `${name ?? ''}${args ?? ''}`
  }
  return text
}

const cut = (text: string): string => (text.length <= MOST_LETTERS ? text : `${text.slice(0, MOST_LETTERS)}…`)
