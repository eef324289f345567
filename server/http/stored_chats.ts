/** GET, POST and DELETE under /v1/chat/completions: the answers that clients asked to keep, which datasets can be made of. */
import * as z from 'zod'
import { HubError } from '../lib/error.ts'
import type { Database } from '../storage/database.ts'
import {
  deleteChat,
  listChats,
  readChat,
  type StoredChat as Stored,
  storeChat,
  updateChatMetadata,
} from '../storage/stored_chats.ts'
import type { ChatResponse } from '../wire/chat.ts'
import {
  type StoredChat,
  StoredChatDeleted,
  StoredChatList,
  StoredChatQuery,
  StoredChatUpdate,
  StoredMessageList,
  StoredChat as StoredSchema,
} from '../wire/stored_chats.ts'
import type { ChatDeps } from './chat.ts'
import { type Route, route } from './route.ts'

const Params = z.object({ id: z.string() })
const MessageQuery = StoredChatQuery.pick({ after: true, limit: true, order: true })

/** Keeps answers in the table. */
export function chatKeeper(db: Database): ChatDeps['storeChat'] {
  return (body, response) =>
    storeChat(db, {
      id: response.id,
      createdMs: response.created * 1000,
      model: response.model,
      metadata: body.metadata ?? {},
      messages: body.messages,
      tools: body.tools ?? [],
      response,
    })
}

export function storedChatRoutes({ db }: { db: Database }): Route[] {
  const find = (id: string): Stored => {
    const chat = readChat(db, id)
    if (chat === undefined) throw missing(id)
    return chat
  }
  return [
    route({
      method: 'GET',
      path: '/v1/chat/completions',
      summary: 'Answers kept with store: true',
      tag: 'OpenAI',
      scope: 'use',
      query: StoredChatQuery,
      response: StoredChatList,
      handler({ query: { model, after, limit, order, ...others } }) {
        if (after !== undefined) find(after)
        const most = toLimit(limit)
        const metadata = toMetadata(others)
        const found = listChats(db, { model, metadata, after, order: order ?? 'asc', limit: most + 1 })
        return toPage(found.slice(0, most).map(toChat), found.length > most)
      },
    }),
    route({
      method: 'GET',
      path: '/v1/chat/completions/{id}',
      summary: 'A kept answer',
      tag: 'OpenAI',
      scope: 'use',
      params: Params,
      response: StoredSchema,
      handler: ({ params }) => toChat(find(params.id)),
    }),
    route({
      method: 'POST',
      path: '/v1/chat/completions/{id}',
      summary: 'Replaces its metadata',
      tag: 'OpenAI',
      scope: 'use',
      params: Params,
      request: StoredChatUpdate,
      response: StoredSchema,
      handler({ params, body }) {
        const chat = updateChatMetadata(db, params.id, body.metadata ?? {})
        if (chat === undefined) throw missing(params.id)
        return toChat(chat)
      },
    }),
    route({
      method: 'DELETE',
      path: '/v1/chat/completions/{id}',
      summary: 'Deletes it',
      tag: 'OpenAI',
      scope: 'use',
      params: Params,
      response: StoredChatDeleted,
      handler({ params }) {
        if (!deleteChat(db, params.id)) throw missing(params.id)
        return { object: 'chat.completion.deleted' as const, id: params.id, deleted: true as const }
      },
    }),
    route({
      method: 'GET',
      path: '/v1/chat/completions/{id}/messages',
      summary: 'The messages it answered',
      tag: 'OpenAI',
      scope: 'use',
      params: Params,
      query: MessageQuery,
      response: StoredMessageList,
      handler({ params, query }) {
        const messages = find(params.id).messages.map((message, index) => ({
          ...(message as { [key: string]: unknown }),
          id: `${params.id}-${index}`,
        }))
        if (query.order === 'desc') messages.reverse()
        const start = query.after === undefined ? 0 : messages.findIndex(({ id }) => id === query.after) + 1
        if (query.after !== undefined && start === 0) throw missing(query.after)
        const most = toLimit(query.limit)
        return toPage(messages.slice(start, start + most), messages.length > start + most)
      },
    }),
  ]
}

function toChat({ response, metadata }: Stored): StoredChat {
  return { ...(response as ChatResponse), metadata }
}

function toLimit(text: string | undefined): number {
  const limit = text === undefined ? 20 : Number(text)
  if (limit < 1 || limit > 100) {
    throw new HubError('invalid_request', "'limit' is from 1 to 100.", { param: 'limit' })
  }
  return limit
}

function toMetadata(query: { [name: string]: string }): { [key: string]: string } {
  return Object.fromEntries(
    Object.entries(query).map(([name, value]) => {
      const key = /^metadata\[(.+)\]$/.exec(name)?.[1]
      if (key === undefined) {
        throw new HubError('invalid_request', `'${name}' is no parameter of this list.`, { param: name })
      }
      return [key, value]
    }),
  )
}

function toPage<T extends { id: string }>(data: T[], more: boolean) {
  return {
    object: 'list' as const,
    data,
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
    has_more: more,
  }
}

function missing(id: string): HubError {
  return new HubError(
    'not_found',
    `There is no stored chat '${id}'. Only answers asked for with store: true are kept.`,
    {
      param: 'id',
    },
  )
}
