/** The HTTP door: one node server, express for the routing, and the same checks around every route of the table. */
import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer as createHttpServer, STATUS_CODES } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { setTimeout as wait } from 'node:timers/promises'
import express from 'express'
import { HubError } from '../lib/error.ts'
import type { Log } from '../lib/log.ts'
import { type Access, ANYONE, type Caller, type Need } from '../security/access.ts'
import { checkOrigin, isLoopback, type OriginRules } from '../security/origin.ts'
import { readJson } from './body.ts'
import { shownBy, shownByUpgrade } from './credentials.ts'
import { mountDocs } from './docs.ts'
import { fromZodError, toOpenAiError } from './error.ts'
import { FileAnswer } from './file_answer.ts'
import { mountPages, type PagesDeps } from './pages.ts'
import type { RequestLog } from './requests.ts'
import { expressPath, type Route } from './route.ts'
import { Sse } from './sse.ts'

export type ServerDeps = {
  routes: readonly Route[]
  log: Log
  version: string
  /** Read on every request, so that a changed setting counts at once. */
  allowedOrigins(): readonly string[]
  /** Resolves when the model folders have been read once; only public routes answer before. */
  ready?: Promise<void>
  /** The pages at /; without them there is a list of links. */
  pages?: Omit<PagesDeps, 'log'>
  /** Told of the requests that ask a model, and by the result how each ends. */
  requests?: Pick<RequestLog, 'begin'>
  /** Who may call; without it everyone may do everything, on loopback. */
  access?: Access
  /** Where a line is written of everything that was managed. */
  audit?: Log
  /** Takes WebSocket upgrades that passed the checks. */
  upgrade?: (request: IncomingMessage, socket: Duplex, head: Buffer) => void
  /** What an upgrade needs; `use` without it. */
  upgradeNeed?: (request: IncomingMessage) => Need
}

export type Server = {
  /** @throws the system's error when the port is taken (`code: EADDRINUSE`); HubError forbidden for an address that is not loopback */
  listen(address: { host: string; port: number }): Promise<{ url: string; port: number }>
  /** Requests begun so far, but for those of public routes, and those and sockets that are open. */
  use(): { begun: number; open: number }
  /** Ends every request and socket. */
  close(): Promise<void>
}

/** How long requests may take to end once the hub closes. */
const CLOSE_MS = 1000

/** What node can wait for; a socket that lives on for weeks is closed by its next restart. */
const LONGEST_TIMER_MS = 2 ** 31 - 1
/** What a 401 says of the way in. */
const CHALLENGE = 'Bearer realm="AI Backend Hub"'

const SECURITY_HEADERS: [string, string][] = [
  ['X-Content-Type-Options', 'nosniff'],
  ['X-Frame-Options', 'DENY'],
  ['Referrer-Policy', 'no-referrer'],
  ['Cross-Origin-Resource-Policy', 'same-origin'],
]

