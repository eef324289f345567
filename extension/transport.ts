/** A WebSocket as the reader and writer of a language client: one JSON message per frame, no headers. */
import type { DataCallback, Disposable, Message, MessageReader, MessageWriter } from 'vscode-languageclient/node'
import { AbstractMessageReader, AbstractMessageWriter } from 'vscode-languageclient/node'
import { WebSocket } from 'ws'

/**
 * Connects to an address of the hub.
 * @param listen is called before the first message, which comes together with the answer to the handshake
 * @throws Error when the door stays closed
 */
export function openSocket(
  url: string,
  token: string | undefined,
  listen: (socket: WebSocket) => void = () => {},
): Promise<WebSocket> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, {
      ...(token !== undefined && { headers: { authorization: `Bearer ${token}` } }),
      handshakeTimeout: 10_000,
      maxPayload: 256 * 2 ** 20,
      perMessageDeflate: false,
    })
    socket.once('open', () => {
      socket.off('error', reject)
      // The close that follows every error says what has to be done.
      socket.on('error', () => {})
      listen(socket)
      resolve(socket)
    })
    socket.once('error', reject)
  })
}

export class SocketReader extends AbstractMessageReader implements MessageReader {
  readonly #socket: WebSocket

  constructor(socket: WebSocket) {
    super()
    this.#socket = socket
    socket.once('close', () => this.fireClose())
  }

  listen(callback: DataCallback): Disposable {
    const take = (data: { toString(): string }): void => callback(JSON.parse(data.toString()) as Message)
    this.#socket.on('message', take)
    return { dispose: () => void this.#socket.off('message', take) }
  }
}

export class SocketWriter extends AbstractMessageWriter implements MessageWriter {
  readonly #socket: WebSocket

  constructor(socket: WebSocket) {
    super()
    this.#socket = socket
    socket.once('close', () => this.fireClose())
  }

  async write(message: Message): Promise<void> {
    // What is written behind the end is lost as it would be in any pipe.
    if (this.#socket.readyState === this.#socket.OPEN) this.#socket.send(JSON.stringify(message))
  }

  end(): void {
    this.#socket.close(1000)
  }
}
