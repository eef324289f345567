/** Evaluations under /v1/training/evaluations, and A/B tests under /v1/ab_tests. */
import * as z from 'zod'
import type { AbTests } from '../training/ab_test.ts'
import type { Evaluations } from '../training/evaluations.ts'
import {
  AbTestList,
  AbTestOut,
  AbTestRequest,
  AbVoteOut,
  AbVoteRequest,
  EvaluationList,
  EvaluationOut,
  EvaluationQuery,
  EvaluationRequest,
} from '../wire/evaluation.ts'
import { type Route, route } from './route.ts'

export type EvaluationDeps = { evaluations: Evaluations; abTests: AbTests }

const Params = z.strictObject({ id: z.string() })
/** Evaluations that a list gives at most. */
const LISTED = 100

export function evaluationRoutes({ evaluations, abTests }: EvaluationDeps): Route[] {
  return [
    route({
      method: 'POST',
      path: '/v1/training/evaluations',
      summary: 'Compare a model or adapter with a base on held-out samples; runs in the background',
      tag: 'Training',
      scope: 'manage',
      request: EvaluationRequest,
      response: EvaluationOut,
      handler: ({ body }) => evaluations.create(body),
    }),
    route({
      method: 'GET',
      path: '/v1/training/evaluations',
      summary: 'Evaluations, the newest first',
      tag: 'Training',
      scope: 'manage',
      response: EvaluationList,
      handler: () => ({ object: 'list' as const, data: evaluations.list(LISTED) }),
    }),
    route({
      method: 'GET',
      path: '/v1/training/evaluations/{id}',
      summary: 'An evaluation with its progress, or its report',
      tag: 'Training',
      scope: 'manage',
      params: Params,
      query: EvaluationQuery,
      response: EvaluationOut,
      handler: ({ params, query, signal }) => evaluations.wait(params.id, query.wait * 1000, signal),
    }),
    route({
      method: 'POST',
      path: '/v1/training/evaluations/{id}/cancel',
      summary: 'Cancel an evaluation that has not ended',
      tag: 'Training',
      scope: 'manage',
      params: Params,
      response: EvaluationOut,
      handler: ({ params }) => evaluations.cancel(params.id),
    }),
    route({
      method: 'POST',
      path: '/v1/ab_tests',
      summary: 'Split the requests to a name between two models',
      tag: 'A/B tests',
      scope: 'manage',
      request: AbTestRequest,
      response: AbTestOut,
      handler: ({ body }) => abTests.create(body),
    }),
    route({
      method: 'GET',
      path: '/v1/ab_tests',
      summary: 'A/B tests with their results, the newest first',
      tag: 'A/B tests',
      scope: 'use',
      response: AbTestList,
      handler: () => ({ object: 'list' as const, data: abTests.list() }),
    }),
    route({
      method: 'GET',
      path: '/v1/ab_tests/{id}',
      summary: 'An A/B test with its result, by its id or the name of a running one',
      tag: 'A/B tests',
      scope: 'use',
      params: Params,
      response: AbTestOut,
      handler: ({ params }) => abTests.get(params.id),
    }),
    route({
      method: 'POST',
      path: '/v1/ab_tests/{id}/votes',
      summary: 'Say what became of an answer: good or bad, accepted or rejected',
      tag: 'A/B tests',
      scope: 'use',
      params: Params,
      request: AbVoteRequest,
      response: AbVoteOut,
      handler: ({ params, body }) => ({ object: 'ab_test.vote' as const, ...abTests.vote(params.id, body) }),
    }),
    route({
      method: 'POST',
      path: '/v1/ab_tests/{id}/stop',
      summary: 'Stop an A/B test; its result stays',
      tag: 'A/B tests',
      scope: 'manage',
      params: Params,
      response: AbTestOut,
      handler: ({ params }) => abTests.stop(params.id),
    }),
  ]
}
