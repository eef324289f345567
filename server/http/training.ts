/** /v1/training: jobs in the hub's own words, their plans before they run, their progress, and schedules. */
import * as z from 'zod'
import { HubError } from '../lib/error.ts'
import { insideFolder } from '../lib/inside.ts'
import { toEventOut, toJobOut } from '../training/job_state.ts'
import type { Jobs, NewJob } from '../training/jobs.ts'
import type { TrainingRoom } from '../training/open.ts'
import type { Schedules } from '../training/schedule.ts'
import { tellLost } from '../training/work.ts'
import {
  ScheduleDeleted,
  ScheduleList,
  ScheduleOut,
  ScheduleSettings,
  TrainingCurve,
  type TrainingData,
  TrainingDryRun,
  TrainingJobOut,
  TrainingJobQuery,
  TrainingLog,
  TrainingSamples,
  TrainingSamplesQuery,
  TrainingSearch,
  TrainingStart,
  TrainingStatusList,
  TrainingStatusQuery,
  TrainingStreamEvent,
} from '../wire/training.ts'
import { followJob } from './follow_job.ts'
import { type Route, route } from './route.ts'

export type TrainingDeps = { home: string; jobs: Jobs; schedules: Schedules; samples: TrainingRoom['samples'] }

/** Lines of a job's log that are given at most. */
const LOGGED = 1000

export function trainingRoutes(deps: TrainingDeps): Route[] {
  const { home, jobs, schedules, samples } = deps
  const params = z.strictObject({ id: z.string() })
  const common = { tag: 'Training', scope: 'manage' as const }
  return [
    route({
      ...common,
      method: 'POST',
      path: '/v1/training/start',
      summary: 'Train an adapter, or with dry_run see the plan with its reasons first',
      request: TrainingStart,
      response: z.union([TrainingJobOut, TrainingDryRun]),
      async handler({ body, signal }) {
        const asked = toNewJob(home, body)
        if (!body.dry_run) return jobs.create(asked)
        const { request, state } = await jobs.plan(asked, signal)
        const { imported, stats, plan } = state
        return {
          object: 'training.plan' as const,
          model: request.model,
          name: request.name,
          samples: { training: imported!.training, validation: imported!.validation },
          notes: [...imported!.notes, ...tellLost(stats!)],
          stats: stats!,
          plan: plan!,
        }
      },
    }),
    route({
      ...common,
      method: 'POST',
      path: '/v1/training/search',
      summary: 'Look for the learning rate and the rank by short trials, then train with the best',
      request: TrainingSearch,
      response: TrainingJobOut,
      handler({ body: { first_steps, train, ...body } }) {
        const search = { train, ...(first_steps !== undefined && { first_steps }) }
        return jobs.create({ ...toNewJob(home, body), search })
      },
    }),
    route({
      ...common,
      method: 'GET',
      path: '/v1/training/status',
      summary: 'Training jobs, newest first',
      query: TrainingStatusQuery,
      response: TrainingStatusList,
      handler({ query: { after, limit } }) {
        const { jobs: found, hasMore } = jobs.list({ limit, ...(after !== undefined && { after }) })
        return { object: 'list' as const, data: found.map(toJobOut), has_more: hasMore }
      },
    }),
    route({
      ...common,
      method: 'GET',
      path: '/v1/training/status/{id}',
      summary: 'One training job with its plan and progress; as a stream until it has ended',
      params,
      query: TrainingJobQuery,
      response: TrainingJobOut,
      chunk: TrainingStreamEvent,
      async handler({ params: { id }, query, signal, stream }) {
        if (query.stream !== 'true') return toJobOut(jobs.get(id))
        const sse = stream()
        await followJob(jobs, id, signal, {
          job: job => sse.event('job', JSON.stringify(job)),
          progress: progress => sse.event('progress', JSON.stringify(progress)),
          message: event => sse.event('message', JSON.stringify(event)),
        })
        return sse
      },
    }),
    route({
      ...common,
      method: 'GET',
      path: '/v1/training/status/{id}/curve',
      summary: 'Loss, validation loss and learning rate of a job by step',
      params,
      response: TrainingCurve,
      handler: ({ params: { id } }) => ({ object: 'training.curve' as const, points: curveOf(jobs, id) }),
    }),
    route({
      ...common,
      method: 'GET',
      path: '/v1/training/status/{id}/log',
      summary: 'What happened to a job, the first first, without the figures of its curve',
      params,
      response: TrainingLog,
      handler({ params: { id } }) {
        const { events, hasMore } = jobs.events(id, { limit: LOGGED, order: 'asc', type: 'message' })
        return { object: 'list' as const, data: events.map(toEventOut), has_more: hasMore }
      },
    }),
    route({
      ...common,
      method: 'GET',
      path: '/v1/training/status/{id}/samples',
      summary: 'What base and adapter of a job answer now to held-out questions, as of its last checkpoint or its end',
      params,
      query: TrainingSamplesQuery,
      response: TrainingSamples,
      handler: ({ params: { id }, query: { count, load }, signal }) =>
        samples(id, { count, load: load === 'true' }, signal),
    }),
    route({
      ...common,
      method: 'GET',
      path: '/v1/training/schedules',
      summary: 'Training that starts by itself when its dataset has grown; there is none at first',
      response: ScheduleList,
      handler: () => ({ object: 'list' as const, data: schedules.list() }),
    }),
    route({
      ...common,
      method: 'POST',
      path: '/v1/training/schedules',
      summary: 'Train at night on what a dataset has gained',
      request: ScheduleSettings,
      response: ScheduleOut,
      handler: ({ body }) => schedules.create(body),
    }),
    route({
      ...common,
      method: 'DELETE',
      path: '/v1/training/schedules/{id}',
      summary: 'Delete a schedule; its adapters stay',
      params,
      response: ScheduleDeleted,
      handler({ params: { id } }) {
        schedules.remove(id)
        return { id, object: 'training.schedule' as const, deleted: true as const }
      },
    }),
  ]
}

