/** A route is data: method, path, schemas and a handler. Validation, errors, the OpenAPI document and authentication follow from the table. */
import type { IncomingMessage } from 'node:http'
import type * as z from 'zod'
import type { Caller, Need } from '../security/access.ts'
import type { FileAnswer } from './file_answer.ts'
import type { Sse, SseOptions } from './sse.ts'

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

/** Who may call: anyone who reaches the door, any user of the models, or only who may change the hub. */
export type Scope = 'public' | Exclude<Need, 'editor'>

export type Context<Body, Query, Params> = {
  /** What the request schema gave back: defaults are filled in. */
  body: Body
  query: Query
  params: Params
  /** Aborts when the client goes away or the hub closes. */
  signal: AbortSignal
  requestId: string
  caller: Caller
  request: IncomingMessage
  /**
   * Answers with server-sent events instead of one JSON value; return what it gives. The status line is sent with the
   * first event (or the first keep-alive), so an error before that is still an ordinary HTTP error.
   */
  stream(options?: SseOptions): Sse
}

export type RouteSpec<
  Body extends z.ZodType,
  Query extends z.ZodType,
  Params extends z.ZodType,
  Response extends z.ZodType,
> = {
  method: Method
  /** OpenAPI form: `/v1/models/{id}`. `{id*}` takes the rest of the path, slashes included. */
  path: string
  summary: string
  /** Heading under which /docs shows the route. */
  tag: string
  scope: Scope
  /** It asks a model for an answer: the request is one of those that GET /v1/system/requests lists. */
  asksModel?: true
  /** Schema of the JSON body; absent = a body is not read. */
  request?: Body
  /** Schema of a multipart/form-data body, for the OpenAPI document; the handler reads it from `request` itself. */
  multipart?: z.ZodType
  /** Schema of the query: every value arrives as a string. Absent = no query parameter is taken. */
  query?: Query
  /** Schema of the path's parameters, every one a string. */
  params?: Params
  response: Response
  /** Schema of one server-sent event, where the route can stream. */
  chunk?: z.ZodType
  /** Answers 200 with the JSON of what it returns, with the stream it opened, or with a file's bytes. @throws HubError */
  handler(
    context: Context<z.output<Body>, z.output<Query>, z.output<Params>>,
  ): Promise<z.input<Response> | Sse | FileAnswer> | z.input<Response> | Sse | FileAnswer
}

/** A route whose types have been checked and then forgotten, so that routes can stand in one list. */
export type Route = Omit<RouteSpec<z.ZodType, z.ZodType, z.ZodType, z.ZodType>, 'handler'> & {
  handler(context: Context<unknown, unknown, unknown>): unknown
}

/** Checks a route's handler against its schemas. */
export function route<
  Response extends z.ZodType,
  Body extends z.ZodType = z.ZodUndefined,
  Query extends z.ZodType = z.ZodObject<Record<never, never>>,
  Params extends z.ZodType = z.ZodObject<Record<never, never>>,
>(spec: RouteSpec<Body, Query, Params, Response>): Route {
  // The server validates with the very schemas of this route before it calls the handler: the one checked boundary.
  return spec as unknown as Route
}

/** Path for the OpenAPI document: without the mark of rest parameters. */
export function openApiPath(path: string): string {
  return path.replace(/\{(\w+)\*\}/g, '{$1}')
}

/** Path as express 5 writes it. */
export function expressPath(path: string): string {
  return path.replace(/\{(\w+)\*\}/g, '*$1').replace(/\{(\w+)\}/g, ':$1')
}
