/** The doctor: every thing that can be missing is named with what to do, and only what keeps the hub from working fails. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Check, type DeviceReport, type DoctorDeps, examine, runDoctor } from '../../server/cli/doctor.ts'
import type { ModelFile } from '../../server/wire/model.ts'

const GIB = 2 ** 30
const model = (id: string, changes: Partial<ModelFile> = {}): ModelFile => ({
  id,
  folder: 'chat_models',
  files: [`/home/local_models/chat_models/${id}.gguf`],
  bytes: 1000,
  modified_ms: 0,
  status: 'ok',
  sidecar: {},
  ...changes,
})

const CPU: DeviceReport = { device: 'cpu', variant: 'cpu', works: true, name: 'Ryzen 7' }
const healthy: DoctorDeps = {
  version: '1.2.3',
  home: '/home',
  nodeVersion: 'v24.1.0',
  platform: 'linux',
  arch: 'x64',
  host: '127.0.0.1',
  port: 8000,
  validKeys: () => 0,
  findHub: async () => undefined,
  portHolder: async () => undefined,
  memory: () => ({ totalBytes: 16 * GIB, availableBytes: 8 * GIB }),
  physicalCores: async () => 6,
  gpus: async () => [],
  cuda: 'none',
  probe: async () => [CPU, { device: 'vulkan', variant: 'vulkan', works: false, reason: 'no device' }],
  listModels: async () => [model('a'), model('b', { folder: 'code_models' })],
  checkHome: async () => {},
  checkDatabase: async () => {},
  freeDisk: async () => 100 * GIB,
}

const checks = async (changes: Partial<DoctorDeps>): Promise<Check[]> => examine({ ...healthy, ...changes })
const find = async (name: string, changes: Partial<DoctorDeps>): Promise<Check> => {
  const found = (await checks(changes)).find(check => check.name === name)
  assert.ok(found, `there is no check ${name}`)
  return found
}

async function output(deps: DoctorDeps, json: boolean): Promise<{ code: number; text: string }> {
  let text = ''
  const write = (piece: string): void => {
    text += piece
  }
  const code = await runDoctor(deps, { write, colour: false }, { json })
  return { code, text }
}

test('a machine with everything passes, without colours in a pipe', async () => {
  const { code, text } = await output(healthy, false)
  assert.equal(code, 0)
  assert.match(text, /Everything is in place/)
  assert.match(text, /ok {4}models .*1 in chat_models, 1 in code_models/)
  assert.ok(!text.includes('\u001b'))
})

test('each missing thing is named with what to do about it', async () => {
  const cases: [string, Partial<DoctorDeps>, Check['state'], RegExp][] = [
    ['node', { nodeVersion: 'v20.1.0' }, 'fail', /npm ci/],
    ['disk', { freeDisk: async () => GIB }, 'warn', /--home/],
    ['disk', { freeDisk: async () => 1000 }, 'fail', /--home/],
    ['port', { portHolder: async () => ({ pid: 7, name: 'ollama' }) }, 'fail', /--port/],
    ['keys', { host: '0.0.0.0' }, 'fail', /keys create/],
    ['memory', { memory: () => ({ totalBytes: GIB, availableBytes: GIB }) }, 'warn', /smaller/],
    ['models', { listModels: async () => [] }, 'warn', /local_models.*chat_models/],
    ['cpu backend', { probe: async () => [] }, 'fail', /npm ci/],
  ]
  for (const [name, changes, state, fix] of cases) {
    const check = (await checks(changes)).find(one => one.name === name && one.state === state)
    assert.ok(check, `${name} ${state}`)
    assert.match(check.fix ?? '', fix)
  }
})

test('a home that cannot be written to and a damaged database fail in their own words', async () => {
  const refuse = (message: string) => async (): Promise<void> => {
    throw new Error(message)
  }
  const home = await find('home', { checkHome: refuse('read-only file system') })
  assert.equal(home.state, 'fail')
  assert.match(home.found, /\/home.*read-only/)
  const database = await find('database', { checkDatabase: refuse('hub.db is damaged; restore it') })
  assert.deepEqual([database.state, database.found], ['fail', 'hub.db is damaged; restore it'])
})

test('the port of the running hub is no fault, and a hub elsewhere does not need it', async () => {
  const hub = { pid: 3, url: 'http://127.0.0.1:8000', version: '1.2.3', startedAt: 1 }
  const holder = { portHolder: async () => 'unknown' as const }
  assert.equal((await find('port', { ...holder, findHub: async () => hub })).found, "8000 is the hub's")
  const elsewhere = await find('port', { ...holder, findHub: async () => ({ ...hub, url: 'http://127.0.0.1:9' }) })
  assert.deepEqual([elsewhere.state, elsewhere.fix], ['ok', undefined])
  assert.match((await find('hub', { findHub: async () => hub })).found, /runs at http:\/\/127\.0\.0\.1:8000/)
})

test('a backend that does not work is a warning only if there is a card and no other way to it', async () => {
  const gpus: DoctorDeps['gpus'] = async () => [
    { name: 'RTX 4060 Ti', vendor: 'nvidia', driver: '580', totalBytes: 8 * GIB, freeBytes: 7 * GIB },
  ]
  const cuda: DeviceReport = {
    device: 'cuda',
    variant: 'cuda',
    works: false,
    reason: 'libcudart is missing (install it)',
  }
  const vulkan: DeviceReport = {
    device: 'vulkan',
    works: true,
    name: 'RTX 4060 Ti',
    freeBytes: 7 * GIB,
    totalBytes: 8 * GIB,
  }
  assert.equal((await find('cuda backend', { probe: async () => [CPU, cuda] })).state, 'ok')
  const warned = await find('cuda backend', { gpus, probe: async () => [CPU, cuda] })
  assert.deepEqual([warned.state, warned.found], ['warn', `does not work here: ${cuda.reason}`])
  assert.equal((await find('cuda backend', { gpus, probe: async () => [CPU, vulkan, cuda] })).state, 'ok')
  assert.equal(
    (await find('vulkan backend', { gpus, probe: async () => [CPU, vulkan] })).found,
    'works: RTX 4060 Ti (7.0 GiB free of 8.0 GiB)',
  )
  const lame = { ...CPU, works: false, reason: 'no AVX' }
  assert.equal((await find('cpu backend', { probe: async () => [lame] })).state, 'fail')
  assert.match((await find('gpu', { gpus })).found, /RTX 4060 Ti \(8\.0 GiB, 7\.0 GiB free, driver 580\)/)
})

test('broken models are listed with the reason, and a sidecar that is not read too', async () => {
  const results = await checks({
    listModels: async () => [
      model('good'),
      model('half', { status: 'broken', reason: 'is not whole: 5 of 9 bytes' }),
      model('odd', { reason: 'odd.model.json is not valid JSON' }),
    ],
  })
  const warnings = results.filter(check => check.name === 'model').map(check => check.found)
  assert.deepEqual(warnings, [
    'chat_models/half is broken: is not whole: 5 of 9 bytes',
    'chat_models/odd: odd.model.json is not valid JSON',
  ])
})

test('a check that throws fails alone; JSON says the same and the exit code is 1', async () => {
  const broken: DoctorDeps = {
    ...healthy,
    probe: async () => {
      throw new Error('the probe died')
    },
  }
  const { code, text } = await output(broken, true)
  assert.equal(code, 1)
  const answer: { ok: boolean; checks: Check[] } = JSON.parse(text)
  assert.equal(answer.ok, false)
  assert.deepEqual(
    answer.checks.filter(check => check.state === 'fail'),
    [{ name: 'backends', state: 'fail', found: 'the probe died' }],
  )
  assert.ok(answer.checks.some(check => check.name === 'models' && check.state === 'ok'))
})
