/** /v1/fine_tuning/jobs: OpenAI's fine-tuning, run on this machine. */
import * as z from 'zod'
import { HubError } from '../lib/error.ts'
import type { StoredCheckpoint } from '../storage/jobs.ts'
import { type Job, toEventOut } from '../training/job_state.ts'
import type { Jobs, NewJob } from '../training/jobs.ts'
import {
  FineTuningCheckpointList,
  type FineTuningCheckpointOut,
  FineTuningCreate,
  FineTuningEventList,
  type FineTuningEventOut,
  FineTuningEventsQuery,
  FineTuningJobList,
  FineTuningJobOut,
  FineTuningListQuery,
  type OpenAiHyperparameters,
} from '../wire/fine_tuning.ts'
import type { TrainingEventOut } from '../wire/training.ts'
import { followJob } from './follow_job.ts'
import { type Route, route } from './route.ts'

export function fineTuningRoutes(deps: { jobs: Jobs }): Route[] {
  const { jobs } = deps
  const params = z.strictObject({ id: z.string() })
  const common = { tag: 'OpenAI', scope: 'manage' as const }
  const action = (name: 'cancel' | 'pause' | 'resume', summary: string): Route =>
    route({
      ...common,
      method: 'POST',
      path: `/v1/fine_tuning/jobs/{id}/${name}`,
      summary,
      params,
      response: FineTuningJobOut,
      handler({ params: { id } }) {
        jobs[name](id)
        return toFineTuningJob(jobs.get(id))
      },
    })
  return [
    route({
      ...common,
      method: 'POST',
      path: '/v1/fine_tuning/jobs',
      summary: 'Train an adapter on an uploaded file',
      request: FineTuningCreate,
      response: FineTuningJobOut,
      handler: ({ body }) => toFineTuningJob(jobs.get(jobs.create(toNewJob(body)).id)),
    }),
    route({
      ...common,
      method: 'GET',
      path: '/v1/fine_tuning/jobs',
      summary: 'Training jobs, newest first',
      query: FineTuningListQuery,
      response: FineTuningJobList,
      handler({ query: { after, limit } }) {
        const { jobs: found, hasMore } = jobs.list({ limit, ...(after !== undefined && { after }) })
        return { object: 'list' as const, data: found.map(toFineTuningJob), has_more: hasMore }
      },
    }),
    route({
      ...common,
      method: 'GET',
      path: '/v1/fine_tuning/jobs/{id}',
      summary: 'One training job',
      params,
      response: FineTuningJobOut,
      handler: ({ params: { id } }) => toFineTuningJob(jobs.get(id)),
    }),
    action('cancel', 'Cancel a training job; its last checkpoint stays'),
    action('pause', 'Pause a training job with a checkpoint, and free the device'),
    action('resume', 'Go on with a job that is paused, failed or cancelled, behind its last checkpoint'),
    route({
      ...common,
      method: 'GET',
      path: '/v1/fine_tuning/jobs/{id}/events',
      summary: 'What happened to a job, newest first; as a stream from the beginning',
      params,
      query: FineTuningEventsQuery,
      response: FineTuningEventList,
      async handler({ params: { id }, query: { after, limit, stream }, signal, stream: open }) {
        if (stream === 'true') {
          const sse = open()
          await followJob(jobs, id, signal, {
            message: async event => sse.send(JSON.stringify(toFineTuningEvent(event))),
          })
          await sse.send('[DONE]')
          return sse
        }
        const { events, hasMore } = jobs.events(id, {
          limit,
          order: 'desc',
          ...(after !== undefined && { after: numberOf(after) }),
        })
        const data = events.map(event => toFineTuningEvent(toEventOut(event)))
        return { object: 'list' as const, data, has_more: hasMore }
      },
    }),
    route({
      ...common,
      method: 'GET',
      path: '/v1/fine_tuning/jobs/{id}/checkpoints',
      summary: 'Checkpoints of a job, newest first',
      params,
      query: FineTuningListQuery.extend({ limit: z.coerce.number().int().min(1).max(100).default(10) }),
      response: FineTuningCheckpointList,
      handler({ params: { id }, query: { after, limit } }) {
        const job = jobs.get(id)
        const { checkpoints, hasMore } = jobs.checkpoints(id, {
          limit,
          ...(after !== undefined && { before: numberOf(after) }),
        })
        const data = checkpoints.map(checkpoint => toCheckpoint(job, checkpoint))
        return {
          object: 'list' as const,
          data,
          first_id: data[0]?.id ?? null,
          last_id: data.at(-1)?.id ?? null,
          has_more: hasMore,
        }
      },
    }),
  ]
}

