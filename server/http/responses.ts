/** POST /v1/responses and its stored responses: GET, DELETE and the list of input items. */
import { randomUUID } from 'node:crypto'
import * as z from 'zod'
import { HubError } from '../lib/error.ts'
import type { Lease } from '../models/models.ts'
import type { Database } from '../storage/database.ts'
import { deleteResponse, readConversation, readResponse, storeResponse } from '../storage/responses.ts'
import {
  InputItems,
  InputItemsQuery,
  type Item,
  ResponseDeleted,
  ResponseEvent,
  ResponseOut,
  ResponsesRequest,
} from '../wire/responses.ts'
import { checkGenerate, type EndpointDeps, unixSeconds, variantOf, withLease } from './generate.ts'
import { ResponseOutput } from './responses_output.ts'
import { openResponse, type Prepared, prepare } from './responses_request.ts'
import { type Route, route } from './route.ts'
import type { Sse } from './sse.ts'

export type ResponsesDeps = EndpointDeps & { db: Database }

const newId = (prefix: string): string => `${prefix}_${randomUUID().replaceAll('-', '')}`
const Params = z.object({ id: z.string() })

/**
 * A response is stored, durably, before its last event or its answer is sent, also one that is incomplete or failed midway.
 * One that the client left before its end is not stored: nobody has seen it whole, and nobody can name it.
 */
export function responsesRoutes(deps: ResponsesDeps): Route[] {
  return [
    route({
      method: 'POST',
      path: '/v1/responses',
      summary: 'Answer input items, or go on with a stored response',
      tag: 'OpenAI',
      scope: 'use',
      asksModel: true,
      request: ResponsesRequest,
      response: ResponseOut,
      chunk: ResponseEvent,
      async handler({ body, signal, stream }) {
        const prepared = prepare(body, readEarlier(deps.db, body.previous_response_id), newId)
        const head = { id: newId('resp'), createdAt: unixSeconds() }
        const ending: { frames?: string } = {}
        const formatError = (error: HubError): string => ending.frames ?? errorFrame(error)
        const sse = body.stream === true ? stream({ formatError }) : undefined
        const model = variantOf(deps, body.model, body, prepared.firstMessage)
        return withLease(deps.models, model, signal, async lease => {
          const request = prepared.generate(lease.model)
          checkGenerate(lease, request, { prompt: 'input' })
          const output = new ResponseOutput(openResponse(body, request, { ...head, model: lease.model.id }), newId)
          const save = (response: ResponseOut): void => {
            if (response.store) store(deps.db, response, prepared)
          }
          const response = await generate({ lease, request, signal, output, save, sse, ending })
          return sse ?? response
        })
      },
    }),
    route({
      method: 'GET',
      path: '/v1/responses/{id}',
      summary: 'A stored response',
      tag: 'OpenAI',
      scope: 'use',
      params: Params,
      response: ResponseOut,
      // What is stored was made by this very endpoint.
      handler: ({ params }) => stored(deps.db, params.id).response as ResponseOut,
    }),
    route({
      method: 'DELETE',
      path: '/v1/responses/{id}',
      summary: 'Deletes a stored response; conversations that went on from it cannot be continued any more',
      tag: 'OpenAI',
      scope: 'use',
      params: Params,
      response: ResponseDeleted,
      handler: ({ params: { id } }) => {
        if (!deleteResponse(deps.db, id)) throw unknownResponse(id)
        return { id, object: 'response' as const, deleted: true as const }
      },
    }),
    route({
      method: 'GET',
      path: '/v1/responses/{id}/input_items',
      summary: 'The input items of a stored response, its own turn alone',
      tag: 'OpenAI',
      scope: 'use',
      params: Params,
      query: InputItemsQuery,
      response: InputItems,
      handler: ({ params, query }) => listInput(stored(deps.db, params.id).input as Item[], query),
    }),
  ]
}

