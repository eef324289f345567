/** Home: where it is on each system, and hub.json, of which only one hub at a time can be the owner. */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { type TestContext, test } from 'node:test'
import {
  answersHealth,
  claimHub,
  ensureHome,
  findHub,
  HOME_FOLDERS,
  type HubRecord,
  resolveHome,
} from '../../server/lib/home.ts'

function temporary(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'ai-hub-home-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

const record = (url = 'http://127.0.0.1:1', startedAt = 5): HubRecord => ({
  pid: process.pid,
  url,
  version: '1.2.3',
  startedAt,
})
const yes = async (): Promise<boolean> => true
const no = async (): Promise<boolean> => false

test('the option comes before the variable, the variable before the clone, the clone before the user folder', t => {
  const clone = temporary(t)
  mkdirSync(join(clone, 'server'))
  mkdirSync(join(clone, '.git'))
  const env = { AI_HUB_HOME: 'fromEnv' }
  assert.equal(resolveHome({ home: 'given', env, projectFolder: clone }), resolve('given'))
  assert.equal(resolveHome({ env, projectFolder: clone }), resolve('fromEnv'))
  assert.equal(resolveHome({ env: {}, projectFolder: clone }), clone)
})

test('a source archive without .git is a clone, an installed package is not', t => {
  const folder = temporary(t)
  const at = (...parts: string[]): string => {
    const path = join(folder, ...parts)
    mkdirSync(join(path, 'server'), { recursive: true })
    return path
  }
  const archive = at('archive')
  writeFileSync(join(archive, 'package.json'), '{"devDependencies":{}}')
  const released = at('released')
  writeFileSync(join(released, 'package.json'), '{"name":"ai-backend-hub"}')
  const installed = at('node_modules', 'ai-backend-hub')
  writeFileSync(join(installed, 'package.json'), '{"devDependencies":{}}')
  const from = (projectFolder: string): string =>
    resolveHome({ env: {}, projectFolder, platform: 'linux', userFolder: '/u' })
  assert.equal(from(archive), archive)
  assert.equal(from(released), join('/u', '.local', 'share', 'ai-backend-hub'))
  assert.equal(from(installed), join('/u', '.local', 'share', 'ai-backend-hub'))
})

test('the user folder is where each system keeps application data', t => {
  const projectFolder = temporary(t)
  const at = (platform: NodeJS.Platform, env: NodeJS.ProcessEnv = {}): string =>
    resolveHome({ env, projectFolder, platform, userFolder: '/u' })
  assert.equal(at('linux', { XDG_DATA_HOME: '/data' }), join('/data', 'ai-backend-hub'))
  assert.equal(at('darwin'), join('/u', 'Library', 'Application Support', 'ai-backend-hub'))
  assert.equal(at('win32', { LOCALAPPDATA: '/local' }), join('/local', 'ai-backend-hub'))
  assert.equal(at('win32'), join('/u', 'AppData', 'Local', 'ai-backend-hub'))
})

test('ensureHome makes the folders and names the one it cannot make', t => {
  const folder = temporary(t)
  ensureHome(folder)
  ensureHome(folder)
  assert.deepEqual(readdirSync(join(folder, 'local_models')).length, 4)
  assert.equal(HOME_FOLDERS.length, 7)
  writeFileSync(join(folder, 'file'), '')
  assert.throws(() => ensureHome(join(folder, 'file')), { code: 'invalid_request', message: /file.*--home/s })
})

test('a new home gets the model of a package once, and never in a clone', t => {
  const program = temporary(t)
  const model = join('local_models', 'code_models', 'starter.gguf')
  mkdirSync(join(program, 'local_models', 'code_models'), { recursive: true })
  writeFileSync(join(program, model), 'GGUF')
  writeFileSync(join(program, 'local_models', 'code_models', 'starter.model.json'), '{ "toy": true }')
  const home = join(temporary(t), 'new')
  ensureHome(home, program)
  assert.equal(readFileSync(join(home, model), 'utf8'), 'GGUF')
  rmSync(join(home, model))
  ensureHome(home, program)
  assert.ok(!existsSync(join(home, model)), 'deleted is deleted')

  mkdirSync(join(program, 'server'))
  mkdirSync(join(program, '.git'))
  const other = join(temporary(t), 'other')
  ensureHome(other, program)
  assert.ok(!existsSync(join(other, model)))
})

test('the first hub owns hub.json, the second is told where it runs, and leaving frees it', async t => {
  const home = temporary(t)
  const leave = await claimHub(home, record(), yes)
  assert.deepEqual(await findHub(home, yes), record())
  await assert.rejects(claimHub(home, record('http://127.0.0.1:2'), yes), {
    code: 'conflict',
    message: /already runs at http:\/\/127\.0\.0\.1:1/,
  })
  leave()
  assert.equal(await findHub(home, yes), undefined)
  assert.deepEqual(readdirSync(home), [])
})

test('what a killed hub left behind is replaced, and also a file that is not a record', async t => {
  const home = temporary(t)
  await claimHub(home, record(), yes)
  assert.equal(await findHub(home, no), undefined)
  const second = record('http://127.0.0.1:2', 6)
  const leave = await claimHub(home, second, async old => old.startedAt === 6)
  assert.deepEqual(JSON.parse(readFileSync(join(home, 'hub.json'), 'utf8')), second)
  leave()
  writeFileSync(join(home, 'hub.json'), '{"pid":')
  const third = await claimHub(home, record(), yes)
  assert.deepEqual(await findHub(home, yes), record())
  third()
})

test('leaving does not take away the record of the hub that came after', async t => {
  const home = temporary(t)
  const leave = await claimHub(home, record('http://127.0.0.1:1', 5), yes)
  await claimHub(home, record('http://127.0.0.1:2', 6), no)
  leave()
  assert.equal((await findHub(home, yes))?.startedAt, 6)
})

test('of many hubs that start at once exactly one wins', async t => {
  const home = temporary(t)
  writeFileSync(join(home, 'hub.json'), JSON.stringify(record('http://127.0.0.1:9', 0)))
  const tries = Array.from({ length: 12 }, (_, index) =>
    claimHub(home, record(`http://127.0.0.1:${index + 1}`, index + 1), async other => other.startedAt > 0),
  )
  const results = await Promise.allSettled(tries)
  assert.equal(results.filter(result => result.status === 'fulfilled').length, 1)
  assert.deepEqual(readdirSync(home), ['hub.json'])
})

test('a hub runs when its process lives and its health says the same pid and start', async t => {
  const server = createServer((_, response) => {
    response.end(JSON.stringify({ status: 'ok', pid: process.pid, started_at: 5 }))
  })
  await new Promise<void>(done => server.listen(0, '127.0.0.1', done))
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  assert.equal(await answersHealth(record(url, 5)), true)
  assert.equal(await answersHealth(record(url, 6)), false, 'another hub at the same address')
  assert.equal(await answersHealth({ ...record(url, 5), pid: 2 ** 30 }), false, 'a dead process')
  assert.equal(await answersHealth(record('http://127.0.0.1:1', 5)), false, 'nobody listens')
})
