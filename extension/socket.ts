/** A WebSocket of the hub, whose door wants its token. */
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
