/** GET /health and /v1/system/status. */
import { Health, SystemStatus } from '../wire/system.ts'
import { type Route, route } from './route.ts'

export type SystemDeps = {
  version: string
  /** Unix milliseconds. */
  startedAt: number
  systemStatus(): Promise<SystemStatus>
}

export function systemRoutes(deps: SystemDeps): Route[] {
  return [
    route({
      method: 'GET',
      path: '/health',
      summary: 'The hub listens',
      tag: 'Hub',
      scope: 'public',
      response: Health,
      handler: () => ({ status: 'ok' as const, version: deps.version, pid: process.pid, started_at: deps.startedAt }),
    }),
    route({
      method: 'GET',
      path: '/v1/system/status',
      summary: 'Devices, memory, models and queue',
      tag: 'Hub',
      scope: 'use',
      response: SystemStatus,
      handler: () => deps.systemStatus(),
    }),
  ]
}
