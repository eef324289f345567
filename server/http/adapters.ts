/** /v1/training/adapters: the adapters of the base models, with their cards, versions and what can be made of them. */
import { isAbsolute, join, relative, resolve, sep } from 'node:path'
import * as z from 'zod'
import { HubError } from '../lib/error.ts'
import type { Adapters } from '../models/adapter_registry.ts'
import {
  type Adapter,
  changeCard,
  removeAdapter,
  renameAdapter,
  rollBackAdapter,
  splitAdapterId,
} from '../models/adapters.ts'
import { type ConversionDeps, exportInto, importFrom, mergeInto, type Report } from '../models/conversion.ts'
import type { Models } from '../models/models.ts'
import {
  AdapterConverted,
  AdapterDeleted,
  AdapterExport,
  AdapterImport,
  AdapterList,
  AdapterMerge,
  AdapterOut,
  AdapterPatch,
  AdapterProgress,
  AdapterRollback,
  ModelDeleted,
} from '../wire/adapter.ts'
import type { ModelFile } from '../wire/model.ts'
import { type Route, route } from './route.ts'
import type { Sse } from './sse.ts'

export type AdapterDeps = {
  models: Models
  adapters: Adapters
  conversion: ConversionDeps
}

const Params = z.strictObject({ id: z.string() })
const tag = 'Training'

