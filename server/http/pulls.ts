/** /v1/models/pull and /v1/models/pulls: getting models over the network, and /v1/models/suggested: which ones suit this machine. */
import * as z from 'zod'
import type { Pulls } from '../models/pulls.ts'
import { PullAnswer, PullCancelQuery, PullList, PullOut, PullRequest, SuggestionList } from '../wire/pull.ts'
import { type Route, route } from './route.ts'

const Params = z.strictObject({ id: z.string() })

export function pullRoutes({ pulls }: { pulls: Pulls }): Route[] {
  return [
    route({
      method: 'POST',
      path: '/v1/models/pull',
      summary: 'Get a model over the network, or go on with it; with dry_run only say what would be fetched',
      tag: 'Hub',
      scope: 'manage',
      request: PullRequest,
      response: PullAnswer,
      handler: ({ body, signal }) => (body.dry_run ? pulls.plan(body, signal) : pulls.create(body, signal)),
    }),
    route({
      method: 'GET',
      path: '/v1/models/pulls',
      summary: 'Downloads that run, wait or have ended, the newest first',
      tag: 'Hub',
      scope: 'use',
      response: PullList,
      handler: () => ({ object: 'list' as const, data: pulls.list() }),
    }),
    route({
      method: 'GET',
      path: '/v1/models/pulls/{id}',
      summary: 'One download with its progress',
      tag: 'Hub',
      scope: 'use',
      params: Params,
      response: PullOut,
      handler: ({ params }) => pulls.get(params.id),
    }),
    route({
      method: 'DELETE',
      path: '/v1/models/pulls/{id}',
      summary: 'Stop a download, keeping what came unless discard is true; one that is done leaves the list',
      tag: 'Hub',
      scope: 'manage',
      params: Params,
      query: PullCancelQuery,
      response: PullOut,
      handler: ({ params, query }) => pulls.cancel(params.id, query.discard),
    }),
    route({
      method: 'GET',
      path: '/v1/models/suggested',
      summary: 'Well-known open models that fit this machine, the best first; asks nobody',
      tag: 'Hub',
      scope: 'use',
      response: SuggestionList,
      handler: async () => ({ object: 'list' as const, data: await pulls.suggestions() }),
    }),
  ]
}
