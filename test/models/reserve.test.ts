/** Memory that is set aside for training: taken from idle models, given back to a request, and never counted twice. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { HubError } from '../../server/lib/error.ts'
import { silentLog } from '../../server/lib/log.ts'
import type { WorkerProcess } from '../../server/models/process.ts'
import type { Reservation, ReserveOptions } from '../../server/models/reserve.ts'
import { Scheduler } from '../../server/models/scheduler.ts'
import type { ModelFile } from '../../server/wire/model.ts'

const GIB = 2 ** 30
const never = new AbortController().signal

const file = (id: string, gib: number, sidecar: ModelFile['sidecar'] = {}): ModelFile => ({
  id,
  folder: 'chat_models',
  files: [`/${id}.gguf`],
  bytes: gib * GIB,
  modified_ms: 0,
  status: 'ok',
  sidecar,
  facts: {
    architecture: 'llama',
    parameters: 1,
    quantization: 'Q8_0',
    context_length: 512,
    embedding_size: 64,
    layers: 2,
    heads: 4,
    kv_heads: 4,
    kv_bytes_per_token: 1000,
    vocabulary_size: 1000,
    tokenizer: 'gpt2',
    fim: false,
    kind: 'model',
  },
})

/** 16 GiB of memory, of which 15 may be used; the clock stands until it is set. */
function setUp(files: ModelFile[]): { scheduler: Scheduler; clock: { ms: number } } {
  const clock = { ms: 1000 }
  const scheduler = new Scheduler({
    registry: {
      list: () => files,
      resolve: id => files.find(each => each.id === id)!,
    },
    ready: Promise.resolve(),
    // Only what the scheduler touches of a worker.
    start: async () =>
      ({
        info: { memoryBytes: 0 },
        pid: 1,
        stats: undefined,
        exited: new Promise(() => undefined),
        limitMemory: () => undefined,
        close: async () => undefined,
      }) as unknown as WorkerProcess,
    probe: async () => [],
    memory: () => ({ totalBytes: 16 * GIB, availableBytes: 16 * GIB }),
    settings: () => ({
      device: 'cpu',
      gpuLayers: 'auto',
      contextTokens: 512,
      slots: 2,
      threads: 1,
      batchTokens: 64,
      memoryFraction: 15 / 16,
      promptCacheBytes: 0,
      kvType: 'f16',
      flashAttention: 'auto',
      useMmap: true,
      poll: 0,
      maxQueue: 2,
      idleUnloadMinutes: 0,
    }),
    measuredBytes: () => undefined,
    record: () => undefined,
    changed: () => undefined,
    log: silentLog,
    now: () => clock.ms,
  })
  return { scheduler, clock }
}

const wish = (more: Partial<ReserveOptions> = {}): ReserveOptions => ({
  what: 'a test',
  idleMs: 0,
  usedBytes: () => 0,
  makeWay: async () => assert.fail('nobody needs it'),
  ...more,
})
const states = (scheduler: Scheduler): { [id: string]: string } =>
  Object.fromEntries(scheduler.list().map(({ file: { id }, state }) => [id, state]))