export function adapterRoutes(deps: AdapterDeps): Route[] {
  const { models, adapters, conversion } = deps
  const { home } = conversion

  /** As it lies on the disk now. @throws HubError model_not_found */
  async function find(id: string): Promise<Adapter> {
    const adapter = await adapters.look(id)
    if (adapter !== undefined) return adapter
    // Its message has the nearest names.
    models.get(id)
    throw new HubError('model_not_found', `${id} is a base model; the id of an adapter is base:name`, { param: 'id' })
  }

  function toOut(adapter: Adapter): AdapterOut {
    const { id, base, name, version, bytes, modifiedMs, facts, card } = adapter
    const { file, state, inUse } = models.get(id)
    const reason = file.reason ?? adapter.reason
    const older = adapters.list().filter(other => other.base === base && other.name === name && !other.current)
    return {
      id,
      object: 'adapter',
      base,
      name,
      version,
      status: file.status,
      ...(reason !== undefined && { reason }),
      bytes,
      modified_ms: modifiedMs,
      state,
      in_use: inUse,
      ...(facts !== undefined && { facts }),
      card,
      versions: older
        .sort((a, b) => a.version - b.version)
        .map(each => ({ id: each.id, version: each.version, bytes: each.bytes, modified_ms: each.modifiedMs })),
    }
  }

  const answer = async (id: string): Promise<AdapterOut> => {
    await adapters.refresh()
    return toOut(await find(id))
  }

  async function remove(id: string): Promise<string> {
    const adapter = await find(id)
    removeAdapter(home, adapter.base, adapter.name, adapter.current ? undefined : adapter.version)
    await adapters.refresh()
    return adapter.id
  }

  const baseOf = (id: string): ModelFile => {
    const { file } = models.get(id)
    if (file.parent !== undefined) {
      throw new HubError('invalid_request', `${id} is an adapter; name its base, ${file.parent}`, { param: 'base' })
    }
    if (file.status === 'ok') return file
    throw new HubError('model_broken', `the base ${id} cannot be used: ${file.reason}`, { param: 'base' })
  }

  return [
    route({
      method: 'GET',
      path: '/v1/training/adapters',
      summary: 'All adapters with their cards and versions, broken ones included',
      tag,
      scope: 'manage',
      response: AdapterList,
      handler: () => ({
        object: 'list' as const,
        data: adapters
          .list()
          .filter(({ current }) => current)
          .map(toOut),
      }),
    }),
    route({
      method: 'GET',
      path: '/v1/training/adapters/{id*}',
      summary: 'One adapter',
      tag,
      scope: 'manage',
      params: Params,
      response: AdapterOut,
      handler: async ({ params }) => toOut(await find(params.id)),
    }),
    route({
      method: 'PATCH',
      path: '/v1/training/adapters/{id*}',
      summary: 'Renames an adapter, or changes its description and default scale',
      tag,
      scope: 'manage',
      params: Params,
      request: AdapterPatch,
      response: AdapterOut,
      async handler({ params, body }) {
        const { base, name } = current(await find(params.id))
        const { description, scale, pin } = body
        // First what may be refused, so that a refused request has changed nothing.
        const { id, name: now } =
          body.name === undefined ? { id: params.id, name } : renameAdapter(home, base, name, body.name)
        if (description !== undefined || scale !== undefined || pin !== undefined) {
          changeCard(home, base, now, {
            ...(description !== undefined && { description: description ?? undefined }),
            ...(pin !== undefined && { pin }),
            ...(scale !== undefined && { scale: scale ?? undefined }),
          })
        }
        return answer(id)
      },
    }),
    route({
      method: 'DELETE',
      path: '/v1/training/adapters/{id*}',
      summary: 'Deletes an adapter with its versions, or one version (base:name@1)',
      tag,
      scope: 'manage',
      params: Params,
      response: AdapterDeleted,
      handler: async ({ params }) => ({
        id: await remove(params.id),
        object: 'adapter' as const,
        deleted: true as const,
      }),
    }),
    route({
      method: 'DELETE',
      path: '/v1/models/{id*}',
      summary: "Deletes an adapter, as OpenAI's API deletes a fine-tuned model; base models stay",
      tag: 'OpenAI',
      scope: 'manage',
      params: Params,
      response: ModelDeleted,
      handler: async ({ params }) => ({
        id: await remove(params.id),
        object: 'model' as const,
        deleted: true as const,
      }),
    }),
    route({
      method: 'POST',
      path: '/v1/training/adapters/rollback',
      summary: 'Makes an older version of an adapter the current one',
      tag,
      scope: 'manage',
      request: AdapterRollback,
      response: AdapterOut,
      async handler({ body }) {
        const parts = splitAdapterId(body.id)
        if (parts === undefined || parts.version !== undefined) {
          throw new HubError('invalid_request', `${body.id} is not the id of an adapter, base:name`, { param: 'id' })
        }
        const base = baseOf(parts.base)
        return answer(rollBackAdapter(home, base.id, parts.name, body.version).id)
      },
    }),
    route({
      method: 'POST',
      path: '/v1/training/adapters/merge',
      summary: 'Makes a new model of a base and its adapter',
      tag,
      scope: 'manage',
      request: AdapterMerge,
      response: AdapterConverted,
      chunk: AdapterProgress,
      handler: ({ body, signal, stream }) =>
        told(body.stream === true ? stream() : undefined, async report => {
          const adapter = await find(body.id)
          const base = baseOf(adapter.base)
          const id = body.name ?? `${base.id.replace(/.*\//, '')}-${adapter.name}`
          const output = join(home, 'local_models', base.folder, `${id}.gguf`)
          const input = { base, adapter, output, type: body.type, scale: body.scale }
          const { bytes } = await mergeInto(conversion, input, report, signal)
          return { object: 'adapter.conversion', id, output, bytes }
        }),
    }),
    route({
      method: 'POST',
      path: '/v1/training/adapters/export',
      summary: 'Writes an adapter as PEFT has it: safetensors and adapter_config.json',
      tag,
      scope: 'manage',
      request: AdapterExport,
      response: AdapterConverted,
      chunk: AdapterProgress,
      handler: ({ body, signal, stream }) =>
        told(body.stream === true ? stream() : undefined, async () => {
          const adapter = await find(body.id)
          const base = baseOf(adapter.base)
          const output = body.folder === undefined ? undefined : within(home, body.folder, 'folder')
          const input = { base, adapter, output, scale: body.scale, baseName: body.base_name }
          return { object: 'adapter.conversion', id: adapter.id, ...(await exportInto(conversion, input, signal)) }
        }),
    }),
    route({
      method: 'POST',
      path: '/v1/training/adapters/import',
      summary: 'Takes over a LoRA adapter of PEFT for a base model',
      tag,
      scope: 'manage',
      request: AdapterImport,
      response: AdapterConverted,
      chunk: AdapterProgress,
      handler: ({ body, signal, stream }) =>
        told(body.stream === true ? stream() : undefined, async () => {
          const { name, replace } = body
          const source = within(home, body.path, 'path')
          const input = { base: baseOf(body.base), source, name, replace }
          const { adapter, madeFor } = await importFrom(conversion, input, signal)
          await adapters.refresh()
          const { id, path: output, bytes } = adapter
          return {
            object: 'adapter.conversion',
            id,
            output,
            bytes,
            ...(madeFor !== undefined && { made_for: madeFor }),
          }
        }),
    }),
  ]
}

/** The result as the answer, or as the last of the events of a stream. */
async function told(
  sse: Sse | undefined,
  work: (report: Report) => Promise<AdapterConverted>,
): Promise<AdapterConverted | Sse> {
  if (sse === undefined) return work(() => undefined)
  const say = (event: AdapterProgress) => void sse.send(JSON.stringify(event))
  const result = await work(fraction => say({ type: 'progress', fraction }))
  say({ type: 'finished', result })
  sse.end()
  return sse
}

function current(adapter: Adapter): Adapter {
  if (adapter.current) return adapter
  throw new HubError('invalid_request', `${adapter.id} is an older version; change the current one`, { param: 'id' })
}

/** A path of the request, absolute or relative to home. @throws HubError forbidden outside of home */
function within(home: string, path: string, param: string): string {
  const absolute = resolve(home, path)
  const below = relative(resolve(home), absolute)
  if (below === '' || below === '..' || below.startsWith(`..${sep}`) || isAbsolute(below)) {
    throw new HubError('forbidden', `${path} is not within ${home}; put it there, or use the command line`, { param })
  }
  return absolute
}
