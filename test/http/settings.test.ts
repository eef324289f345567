/** GET and PATCH /v1/settings: durable changes, what waits for a restart, and what is refused. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { settingsRoutes } from '../../server/http/settings.ts'
import { MIGRATIONS, migrate, readMigrations } from '../../server/storage/migrate.ts'
import { readSettings } from '../../server/storage/settings.ts'
import { openSqlite } from '../../server/storage/sqlite.ts'
import { ErrorOut } from '../../server/wire/common.ts'
import {
  resolveSettings,
  Settings as Schema,
  type Settings,
  SettingsAnswer,
  SettingsPatch,
} from '../../server/wire/settings.ts'
import { testHub } from '../helpers/hub.ts'

async function setup(context: TestContext) {
  const db = openSqlite(':memory:')
  migrate(db, readMigrations(MIGRATIONS), () => 0)
  context.after(() => db.close())
  const sources = { commandLine: { slots: '3' }, file: { threads: 5 } }
  const changes: [Settings, string[]][] = []
  const hub = await testHub(context, {
    routes: () =>
      settingsRoutes({
        db,
        sources,
        started: resolveSettings(sources).settings,
        onChange: (settings, changed) => changes.push([settings, changed]),
        now: () => 1,
      }),
  })
  const patch = async (body: object) => {
    const answer = await fetch(`${hub.url}/v1/settings`, {
      method: 'PATCH',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
    return { status: answer.status, json: (await answer.json()) as unknown }
  }
  const change = async (body: object) => {
    const { status, json } = await patch(body)
    assert.equal(status, 200, JSON.stringify(json))
    return SettingsAnswer.parse(json)
  }
  return { db, hub, patch, change, changes }
}

test('every setting is told with its source and when a change counts', async context => {
  const { hub } = await setup(context)
  const { settings, from, applies } = SettingsAnswer.parse((await hub.get('/v1/settings')).json)
  const names = Object.keys(Schema.shape).sort()
  assert.deepEqual(
    [settings, from, applies].map(part => Object.keys(part).sort()),
    [names, names, names],
  )
  assert.deepEqual([settings.slots, from.slots], [3, 'command_line'])
  assert.deepEqual([settings.threads, from.threads], [5, 'file'])
  assert.deepEqual([settings.port, from.port], [8000, 'default'])
})

test('every setting can be patched or is refused by name', () => {
  assert.deepEqual(Object.keys(SettingsPatch.shape).sort(), Object.keys(Schema.shape).sort())
})

test('a change is stored, told to the hub, and taken back by null', async context => {
  const { db, change, changes } = await setup(context)
  const answer = await change({ threads: 2, allowedOrigins: ['http://localhost:3000'], gpuLayers: 'auto' })
  assert.deepEqual([answer.settings.threads, answer.from.threads], [2, 'stored'])
  assert.deepEqual(readSettings(db), { allowedOrigins: ['http://localhost:3000'], gpuLayers: 'auto', threads: 2 })
  assert.deepEqual(changes.at(-1)?.[1], ['threads', 'allowedOrigins'])
  assert.equal(changes.at(-1)?.[0].threads, 2)
  assert.deepEqual([answer.restart_needed, answer.overridden], [[], []])
  const back = await change({ threads: null })
  assert.deepEqual([back.settings.threads, back.from.threads], [5, 'file'])
  assert.equal(changes.at(-1)?.[0].threads, 5)
})

test('a change that waits for a restart or has no effect says so', async context => {
  const { change, changes } = await setup(context)
  const port = await change({ port: 9000 })
  assert.deepEqual(port.restart_needed, ['port'])
  const slots = await change({ slots: 8 })
  assert.equal(slots.settings.slots, 3)
  assert.deepEqual(slots.overridden, ['slots'])
  assert.deepEqual(changes, [])
  const back = await change({ port: null })
  assert.deepEqual(back.restart_needed, [])
})

test('what cannot be changed is refused by name, and then nothing is stored', async context => {
  const { db, patch } = await setup(context)
  const wrong: [object, string, RegExp][] = [
    [{ threads: 1, host: '0.0.0.0' }, 'host', /AI_HUB_HOST/],
    [{ home: '/tmp' }, 'home', /AI_HUB_HOME/],
    [{ threads: 1, slots: 0 }, 'slots', /./],
    [{ device: 'tpu' }, 'device', /./],
    [{ allowedOrigins: ['http://a/b'] }, 'allowedOrigins.0', /origin looks like/],
    [{ nope: 1 }, 'nope', /Unknown parameter/],
  ]
  for (const [body, param, words] of wrong) {
    const { status, json } = await patch(body)
    const { error } = ErrorOut.parse(json)
    assert.equal(status, 400)
    assert.equal(error.param, param)
    assert.match(error.message, words)
  }
  assert.equal((await patch({})).status, 400)
  assert.deepEqual(readSettings(db), {})
})