describe('reserve', () => {
  test('idle models make room, the one used longest ago first, and only as many as needed', async () => {
    const { scheduler, clock } = setUp([file('a', 5), file('b', 5)])
    await scheduler.load('a', never)
    clock.ms++
    await scheduler.load('b', never)
    const reservation = await scheduler.reserve(8 * GIB, wish(), never)
    assert.deepEqual(states(scheduler), { a: 'unloaded', b: 'ready' })
    assert.deepEqual([reservation.device, reservation.bytes], ['cpu', 8 * GIB])
    await scheduler.close()
  })

  test('a model that fits beside it is loaded without a word to the holder', async () => {
    const { scheduler } = setUp([file('small', 4)])
    await scheduler.reserve(8 * GIB, wish(), never)
    await scheduler.load('small', never)
    assert.deepEqual(states(scheduler), { small: 'ready' })
    await scheduler.close()
  })

  test('for a model that does not fit the holder makes way, and the model is loaded then', async () => {
    const { scheduler } = setUp([file('large', 10)])
    const said: string[] = []
    let held: Reservation | undefined
    held = await scheduler.reserve(
      8 * GIB,
      wish({
        async makeWay() {
          said.push(`asked while the model is ${states(scheduler).large}`)
          held?.release()
        },
      }),
      never,
    )
    await scheduler.load('large', never)
    assert.deepEqual(said, ['asked while the model is loading'])
    assert.deepEqual(states(scheduler), { large: 'ready' })
    await scheduler.close()
  })

  test('idle models go before the holder is asked', async () => {
    const { scheduler } = setUp([file('a', 4), file('b', 4)])
    await scheduler.reserve(8 * GIB, wish(), never)
    await scheduler.load('a', never)
    await scheduler.load('b', never)
    assert.deepEqual(states(scheduler), { a: 'unloaded', b: 'ready' })
    await scheduler.close()
  })

  test('it waits for a busy model without holding up the loads of others', async () => {
    const { scheduler } = setUp([file('busy', 6), file('other', 2)])
    const lease = await scheduler.acquire('busy', never)
    const waits = Promise.withResolvers<string>()
    const reservation = scheduler.reserve(12 * GIB, wish({ waits: waits.resolve }), never)
    assert.equal(await waits.promise, 'it waits for the memory of busy, which is in use')
    await scheduler.load('other', never)
    assert.equal(states(scheduler).other, 'ready')
    lease.release()
    await reservation
    assert.equal(states(scheduler).busy, 'unloaded')
    await scheduler.close()
  })

  test('a model that was just used is left alone for as long as asked', async () => {
    const { scheduler, clock } = setUp([file('fresh', 8)])
    await scheduler.load('fresh', never)
    const stop = new AbortController()
    const waits = Promise.withResolvers<string>()
    const waiting = scheduler.reserve(12 * GIB, wish({ idleMs: 60_000, waits: waits.resolve }), stop.signal)
    assert.equal(await waits.promise, 'it waits until fresh has been idle for 60 s')
    stop.abort()
    await assert.rejects(waiting, { code: 'cancelled' })
    clock.ms += 60_000
    await scheduler.reserve(12 * GIB, wish({ idleMs: 60_000 }), never)
    assert.equal(states(scheduler).fresh, 'unloaded')
    await scheduler.close()
  })

  test('what can never fit is refused with the figures and unloads nothing', async () => {
    const { scheduler } = setUp([file('idle', 2), file('pinned', 6, { pin: true })])
    await scheduler.load('idle', never)
    await scheduler.load('pinned', never)
    await assert.rejects(scheduler.reserve(10 * GIB, wish(), never), (thrown: HubError) => {
      assert.equal(thrown.code, 'insufficient_memory')
      assert.match(thrown.message, /needs about 10\.00 GiB/)
      return true
    })
    assert.deepEqual(states(scheduler), { idle: 'ready', pinned: 'ready' })
    await scheduler.close()
  })

  test('what is reserved and not taken yet is not free for a second one', async () => {
    const { scheduler } = setUp([])
    const first = await scheduler.reserve(9 * GIB, wish(), never)
    // Whoever plans gets its turn when this one is done.
    assert.equal((await scheduler.space()).freeBytes, 15 * GIB)
    const stop = new AbortController()
    const waits = Promise.withResolvers<string>()
    const second = scheduler.reserve(8 * GIB, wish({ waits: waits.resolve }), stop.signal)
    assert.equal(await waits.promise, 'it waits for the memory of another job')
    first.release()
    first.release()
    assert.equal((await second).bytes, 8 * GIB)
    await scheduler.close()
  })

  test('closing ends the wait', async () => {
    const { scheduler } = setUp([file('busy', 8)])
    await scheduler.acquire('busy', never)
    const waits = Promise.withResolvers<string>()
    const waiting = scheduler.reserve(12 * GIB, wish({ waits: waits.resolve }), never)
    await waits.promise
    await Promise.all([scheduler.close(), assert.rejects(waiting, { code: 'shutting_down' })])
  })
})
