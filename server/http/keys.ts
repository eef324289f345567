/** /v1/keys: API keys made, listed, changed and deleted. */
import { HubError } from '../lib/error.ts'
import type { Access } from '../security/access.ts'
import { changeKey, createKey, getKey, type KeysDeps, listApiKeys, removeKey } from '../security/keys.ts'
import {
  ApiKey,
  ApiKeyCreated,
  ApiKeyDeleted,
  ApiKeyList,
  ApiKeyParams,
  ApiKeyRequest,
  ApiKeyUpdate,
} from '../wire/keys.ts'
import { type Route, route } from './route.ts'

export function keyRoutes(deps: KeysDeps & { access: Pick<Access, 'changed'> }): Route[] {
  const about = { tag: 'Keys', scope: 'manage' as const }
  const one = { ...about, path: '/v1/keys/{id}', params: ApiKeyParams }
  return [
    route({
      ...about,
      method: 'GET',
      path: '/v1/keys',
      summary: 'API keys, the oldest first, without the keys themselves',
      response: ApiKeyList,
      handler: () => ({ object: 'list' as const, data: listApiKeys(deps) }),
    }),
    route({
      ...about,
      method: 'POST',
      path: '/v1/keys',
      summary: 'Make an API key; value is the key itself, told this once',
      request: ApiKeyRequest,
      response: ApiKeyCreated,
      handler: ({ body }) => createKey(deps, body),
    }),
    route({
      ...one,
      method: 'GET',
      summary: 'One of them',
      response: ApiKey,
      handler: ({ params }) => getKey(deps, params.id),
    }),
    route({
      ...one,
      method: 'PATCH',
      summary: 'Change its name, role, end, limit, or whether its chats are kept for training',
      request: ApiKeyUpdate,
      response: ApiKey,
      handler({ params, body }) {
        if (Object.keys(body).length === 0) {
          throw new HubError(
            'invalid_request',
            'Name what to change: name, role, expires_at, training or requests_per_minute.',
          )
        }
        const changed = changeKey(deps, params.id, body)
        deps.access.changed(params.id)
        return changed
      },
    }),
    route({
      ...one,
      method: 'DELETE',
      summary: 'Delete it; it opens nothing from then on',
      response: ApiKeyDeleted,
      handler({ params }) {
        removeKey(deps, params.id)
        deps.access.changed(params.id)
        return { object: 'api_key.deleted' as const, id: params.id, deleted: true as const }
      },
    }),
  ]
}
