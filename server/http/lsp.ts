/** WebSocket /lsp: the door through which editors reach the language server, for those whom the door lets manage. */
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { type WebSocket, WebSocketServer } from 'ws'
import { HubError } from '../lib/error.ts'
import type { Log } from '../lib/log.ts'
import { LSP_PATH } from '../wire/editor.ts'
import { refuseUpgrade } from './events.ts'

/** A document of fifty million characters is sent whole when it is opened. */
const MAX_MESSAGE_BYTES = 256 * 2 ** 20
const MAX_CLIENTS = 64

/** Whether an upgrade is for this door. */
export function isLsp({ url = '' }: IncomingMessage): boolean {
  return url.split('?', 1)[0] === LSP_PATH
}

/** What the language server is given: texts in, texts out. */
export type TextSocket = {
  send(text: string): void
  onMessage(listener: (text: string) => void): void
  onClose(listener: () => void): void
  close(): void
}

export type LspDoor = {
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void
  /** Closes every connection. */
  close(): Promise<void>
}

/** @param deps.open loads what serves a connection; it is called before the first one is taken */
export function createLspDoor(deps: { open(): Promise<(socket: TextSocket) => void>; log: Log }): LspDoor {
  const server = new WebSocketServer({ noServer: true, maxPayload: MAX_MESSAGE_BYTES, perMessageDeflate: false })
  return {
    upgrade(request, socket, head) {
      if (server.clients.size >= MAX_CLIENTS) {
        return refuseUpgrade(socket, new HubError('busy', `${MAX_CLIENTS} editors are connected already; close some.`))
      }
      // The language server takes time to load, which the start of the hub need not wait for.
      deps.open().then(
        serve =>
          server.handleUpgrade(request, socket, head, client => {
            client.on('error', error => deps.log.debug('an editor connection failed', { reason: error.message }))
            serve(textSocket(client))
          }),
        thrown => refuseUpgrade(socket, HubError.from(thrown)),
      )
    },
    async close() {
      const gone = [...server.clients].map(
        client => new Promise<void>(resolve => client.once('close', () => resolve())),
      )
      for (const client of server.clients) client.close(1001, 'the hub is closing')
      const cut = setTimeout(() => {
        for (const client of server.clients) client.terminate()
      }, 500)
      await Promise.all(gone)
      clearTimeout(cut)
      server.close()
    },
  }
}

function textSocket(client: WebSocket): TextSocket {
  return {
    send(text) {
      if (client.readyState === client.OPEN) client.send(text)
    },
    onMessage: listener => client.on('message', data => listener(data.toString())),
    onClose: listener => client.on('close', listener),
    close: () => client.close(),
  }
}
