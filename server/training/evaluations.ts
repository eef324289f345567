/** Evaluations as background work: queued, run one at a time, stored with their reports, and written beside the adapter that was judged. */
import { randomUUID } from 'node:crypto'
import { renameSync, statSync, writeFileSync } from 'node:fs'
import { setTimeout } from 'node:timers/promises'
import { HubError } from '../lib/error.ts'
import type { Log } from '../lib/log.ts'
import { adapterAt, changeCard, EVALUATION_ENDING, splitVersion } from '../models/adapters.ts'
import type { Models } from '../models/models.ts'
import type { Database } from '../storage/database.ts'
import {
  listEvaluations,
  readEvaluation,
  type StoredEvaluation,
  saveEvaluation,
  unfinishedEvaluations,
} from '../storage/evaluations.ts'
import type { EvaluationOut, EvaluationReport, EvaluationRequest } from '../wire/evaluation.ts'
import type { ModelFile } from '../wire/model.ts'
import { openDataset, readPart } from './datasets.ts'
import { type EvaluateDeps, evaluate } from './evaluate.ts'

export type EvaluationsDeps = EvaluateDeps & {
  db: Database
  home: string
  models: Pick<Models, 'acquire' | 'get'>
  log: Log
}

export type Evaluations = {
  /** Queues it. @throws HubError model_not_found, not_found for the dataset */
  create(request: EvaluationRequest): EvaluationOut
  /** Newest first. */
  list(limit: number): EvaluationOut[]
  /** @throws HubError not_found */
  get(id: string): EvaluationOut
  /** The same when it has ended, or after so long. @throws HubError not_found */
  wait(id: string, ms: number, signal: AbortSignal): Promise<EvaluationOut>
  /** @throws HubError not_found, conflict when it has ended */
  cancel(id: string): EvaluationOut
  /** An evaluation that still needs the dataset. */
  userOf(dataset: string): string | undefined
  /** Cancels what runs and waits for it; what was queued is told as failed by the next start. */
  close(): Promise<void>
}

type Running = {
  dataset: string
  control: AbortController
  progress: EvaluationOut['progress']
  ended: PromiseWithResolvers<void>
}
type Pending = StoredEvaluation & { request: EvaluationRequest }