/** @throws HubError invalid_request when hyperparameters stand in two places */
function toNewJob(body: FineTuningCreate): NewJob {
  const { method } = body
  const given = method?.type === 'dpo' ? method.dpo?.hyperparameters : method?.supervised?.hyperparameters
  if (given !== undefined && body.hyperparameters !== undefined) {
    throw new HubError('invalid_request', "Give the hyperparameters in 'method' only.", { param: 'hyperparameters' })
  }
  const openai: OpenAiHyperparameters = given ?? body.hyperparameters ?? {}
  const { n_epochs, batch_size, learning_rate_multiplier, beta } = openai
  return {
    model: body.model,
    ...(body.suffix != null && { name: body.suffix }),
    ...(body.seed != null && { seed: body.seed }),
    data: { type: 'file', id: body.training_file },
    ...(body.validation_file != null && { validation: { type: 'file' as const, id: body.validation_file } }),
    method: method?.type ?? 'supervised',
    hyperparameters: {
      ...(n_epochs !== undefined && { epochs: n_epochs }),
      ...(batch_size !== undefined && { batch_size }),
      ...(learning_rate_multiplier !== undefined && { learning_rate_multiplier }),
      ...(beta !== undefined && { beta }),
    },
    too_long: 'truncate',
    priority: 0,
    ...(body.metadata != null && { metadata: body.metadata }),
  }
}

/** What was `auto` is shown as what it became, once the plan is there. */
export function toFineTuningJob({ id, createdMs, status, request, state }: Job): FineTuningJobOut {
  const { hyperparameters: wished, method } = request
  const settings = state.plan?.settings
  const beta = settings?.loss.type === 'preference' ? settings.loss.beta : (wished.beta ?? 'auto')
  const hyperparameters = {
    n_epochs: settings?.epochs ?? wished.epochs ?? ('auto' as const),
    batch_size: settings?.rowsPerStep ?? wished.batch_size ?? ('auto' as const),
    learning_rate_multiplier: wished.learning_rate_multiplier ?? ('auto' as const),
    ...(method === 'dpo' && { beta }),
  }
  const left = status === 'running' ? state.progress?.seconds_left : undefined
  return {
    object: 'fine_tuning.job',
    id,
    model: request.model,
    created_at: Math.floor(createdMs / 1000),
    finished_at: state.finishedMs === undefined ? null : Math.floor(state.finishedMs / 1000),
    estimated_finish: left === undefined ? null : Math.floor(Date.now() / 1000 + left),
    fine_tuned_model: state.resultModel ?? null,
    organization_id: 'local',
    status,
    hyperparameters,
    method: { type: method, [method]: { hyperparameters } },
    training_file: request.data.type === 'file' ? request.data.id : tellData(request.data),
    validation_file: request.validation?.type === 'file' ? request.validation.id : null,
    result_files: [],
    trained_tokens: state.trainedTokens ?? null,
    error: state.error ?? null,
    seed: request.seed,
    integrations: [],
    metadata: request.metadata ?? null,
  }
}

function tellData(data: Exclude<Job['request']['data'], { type: 'file' }>): string {
  return data.type === 'path' ? data.path : `${data.name}${data.version === undefined ? '' : `:${data.version}`}`
}

const toFineTuningEvent = (event: TrainingEventOut): FineTuningEventOut => ({
  object: 'fine_tuning.job.event',
  ...event,
})

function toCheckpoint(job: Job, { step, createdMs, metrics }: StoredCheckpoint): FineTuningCheckpointOut {
  const { model, name } = job.request
  return {
    object: 'fine_tuning.job.checkpoint',
    id: `ftckpt-${job.id}-${step}`,
    created_at: Math.floor(createdMs / 1000),
    fine_tuning_job_id: job.id,
    fine_tuned_model_checkpoint: `${job.state.resultModel ?? `${model}:${name}`}:ckpt-step-${step}`,
    step_number: step,
    metrics: { step, ...metrics },
  }
}

/** The place that an event's or a checkpoint's id ends with. */
function numberOf(id: string): number {
  const number = Number(/-(\d{1,15})$/.exec(id)?.[1])
  if (Number.isNaN(number)) {
    throw new HubError('invalid_request', `Invalid 'after': '${id}' is not the id of one of them.`, { param: 'after' })
  }
  return number
}
