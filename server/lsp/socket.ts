/** A text socket as the message reader and writer of a language server connection: one JSON message per frame, no headers. */
import {
  AbstractMessageReader,
  AbstractMessageWriter,
  type DataCallback,
  type Disposable,
  type Message,
  type MessageReader,
  type MessageWriter,
} from 'vscode-languageserver'

/** What a door gives: a WebSocket, or anything else that carries texts whole and in order. */
export type TextSocket = {
  send(text: string): void
  onMessage(listener: (text: string) => void): void
  onClose(listener: () => void): void
  close(): void
}

export class SocketReader extends AbstractMessageReader implements MessageReader {
  readonly #socket: TextSocket

  constructor(socket: TextSocket) {
    super()
    this.#socket = socket
    socket.onClose(() => this.fireClose())
  }

  listen(callback: DataCallback): Disposable {
    this.#socket.onMessage(text => {
      // What is no JSON, or no message, must end neither the connection nor the hub.
      try {
        callback(JSON.parse(text) as Message)
      } catch (thrown) {
        this.fireError(thrown instanceof Error ? thrown : new Error(String(thrown)))
      }
    })
    return { dispose: () => {} }
  }
}

export class SocketWriter extends AbstractMessageWriter implements MessageWriter {
  readonly #socket: TextSocket

  constructor(socket: TextSocket) {
    super()
    this.#socket = socket
    socket.onClose(() => this.fireClose())
  }

  async write(message: Message): Promise<void> {
    this.#socket.send(JSON.stringify(message))
  }

  end(): void {
    this.#socket.close()
  }
}
