/** Where in a request the key or token stands that is shown with it. */
import type { IncomingMessage } from 'node:http'
import { EVENTS_PROTOCOL, KEY_PROTOCOL } from '../wire/events.ts'

/** What stands behind `Authorization: Bearer`; undefined when there is none. */
export function shownBy({ headers }: IncomingMessage): string | undefined {
  return /^Bearer\s+(.*)$/i.exec(headers.authorization ?? '')?.[1]?.trim()
}

/**
 * Of a WebSocket, for which a browser sends no header of the page's choice, also the subprotocol `ai-hub-key.KEY`
 * beside `ai-hub`, or `?token=` in its address.
 */
export function shownByUpgrade(request: IncomingMessage): string | undefined {
  const protocols = (request.headers['sec-websocket-protocol'] ?? '').split(',').map(protocol => protocol.trim())
  const key = protocols.find(protocol => protocol.startsWith(KEY_PROTOCOL))?.slice(KEY_PROTOCOL.length)
  const query = new URLSearchParams((request.url ?? '').split('?')[1] ?? '')
  return shownBy(request) ?? key ?? query.get('token') ?? undefined
}

/** The subprotocol that is agreed on: never the one that holds a key. */
export function agreeOn(protocols: Set<string>): string | false {
  return protocols.has(EVENTS_PROTOCOL) && EVENTS_PROTOCOL
}
