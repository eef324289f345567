/** GET /health, /v1/system/status and /v1/system/checks. */
import { CheckList, type CheckOut, Health, SystemStatus } from '../wire/system.ts'
import { type Route, route } from './route.ts'

export type SystemDeps = {
  version: string
  /** Unix milliseconds. */
  startedAt: number
  systemStatus(): Promise<SystemStatus>
  /** Looks at everything the hub needs, as `ai-hub doctor` does. */
  checks(): Promise<CheckOut[]>
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
    route({
      method: 'GET',
      path: '/v1/system/checks',
      summary: 'What ai-hub doctor finds, looked at now: each thing with what to do about it',
      tag: 'Hub',
      scope: 'manage',
      response: CheckList,
      handler: async () => ({ object: 'list' as const, data: await deps.checks() }),
    }),
  ]
}
