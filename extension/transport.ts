/** A WebSocket as the reader and writer of a language client: one JSON message per frame, no headers. */
import type { DataCallback, Disposable, Message, MessageReader, MessageWriter } from 'vscode-languageclient/node'
import { AbstractMessageReader, AbstractMessageWriter } from 'vscode-languageclient/node'
import type { WebSocket } from 'ws'

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
