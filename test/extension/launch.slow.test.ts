/** The hub as the extension starts it: a process of its own, found by whoever looks, and what is said when it does not start. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { readRecord } from '../../extension/home.ts'
import {
  endProcess,
  followCommand,
  type LaunchError,
  launchHub,
  type Program,
  reasonOf,
  runCommand,
} from '../../extension/launch.ts'

const never = new AbortController().signal
const options = { anyPort: false, wait: (ms: number) => delay(ms), signal: never }

/** A home whose hub listens on that port, with the end of its hub. */
function program(context: TestContext, port: number): Program {
  const home = mkdtempSync(join(tmpdir(), 'ai-hub-launch-'))
  writeFileSync(join(home, 'settings.json'), JSON.stringify({ port, device: 'cpu' }))
  context.after(async () => {
    const pid = readRecord(home)?.pid
    if (pid !== undefined) await end(pid)
    rmSync(home, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 })
  })
  return { node: process.execPath, folder: resolve(import.meta.dirname, '..', '..'), home }
}

async function end(pid: number): Promise<void> {
  process.kill(pid)
  for (let tries = 0; tries < 100; tries++) {
    try {
      process.kill(pid, 0)
    } catch {
      return
    }
    await delay(100)
  }
  process.kill(pid, 'SIGKILL')
}

test('two windows that start a hub at once come to the same one, and a command works beside it', async context => {
  const hub = program(context, 0)
  const [first, second] = await Promise.all([launchHub(hub, options), launchHub(hub, options)])
  assert.deepEqual(first, second)
  assert.match(first.token ?? '', /^[0-9a-f]{48}$/)
  const health = (await (await fetch(`${first.url}/health`)).json()) as { pid: number }
  assert.notEqual(health.pid, process.pid)
  assert.match(await runCommand(hub, ['doctor'], never), new RegExp(`runs at ${first.url}`))
  await assert.rejects(
    runCommand(hub, ['datasets', 'import', 'mine', join(hub.home, 'nothing.jsonl')], never),
    (error: LaunchError) => error.name === 'LaunchError' && error.message.includes('nothing.jsonl'),
  )
})

test('a command can be followed line by line, and ended; its failure has its own words', async context => {
  const hub = program(context, 0)
  const lines: string[] = []
  await followCommand(hub, ['models'], never, line => void lines.push(line))
  assert.ok(lines.length > 0)
  await assert.rejects(
    followCommand(hub, ['cuda', '--registry', 'here'], never, () => {}),
    (error: LaunchError) => error.name === 'LaunchError' && error.message.includes('--registry takes an address'),
  )
  await assert.rejects(followCommand(hub, ['models'], AbortSignal.abort(), () => {}))
})

test('a hub is ended and another one started', async context => {
  const hub = program(context, 0)
  await launchHub(hub, options)
  const first = readRecord(hub.home)!.pid
  await endProcess(first, options.wait)
  assert.throws(() => process.kill(first, 0))
  await launchHub(hub, options)
  assert.notEqual(readRecord(hub.home)!.pid, first)
  await endProcess(first, options.wait)
})

test('a full disk is told apart from other reasons', () => {
  assert.equal(reasonOf("ENOSPC: no space left on device, mkdir '/home/x'"), 'disk')
  assert.equal(reasonOf('SqliteError: database or disk is full'), 'disk')
  assert.equal(reasonOf('Port 8000 of 127.0.0.1 is taken by another program.'), 'port')
  assert.equal(reasonOf('The database is damaged.'), 'other')
})

test('a taken port is told as such, and another one is taken on request', async context => {
  const holder = createServer()
  const port = await new Promise<number>(done => {
    holder.listen(0, '127.0.0.1', () => done((holder.address() as { port: number }).port))
  })
  context.after(() => holder.close())
  const hub = program(context, port)
  await assert.rejects(launchHub(hub, options), (error: LaunchError) => {
    return error.reason === 'port' && error.message.includes(`Port ${port}`)
  })
  const { url } = await launchHub(hub, { ...options, anyPort: true })
  assert.notEqual(new URL(url).port, String(port))
})

test('a Node that is none is named', async context => {
  const hub = { ...program(context, 0), node: join(tmpdir(), 'no-such-node') }
  await assert.rejects(launchHub(hub, options), /no-such-node cannot be run/)
})
