/** Plays the model hub on a free port of loopback: lists repositories, gives files with ranges and ETags, and misbehaves where a test says so. */
import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export type HubFile = {
  bytes: Buffer
  /** What the list says in place of the truth. */
  sha256?: string
  size?: number
  etag?: string
}

export type ModelHub = {
  url: string
  /** By `owner/repo`, then by path; a test may change it. */
  repos: { [repo: string]: { [path: string]: HubFile } }
  /** Requests so far: method, path and the headers that matter. */
  seen: { path: string; range?: string; ifRange?: string; authorization?: string }[]
  /** Called for every file before it is given; one that returns true has answered. */
  misbehave?:
    | ((request: IncomingMessage, response: ServerResponse, file: HubFile) => boolean | Promise<boolean>)
    | undefined
  /** Called for everything else first, likewise. */
  answer?: ((request: IncomingMessage, response: ServerResponse) => boolean) | undefined
  close(): Promise<void>
}

export const hubFile = (bytes: Buffer, more: Omit<HubFile, 'bytes'> = {}): HubFile => ({ bytes, ...more })
export const checksum = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')

export async function modelHub(
  context: { after(close: () => Promise<void>): void },
  repos: ModelHub['repos'] = {},
): Promise<ModelHub> {
  const server = createServer((request, response) => {
    void respond(request, response).catch(() => response.destroy())
  })
  const hub: ModelHub = {
    url: '',
    repos,
    seen: [],
    close: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }

  async function respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://127.0.0.1')
    const { range, authorization } = request.headers
    const ifRange = request.headers['if-range']
    hub.seen.push({
      path: url.pathname,
      ...(range !== undefined && { range }),
      ...(typeof ifRange === 'string' && { ifRange }),
      ...(authorization !== undefined && { authorization }),
    })
    if (hub.answer?.(request, response)) return
    const [, repo] = /^\/api\/models\/([^/]+\/[^/]+)\/tree\//.exec(url.pathname) ?? []
    if (repo !== undefined) {
      const files = hub.repos[repo]
      if (files === undefined) return refuse(response, 401, 'RepoNotFound')
      const list = Object.entries(files).map(([path, file]) => ({
        type: 'file',
        oid: 'abc',
        path,
        size: file.size ?? file.bytes.length,
        lfs: { oid: file.sha256 ?? checksum(file.bytes), size: file.size ?? file.bytes.length, pointerSize: 134 },
      }))
      response.setHeader('content-type', 'application/json')
      response.end(JSON.stringify([{ type: 'directory', oid: 'd', path: 'folder', size: 0 }, ...list]))
      return
    }
    const [, owner, path = ''] = /^\/([^/]+\/[^/]+)\/resolve\/[^/]+\/(.+)$/.exec(decodeURIComponent(url.pathname)) ?? []
    const file = hub.repos[owner ?? '']?.[path]
    if (file === undefined) return refuse(response, 404, 'EntryNotFound')
    if ((await hub.misbehave?.(request, response, file)) === true) return
    giveFile(request, response, file)
  }

  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  hub.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  context.after(hub.close)
  return hub
}

/** As a good server gives a file: with an ETag, and the part that is asked for when the ETag still holds. */
export function giveFile(
  request: IncomingMessage,
  response: ServerResponse,
  file: HubFile,
  /** The connection breaks off after so many bytes, once they have arrived. */
  cut?: { after: number; arrived: Promise<void> },
): void {
  const { bytes } = file
  const etag = file.etag ?? `"${checksum(bytes).slice(0, 16)}"`
  response.setHeader('etag', etag)
  response.setHeader('content-type', 'binary/octet-stream')
  const [, start] = /^bytes=(\d+)-$/.exec(request.headers.range ?? '') ?? []
  const ifRange = request.headers['if-range']
  const from = start !== undefined && (ifRange === undefined || ifRange === etag) ? Number(start) : 0
  if (from > 0 && from >= bytes.length) {
    response.writeHead(416, { 'content-range': `bytes */${bytes.length}` }).end()
    return
  }
  if (from > 0) {
    response.statusCode = 206
    response.setHeader('content-range', `bytes ${from}-${bytes.length - 1}/${bytes.length}`)
  }
  response.setHeader('content-length', bytes.length - from)
  if (cut === undefined) response.end(bytes.subarray(from))
  else {
    response.write(bytes.subarray(from, from + cut.after))
    // What a client has not read when a connection breaks is lost to it.
    void cut.arrived.then(() => response.destroy())
  }
}

export function refuse(response: ServerResponse, status: number, code?: string): void {
  response.writeHead(status, {
    'content-type': 'application/json',
    ...(code !== undefined && { 'x-error-code': code }),
  })
  response.end(JSON.stringify({ error: code ?? 'refused' }))
}
