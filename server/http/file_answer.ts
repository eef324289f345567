/** The bytes of a file as an answer, streamed from the disk. */
import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import { pipeline } from 'node:stream/promises'
import { HubError } from '../lib/error.ts'

export class FileAnswer {
  readonly #path: string
  readonly #filename: string

  /** @param filename under which a browser would save it */
  constructor(path: string, filename: string) {
    this.#path = path
    this.#filename = filename
  }

  /** @throws HubError not_found when the file is gone */
  async send(response: ServerResponse): Promise<void> {
    const file = await open(this.#path).catch((cause: unknown) => {
      throw new HubError('not_found', 'The content of this file is gone from the disk; upload it again.', { cause })
    })
    try {
      const { size } = await file.stat()
      response.writeHead(200, {
        'content-type': 'application/octet-stream',
        'content-length': size,
        'content-disposition': `attachment; filename*=UTF-8''${encodeURIComponent(this.#filename)}`,
        'cache-control': 'no-store',
      })
      if (response.req.method === 'HEAD') {
        response.end()
        return
      }
      // A client that goes away in between is no failure of the hub.
      await pipeline(createReadStream('', { fd: file.fd, autoClose: false }), response).catch(() => undefined)
    } finally {
      await file.close()
    }
  }
}