export function createServer(deps: ServerDeps): Server {
  const { log } = deps
  let isClosing = false
  /** Requests that are being answered, each with what stops it. */
  const active = new Map<Promise<void>, AbortController>()
  /** Sockets, each with who opened it. */
  const upgraded = new Map<Duplex, Caller['id']>()
  let begun = 0
  const { access } = deps
  // A page of a foreign name has no key to show; where keys are demanded, the hub may go by any name.
  const rules = (): OriginRules => ({
    allowedOrigins: deps.allowedOrigins(),
    loopbackOnly: access?.isDemanded() !== true,
  })
  access?.onChange(key => {
    for (const [socket, caller] of upgraded) if (caller === key) socket.destroy()
  })

  const app = express()
  app.disable('x-powered-by')
  app.disable('etag')
  app.set('query parser', 'simple')
  // A trailing slash or another case is another path: one address per thing.
  app.set('strict routing', true)
  app.set('case sensitive routing', true)

  app.use((request, response, next) => {
    response.setHeader('x-request-id', `req_${randomUUID().replaceAll('-', '')}`)
    for (const [name, value] of SECURITY_HEADERS) response.setHeader(name, value)
    const verdict = checkOrigin(request.headers, rules())
    if (!verdict.allowed) throw new HubError('forbidden', verdict.reason ?? 'Refused.')
    if (verdict.corsOrigin !== undefined) {
      response.setHeader('Access-Control-Allow-Origin', verdict.corsOrigin)
      response.setHeader('Access-Control-Expose-Headers', 'x-request-id, retry-after')
      response.setHeader('Vary', 'Origin')
      if (request.method === 'OPTIONS' && request.headers['access-control-request-method'] !== undefined) {
        answerPreflight(request, response)
        return
      }
    }
    next()
  })

  for (const [path, routes] of byPath(deps.routes)) {
    const allow = routes.map(route => (route.method === 'GET' ? 'GET, HEAD' : route.method)).join(', ')
    for (const route of routes) {
      app[method(route)](expressPath(path), (request, response) => {
        const stop = new AbortController()
        const answered = answer(route, request, response, stop).finally(() => active.delete(answered))
        active.set(answered, stop)
        return answered
      })
    }
    app.all(expressPath(path), (request, response) => {
      response.setHeader('Allow', `${allow}, OPTIONS`)
      if (request.method === 'OPTIONS') response.writeHead(204).end()
      else throw new HubError('method_not_allowed', `${request.method} is not allowed on ${path}. Use ${allow}.`)
    })
  }
  if (deps.pages !== undefined) mountPages(app, { ...deps.pages, log })
  mountDocs(app, { routes: deps.routes, version: deps.version })
  app.use(request => {
    throw new HubError(
      'not_found',
      `There is nothing at ${request.method} ${request.path}. See /docs for the addresses.`,
    )
  })
  // Express knows an error handler by its four parameters.
  app.use((thrown: unknown, request: express.Request, response: express.Response, _next: express.NextFunction) => {
    sendError(fromExpress(thrown), request, response)
  })

  async function answer(
    route: Route,
    request: express.Request,
    response: express.Response,
    stop: AbortController,
  ): Promise<void> {
    let sse: Sse | undefined
    let caller = ANYONE
    const { signal } = stop
    response.once('close', () => {
      if (!response.writableFinished) stop.abort()
    })
    const requestId = String(response.getHeader('x-request-id'))
    let ended: ((error?: HubError) => void) | undefined
    try {
      if (route.scope !== 'public') {
        caller = access?.admit(shownBy(request), route.scope) ?? ANYONE
        begun++
        if (route.asksModel) ended = deps.requests?.begin({ id: requestId, endpoint: route.path }, signal)
        await deps.ready
      }
      const params = parse(route.params, paramsOf(request.params), '')
      const query = parse(route.query, request.query, '')
      if (route.query === undefined) refuseQuery(request.query)
      const body = route.request === undefined ? undefined : parse(route.request, await readJson(request), '')
      const stream = (options?: ConstructorParameters<typeof Sse>[1]): Sse => {
        sse = new Sse(response, options)
        return sse
      }
      const result = await route.handler({ body, query, params, signal, requestId, caller, request, stream })
      if (route.scope === 'manage' && route.method !== 'GET') audit(request, { caller, body, result, id: requestId })
      if (result instanceof Sse) result.end()
      else if (result instanceof FileAnswer) await result.send(response)
      else sendJson(response, 200, result)
      ended?.()
    } catch (thrown) {
      const error = isClosing
        ? new HubError('shutting_down', 'The hub is closing.')
        : signal.aborted && isAbort(thrown)
          ? new HubError('cancelled', 'The client went away.')
          : HubError.from(thrown)
      ended?.(error)
      sse?.abandon()
      if (sse?.opened) {
        logError(error, request, response)
        sse.fail(error)
      } else sendError(error, request, response)
    }
  }

  /** What was changed is told by its names alone: the values may be anybody's words. */
  function audit(
    request: express.Request,
    { caller, body, result, id }: { caller: Caller; body: unknown; result: unknown; id: string },
  ): void {
    const made = typeof result === 'object' && result !== null && 'id' in result ? result.id : undefined
    deps.audit?.info(`${request.method} ${request.path}`, {
      by: caller.id,
      changed: request.method === 'PATCH' ? Object.keys(body ?? {}).join(',') : undefined,
      of: typeof made === 'string' ? made : undefined,
      id,
    })
  }

  function sendError(error: HubError, request: IncomingMessage, response: ServerResponse): void {
    logError(error, request, response)
    if (response.headersSent || response.destroyed) {
      response.destroy()
      return
    }
    if (error.code === 'invalid_api_key') response.setHeader('WWW-Authenticate', CHALLENGE)
    if (error.retryAfterS !== undefined) response.setHeader('Retry-After', Math.ceil(error.retryAfterS))
    const hasBody = request.headers['transfer-encoding'] !== undefined || Number(request.headers['content-length']) > 0
    if (hasBody && !request.complete) {
      // The rest of the body is thrown away, and with it the connection: nobody waits for it.
      response.setHeader('Connection', 'close')
      request.resume()
    }
    sendJson(response, error.status, toOpenAiError(hideInternals(error)))
  }

  function logError(error: HubError, request: IncomingMessage, response: ServerResponse): void {
    const fields = {
      method: request.method,
      path: (request.url ?? '').split('?', 1)[0],
      status: error.status,
      code: error.code,
      param: error.param,
      id: String(response.getHeader('x-request-id') ?? ''),
    }
    if (error.code === 'internal') {
      const stack = error.cause instanceof Error ? error.cause.stack : error.stack
      log.error('request failed', { ...fields, stack })
    } else log.debug('request refused', fields)
  }

  const server = createHttpServer(
    {
      keepAliveTimeout: 65_000,
      requestTimeout: 300_000,
      // Java's client offers `Upgrade: h2c` with every request; it is answered as an ordinary one.
      shouldUpgradeCallback: request => request.headers.upgrade?.toLowerCase() === 'websocket',
    },
    app,
  )
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
    if (!socket.writable || error.code === 'ECONNRESET') {
      socket.destroy()
      return
    }
    endRaw(socket, new HubError('invalid_request', 'The request is not valid HTTP.'))
  })
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', () => socket.destroy())
    upgraded.set(socket, ANYONE.id)
    socket.once('close', () => upgraded.delete(socket))
    const verdict = checkOrigin(request.headers, rules())
    try {
      if (!verdict.allowed) throw new HubError('forbidden', verdict.reason ?? 'Refused.')
      if (deps.upgrade === undefined) throw new HubError('not_found', 'There is no WebSocket here.')
      const caller = access?.admit(shownByUpgrade(request), deps.upgradeNeed?.(request) ?? 'use') ?? ANYONE
      upgraded.set(socket, caller.id)
      if (caller.leftMs !== null && caller.leftMs < LONGEST_TIMER_MS) {
        const end = setTimeout(() => socket.destroy(), caller.leftMs)
        socket.once('close', () => clearTimeout(end))
      }
      deps.upgrade(request, socket, head)
    } catch (thrown) {
      endRaw(socket, HubError.from(thrown))
    }
  })

  return {
    async listen({ host, port }) {
      if (!isLoopback(host) && access?.hasKey() !== true) {
        throw new HubError(
          'forbidden',
          `Without an API key the hub listens on this machine only (127.0.0.1, ::1 or localhost), not on '${host}'. Make one first: ai-hub keys create NAME`,
          { param: 'host' },
        )
      }
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject)
        server.listen({ host: host.replace(/^\[|\]$/g, ''), port }, () => {
          server.off('error', reject)
          resolve()
        })
      })
      const { port: actual } = server.address() as AddressInfo
      const name = hostOfUrl(host)
      return { url: `http://${name}:${actual}`, port: actual }
    },
    use: () => ({ begun, open: active.size + upgraded.size }),
    async close() {
      isClosing = true
      const closed = new Promise<void>(resolve => server.close(() => resolve()))
      for (const stop of active.values()) stop.abort(new HubError('shutting_down', 'The hub is closing.'))
      // Streams get a moment to say why they end.
      const deadline = new AbortController()
      await Promise.race([
        Promise.allSettled(active.keys()),
        wait(CLOSE_MS, undefined, { signal: deadline.signal }).catch(() => {}),
      ])
      deadline.abort()
      for (const socket of upgraded.keys()) socket.destroy()
      server.closeAllConnections()
      await closed
    },
  }
}

