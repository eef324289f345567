/** /v1/models: the list in OpenAI's form, and the hub's own view with states, loading and unloading. */
import { basename } from 'node:path'
import * as z from 'zod'
import { HubError } from '../lib/error.ts'
import { sha256 } from '../models/gguf.ts'
import type { ModelStatus } from '../models/models.ts'
import {
  ModelChecksums,
  ModelList,
  ModelOut,
  ModelPatch,
  ModelRequest,
  ModelStatusList,
  ModelStatusOut,
} from '../wire/system.ts'
import type { EndpointDeps } from './generate.ts'
import { type Route, route } from './route.ts'

export type ModelDeps = Pick<EndpointDeps, 'models' | 'splitNames'> & {
  /** What loading and running the model took on this machine. */
  measured(status: ModelStatus): ModelStatusOut['measured']
  /** Changes keys of a base model's card; undefined takes one away. @throws HubError */
  changeCard(id: string, changes: { [key: string]: unknown }): Promise<unknown>
}

export function modelRoutes(deps: ModelDeps): Route[] {
  const { models } = deps
  const toOut = (status: ModelStatus): ModelStatusOut => {
    const measured = deps.measured(status)
    return { ...toModelStatus(status), ...(measured !== undefined && { measured }) }
  }
  /** A name that an A/B test splits is used like a model. */
  const splits = (): ModelOut[] =>
    (deps.splitNames?.() ?? []).map(({ id, created }) => ({ id, object: 'model', created, owned_by: 'local' }))
  return [
    route({
      method: 'GET',
      path: '/v1/models',
      summary: 'Models that can be used',
      tag: 'OpenAI',
      scope: 'use',
      response: ModelList,
      handler: () => ({ object: 'list' as const, data: [...models.list().filter(isUsable).map(toModel), ...splits()] }),
    }),
    route({
      method: 'GET',
      path: '/v1/models/{id*}',
      summary: 'One model',
      tag: 'OpenAI',
      scope: 'use',
      params: z.strictObject({ id: z.string() }),
      response: ModelOut,
      handler({ params }) {
        const split = splits().find(({ id }) => id === params.id)
        if (split !== undefined) return split
        const status = models.get(params.id)
        if (!isUsable(status)) throw notUsable(status)
        return toModel(status)
      },
    }),
    route({
      method: 'GET',
      path: '/v1/models/status',
      summary: 'All models with their states, broken ones included',
      tag: 'Hub',
      scope: 'use',
      response: ModelStatusList,
      handler: () => ({ object: 'list' as const, data: models.list().map(toOut) }),
    }),
    route({
      method: 'POST',
      path: '/v1/models/load',
      summary: 'Load a model and wait for it',
      tag: 'Hub',
      scope: 'manage',
      request: ModelRequest,
      response: ModelStatusOut,
      handler: async ({ body, signal }) => toOut(await models.load(body.model, signal)),
    }),
    route({
      method: 'PATCH',
      path: '/v1/models/{id*}',
      summary: 'Change the card of a model: pin, context, GPU layers, slots; null takes a change back',
      tag: 'Hub',
      scope: 'manage',
      params: z.strictObject({ id: z.string() }),
      request: ModelPatch,
      response: ModelStatusOut,
      async handler({ params, body }) {
        const { file } = models.get(params.id)
        if (file.parent !== undefined) {
          throw new HubError(
            'invalid_request',
            `${file.id} is an adapter; its card is changed by PATCH /v1/training/adapters/${file.id}.`,
          )
        }
        const changes = Object.entries(body).filter(([, value]) => value !== undefined)
        if (changes.length === 0) {
          throw new HubError('invalid_request', 'Name at least one thing to change, {"pin": true} say.')
        }
        await deps.changeCard(
          file.id,
          Object.fromEntries(changes.map(([key, value]) => [key, value === null ? undefined : value])),
        )
        return toOut(models.get(file.id))
      },
    }),
    route({
      method: 'POST',
      path: '/v1/models/sha256',
      summary: 'SHA-256 of the files of a model, read for it',
      tag: 'Hub',
      scope: 'manage',
      request: ModelRequest,
      response: ModelChecksums,
      async handler({ body, signal }) {
        const { file } = models.get(body.model)
        const files = []
        for (const path of file.files) files.push({ name: basename(path), sha256: await sha256(path, signal) })
        return { id: file.id, files }
      },
    }),
    route({
      method: 'POST',
      path: '/v1/models/unload',
      summary: 'Unload a model that nobody uses',
      tag: 'Hub',
      scope: 'manage',
      request: ModelRequest,
      response: ModelStatusOut,
      handler: async ({ body }) => toOut(await models.unload(body.model)),
    }),
  ]
}

/** Adapters and projectors are files of a model, not models. */
function isUsable(status: ModelStatus): boolean {
  return status.file.status === 'ok' && (status.file.facts?.kind ?? 'model') === 'model'
}

function notUsable({ file }: ModelStatus): HubError {
  if (file.status === 'broken') {
    return new HubError('model_broken', `Model '${file.id}' is broken: ${file.reason ?? 'its file cannot be read.'}`, {
      param: 'model',
    })
  }
  return new HubError('model_not_found', `'${file.id}' is not a model but a part of one.`, { param: 'model' })
}

function toModel({ file }: ModelStatus): ModelOut {
  const parent = file.parent === undefined ? {} : { parent: file.parent }
  return { id: file.id, object: 'model', created: Math.floor(file.modified_ms / 1000), owned_by: 'local', ...parent }
}

/** The hub's own view of a model. */
export function toModelStatus(status: ModelStatus): ModelStatusOut {
  const { file, info, stats } = status
  const error = status.error ?? file.reason
  const { description, specialties, languages, toy, pin, context_size } = file.sidecar
  return {
    id: file.id,
    ...(file.parent !== undefined && { parent: file.parent }),
    folder: file.folder,
    state: status.state,
    bytes: file.bytes,
    files: file.files.length,
    estimated_bytes: status.estimatedBytes,
    in_use: status.inUse,
    pin: pin === true,
    ...(context_size !== undefined && { context_size }),
    ...(status.progress !== undefined && { progress: status.progress }),
    ...(error !== undefined && { error }),
    ...(status.errorCode !== undefined && { error_code: status.errorCode }),
    ...(status.lastUsedMs !== undefined && { last_used_ms: status.lastUsedMs }),
    ...(description !== undefined && { description }),
    ...(specialties !== undefined && { specialties }),
    ...(languages !== undefined && { languages }),
    ...(toy !== undefined && { toy }),
    ...(file.facts !== undefined && {
      facts: { ...file.facts, chat_template: file.facts.chat_template !== undefined },
    }),
    ...(info !== undefined && {
      worker: {
        ...(status.pid !== undefined && { pid: status.pid }),
        device: info.device,
        device_name: info.deviceName,
        gpu_layers: info.gpuLayers,
        layers: info.layers,
        context_tokens: info.contextTokens,
        slots: info.slots,
        memory_bytes: info.memoryBytes,
        device_bytes: info.deviceBytes,
        load_ms: info.loadMs,
        chat_format: info.chatFormat,
        can_embed: info.canEmbed,
        can_generate: info.canGenerate,
        can_infill: info.hasFim,
      },
    }),
    ...(stats !== undefined && {
      load: {
        busy: stats.busy,
        queued: stats.queued,
        kv_used_tokens: stats.kvUsedTokens,
        kv_total_tokens: stats.kvTotalTokens,
        rss_bytes: stats.rssBytes,
        prompt_cache_bytes: stats.promptCacheBytes,
        decoded_tokens: stats.decodedTokens,
      },
    }),
  }
}
