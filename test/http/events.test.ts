/** The WebSocket /v1/events over a real socket: hello, events in order, load ticks, and clients that misbehave. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type TestContext, test } from 'node:test'
import { type ClientOptions, WebSocket } from 'ws'
import { createEvents, type Events, type EventsDeps, toEvent } from '../../server/http/events.ts'
import { createLoadReader } from '../../server/http/events_load.ts'
import { silentLog } from '../../server/lib/log.ts'
import { EVENTS_CLOSE, HubEvent } from '../../server/wire/events.ts'
import { SystemLoad } from '../../server/wire/load.ts'
import { fakeFile, fakeInfo, fakeModels } from '../helpers/fake_models.ts'
import { testHub } from '../helpers/hub.ts'

const idleLoad: SystemLoad = {
  at_ms: 1,
  cpu: 0.5,
  memory: { total_bytes: 2, available_bytes: 1, hub_rss_bytes: 1 },
  devices: [],
  queue: { running: 0, waiting: 0 },
  models: [],
}

type Setup = {
  events: Events
  url: string
  /** Lets two seconds pass. */
  tick(): void
  /** Timers that run. */
  running(): number
  connect(options?: ClientOptions): { socket: WebSocket; next(): Promise<HubEvent> }
}

async function setup(context: TestContext, more: Partial<EventsDeps> = {}): Promise<Setup> {
  const models = fakeModels()
  const timers = new Set<() => void>()
  const events = createEvents({
    version: '1.2.3',
    startedAt: 5,
    models: () => models.list(),
    load: async () => idleLoad,
    log: silentLog,
    every: action => {
      timers.add(action)
      return () => timers.delete(action)
    },
    ...more,
  })
  const hub = await testHub(context, { models, server: { upgrade: events.upgrade } })
  const url = hub.url.replace('http', 'ws')
  context.after(() => events.close())
  return {
    events,
    url,
    tick: () => {
      for (const action of timers) action()
    },
    running: () => timers.size,
    connect(options = {}) {
      const socket = new WebSocket(`${url}/v1/events`, options)
      // A handshake that is refused, or cut off at the end of the test, is an error of the socket as well.
      socket.on('error', () => {})
      context.after(() => socket.terminate())
      const received: HubEvent[] = []
      let wake = () => {}
      socket.on('message', data => {
        received.push(HubEvent.parse(JSON.parse(String(data))))
        wake()
      })
      return {
        socket,
        async next() {
          while (received.length === 0) {
            await new Promise<void>(resolve => {
              wake = resolve
            })
          }
          return received.shift()!
        },
      }
    },
  }
}

/** The status of a handshake that is refused. */
async function refusedStatus(socket: WebSocket): Promise<number | undefined> {
  const [request, response] = await once(socket, 'unexpected-response')
  request.destroy()
  return response.statusCode
}

test('a listener gets a hello and then every event in order', async context => {
  const { events, connect } = await setup(context)
  const { next } = connect()
  const hello = await next()
  assert.ok(hello.type === 'hello')
  assert.equal(hello.version, '1.2.3')
  assert.deepEqual(
    hello.models.map(model => [model.id, model.state]),
    [
      ['fake', 'unloaded'],
      ['team/other', 'unloaded'],
      ['damaged', 'broken'],
    ],
  )
  const sent: HubEvent[] = [0.25, 0.5, 1].map(fraction => ({ type: 'model.progress', id: 'fake', fraction }))
  for (const event of sent) events.publish(event)
  for (const event of sent) assert.deepEqual(await next(), event)
})

test('the load is told while someone listens and not asked for otherwise', async context => {
  let asked = 0
  const { tick, connect, running } = await setup(context, {
    load: async () => {
      asked++
      return idleLoad
    },
  })
  assert.equal(running(), 0)
  const { socket, next } = connect()
  await next()
  assert.equal(running(), 1)
  tick()
  assert.deepEqual(await next(), { type: 'system.load', load: idleLoad })
  assert.equal(asked, 1)
  const other = connect()
  await other.next()
  assert.equal(running(), 1)
  const closed = once(socket, 'close')
  socket.close()
  other.socket.close()
  await Promise.all([closed, once(other.socket, 'close')])
  // The client's close follows the server's answer, which follows the server's own bookkeeping at the latest with its next turn.
  while (running() > 0) await new Promise(setImmediate)
})