export function createEvaluations(deps: EvaluationsDeps): Evaluations {
  const { db, home, log, now } = deps
  const running = new Map<string, Running>()
  let last: Promise<void> = Promise.resolve()
  let closed = false

  for (const left of unfinishedEvaluations(db)) {
    const error = { code: 'shutting_down', message: 'The hub ended before this evaluation did. Start it again.' }
    saveEvaluation(db, { ...left, status: 'failed', finishedMs: now(), error })
  }

  const find = (id: string): StoredEvaluation => {
    const found = readEvaluation(db, id)
    if (found === undefined) throw new HubError('not_found', `There is no evaluation '${id}'.`, { param: 'id' })
    return found
  }
  const show = (stored: StoredEvaluation): EvaluationOut => toOut(stored, running.get(stored.id)?.progress ?? null)

  async function run(pending: Pending, state: Running): Promise<void> {
    const { id, request } = pending
    const { signal } = state.control
    const end = (change: Partial<StoredEvaluation>): void => {
      running.delete(id)
      saveEvaluation(db, { ...pending, finishedMs: now(), ...change })
      state.ended.resolve()
    }
    if (closed) return state.ended.resolve()
    try {
      if (signal.aborted) throw new HubError('cancelled', 'The evaluation was cancelled.')
      saveEvaluation(db, { ...pending, status: 'running' })
      const dataset = openDataset(home, request.dataset, request.version)
      const report = await evaluate(
        deps,
        {
          base: request.base,
          candidate: request.candidate,
          samples: readPart(dataset, request.part),
          dataset: { name: dataset.name, version: dataset.version, part: request.part },
          settings: request,
          onProgress(progress) {
            state.progress = progress
          },
        },
        signal,
      )
      keepBeside(request.candidate, report)
      end({ status: 'succeeded', report })
      log.info('evaluation', { id, verdict: report.verdict, samples: report.samples.taken, seconds: report.seconds })
    } catch (thrown) {
      const { code, message } = HubError.from(thrown)
      // A hub that closes leaves it unfinished, so that its next start says so.
      if (closed) return state.ended.resolve()
      end({ status: code === 'cancelled' ? 'cancelled' : 'failed', error: { code, message } })
      log.warn('evaluation ended', { id, code, reason: message })
    }
  }

  /** The report goes beside the adapter's file, and its verdict onto the adapter's card. */
  function keepBeside(candidate: string, report: EvaluationReport): void {
    try {
      const { file } = deps.models.get(candidate)
      const path = file.files[0]
      if (file.parent === undefined || file.adapter === undefined || path === undefined) return
      const { size, mtimeMs } = statSync(path)
      const [judged] = report.candidate.files
      if (judged?.bytes !== size || judged.modified_ms !== mtimeMs) {
        log.warn('an adapter was replaced while it was evaluated; the report is not written beside it', { candidate })
        return
      }
      const target = path.replace(/\.gguf$/i, '') + EVALUATION_ENDING
      writeFileSync(`${target}.part`, `${JSON.stringify(report, undefined, 2)}\n`, { flush: true })
      renameSync(`${target}.part`, target)
      markCard(home, file, report)
    } catch (thrown) {
      // The report is in the database all the same.
      log.warn('a report was not written beside its adapter', { candidate, reason: HubError.from(thrown).message })
    }
  }

  return {
    create(request) {
      named('base', () => deps.models.get(request.base))
      named('candidate', () => deps.models.get(request.candidate))
      named('dataset', () => openDataset(home, request.dataset, request.version))
      const pending: Pending = {
        id: `eval-${randomUUID().replaceAll('-', '')}`,
        createdMs: now(),
        finishedMs: undefined,
        status: 'queued',
        request,
        report: undefined,
        error: undefined,
      }
      saveEvaluation(db, pending)
      const state: Running = {
        dataset: request.dataset,
        control: new AbortController(),
        progress: null,
        ended: Promise.withResolvers<void>(),
      }
      running.set(pending.id, state)
      // One after the other: each fills the model it measures.
      last = last.then(() => run(pending, state))
      return show(pending)
    },
    list: limit => listEvaluations(db, limit).map(show),
    get: id => show(find(id)),
    async wait(id, ms, signal) {
      find(id)
      const ended = running.get(id)?.ended.promise
      if (ended !== undefined) {
        const timer = new AbortController()
        const over = AbortSignal.any([signal, timer.signal])
        await Promise.race([ended, setTimeout(ms, undefined, { signal: over, ref: false }).catch(() => undefined)])
        timer.abort()
      }
      return show(find(id))
    },
    cancel(id) {
      const stored = find(id)
      const state = running.get(id)
      if (state === undefined) throw new HubError('conflict', `The evaluation '${id}' has ended already.`)
      state.control.abort()
      return show(stored)
    },
    userOf: dataset => [...running].find(([, state]) => state.dataset === dataset)?.[0],
    async close() {
      closed = true
      for (const { control } of running.values()) control.abort()
      await last
    },
  }
}

/** An error of `look` names the field of the request. */
function named(param: string, look: () => unknown): void {
  try {
    look()
  } catch (thrown) {
    const error = HubError.from(thrown)
    throw new HubError(error.code, error.message, {
      param: error.param === 'version' ? 'version' : param,
      cause: thrown,
    })
  }
}

function markCard(home: string, file: ModelFile, report: EvaluationReport): void {
  const { name, version } = splitVersion(file.adapter!)
  // Older versions keep their card as it was.
  if (version !== undefined) return
  const { card } = adapterAt(home, file.parent!, name)
  changeCard(home, file.parent!, name, {
    evaluation: {
      // What training itself measured stays.
      ...card.evaluation,
      created: report.created,
      base: report.base.id,
      ...(report.dataset !== undefined && { dataset: report.dataset }),
      verdict: report.verdict,
      forgetting: report.forgetting,
      summary: report.summary,
    },
  })
}

function toOut(stored: StoredEvaluation, progress: EvaluationOut['progress']): EvaluationOut {
  return {
    object: 'training.evaluation',
    id: stored.id,
    // What is stored was written by this very room.
    status: stored.status as EvaluationOut['status'],
    created_at: Math.floor(stored.createdMs / 1000),
    finished_at: stored.finishedMs === undefined ? null : Math.floor(stored.finishedMs / 1000),
    request: stored.request as EvaluationRequest,
    progress,
    report: (stored.report as EvaluationReport | undefined) ?? null,
    error: (stored.error as EvaluationOut['error'] | undefined) ?? null,
  }
}