function parse(schema: Route['request'], value: unknown, prefix: string): unknown {
  if (schema === undefined) return {}
  const result = schema.safeParse(value)
  if (!result.success) throw fromZodError(result.error, prefix)
  return result.data
}

/** Express gives the rest of a path as a list of its segments. */
function paramsOf(params: { [name: string]: string | string[] }): { [name: string]: string } {
  return Object.fromEntries(
    Object.entries(params).map(([name, value]) => [name, Array.isArray(value) ? value.join('/') : value]),
  )
}

function refuseQuery(query: object): void {
  const name = Object.keys(query)[0]
  if (name === undefined) return
  throw new HubError('unsupported_parameter', `Unknown query parameter: '${name}'. Remove it from the address.`, {
    param: name,
  })
}

function method(route: Route): 'get' | 'post' | 'put' | 'patch' | 'delete' {
  return route.method.toLowerCase() as 'get' | 'post' | 'put' | 'patch' | 'delete'
}

/** Routes by path; literal paths come before those with parameters, and those before a rest, so that `/v1/models/status` is not a model id. */
function byPath(routes: readonly Route[]): [string, Route[]][] {
  const paths = Map.groupBy(routes, route => route.path)
  const looseness = (path: string) => (path.includes('*}') ? 2 : path.includes('{') ? 1 : 0)
  return [...paths].sort(([a], [b]) => looseness(a) - looseness(b))
}

