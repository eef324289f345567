/** GET and PATCH /v1/settings: what holds and why, and changes that outlive the hub. */
import { HubError } from '../lib/error.ts'
import type { Database } from '../storage/database.ts'
import { readSettings, writeSettings } from '../storage/settings.ts'
import {
  APPLIES,
  type Resolved,
  resolveSettings,
  SETTING_NAMES,
  type SettingName,
  type Settings,
  SettingsAnswer,
  SettingsPatch,
  type Sources,
} from '../wire/settings.ts'
import { type Route, route } from './route.ts'

export type SettingsDeps = {
  db: Database
  /** The sources of this start, without the stored ones: those are read anew. */
  sources: Omit<Sources, 'stored'>
  /** What the hub started with. */
  started: Settings
  /** Told after a change is durable; `changed` names what counts now or from the next load on. */
  onChange(settings: Settings, changed: SettingName[]): void
  now(): number
}

export function settingsRoutes(deps: SettingsDeps): Route[] {
  const resolve = (): Resolved => resolveSettings({ ...deps.sources, stored: readSettings(deps.db) })
  return [
    route({
      method: 'GET',
      path: '/v1/settings',
      summary: 'Every setting, its value, where that comes from and when a change counts',
      tag: 'Hub',
      scope: 'manage',
      response: SettingsAnswer,
      handler: () => answer(resolve(), deps),
    }),
    route({
      method: 'PATCH',
      path: '/v1/settings',
      summary: 'Changes settings for good; null takes a change back',
      tag: 'Hub',
      scope: 'manage',
      request: SettingsPatch,
      response: SettingsAnswer,
      handler: ({ body }) => {
        const changes = Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined))
        if (Object.keys(changes).length === 0) {
          throw new HubError('invalid_request', 'Name at least one setting to change, {"slots": 2} say.')
        }
        const before = resolve()
        writeSettings(deps.db, changes, deps.now())
        const after = resolve()
        const changed = SETTING_NAMES.filter(
          name => APPLIES[name] !== 'restart' && !same(before.settings[name], after.settings[name]),
        )
        if (changed.length > 0) deps.onChange(after.settings, changed)
        return answer(after, deps)
      },
    }),
  ]
}

function answer({ settings, from }: Resolved, deps: SettingsDeps): SettingsAnswer {
  const stored = readSettings(deps.db)
  return {
    object: 'settings',
    settings,
    from,
    applies: APPLIES,
    restart_needed: SETTING_NAMES.filter(
      name => APPLIES[name] === 'restart' && !same(settings[name], deps.started[name]),
    ),
    overridden: SETTING_NAMES.filter(name => name in stored && from[name] !== 'stored' && from[name] !== 'default'),
  }
}

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b)