type Run = {
  lease: Lease
  request: ReturnType<Prepared['generate']>
  signal: AbortSignal
  output: ResponseOutput
  save(response: ResponseOut): void
  sse: Sse | undefined
  /** Takes the frames that tell an error once the stream has begun. */
  ending: { frames?: string }
}

/** Runs the generation, sends its events when there is a stream, and stores the response before the last of them. */
async function generate({ lease, request, signal, output, save, sse, ending }: Run): Promise<ResponseOut> {
  try {
    for await (const event of lease.generate(request, signal)) {
      const events = output.push(event)
      if (sse === undefined || events.length === 0) continue
      const wait = sse.frame(toFrames(events))
      if (wait !== undefined) await wait
    }
    const { response, events } = output.finish(unixSeconds())
    if (sse !== undefined) sse.frame(toFrames(events))
    save(response)
    if (sse !== undefined) sse.frame(toFrames([output.last(response)]))
    return response
  } catch (thrown) {
    const error = HubError.from(thrown)
    if (output.begun) ending.frames = fail(error, output, save)
    throw error
  }
}

/** The frames that end a begun stream with an error; the failed response is stored when that is possible. */
function fail(error: HubError, output: ResponseOutput, save: Run['save']): string {
  const { response, events } = output.fail(error)
  try {
    if (error.code !== 'cancelled') save(response)
  } catch {
    // The database may be what failed; the error that is told is the first one.
  }
  return toFrames([...events, output.last(response)])
}

function toFrames(events: readonly ResponseEvent[]): string {
  let text = ''
  for (const event of events) text += `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`
  return text
}

/** An error while the stream is open but no event was sent, by a keep-alive during a long prompt. */
function errorFrame(error: HubError): string {
  const { code, message, param = null } = error
  return toFrames([{ type: 'error', sequence_number: 0, code, message, param }])
}

function store(db: Database, response: ResponseOut, { input }: Prepared): void {
  storeResponse(db, {
    id: response.id,
    createdMs: response.created_at * 1000,
    model: response.model,
    status: response.status,
    previousId: response.previous_response_id ?? undefined,
    input,
    response,
  })
}

/** Items of the turns before, each turn's input and then its output. @throws HubError not_found with param previous_response_id */
function readEarlier(db: Database, previousId: string | null | undefined): Item[] {
  if (typeof previousId !== 'string') return []
  try {
    return readConversation(db, previousId).flatMap(turn => [
      ...(turn.input as Item[]),
      ...(turn.response as ResponseOut).output,
    ])
  } catch (thrown) {
    if (!(thrown instanceof HubError) || thrown.code !== 'not_found') throw thrown
    throw new HubError('not_found', thrown.message, { param: 'previous_response_id' })
  }
}

function stored(db: Database, id: string): NonNullable<ReturnType<typeof readResponse>> {
  const found = readResponse(db, id)
  if (found === undefined) throw unknownResponse(id)
  return found
}

function unknownResponse(id: string): HubError {
  return new HubError(
    'not_found',
    `There is no stored response '${id.slice(0, 100)}'. It was never stored, or was deleted.`,
    {
      param: 'id',
    },
  )
}

/** One page of a list, newest first unless told otherwise, as OpenAI does. @throws HubError when `after` names no item */
function listInput(items: readonly Item[], query: z.output<typeof InputItemsQuery>): z.output<typeof InputItems> {
  const ordered = query.order === 'asc' ? items : items.toReversed()
  const limit = Number(query.limit ?? 20)
  const from = query.after === undefined ? 0 : ordered.findIndex(item => item.id === query.after) + 1
  if (query.after !== undefined && from === 0) {
    throw new HubError('invalid_request', `'after' names no input item of this response: '${query.after}'.`, {
      param: 'after',
    })
  }
  const data = ordered.slice(from, from + limit)
  return {
    object: 'list',
    data,
    first_id: data[0]?.id ?? '',
    last_id: data.at(-1)?.id ?? '',
    has_more: from + limit < ordered.length,
  }
}
