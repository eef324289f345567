/** The extension's side of the hub's HTTP API. Shapes are the hub's own, so that answers are taken as they are typed. */
import type { AdapterList, AdapterOut } from '../server/wire/adapter.ts'
import type { DatasetList } from '../server/wire/dataset.ts'
import type { EvaluationOut } from '../server/wire/evaluation.ts'
import type { ApiKeyCreated, ApiKeyList, KeyRole } from '../server/wire/keys.ts'
import type { PullList, PullOut, SuggestionList } from '../server/wire/pull.ts'
import type { QualityReport } from '../server/wire/quality.ts'
import type { SettingsAnswer } from '../server/wire/settings.ts'
import type { ModelStatusList, ModelStatusOut, SystemStatus } from '../server/wire/system.ts'
import type { TrainingDryRun, TrainingJobOut, TrainingStatusList } from '../server/wire/training.ts'
import type { HubAddress } from './home.ts'

type Output<T extends { _zod: { output: unknown } }> = T['_zod']['output']
export type Dataset = Output<typeof DatasetList>['data'][number]
export type Adapter = AdapterOut
export type Plan = Output<typeof TrainingDryRun>
export type EvaluationRequest = { base: string; candidate: string; dataset: string; version?: number }

/** The hub refused or failed; the message is its own. */
export class ApiError extends Error {
  override readonly name = 'ApiError'
  readonly status: number

  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

export type Api = ReturnType<typeof createApi>

/** @param hub gives the hub's address with the token that opens it, and starts the hub where none runs */
export function createApi(hub: () => Promise<HubAddress>) {
  const send = async (method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<Response> => {
    const isForm = body instanceof FormData
    const address = await hub()
    return fetch(address.url + path, {
      method,
      headers: {
        ...authorization(address),
        ...(body !== undefined && !isForm && { 'content-type': 'application/json' }),
      },
      ...(body !== undefined && { body: isForm ? body : JSON.stringify(body) }),
      ...(signal !== undefined && { signal }),
    })
  }
  const call = async <T>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<T> => {
    const response = await send(method, path, body, signal)
    if (!response.ok) throw await toError(response)
    return (await response.json()) as T
  }
  const name = encodeURIComponent
  return {
    /** The hub's answer as it is, whatever it says. */
    send,
    keys: async () => (await call<ApiKeyList>('GET', '/v1/keys')).data,
    createKey: (name: string, role: KeyRole) => call<ApiKeyCreated>('POST', '/v1/keys', { name, role }),
    deleteKey: (id: string) => call<unknown>('DELETE', `/v1/keys/${encodeURIComponent(id)}`),

    models: async () => (await call<Output<typeof ModelStatusList>>('GET', '/v1/models/status')).data,
    system: () => call<Output<typeof SystemStatus>>('GET', '/v1/system/status'),
    settings: () => call<SettingsAnswer>('GET', '/v1/settings'),
    load: (model: string, signal?: AbortSignal) => call<ModelStatusOut>('POST', '/v1/models/load', { model }, signal),
    unload: (model: string) => call<ModelStatusOut>('POST', '/v1/models/unload', { model }),

    suggested: async () => (await call<Output<typeof SuggestionList>>('GET', '/v1/models/suggested')).data,
    /** Begins a download, or goes on with it. */
    pull: (request: { model: string; folder?: PullOut['folder'] }, signal?: AbortSignal) =>
      call<PullOut>('POST', '/v1/models/pull', request, signal),
    pulls: async () => (await call<Output<typeof PullList>>('GET', '/v1/models/pulls')).data,
    pulled: (id: string) => call<PullOut>('GET', `/v1/models/pulls/${name(id)}`),
    stopPull: (id: string, discard: boolean) =>
      call<PullOut>('DELETE', `/v1/models/pulls/${name(id)}?discard=${discard}`),

    jobs: async () => (await call<Output<typeof TrainingStatusList>>('GET', '/v1/training/status?limit=20')).data,
    plan: (request: TrainingRequest, signal: AbortSignal) =>
      call<Plan>('POST', '/v1/training/start', { ...request, dry_run: true }, signal),
    train: (request: TrainingRequest) => call<TrainingJobOut>('POST', '/v1/training/start', request),
    job: (id: string) => call<TrainingJobOut>('GET', `/v1/training/status/${name(id)}`),
    changeJob: (id: string, action: 'cancel' | 'pause' | 'resume') =>
      call<unknown>('POST', `/v1/fine_tuning/jobs/${name(id)}/${action}`),
    /** Stores a file with the hub, which reads no place outside its home; gives its id. */
    async upload(file: Blob, fileName: string, signal: AbortSignal) {
      const form = new FormData()
      form.set('purpose', 'fine-tune')
      form.set('file', file, fileName)
      return (await call<{ id: string }>('POST', '/v1/files', form, signal)).id
    },
    deleteFile: (id: string) => call<unknown>('DELETE', `/v1/files/${name(id)}`),

    datasets: async () => (await call<Output<typeof DatasetList>>('GET', '/v1/training/datasets')).data,
    importConversations: (dataset: string, signal: AbortSignal) =>
      call<Dataset>('POST', '/v1/training/datasets/import', { name: dataset, conversations: true }, signal),
    report: (dataset: string) => call<QualityReport>('GET', `/v1/training/datasets/${name(dataset)}/report`),
    deleteDataset: (dataset: string) => call<unknown>('DELETE', `/v1/training/datasets/${name(dataset)}`),

    adapters: async () => (await call<Output<typeof AdapterList>>('GET', '/v1/training/adapters')).data,
    rollback: (id: string, version: number) => call<Adapter>('POST', '/v1/training/adapters/rollback', { id, version }),
    deleteAdapter: (id: string) =>
      call<unknown>('DELETE', `/v1/training/adapters/${id.split('/').map(name).join('/')}`),
    pinAdapter: (id: string, pin: boolean) =>
      call<Adapter>('PATCH', `/v1/training/adapters/${id.split('/').map(name).join('/')}`, { pin }),

    evaluate: (request: EvaluationRequest) => call<EvaluationOut>('POST', '/v1/training/evaluations', request),
    /** Answers within ten seconds, with where it stands. */
    evaluation: (id: string, signal: AbortSignal) =>
      call<EvaluationOut>('GET', `/v1/training/evaluations/${name(id)}?wait=10`, undefined, signal),
    cancelEvaluation: (id: string) => call<unknown>('POST', `/v1/training/evaluations/${name(id)}/cancel`),
    countTokens: async (model: string, content: string) =>
      (await call<{ tokens: unknown[] }>('POST', '/tokenize', { model, content })).tokens.length,

    /** Streams an answer of /v1/chat/completions: the data of each event, parsed. */
    async *chat(request: object, signal: AbortSignal): AsyncGenerator<ChatChunk> {
      const response = await send('POST', '/v1/chat/completions', { ...request, stream: true }, signal)
      if (!response.ok || response.body === null) throw await toError(response)
      for await (const data of readEvents(response.body)) {
        if (data === '[DONE]') return
        const chunk = JSON.parse(data) as ChatChunk
        if (chunk.error !== undefined) throw new ApiError(500, chunk.error.message)
        yield chunk
      }
    },
  }
}

export type TrainingRequest = {
  model_name: string
  name?: string
  dataset?: string
  training_file?: string
  replace?: boolean
}

/** What is read of a chunk of a streamed chat. */
export type ChatChunk = {
  error?: { message: string }
  choices?: {
    delta?: {
      content?: string | null
      tool_calls?: { index: number; id?: string; function?: { name?: string; arguments?: string } }[]
    }
  }[]
}

/** What opens a hub that asks for keys: its token, or the key that the user gave for it. */
function authorization({ token }: HubAddress): { authorization?: string } {
  return token === undefined ? {} : { authorization: `Bearer ${token}` }
}

async function toError(response: Response): Promise<ApiError> {
  const said: unknown = await response.json().catch(() => undefined)
  const message = (said as { error?: { message?: unknown } } | undefined)?.error?.message
  return new ApiError(response.status, typeof message === 'string' ? message : `The hub answered ${response.status}.`)
}

/** The data of each server-sent event; events may be cut anywhere in the bytes. */
export async function* readEvents(body: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const bytes of body) {
    rest += decoder.decode(bytes, { stream: true })
    const events = rest.split(/\r?\n\r?\n/)
    rest = events.pop() ?? ''
    for (const event of events) {
      const data = event
        .split(/\r?\n/)
        .filter(line => line.startsWith('data:'))
        .map(line => line.slice(line[5] === ' ' ? 6 : 5))
      if (data.length > 0) yield data.join('\n')
    }
  }
}
