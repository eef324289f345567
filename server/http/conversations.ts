/** /v1/chats: the conversations of the chat page, listed, searched, changed, exported and deleted. */
import { randomUUID } from 'node:crypto'
import { HubError } from '../lib/error.ts'
import {
  branchOf,
  createConversation,
  deleteConversation,
  findConversation,
  findMessage,
  listConversations,
  messagesOf,
  putMessage,
  type StoredConversation,
  searchConversations,
  updateConversation,
} from '../storage/conversations.ts'
import type { Database } from '../storage/database.ts'
import {
  type Conversation,
  ConversationDeleted,
  ConversationExport,
  ConversationList,
  ConversationMessage,
  ConversationMessageIn,
  Conversation as ConversationOut,
  ConversationParams,
  ConversationQuery,
  ConversationRequest,
  ConversationUpdate,
  ConversationWhole,
  ExportQuery,
  MessageParams,
} from '../wire/conversations.ts'
import { type Route, route } from './route.ts'

/** @param deps now: Unix milliseconds */
export function conversationRoutes({ db, now }: { db: Database; now(): number }): Route[] {
  const find = (id: string): StoredConversation => {
    const found = findConversation(db, id)
    if (found === undefined) throw missing(id)
    return found
  }
  const about = { tag: 'Chats', scope: 'use' as const }
  return [
    route({
      ...about,
      method: 'GET',
      path: '/v1/chats',
      summary: 'Kept conversations, the latest first; with search, the best first',
      query: ConversationQuery,
      response: ConversationList,
      handler({ query: { search, after, limit } }) {
        if (search !== undefined && search.trim() !== '') {
          if (after !== undefined) {
            throw new HubError('invalid_request', "'after' does not go with 'search'; raise 'limit' instead.", {
              param: 'after',
            })
          }
          const found = searchConversations(db, search, limit + 1)
          const data = found.slice(0, limit).map(one => ({ ...toOut(one), excerpt: one.excerpt }))
          return { object: 'list' as const, data, has_more: found.length > limit }
        }
        if (after !== undefined) find(after)
        const found = listConversations(db, { after, limit: limit + 1 })
        return { object: 'list' as const, data: found.slice(0, limit).map(toOut), has_more: found.length > limit }
      },
    }),
    route({
      ...about,
      method: 'POST',
      path: '/v1/chats',
      summary: 'Begin a conversation',
      request: ConversationRequest,
      response: ConversationOut,
      handler({ body }) {
        const at = now()
        const made = {
          id: `chat_${randomUUID().replaceAll('-', '')}`,
          createdMs: at,
          updatedMs: at,
          leaf: null,
          ...body,
        }
        createConversation(db, made)
        return toOut(made)
      },
    }),
    route({
      ...about,
      method: 'GET',
      path: '/v1/chats/{id}',
      summary: 'A conversation with the messages of all its branches',
      params: ConversationParams,
      response: ConversationWhole,
      handler: ({ params }) => ({ ...toOut(find(params.id)), messages: messagesOf(db, params.id) }),
    }),
    route({
      ...about,
      method: 'PATCH',
      path: '/v1/chats/{id}',
      summary: 'Changes its title, model, options, branch, or whether it may be used for training',
      params: ConversationParams,
      request: ConversationUpdate,
      response: ConversationOut,
      handler({ params, body }) {
        if (typeof body.leaf === 'string') needMessage(db, params.id, body.leaf, 'leaf')
        const changed = updateConversation(db, params.id, body)
        if (changed === undefined) throw missing(params.id)
        return toOut(changed)
      },
    }),
    route({
      ...about,
      method: 'DELETE',
      path: '/v1/chats/{id}',
      summary: 'Deletes it',
      params: ConversationParams,
      response: ConversationDeleted,
      handler({ params }) {
        if (!deleteConversation(db, params.id)) throw missing(params.id)
        return { object: 'chat.deleted' as const, id: params.id, deleted: true as const }
      },
    }),
    route({
      ...about,
      method: 'PUT',
      path: '/v1/chats/{id}/messages/{message}',
      summary: 'Writes a message under an id that the client chose, or writes it again',
      params: MessageParams,
      request: ConversationMessageIn,
      response: ConversationMessage,
      handler({ params, body }) {
        find(params.id)
        const before = findMessage(db, params.id, params.message)
        if (before !== undefined && (before.parent !== body.parent || before.role !== body.role)) {
          throw new HubError('conflict', `Message '${params.message}' is there with another parent or role.`, {
            param: before.parent !== body.parent ? 'parent' : 'role',
          })
        }
        if (body.parent !== null) needMessage(db, params.id, body.parent, 'parent')
        const at = now()
        const message = { ...body, id: params.message, created_at: before?.created_at ?? at }
        putMessage(db, params.id, message, at)
        return message
      },
    }),
    route({
      ...about,
      method: 'GET',
      path: '/v1/chats/{id}/export',
      summary: 'The conversation as one text: Markdown of its branch, or JSON of everything',
      params: ConversationParams,
      query: ExportQuery,
      response: ConversationExport,
      handler({ params, query }) {
        const conversation = toOut(find(params.id))
        const messages = messagesOf(db, params.id)
        const name = fileName(conversation)
        const head = { object: 'chat.export' as const }
        if (query.format === 'json') {
          const content = `${JSON.stringify({ ...conversation, messages }, undefined, 2)}\n`
          return { ...head, filename: `${name}.json`, media_type: 'application/json', content }
        }
        const content = toMarkdown(conversation, branchOf(messages, conversation.leaf))
        return { ...head, filename: `${name}.md`, media_type: 'text/markdown', content }
      },
    }),
  ]
}

function toOut(stored: StoredConversation): Conversation {
  const { id, title, model, createdMs, updatedMs, training, options, leaf } = stored
  return { object: 'chat', id, title, model, created_at: createdMs, updated_at: updatedMs, training, options, leaf }
}

function toMarkdown({ title, model, options }: Conversation, messages: ConversationMessage[]): string {
  const parts = [`# ${title || 'Chat'}`, `_${model}_`]
  if (options.system !== undefined) parts.push('## System', options.system)
  for (const message of messages) {
    parts.push(`## ${NAMES[message.role]}`)
    if (message.reasoning) parts.push(message.reasoning.replace(/^/gm, '> '))
    if (message.content !== '') parts.push(message.content)
    for (const call of message.tool_calls ?? []) parts.push(`\`${call.name}(${call.arguments})\``)
  }
  return `${parts.join('\n\n')}\n`
}
const NAMES = { user: 'User', assistant: 'Assistant', tool: 'Tool' }

/** A name that every file system takes. */
function fileName({ title, id }: Conversation): string {
  const words = title.normalize('NFC').match(/[\p{L}\p{M}\p{N}]+/gu) ?? []
  return words.join('-').slice(0, 60) || id
}

function needMessage(db: Database, conversation: string, id: string, param: string): void {
  if (findMessage(db, conversation, id) !== undefined) return
  throw new HubError('invalid_request', `There is no message '${id}' in chat '${conversation}'.`, { param })
}

function missing(id: string): HubError {
  return new HubError('not_found', `There is no chat '${id}'; it may have been deleted.`, { param: 'id' })
}