function answerPreflight(request: IncomingMessage, response: ServerResponse): void {
  response.setHeader('Access-Control-Allow-Methods', 'GET, HEAD, POST, PUT, PATCH, DELETE')
  const headers = request.headers['access-control-request-headers'] ?? ''
  if (/^[\w\-, ]{1,1000}$/.test(headers)) response.setHeader('Access-Control-Allow-Headers', headers)
  if (request.headers['access-control-request-private-network'] === 'true') {
    response.setHeader('Access-Control-Allow-Private-Network', 'true')
  }
  response.setHeader('Access-Control-Max-Age', '600')
  response.writeHead(204).end()
}

function sendJson(response: ServerResponse, status: number, value: unknown): void {
  if (response.destroyed || response.writableEnded) return
  const text = JSON.stringify(value)
  response.writeHead(status, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(text),
    'cache-control': 'no-store',
  })
  response.end(text)
}

/** What was not thrown on purpose may quote the user's text or a path: the client gets its id to find it in the log. */
function hideInternals(error: HubError): HubError {
  if (error.code !== 'internal' || error.cause === undefined) return error
  return new HubError('internal', 'The hub failed to answer this request; its log says why (see x-request-id).')
}

/** What node's own functions throw when their signal is aborted. */
const isAbort = (thrown: unknown): boolean => thrown instanceof Error && thrown.name === 'AbortError'

/** Express and its router throw errors with a status for addresses that cannot be decoded. */
function fromExpress(thrown: unknown): HubError {
  if (!(thrown instanceof HubError) && thrown instanceof Error && 'status' in thrown && thrown.status === 400) {
    return new HubError('invalid_request', 'The address cannot be decoded.', { cause: thrown })
  }
  return HubError.from(thrown)
}

/** Who listens on every address of the machine is reached from the machine by its loopback one. */
function hostOfUrl(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1'
  const bare = host.replace(/^\[|\]$/g, '')
  if (bare === '::') return '[::1]'
  return bare.includes(':') ? `[${bare}]` : bare
}

function endRaw(socket: Duplex, error: HubError): void {
  const body = JSON.stringify(toOpenAiError(error))
  socket.end(
    `HTTP/1.1 ${error.status} ${STATUS_CODES[error.status]}\r\n${error.code === 'invalid_api_key' ? `WWW-Authenticate: ${CHALLENGE}\r\n` : ''}` +
      `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
    () => socket.destroy(),
  )
}
