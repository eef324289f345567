/** When models load and which make room: the scheduler over workers that cost nothing. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { HubError } from '../../server/lib/error.ts'
import { silentLog } from '../../server/lib/log.ts'
import type { DeviceReport } from '../../server/models/devices.ts'
import type { WorkerProcess } from '../../server/models/process.ts'
import { type LoadSettings, Scheduler, type SchedulerDeps } from '../../server/models/scheduler.ts'
import type { ModelFile } from '../../server/wire/model.ts'
import type { LoadOptions } from '../../server/wire/worker.ts'

const GIB = 2 ** 30
const never = new AbortController().signal

const CPU: DeviceReport = {
  library: 'cpu',
  device: 'cpu',
  works: true,
  devices: [{ name: 'CPU', description: 'CPU', kind: 'cpu', freeBytes: 16 * GIB, totalBytes: 16 * GIB }],
}
const gpu = (freeBytes: number): DeviceReport => ({
  library: 'vulkan',
  device: 'vulkan',
  works: true,
  devices: [{ name: 'Vulkan0', description: 'GPU', kind: 'gpu', freeBytes, totalBytes: 16 * GIB }],
})

const SETTINGS: LoadSettings = {
  device: 'auto',
  gpuLayers: 'auto',
  contextTokens: 4096,
  slots: 2,
  threads: 1,
  batchTokens: 256,
  memoryFraction: 0.85,
  promptCacheBytes: 0,
  kvType: 'f16',
  flashAttention: 'auto',
  useMmap: true,
  poll: 0,
  maxQueue: 2,
  idleUnloadMinutes: 0,
}

function file(id: string, bytes: number, more: Partial<ModelFile> = {}): ModelFile {
  return {
    id,
    folder: 'chat_models',
    files: [`/${id}.gguf`],
    bytes,
    modified_ms: 0,
    status: 'ok',
    sidecar: {},
    facts: {
      architecture: 'llama',
      parameters: 1,
      quantization: 'Q8_0',
      context_length: 8192,
      embedding_size: 64,
      layers: 32,
      heads: 4,
      kv_heads: 4,
      kv_bytes_per_token: 1000,
      vocabulary_size: 1000,
      tokenizer: 'gpt2',
      fim: false,
      kind: 'model',
    },
    ...more,
  }
}

type Fake = { options: LoadOptions; closed: boolean; die(): void }

function setUp(
  files: ModelFile[],
  more: Partial<SchedulerDeps> & { settings?: () => LoadSettings; total?: number; reports?: DeviceReport[] } = {},
) {
  const workers: Fake[] = []
  const total = more.total ?? 16 * GIB
  const deps: SchedulerDeps = {
    registry: {
      list: () => files,
      resolve(id) {
        const found = files.find(each => each.id === id)
        if (found === undefined) throw new HubError('model_not_found', id)
        return found
      },
    },
    ready: Promise.resolve(),
    async start(options) {
      const exited = Promise.withResolvers<{ code: null; signal: string; expected: boolean; said: string[] }>()
      const fake: Fake = {
        options,
        closed: false,
        die: () => exited.resolve({ code: null, signal: 'SIGKILL', expected: false, said: [] }),
      }
      workers.push(fake)
      // Only what the scheduler touches of a worker.
      return {
        info: { memoryBytes: 0 },
        pid: workers.length,
        stats: undefined,
        exited: exited.promise,
        limitMemory: () => undefined,
        async close() {
          fake.closed = true
        },
      } as unknown as WorkerProcess
    },
    probe: async () => more.reports ?? [CPU],
    // What lies in mapped files counts as available: only the scheduler's own account sees it.
    memory: () => ({ totalBytes: total, availableBytes: total }),
    settings: () => SETTINGS,
    measuredBytes: () => undefined,
    record: () => undefined,
    changed: () => undefined,
    log: silentLog,
    now: () => ++clock,
    ...more,
  }
  let clock = 0
  return { scheduler: new Scheduler(deps), workers }
}

describe('scheduler', () => {
  test('several models stay while they fit, and the least recently used idle one makes room', async () => {
    const { scheduler, workers } = setUp([file('a', 5 * GIB), file('b', 5 * GIB), file('c', 5 * GIB)])
    await scheduler.load('a', never)
    await scheduler.load('b', never)
    await scheduler.load('a', never)
    await scheduler.load('c', never)
    assert.deepEqual(
      workers.map(worker => worker.closed),
      [false, true, false],
    )
    assert.deepEqual(
      scheduler.list().map(model => model.state),
      ['ready', 'unloaded', 'ready'],
    )
    await scheduler.close()
  })

  test('a model in use is never unloaded: the load waits until it is released', async () => {
    const { scheduler, workers } = setUp([file('a', 10 * GIB), file('b', 10 * GIB)])
    const lease = await scheduler.acquire('a', never)
    let loaded = false
    const loading = scheduler.load('b', never).then(() => {
      loaded = true
    })
    await new Promise(setImmediate)
    assert.equal(loaded, false)
    assert.equal(workers[0]!.closed, false)
    await assert.rejects(scheduler.unload('a'), { code: 'conflict' })
    lease.release()
    await loading
    assert.equal(workers[0]!.closed, true)
    await scheduler.close()
  })

  test('a pinned model is not unloaded to make room', async () => {
    const { scheduler, workers } = setUp([
      file('a', 7 * GIB, { sidecar: { pin: true } }),
      file('b', 5 * GIB),
      file('c', 6 * GIB),
    ])
    await scheduler.load('a', never)
    await scheduler.load('b', never)
    await scheduler.load('c', never)
    assert.deepEqual(
      workers.map(worker => worker.closed),
      [false, true, false],
    )
    await scheduler.close()
  })

  test('a model larger than the memory is refused with the numbers', async () => {
    const { scheduler } = setUp([file('huge', 40 * GIB)])
    await assert.rejects(
      scheduler.load('huge', never),
      (error: unknown) =>
        error instanceof HubError &&
        error.code === 'insufficient_memory' &&
        /40\.\d GiB.*13\.6 GiB/.test(error.message),
    )
    assert.equal(scheduler.get('huge').state, 'failed')
    await scheduler.close()
  })

  test('a model that can never fit pushes nobody out', async () => {
    const { scheduler, workers } = setUp([file('a', 5 * GIB), file('huge', 40 * GIB)])
    await scheduler.load('a', never)
    await assert.rejects(scheduler.load('huge', never), { code: 'insufficient_memory' })
    assert.deepEqual(
      workers.map(worker => worker.closed),
      [false],
    )
    await scheduler.close()
  })

  test('unloading is refused while somebody waits for the load', async () => {
    const gate = Promise.withResolvers<void>()
    const probe = async () => {
      await gate.promise
      return [CPU]
    }
    const { scheduler } = setUp([file('a', GIB)], { probe })
    const waiting = scheduler.acquire('a', never)
    await new Promise(setImmediate)
    const unloading = scheduler.unload('a')
    gate.resolve()
    const lease = await waiting
    await assert.rejects(unloading, { code: 'conflict' })
    assert.equal(scheduler.get('a').state, 'ready')
    lease.release()
    await scheduler.close()
  })

  test('closing does not wait for a load that waits for room', async () => {
    const { scheduler } = setUp([file('a', 10 * GIB), file('b', 10 * GIB)])
    const lease = await scheduler.acquire('a', never)
    const loading = scheduler.load('b', never)
    await new Promise(setImmediate)
    const refused = assert.rejects(loading, { code: 'shutting_down' })
    await scheduler.close()
    await refused
    lease.release()
  })

  test('requests at once load a model once; beyond slots and queue they are told to come back', async () => {
    const { scheduler, workers } = setUp([file('a', GIB)])
    const leases = await Promise.all([1, 2, 3, 4].map(() => scheduler.acquire('a', never)))
    assert.equal(workers.length, 1)
    await assert.rejects(scheduler.acquire('a', never), { code: 'busy', retryAfterS: 5 })
    leases[0]!.release()
    leases[0]!.release()
    const next = await scheduler.acquire('a', never)
    await assert.rejects(scheduler.acquire('a', never), { code: 'busy' })
    next.release()
    await scheduler.close()
  })

  test('a worker that dies is replaced at the next request', async () => {
    const { scheduler, workers } = setUp([file('a', GIB)])
    const lease = await scheduler.acquire('a', never)
    workers[0]!.die()
    await new Promise(setImmediate)
    assert.equal(scheduler.get('a').state, 'failed')
    const again = await scheduler.acquire('a', never)
    assert.equal(workers.length, 2)
    assert.equal(scheduler.get('a').inUse, 1)
    lease.release()
    assert.equal(scheduler.get('a').inUse, 1)
    again.release()
    await scheduler.close()
  })

  test('one waiter that leaves does not end the load for the others', async () => {
    const { scheduler } = setUp([file('a', GIB)])
    const control = new AbortController()
    const leaving = scheduler.acquire('a', control.signal)
    const staying = scheduler.acquire('a', never)
    control.abort()
    await assert.rejects(leaving, { code: 'cancelled' })
    ;(await staying).release()
    assert.equal(scheduler.get('a').state, 'ready')
    await scheduler.close()
  })

  test('on a GPU everything goes there when it fits, and as many layers as fit when it does not', async () => {
    const all = setUp([file('a', 5 * GIB)], { reports: [gpu(15 * GIB), CPU] })
    await all.scheduler.load('a', never)
    assert.deepEqual([all.workers[0]!.options.device, all.workers[0]!.options.gpuLayers], ['vulkan', -1])
    await all.scheduler.close()
    const part = setUp([file('a', 14 * GIB)], { reports: [gpu(8 * GIB), CPU] })
    await part.scheduler.load('a', never)
    const layers = part.workers[0]!.options.gpuLayers
    assert.ok(layers > 8 && layers < 20, `${layers} of 32 layers for half of the memory`)
    await part.scheduler.close()
  })

  test('a device that refuses at the last moment leaves the model on the CPU, unless the user chose the device', async () => {
    const tried: string[] = []
    const worker = setUp([file('a', GIB)])
    const start: SchedulerDeps['start'] = async options => {
      tried.push(options.device)
      if (options.device !== 'cpu') throw new HubError('model_load_failed', 'device lost')
      return {
        info: { memoryBytes: 0 },
        exited: new Promise(() => undefined),
        limitMemory: () => undefined,
        close: async () => undefined,
      } as unknown as WorkerProcess
    }
    const auto = setUp([file('a', GIB)], { reports: [gpu(15 * GIB), CPU], start })
    await auto.scheduler.load('a', never)
    const chosen = setUp([file('a', GIB)], {
      reports: [gpu(15 * GIB), CPU],
      start,
      settings: () => ({ ...SETTINGS, device: 'vulkan' }),
    })
    await assert.rejects(chosen.scheduler.load('a', never), { code: 'model_load_failed' })
    assert.deepEqual(tried, ['vulkan', 'cpu', 'vulkan'])
    await Promise.all([worker, auto, chosen].map(each => each.scheduler.close()))
  })

  test('a device that does not work here is refused with its reason', async () => {
    const broken: DeviceReport = { library: 'cuda', device: 'cuda', works: false, reason: 'no driver', devices: [] }
    const { scheduler } = setUp([file('a', GIB)], {
      reports: [broken, CPU],
      settings: () => ({ ...SETTINGS, device: 'cuda' }),
    })
    await assert.rejects(scheduler.load('a', never), /cuda.*no driver/)
    await scheduler.close()
  })
})
