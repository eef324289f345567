/** An HTTP door over fake models, on a free port of loopback, for one test. */
import { coreRoutes, type RouteDeps } from '../../server/http/all.ts'
import type { Route } from '../../server/http/route.ts'
import { createServer, type ServerDeps } from '../../server/http/server.ts'
import type { Sink } from '../../server/lib/log.ts'
import { createLog } from '../../server/lib/log.ts'
import type { Models } from '../../server/models/models.ts'
import type { SystemStatus } from '../../server/wire/system.ts'
import { fakeModels } from './fake_models.ts'

export type TestHub = {
  url: string
  port: number
  /** Lines of the log at level debug. */
  log: string[]
  get(path: string, headers?: { [name: string]: string }): Promise<Answer>
  post(path: string, body: unknown, headers?: { [name: string]: string }): Promise<Answer>
  /** Posts and reads the stream to its end. */
  events(path: string, body: unknown): Promise<Events>
  close(): Promise<void>
}

export type Answer = { status: number; headers: Headers; text: string; json: unknown }
/** `data` holds the text of every `data:` line, `[DONE]` included; `comments` the comment lines. */
export type Events = { status: number; headers: Headers; data: string[]; json: unknown[]; comments: string[] }

export async function testHub(
  context: { after(close: () => Promise<void>): void },
  options: {
    models?: Models
    routes?: (deps: RouteDeps) => Route[]
    deps?: Partial<RouteDeps>
    server?: Partial<ServerDeps>
  } = {},
): Promise<TestHub> {
  const lines: string[] = []
  const sink: Sink = line => lines.push(line)
  const deps: RouteDeps = {
    models: options.models ?? fakeModels(),
    defaultModel: () => 'fake',
    version: '0.0.0-test',
    startedAt: 1_700_000_000_000,
    systemStatus: async () => fakeSystem,
    checks: async () => [],
    measured: () => undefined,
    changeCard: async () => {},
    storeChat: () => {},
    ...options.deps,
  }
  const server = createServer({
    routes: (options.routes ?? coreRoutes)(deps),
    log: createLog({ scope: 'http', level: 'debug', sinks: [sink] }),
    version: deps.version,
    allowedOrigins: () => [],
    ...options.server,
  })
  const { url, port } = await server.listen({ host: '127.0.0.1', port: 0 })
  context.after(() => server.close())

  const call = async (path: string, init: RequestInit): Promise<Answer> => {
    const response = await fetch(url + path, init)
    const text = await response.text()
    const isJson = response.headers.get('content-type')?.startsWith('application/json') === true
    return { status: response.status, headers: response.headers, text, json: isJson ? JSON.parse(text) : undefined }
  }
  const posting = (body: unknown, headers: { [name: string]: string } = {}): RequestInit => ({
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })
  return {
    url,
    port,
    log: lines,
    get: (path, headers = {}) => call(path, { headers }),
    post: (path, body, headers) => call(path, posting(body, headers)),
    async events(path, body) {
      const { status, headers, text } = await call(path, posting(body))
      const found = text.split('\n')
      const data = found.filter(line => line.startsWith('data: ')).map(line => line.slice('data: '.length))
      return {
        status,
        headers,
        data,
        json: data.filter(line => line !== '[DONE]').map(line => JSON.parse(line) as unknown),
        comments: found.filter(line => line.startsWith(':')),
      }
    },
    close: () => server.close(),
  }
}

export const fakeSystem: SystemStatus = {
  version: '0.0.0-test',
  pid: 1,
  started_at: 1_700_000_000_000,
  uptime_s: 1,
  platform: 'test',
  node: 'v24.0.0',
  url: 'http://127.0.0.1:8000',
  home: '/home/test/hub',
  cpu: { name: 'test', physical_cores: 1, logical_cores: 2 },
  memory: { total_bytes: 2, available_bytes: 1, hub_rss_bytes: 1 },
  devices: [{ kind: 'cpu', name: 'test' }],
  backends: [{ library: 'cpu', kind: 'cpu', works: true }],
  models: { listed: 1, broken: 0, resident: [] },
  queue: { running: 0, waiting: 0 },
}
