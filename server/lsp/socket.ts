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
      let message: Message
      try {
        message = JSON.parse(text) as Message
      } catch (thrown) {
        // A client that sends no JSON is told once, by the error of the connection.
        this.fireError(thrown instanceof Error ? thrown : new Error(String(thrown)))
        return
      }
      callback(message)
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