/** @throws HubError invalid_request for paths outside home, and when not exactly one source of data is named */
function toNewJob(home: string, body: Omit<TrainingStart, 'dry_run'>): NewJob {
  const sources: TrainingData[] = []
  if (body.dataset_path !== undefined) {
    sources.push({ type: 'path', path: insideFolder(home, body.dataset_path, 'dataset_path') })
  }
  if (body.dataset !== undefined) sources.push(datasetOf(body.dataset))
  if (body.training_file !== undefined) sources.push({ type: 'file', id: body.training_file })
  const [data, second] = sources
  if (data === undefined || second !== undefined) {
    throw new HubError('invalid_request', 'Name the data by one of dataset_path, dataset and training_file.', {
      param: 'dataset_path',
    })
  }
  if (body.validation_path !== undefined && body.validation_file !== undefined) {
    throw new HubError('invalid_request', 'Name one of validation_path and validation_file.', {
      param: 'validation_file',
    })
  }
  const { model_name, name, method, config, too_long, priority, continue_from, replay, replace, metadata } = body
  return {
    model: model_name,
    ...(name !== undefined && { name }),
    ...(typeof config.seed === 'number' && { seed: config.seed }),
    data,
    ...(body.validation_path !== undefined && {
      validation: { type: 'path', path: insideFolder(home, body.validation_path, 'validation_path') },
    }),
    ...(body.validation_file !== undefined && { validation: { type: 'file' as const, id: body.validation_file } }),
    ...(body.output_dir !== undefined && { output_dir: insideFolder(home, body.output_dir, 'output_dir') }),
    method,
    hyperparameters: config,
    too_long,
    priority,
    ...(continue_from !== undefined && { continue_from }),
    ...(replay !== undefined && { replay }),
    ...(replace && { replace }),
    ...(body.evaluate && { evaluate: true }),
    ...(metadata !== undefined && { metadata }),
  }
}

/** `NAME` or `NAME:3` */
function datasetOf(text: string): TrainingData {
  const [, name = text, version] = /^(.*):(\d{1,9})$/.exec(text) ?? []
  return { type: 'dataset', name, ...(version !== undefined && { version: Number(version) }) }
}

type Point = TrainingCurve['points'][number]

/** Steps that were done again count as they were the last time. */
function curveOf(jobs: Jobs, id: string): Point[] {
  const points = new Map<number, Point>()
  for (let after = 0; ; ) {
    const { events, hasMore } = jobs.events(id, { after, limit: 1000, order: 'asc', type: 'metrics' })
    for (const { number, data } of events) {
      after = number
      if (typeof data?.step !== 'number') continue
      const point = points.get(data.step) ?? { step: data.step }
      if (typeof data.train_loss === 'number') point.loss = data.train_loss
      if (typeof data.valid_loss === 'number') point.validation_loss = data.valid_loss
      if (typeof data.learning_rate === 'number') point.learning_rate = data.learning_rate
      points.set(data.step, point)
    }
    if (!hasMore) return [...points.values()].sort((a, b) => a.step - b.step)
  }
}