test('a load that cannot be read harms nobody', async context => {
  let fails = true
  const { tick, connect, events } = await setup(context, {
    load: () => (fails ? Promise.reject(new Error('no')) : Promise.resolve(idleLoad)),
  })
  const { next } = connect()
  await next()
  tick()
  await new Promise(setImmediate)
  fails = false
  tick()
  assert.equal((await next()).type, 'system.load')
  events.publish({ type: 'models.changed', models: [] })
  assert.equal((await next()).type, 'models.changed')
})

test('a slow client is closed with its own code and holds nobody back', async context => {
  const { events, connect } = await setup(context)
  const slow = connect()
  const quick = connect()
  await slow.next()
  await quick.next()
  slow.socket.pause()
  const big: HubEvent = { type: 'model.progress', id: 'x'.repeat(200_000), fraction: 0 }
  const closed = once(slow.socket, 'close')
  // The system's own socket buffers take some megabytes before anything waits in the hub.
  for (let i = 0; i < 200; i++) {
    events.publish(big)
    assert.deepEqual(await quick.next(), big)
  }
  slow.socket.resume()
  const [code, reason] = await closed
  assert.equal(code, EVENTS_CLOSE.too_slow)
  assert.match(String(reason), /too slow/)
})

test('a client that answers no ping is cut off, one that does stays', async context => {
  const { tick, connect, url } = await setup(context)
  const dead = connect({ autoPong: false })
  const live = connect()
  await dead.next()
  await live.next()
  const closed = once(dead.socket, 'close')
  const pinged = once(live.socket, 'ping')
  for (let i = 0; i < 15; i++) tick()
  await pinged
  // Once a later request is answered, the hub has read the pong.
  await fetch(`${url.replace('ws', 'http')}/health`)
  for (let i = 0; i < 15; i++) tick()
  await closed
  assert.equal(live.socket.readyState, WebSocket.OPEN)
})

test('a message, another path, a foreign origin and a closing hub are refused', async context => {
  const { events, url, connect } = await setup(context)
  const talker = connect()
  await talker.next()
  talker.socket.send('hi')
  assert.equal((await once(talker.socket, 'close'))[0], EVENTS_CLOSE.only_speaks)

  assert.equal(await refusedStatus(new WebSocket(`${url}/v1/elsewhere`)), 404)
  assert.equal(await refusedStatus(connect({ headers: { origin: 'https://evil.example' } }).socket), 403)
  assert.equal(await refusedStatus(connect({ headers: { host: 'evil.example' } }).socket), 403)

  const last = connect()
  await last.next()
  const closed = once(last.socket, 'close')
  await events.close()
  assert.equal((await closed)[0], EVENTS_CLOSE.going_away)
  assert.equal(await refusedStatus(connect().socket), 503)
})

test('a status is told as progress while it loads and as a state otherwise', () => {
  const file = fakeFile('m')
  const status = { file, inUse: 0, estimatedBytes: 1 }
  assert.deepEqual(toEvent({ ...status, state: 'loading', progress: 0.5 }), {
    type: 'model.progress',
    id: 'm',
    fraction: 0.5,
  })
  const started = toEvent({ ...status, state: 'loading', progress: 0 })
  assert.ok(started.type === 'model.state' && started.model.state === 'loading')
  const failed = toEvent({ ...status, state: 'failed', error: 'why' })
  assert.ok(failed.type === 'model.state')
  assert.equal(failed.model.error, 'why')
})

test('the load reader gives the busy part of the cores since its last call, and the resident models', async () => {
  const core = { idle: 100, user: 100 }
  let refreshed = 0
  const read = createLoadReader({
    models: () => [
      { file: fakeFile('a'), state: 'unloaded', inUse: 0, estimatedBytes: 1 },
      { file: fakeFile('b'), state: 'ready', inUse: 1, estimatedBytes: 1, info: fakeInfo },
    ],
    refresh: async () => {
      refreshed++
    },
    memory: () => ({ totalBytes: 10, availableBytes: 4 }),
    gpus: async () => [{ name: 'card', totalBytes: 8, freeBytes: 3, busy: 0.5 }],
    now: () => 77,
    cores: () => [{ times: { ...core } }],
  })
  core.idle += 30
  core.user += 10
  const load = SystemLoad.parse(await read())
  assert.equal(load.cpu, 0.25)
  assert.equal((await read()).cpu, 0)
  assert.equal(refreshed, 2)
  assert.deepEqual(
    load.models.map(model => model.id),
    ['b'],
  )
  assert.equal(load.memory.available_bytes, 4)
  assert.deepEqual(load.devices, [{ name: 'card', total_bytes: 8, free_bytes: 3, busy: 0.5 }])
  assert.equal(load.at_ms, 77)
})
